//! Lists in Redis, each with the position of the read model it was read at.
//!
//! The projector deletes a list after the commit that changes it, and leaves the commit's position
//! as a mark: a reader that saw the moment before cannot put the old list back. Without Redis every
//! read goes to Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use events::{Position, UserId};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, RedisError, Script};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A cache must be faster than what it saves.
const PATIENCE: Duration = Duration::from_millis(250);
/// After a failure nobody waits for Redis for so long.
const REST: Duration = Duration::from_secs(1);

/// The lists that are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Friends,
    Incoming,
    Outgoing,
}

impl List {
    fn key(self, of: UserId) -> String {
        match self {
            Self::Friends => format!("friends:{of}"),
            Self::Incoming => format!("friend_requests:in:{of}"),
            Self::Outgoing => format!("friend_requests:out:{of}"),
        }
    }

    const fn seconds(self) -> u64 {
        match self {
            Self::Friends => 600,
            Self::Incoming | Self::Outgoing => 120,
        }
    }
}

/// The position comes first: `fill.lua` finds it there.
#[derive(Serialize, Deserialize)]
struct Cached<T> {
    position: String,
    items: Vec<T>,
}

/// The cache.
#[derive(Clone)]
pub(crate) struct Cache {
    redis: ConnectionManager,
    fill: Arc<Script>,
    /// Until when nobody asks Redis, in milliseconds after `started`.
    resting: Arc<AtomicU64>,
    started: Instant,
}

impl Cache {
    /// Connects when it is first needed.
    pub(crate) fn new(url: &str) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0);
        Ok(Self {
            redis: ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?,
            fill: Arc::new(Script::new(include_str!("fill.lua"))),
            resting: Arc::default(),
            started: Instant::now(),
        })
    }

    /// A list, if it is there and not older than `after`.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        list: List,
        of: UserId,
        after: Position,
    ) -> Option<Vec<T>> {
        if self.rests() {
            return None;
        }
        let mut redis = self.redis.clone();
        let found: Result<Option<Vec<u8>>, _> = bounded(redis.get(list.key(of))).await;
        let cached: Cached<T> = match found {
            Ok(found) => serde_json::from_slice(&found?).ok()?,
            Err(error) => {
                self.rest(&error);
                return None;
            }
        };
        (cached.position >= hex_of(after)).then_some(cached.items)
    }

    /// Keeps a list that was read from Postgres when the read model was at `position`.
    pub(crate) async fn fill<T: Serialize>(
        &self,
        list: List,
        of: UserId,
        position: Position,
        items: &[T],
    ) {
        #[derive(Serialize)]
        struct Filled<'a, T> {
            position: &'a str,
            items: &'a [T],
        }
        if self.rests() {
            return;
        }
        let (key, position) = (list.key(of), hex_of(position));
        let value = serde_json::to_vec(&Filled { position: &position, items })
            .expect("lists of ids and times are JSON");
        let mut redis = self.redis.clone();
        let mut call = self.fill.key(&key);
        call.key(format!("{key}:floor")).arg(position).arg(value).arg(list.seconds());
        let filled: Result<i64, _> = bounded(call.invoke_async(&mut redis)).await;
        if let Err(error) = filled {
            self.rest(&error);
        }
    }

    /// Whether Redis answers.
    pub(crate) async fn probe(&self) -> Result<String, String> {
        let mut redis = self.redis.clone();
        let pong: Result<String, _> = bounded(redis.ping()).await;
        pong.map(|_| "answers".to_owned()).map_err(|error| error.to_string())
    }

    fn rests(&self) -> bool {
        self.now() < self.resting.load(Ordering::Relaxed)
    }

    fn rest(&self, error: &RedisError) {
        tracing::warn!(%error, "Redis did not answer: reading from Postgres");
        let rest = u64::try_from(REST.as_millis()).expect("a second fits");
        self.resting.store(self.now() + rest, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The text whose order is the order of positions, as the projector writes it into the marks.
pub(crate) fn hex_of(position: Position) -> String {
    hex::encode(position.to_bytes())
}

/// Connecting, waiting in line and the answer together may not take longer.
async fn bounded<T>(call: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| {
        Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))
    })
}
