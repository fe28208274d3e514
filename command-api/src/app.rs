//! The service as a whole: what its handlers share, how it starts, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::FromRef;
use event_log::EventLog;
use http::HeaderValue;
use service::health::Need;
use service::{Authenticator, Config, Health, Redis, Tokens};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::{RefOr, Schema};

use crate::Settings;
use crate::commands;
use crate::gateway::Gateway;
use crate::passwords::Passwords;
use crate::routes;
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
    secure_cookies: bool,
    allowed_origins: Vec<HeaderValue>,
    postgres: PgPool,
    redis: Redis,
    uploads: Uploads,
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
        let Settings { limits, argon2_memory_kib, namespace } = settings;
        let passwords =
            tokio::task::spawn_blocking(move || Passwords::new(argon2_memory_kib)).await??;
        let redis = Redis::new(&config.redis_url, &namespace)
            .context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
        let gateway =
            Gateway::start(config, &namespace, limits, log.clone(), postgres.clone(), shutdown)
                .await?;
        Ok(Self(Arc::new(Inner {
            auth: Authenticator { tokens: Tokens::new(&config.secrets.signing), log },
            secrets: config.secrets.log.clone(),
            passwords,
            gateway,
            secure_cookies: config.secure_cookies,
            allowed_origins: config.allowed_origins.clone(),
            postgres,
            redis,
            uploads: Uploads::open(&config.files).context("ROUNDTABLE_FILES_URL")?,
        })))
    }

    /// The routes, without what surrounds those of a whole process ([`service::http::app`]).
    pub fn router(&self) -> Router {
        Router::from(routes::router()).with_state(self.clone())
    }

    /// The description of the routes (OpenAPI).
    pub fn openapi() -> utoipa::openapi::OpenApi {
        routes::router().into_openapi()
    }

    /// The name of each command of the gateway, and the schema of its body.
    pub fn commands() -> Vec<(&'static str, RefOr<Schema>)> {
        commands::schemas().collect()
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

    /// Waits, but not for ever, until every socket has said good-bye after the shutdown.
    pub async fn drained(&self) {
        if tokio::time::timeout(FAREWELL, self.0.gateway.drained()).await.is_err() {
            tracing::warn!("some sockets did not end in time and were cut off");
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

    #[expect(dead_code, reason = "limits, presence and receipts are about to use it")]
    pub(crate) fn redis(&self) -> &Redis {
        &self.0.redis
    }

    pub(crate) fn postgres(&self) -> &PgPool {
        &self.0.postgres
    }

    pub(crate) fn uploads(&self) -> &Uploads {
        &self.0.uploads
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
    let postgres = PgPoolOptions::new()
        .max_connections(16)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy(&config.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is wrong")?;
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
