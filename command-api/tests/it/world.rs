//! What the tests share: real servers, a log of its own for each test, and links that can be cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use command_api::{App, Limits, Settings};
use event_log::EventLog;
use servers::{TestDatabase, TestServers};
use service::limits::{Policies, Proxies};
use service::sfu_registry::Times;
use service::{Config, FileSettings, Secrets, SfuRegistry, Tickets};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::client::Person;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A whole stack but for reads: event store, projector, and one command-api.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) app: App,
    pub(crate) nats: Link,
    pub(crate) postgres: Link,
    pub(crate) shutdown: CancellationToken,
    /// For what has no command of this service.
    pub(crate) log: EventLog,
    /// Postgres by no link.
    pub(crate) direct: PgPool,
    /// Where the files are; a person has at most 1 MiB of them.
    pub(crate) files: PathBuf,
    /// The registry of SFU nodes, by no link.
    pub(crate) sfu: SfuRegistry,
    /// Reads tickets, as SFU nodes do.
    pub(crate) tickets: Tickets,
    ids: AtomicU64,
    _projector: DropGuard,
    _guard: DropGuard,
    _store: DropGuard,
    _data: TempDir,
    _database: TestDatabase,
    _servers: TestServers,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        // Many people sign up from one address here.
        Self::limited(limits, Policies::off()).await
    }

    /// With rate limits, which are off otherwise.
    pub(crate) async fn limited(bounds: Limits, limits: Policies) -> Self {
        let servers = servers::shared_for_tests().await.unwrap();
        let database = servers.database().await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let (listener, address) = listen().await;
        let store = CancellationToken::new();
        let folder = event_store::Config::new(data.path().join("log"));
        tokio::spawn(event_store::serve(folder, listener, store.clone()));

        // The service comes to NATS and Postgres by links that a test can cut; the projector not.
        let nats = Link::to(&servers.nats_url).await;
        let postgres = Link::to(&database.url).await;
        let (listener, address_of_api) = listen().await;
        let files = data.path().join("files");
        let config = Config {
            postgres_url: postgres.url.clone(),
            postgres_reader_url: Some(database.url.clone()),
            redis_url: servers.redis_url.clone(),
            nats_url: nats.url.clone(),
            eventstore_url: format!("esdb://{address}?tls=false"),
            listen: address_of_api.clone(),
            secrets: Secrets::generate(&data.path().join("secrets")).unwrap(),
            node: "test".to_owned(),
            allowed_origins: vec![],
            secure_cookies: false,
            message_retention: None,
            limits,
            trusted_proxies: Proxies::default(),
            log: "info".to_owned(),
            files: FileSettings { quota: 1 << 20, ..FileSettings::in_folder(&files) },
            notifications: service::NotificationSettings::default(),
            calls: service::CallSettings::default(),
            webhooks: service::WebhookSettings::default(),
        };
        let namespace = servers::prefix();
        let direct = service::nats::options(&servers.nats_url).connect(&servers.nats_url).await;
        // A node is dead only when it is withdrawn, not when the machine stalls.
        let times = Times { believed: Duration::from_secs(600), patience: PATIENCE };
        let sfu = SfuRegistry::with_times(direct.unwrap(), &namespace, times);
        let projector = CancellationToken::new();
        let direct = PgPool::connect(&database.url).await.unwrap();
        let settings = projector::Settings {
            idle_pace: projector::runner::IDLE_PACE,
            signing: config.secrets.audit,
            postgres_url: database.url.clone(),
            redis_url: servers.redis_url.clone(),
            nats_url: servers.nats_url.clone(),
            namespace: namespace.clone(),
            retention: TimeDelta::days(7),
            message_retention: None,
            files: config.files.clone(),
            notifications: None,
            audit: None,
            webhooks: None,
        };
        let log = connect(&config, direct.clone()).await;
        projector::start(settings, log.clone(), projector.clone()).await.unwrap();

        let shutdown = CancellationToken::new();
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_secs(1))
            .connect_lazy(&config.postgres_url)
            .unwrap();
        let settings = Settings {
            limits: bounds,
            argon2_memory_kib: 64,
            namespace,
            // Redis is never away here, only slow at times.
            redis_patience: PATIENCE,
            sfu_registry: times,
            ..Settings::default()
        };
        let own_log = connect(&config, pool.clone()).await;
        let app = App::start_with(&config, settings, own_log, pool, shutdown.clone()).await;
        let app = app.unwrap();
        let router = service::http::app(app.router(), &config, app.health());
        tokio::spawn(service::serve(router, listener, shutdown.clone()));
        Self {
            url: format!("http://{address_of_api}"),
            app,
            nats,
            postgres,
            shutdown: shutdown.clone(),
            log,
            direct,
            files,
            sfu,
            tickets: Tickets::new(&config.secrets.signing),
            ids: AtomicU64::new(1),
            _projector: projector.drop_guard(),
            _guard: shutdown.drop_guard(),
            _store: store.drop_guard(),
            _data: data,
            _database: database,
            _servers: servers,
        }
    }

    /// An id or key that nobody has used yet.
    pub(crate) fn id(&self) -> Uuid {
        Uuid::from_u128(0xfeed << 64 | u128::from(self.ids.fetch_add(1, Ordering::Relaxed)))
    }

    /// Somebody who signed up and logged in.
    pub(crate) async fn person(&self, name: &str) -> Person {
        Person::sign_up(self, name).await
    }
}

async fn connect(config: &Config, postgres: PgPool) -> EventLog {
    let config = event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres,
        secrets: config.secrets.log.clone(),
    };
    EventLog::connect(config).await.unwrap()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// A way to a server that can be cut, and mended.
pub(crate) struct Link {
    url: String,
    whole: watch::Sender<bool>,
}

impl Link {
    async fn to(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        let (target, path) =
            rest.split_once('/').map_or((rest, ""), |(target, path)| (target, path));
        let (listener, address) = listen().await;
        let at = if user.is_empty() { "" } else { "@" };
        let (whole, state) = watch::channel(true);
        let target: Arc<str> = target.into();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&target), state.clone()));
            }
        });
        Self { url: format!("{scheme}://{user}{at}{address}/{path}"), whole }
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut client: TcpStream, target: Arc<str>, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(&*target).await else { return };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
