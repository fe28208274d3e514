//! Servers for tests: one set for a whole test run, a database of its own for each test.

use std::sync::{Arc, Weak};

use rand::Rng;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{
    Durability, Error, PrivateServers, ServerUrls, Wanted, error::Context, postgres::connect,
};

/// The servers that the tests of this process share.
#[derive(Debug, Clone)]
pub struct TestServers {
    /// `postgres://` of a superuser; use [`database`](Self::database) rather than this one's.
    pub postgres_url: String,
    /// `redis://`; prefix all keys with [`prefix`].
    pub redis_url: String,
    /// `nats://`; prefix all subjects and streams with [`prefix`]. For user and password see
    /// [`PrivateServers::nats_url`].
    pub nats_url: String,
    /// Keeps servers that were started for this process alone, until the last user is gone.
    _private: Option<Arc<Throwaway>>,
}

/// The servers for this test process.
///
/// Those of the test run are used when `roundtable-servers` started one and said so in
/// `ROUNDTABLE_TEST_POSTGRES_URL`, `ROUNDTABLE_TEST_REDIS_URL` and `ROUNDTABLE_TEST_NATS_URL`
/// (`make test` does). Otherwise private ones are started, shared by the tests of this process,
/// and gone with the last [`TestServers`], or with the process.
///
/// # Errors
/// As [`PrivateServers::start`].
pub async fn shared_for_tests() -> Result<TestServers, Error> {
    if let Some(urls) = ServerUrls::of_the_test_run() {
        return Ok(TestServers::at(urls, None));
    }
    static SHARED: Mutex<Weak<Throwaway>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    let private = match shared.upgrade() {
        Some(private) => private,
        None => Arc::new(Throwaway::start().await?),
    };
    *shared = Arc::downgrade(&private);
    Ok(TestServers::at(private.urls.clone(), Some(private)))
}

impl TestServers {
    fn at(urls: ServerUrls, private: Option<Arc<Throwaway>>) -> Self {
        let ServerUrls { postgres, redis, nats } = urls;
        Self { postgres_url: postgres, redis_url: redis, nats_url: nats, _private: private }
    }

    /// Makes a new, empty database with a name of its own.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn database(&self) -> Result<TestDatabase, Error> {
        let name = format!("test_{}", prefix());
        let mut connection = connect(&self.postgres_url, "postgres").await?;
        run(&mut connection, format!("create database {name}")).await?;
        sqlx::Connection::close(connection).await?;
        let (server, _) = self.postgres_url.rsplit_once('/').unwrap_or((&self.postgres_url, ""));
        let url = format!("{server}/{name}");
        Ok(TestDatabase { name, url, server_url: self.postgres_url.clone() })
    }
}

/// A database of one test. All of them go with the servers; one may go earlier.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// Its name.
    pub name: String,
    /// `postgres://` of it, as the superuser.
    pub url: String,
    server_url: String,
}

impl TestDatabase {
    /// Drops the database now, whoever is still connected to it.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn drop_now(self) -> Result<(), Error> {
        let mut connection = connect(&self.server_url, "postgres").await?;
        run(&mut connection, format!("drop database {} with (force)", self.name)).await?;
        Ok(sqlx::Connection::close(connection).await?)
    }
}

/// A word that nobody used before: 16 hex digits, good in names of every server.
#[must_use]
pub fn prefix() -> String {
    hex::encode(rand::rng().random::<[u8; 8]>())
}

async fn run(connection: &mut sqlx::PgConnection, statement: String) -> Result<(), Error> {
    // Not `raw_sql(..).execute(..)`: futures with that in them are not known to be `Send`.
    sqlx::Executor::execute(connection, &*statement).await?;
    Ok(())
}

/// Servers in a temporary folder, removed together.
#[derive(Debug)]
struct Throwaway {
    urls: ServerUrls,
    /// Taken when this is dropped: the servers go before their folder does.
    servers: Option<PrivateServers>,
    _folder: TempDir,
}

impl Throwaway {
    async fn start() -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("roundtable-test-")
            .tempdir()
            .context("could not make a temporary folder", std::env::temp_dir())?;
        let start = PrivateServers::start_with(folder.path(), Wanted::ALL, Durability::Relaxed);
        let servers = start.await?;
        let urls = ServerUrls::of(&servers);
        Ok(Self { urls, servers: Some(servers), _folder: folder })
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Some(servers) = self.servers.take() {
            servers.remove();
        }
    }
}
