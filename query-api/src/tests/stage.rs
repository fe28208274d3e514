//! A database with the read models, and somebody who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use event_log::EventLog;
use events::{LoginId, Position, UserId};
use files::Storage;
use http::HeaderMap;
use serde_json::Value;
use servers::{TestDatabase, TestServers};
use service::Identity;
use sqlx::{Connection, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;
use uuid::Uuid;

use crate::asked::Reader;
use crate::cache::hex_of;
use crate::checkpoints::Times;
use crate::reads::Reads;

/// What the codes of invitations are derived with.
pub(crate) const SECRETS: event_log::Secrets =
    event_log::Secrets { master: [1; 32], deployment: [2; 32] };

const PASSWORD: &str = "of-the-reader-in-tests";

/// Everything that a test of the reads needs.
pub(crate) struct Stage {
    /// As the owner of the tables.
    pub(crate) owner: PgPool,
    /// Of the role that query-api uses.
    pub(crate) reader_url: String,
    pub(crate) redis: redis::aio::MultiplexedConnection,
    pub(crate) reads: Reads,
    log: EventLog,
    _stop: DropGuard,
    pub(crate) owner_url: String,
    pub(crate) redis_url: String,
    _folder: TempDir,
    _database: TestDatabase,
    _servers: TestServers,
}

/// A new id.
#[expect(clippy::disallowed_methods, reason = "tests share one Redis, so ids must be new")]
pub(crate) fn id() -> Uuid {
    Uuid::new_v4()
}

/// The bytes of a position.
pub(crate) fn at(position: u64) -> Vec<u8> {
    Position::at(position).to_bytes().to_vec()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with_redis(None).await
    }

    /// With the reads using another Redis than the real one. They wait for longer than anything
    /// takes on a busy machine.
    pub(crate) async fn with_redis(redis_url: Option<&str>) -> Self {
        let times = Times { patience: Duration::from_secs(60), ..Times::default() };
        Self::with(redis_url, times).await
    }

    /// With the reads waiting for read models in other times.
    pub(crate) async fn with_times(times: Times) -> Self {
        Self::with(None, times).await
    }

    async fn with(redis_url: Option<&str>, times: Times) -> Self {
        let servers = servers::shared_for_tests().await.unwrap();
        let database = servers.database().await.unwrap();
        let owner = PgPool::connect(&database.url).await.unwrap();
        sqlx::migrate!("../migrations").run(&owner).await.unwrap();
        let_the_reader_in(&owner).await;

        let mut reader_url = database.url.clone();
        let host = reader_url.find('@').unwrap();
        reader_url.replace_range(..host, &format!("postgres://roundtable_reader:{PASSWORD}"));
        let client = redis::Client::open(servers.redis_url.as_str()).unwrap();
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let redis = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        let stop = CancellationToken::new();
        let redis_url = redis_url.unwrap_or(&servers.redis_url).to_owned();
        let folder = tempfile::tempdir().unwrap();
        let files = Storage::open(&folder.path().display().to_string(), []).unwrap();
        let reads = Reads::start(&reader_url, &redis_url, files, times, stop.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let eventstore_url = format!("esdb://{}?tls=false", listener.local_addr().unwrap());
        let store = event_store::Config::new(folder.path().join("log"));
        tokio::spawn(event_store::serve(store, listener, stop.clone()));
        let log = EventLog::connect(event_log::Config {
            eventstore_url,
            postgres: owner.clone(),
            secrets: SECRETS.clone(),
        })
        .await
        .unwrap();
        Self {
            owner,
            reader_url,
            redis,
            reads,
            log,
            _stop: stop.drop_guard(),
            owner_url: database.url.clone(),
            redis_url,
            _folder: folder,
            _database: database,
            _servers: servers,
        }
    }

    /// Runs a statement as the owner.
    pub(crate) async fn sql(&self, statement: &str) {
        sqlx::raw_sql(statement).execute(&self.owner).await.unwrap();
    }

    /// Advances projections as the projector does, notification included.
    pub(crate) async fn reached(&self, projections: &[&str], position: u64) {
        for projection in projections {
            sqlx::query(
                "with moved as (
                   insert into projection_checkpoint (projection, position) values ($1, $2)
                   on conflict (projection) do update set position = excluded.position
                   returning projection
                 )
                 select pg_notify('roundtable_checkpoint', projection || ' ' || $3) from moved",
            )
            .bind(projection)
            .bind(at(position))
            .bind(position.to_string())
            .execute(&self.owner)
            .await
            .unwrap();
        }
    }

    /// A connection as the reader's role, as somebody who took over query-api would have.
    pub(crate) async fn hostile(&self) -> PgConnection {
        PgConnection::connect(&self.reader_url).await.unwrap()
    }

    /// What a person is answered.
    pub(crate) async fn ask(&self, reader: Uuid, path: &str) -> (u16, Value) {
        let (status, body, _) = self.ask_with(reader, path, HeaderMap::new()).await;
        (status, body)
    }

    pub(crate) async fn ask_with(
        &self,
        reader: Uuid,
        path: &str,
        headers: HeaderMap,
    ) -> (u16, Value, HeaderMap) {
        let codes = axum::Extension(crate::invite::Codes::of(&SECRETS));
        let log = axum::Extension(self.log.clone());
        let routes = axum::Router::from(crate::routes()).layer(codes).layer(log);
        let router = routes.with_state(self.reads.clone()).layer(from_fn(
            move |mut request: Request, next: Next| {
                let reader = UserId::new(reader);
                request.extensions_mut().insert(Reader(reader));
                request.extensions_mut().insert(Identity::new(reader, LoginId::new(Uuid::nil())));
                next.run(request)
            },
        ));
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        *request.headers_mut() = headers;
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        (parts.status.as_u16(), body, parts.headers)
    }

    /// The items of a list, which must be answered.
    pub(crate) async fn items(&self, reader: Uuid, path: &str) -> Vec<Value> {
        let (status, body) = self.ask(reader, path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body["items"].as_array().unwrap().clone()
    }

    /// The last part of the type of the problem that must be answered, and its status.
    pub(crate) async fn problem(&self, reader: Uuid, path: &str) -> (u16, String) {
        let (status, body) = self.ask(reader, path).await;
        let slug = body["type"].as_str().unwrap_or_default();
        (status, slug.rsplit('/').next().unwrap().to_owned())
    }

    /// What the projector does to a cached list after a commit.
    pub(crate) async fn invalidate(&mut self, key: &str, position: u64) {
        redis::cmd("set")
            .arg(format!("{key}:floor"))
            .arg(hex_of(Position::at(position)))
            .exec_async(&mut self.redis)
            .await
            .unwrap();
        redis::cmd("del").arg(key).exec_async(&mut self.redis).await.unwrap();
    }
}

/// Hundredths of a second in which this process could run: a machine that stands still for a while
/// counts one.
pub(crate) struct Ticks {
    count: Arc<AtomicU32>,
    task: AbortHandle,
}

impl Ticks {
    pub(crate) fn start() -> Self {
        let count = Arc::<AtomicU32>::default();
        let counted = count.clone();
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(Duration::from_millis(10));
            interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                interval.tick().await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { count, task: task.abort_handle() }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Roles belong to the server, which other tests use at this moment.
async fn let_the_reader_in(owner: &PgPool) {
    let statement = format!("alter role roundtable_reader login password '{PASSWORD}'");
    for _ in 0..100 {
        match sqlx::raw_sql(&statement).execute(owner).await {
            Ok(_) => return,
            Err(error) if error.to_string().contains("concurrently updated") => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the role was always being changed by somebody else");
}
