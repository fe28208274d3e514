//! A connection to Redis that is asked briefly, and left in peace for a while when it fails.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult};

/// What Redis is asked must be answered within this; what it is used for is faster without it then.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// After a failure nobody waits for Redis for so long.
const REST: Duration = Duration::from_secs(1);

/// The connection. Cheap to clone; all clones rest together.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    /// How long an answer may take.
    patience: Duration,
    /// Keeps those apart that share a server. Nothing, outside of tests.
    namespace: Arc<str>,
    /// Until when nobody asks Redis, in milliseconds after `started`.
    resting: Arc<AtomicU64>,
    started: Instant,
}

/// Redis did not answer, or is not asked because it just did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis does not answer")]
pub struct Away;

impl Redis {
    /// Connects when it is first needed. An answer may take [`PATIENCE`].
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn new(url: &str, namespace: &str) -> RedisResult<Self> {
        Self::with_patience(url, namespace, PATIENCE)
    }

    /// As [`Redis::new`], but an answer may take as long as this. Tests of what only Redis gives
    /// wait longer, because a machine that stalls is no Redis that is away.
    ///
    /// # Errors
    /// As [`Redis::new`].
    pub fn with_patience(url: &str, namespace: &str, patience: Duration) -> RedisResult<Self> {
        crate::tls::prepare();
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience))
            .set_number_of_retries(0);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?,
            patience,
            namespace: namespace.into(),
            resting: Arc::default(),
            started: Instant::now(),
        })
    }

    /// The key as Redis knows it.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.namespace)
    }

    /// Asks Redis.
    ///
    /// # Errors
    /// [`Away`], after the patience at the most, or at once while it rests.
    pub async fn ask<T, F>(&self, question: impl FnOnce(ConnectionManager) -> F) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>>,
    {
        if self.now() < self.resting.load(Ordering::Relaxed) {
            return Err(Away);
        }
        self.insist(question).await
    }

    /// Asks Redis even while it rests: for what an answer would be wrong without.
    ///
    /// # Errors
    /// [`Away`], after the patience at the most.
    pub async fn insist<T, F>(
        &self,
        question: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, Away>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.bounded(question(self.connection.clone())).await.map_err(|error| {
            tracing::warn!(%error, "Redis did not answer");
            let rest = u64::try_from(REST.as_millis()).expect("a second fits");
            self.resting.store(self.now() + rest, Ordering::Relaxed);
            Away
        })
    }

    /// Whether Redis answers, for a health check: asks even while it rests.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self) -> Result<String, String> {
        let mut connection = self.connection.clone();
        let ping = async move { redis::cmd("PING").query_async::<String>(&mut connection).await };
        self.bounded(ping).await.map(|_| "answers".to_owned()).map_err(|error| error.to_string())
    }

    /// Connecting, waiting in line and the answer together may not take longer.
    async fn bounded<T>(&self, call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let timed_out = || Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut)));
        tokio::time::timeout(self.patience, call).await.unwrap_or_else(|_| timed_out())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
