//! The service as a whole: what its handlers share, how it starts, and how it ends.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::FromRef;
use event_log::EventLog;
use http::HeaderValue;
use service::health::Need;
use service::{
    Authenticator, CallSettings, Config, Denials, Edge, Health, RateLimits, Redis, SfuRegistry,
    Tickets, Tokens,
};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Settings;
use crate::commands::{self, CommandSchema};
use crate::gateway::{Gateway, Servers};
use crate::passwords::Passwords;
use crate::receipts::Receipts;
use crate::rooms::Rooms;
use crate::routes;
use crate::slow_mode::SlowMode;
use crate::uploads::Uploads;

/// How long sockets may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(10);

/// The service: cheap to clone, shared by all handlers and sockets.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    auth: Authenticator,
    secrets: event_log::Secrets,
    passwords: Passwords,
    gateway: Gateway,
    rooms: Rooms,
    secure_cookies: bool,
    allowed_origins: Vec<HeaderValue>,
    postgres: PgPool,
    redis: Redis,
    receipts: Receipts,
    tasks: TaskTracker,
    slow_mode: SlowMode,
    edge: Edge,
    uploads: Uploads,
    calls: CallSettings,
    webhooks_private: bool,
    sfu_registry: SfuRegistry,
    tickets: Tickets,
}

impl App {
    /// Starts the service: its connection to NATS and its dispatcher live
    /// until the shutdown. `postgres` is a pool of the role that owns the read models.
    ///
    /// # Errors
    /// When the configuration is wrong, or the event store does not answer.
    pub async fn start(
        config: &Config,
        log: EventLog,
        postgres: PgPool,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        Self::start_with(config, Settings::from_env()?, log, postgres, shutdown).await
    }

    /// The same, told otherwise than by the environment.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_with(
        config: &Config,
        settings: Settings,
        log: EventLog,
        postgres: PgPool,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let Settings {
            limits,
            argon2_memory_kib,
            receipts_flush,
            namespace,
            redis_patience,
            sfu_registry,
        } = settings;
        let passwords =
            tokio::task::spawn_blocking(move || Passwords::new(argon2_memory_kib)).await??;
        let redis = Redis::with_patience(&config.redis_url, &namespace, redis_patience)
            .context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
        let (tasks, receipts) = (TaskTracker::new(), Receipts::new(redis.clone()));
        receipts.follow(log.clone(), receipts_flush, &tasks, shutdown.clone());
        tasks.close();
        let rooms = Rooms::start(redis.clone(), &config.node, shutdown.clone());
        let servers =
            Servers { log: log.clone(), postgres: postgres.clone(), redis: redis.clone() };
        let gateway = Gateway::start(config, &namespace, limits, servers, shutdown).await?;
        let nats = gateway.nats().clone();
        let sfu_registry = SfuRegistry::with_times(nats, &namespace, sfu_registry);
        let auth = Authenticator { tokens: Tokens::new(&config.secrets.signing), log };
        let limits = RateLimits::new(redis.clone(), config.limits.clone());
        let edge = Edge {
            auth: auth.clone(),
            denials: Denials::start(auth.log.clone(), limits.clone()),
            limits,
            proxies: config.trusted_proxies.clone(),
        };
        Ok(Self(Arc::new(Inner {
            auth,
            secrets: config.secrets.log.clone(),
            passwords,
            gateway,
            rooms,
            secure_cookies: config.secure_cookies,
            allowed_origins: config.allowed_origins.clone(),
            postgres,
            redis,
            receipts,
            tasks,
            slow_mode: SlowMode::default(),
            edge,
            uploads: Uploads::open(&config.files).context("ROUNDTABLE_FILES_URL")?,
            calls: config.calls.clone(),
            webhooks_private: config.webhooks.private,
            sfu_registry,
            tickets: Tickets::new(&config.secrets.signing),
        })))
    }

    /// The routes, without what surrounds those of a whole process ([`service::http::app`]).
    pub fn router(&self) -> Router {
        self.edge().clone().guard(Router::from(routes::router()).with_state(self.clone()))
    }

    /// The description of the routes (OpenAPI).
    pub fn openapi() -> utoipa::openapi::OpenApi {
        routes::router().into_openapi()
    }

    /// The description of each command of the gateway.
    pub fn commands() -> Vec<CommandSchema> {
        commands::schemas()
    }

    /// What the service needs, and whether it is there.
    ///
    /// Without Postgres, sockets live on and messages are sent by those whose keys are cached;
    /// without NATS, live frames come a little later. Neither takes the node out of service.
    pub fn health(&self) -> Health {
        let log = self.log().clone();
        let postgres = self.0.postgres.clone();
        let nats = self.0.gateway.nats().clone();
        let redis = self.0.redis.clone();
        let storage = self.0.uploads.studio.storage().clone();
        Health::new()
            .with("event_store", Need::Required, move || {
                let log = log.clone();
                async move {
                    let head = log.head().await.map_err(|error| error.to_string())?;
                    Ok(format!("the log ends at {head}"))
                }
            })
            .with("postgres", Need::Optional, move || {
                let postgres = postgres.clone();
                async move {
                    let answer = sqlx::query("select 1").execute(&postgres).await;
                    answer.map(|_| "answers".to_owned()).map_err(|_| "does not answer".to_owned())
                }
            })
            .with("redis", Need::Optional, move || {
                let redis = redis.clone();
                async move { redis.probe().await }
            })
            .with("files", Need::Optional, move || {
                let storage = storage.clone();
                async move {
                    storage.probe().await.map_err(|error| error.to_string())?;
                    Ok("answers".to_owned())
                }
            })
            .with("nats", Need::Optional, move || {
                let state = nats.connection_state();
                async move {
                    match state {
                        async_nats::connection::State::Connected => Ok("connected".to_owned()),
                        other => Err(other.to_string()),
                    }
                }
            })
    }

    /// Waits, but not for ever, until every socket has said good-bye after the shutdown, what is
    /// written behind is written, and what the last requests were denied is recorded.
    pub async fn drained(&self) {
        let all = async { tokio::join!(self.0.gateway.drained(), self.0.tasks.wait()) };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("some sockets did not end in time and were cut off");
        }
        if tokio::time::timeout(FAREWELL, self.edge().denials.drained()).await.is_err() {
            tracing::warn!("some denials were not recorded in time");
        }
    }

    pub(crate) fn log(&self) -> &EventLog {
        &self.0.auth.log
    }

    pub(crate) fn auth(&self) -> &Authenticator {
        &self.0.auth
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.auth.tokens
    }

    pub(crate) fn secrets(&self) -> &event_log::Secrets {
        &self.0.secrets
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(crate) fn postgres(&self) -> &PgPool {
        &self.0.postgres
    }

    pub(crate) fn slow_mode(&self) -> &SlowMode {
        &self.0.slow_mode
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.0.redis
    }

    pub(crate) fn receipts(&self) -> &Receipts {
        &self.0.receipts
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.0.edge
    }

    pub(crate) fn uploads(&self) -> &Uploads {
        &self.0.uploads
    }

    pub(crate) fn call_settings(&self) -> &CallSettings {
        &self.0.calls
    }

    /// Whether webhooks may go to private networks.
    pub(crate) fn webhooks_private(&self) -> bool {
        self.0.webhooks_private
    }

    pub(crate) fn sfu_registry(&self) -> &SfuRegistry {
        &self.0.sfu_registry
    }

    pub(crate) fn tickets(&self) -> &Tickets {
        &self.0.tickets
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    pub(crate) fn secure_cookies(&self) -> bool {
        self.0.secure_cookies
    }

    pub(crate) fn allowed_origins(&self) -> &[HeaderValue] {
        &self.0.allowed_origins
    }
}

impl FromRef<App> for Authenticator {
    fn from_ref(app: &App) -> Self {
        app.0.auth.clone()
    }
}

/// Runs the service by itself until the shutdown.
///
/// # Errors
/// When the configuration is wrong, the event store does not answer, or the listener fails.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&config.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is wrong")?
        // To compile a query takes longer than any of ours.
        .options([("jit", "off")]);
    let postgres = PgPoolOptions::new()
        .max_connections(16)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(options);
    let log = EventLog::connect(event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres: postgres.clone(),
        secrets: config.secrets.log.clone(),
    })
    .await?;
    let app = App::start(&config, log, postgres, shutdown.clone()).await?;
    let router = service::http::app(app.router(), &config, app.health());
    service::serve(router, listener, shutdown).await?;
    app.drained().await;
    Ok(())
}
