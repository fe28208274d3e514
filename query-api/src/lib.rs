//! Reads over REST: from the read models in Postgres, as the person who asks.
//!
//! One file per resource holds its routes' handlers and their SQL. Every read runs in a transaction
//! of the role `roundtable_reader` that knows who reads, so that row-level security is a second
//! line of defence behind the queries; see [`reads`](crate::reads).

mod api_token;
mod as_of;
mod asked;
mod avatars;
mod block;
mod cache;
mod call_history;
mod change_feed;
mod checkpoints;
mod conversation;
mod conversation_ban;
mod erasure;
mod failure;
mod file;
mod file_part;
mod friend_list;
mod friend_request;
pub mod history;
mod ice_servers;
mod invite;
mod login;
mod message;
mod notification;
mod page;
mod parked;
mod pending;
mod person;
mod place;
mod presence;
mod reads;
mod receipts;
mod recommended;
mod recording;
mod report;
mod standing;
mod study_session;
mod user_profile;
mod user_search;
mod webhook;
mod whiteboard;

#[cfg(test)]
mod tests;

use anyhow::Context;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use event_log::EventLog;
use files::Storage;
use service::health::Need;
use service::{
    Authenticator, CallSettings, Config, Denials, Edge, Health, Identity, RateLimits, Redis, Tokens,
};
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::PartialSchema;
use utoipa_axum::router::OpenApiRouter;

use asked::Reader;
use reads::Reads;

/// The reads of one process.
#[derive(Clone)]
pub struct App {
    reads: Reads,
    authenticator: Authenticator,
    edge: Edge,
    calls: CallSettings,
}

impl App {
    /// Prepares the reads, and follows the checkpoints until the shutdown. Servers that are away
    /// are waited for by each request, not here; see [`App::health`].
    ///
    /// # Errors
    /// When the configuration names no reader or holds a URL that is none.
    pub async fn start(
        config: &Config,
        log: EventLog,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let files = Storage::open(&config.files.url, config.files.cloud.iter().cloned())
            .context("ROUNDTABLE_FILES_URL")?;
        let reads = Reads::start(
            config.reader_url()?,
            &config.redis_url,
            files,
            checkpoints::Times::default(),
            shutdown,
        )?;
        let authenticator = Authenticator { tokens: Tokens::new(&config.secrets.signing), log };
        let redis =
            Redis::new(&config.redis_url, "").context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
        let limits = RateLimits::new(redis, config.limits.clone());
        let edge = Edge {
            auth: authenticator.clone(),
            denials: Denials::start(authenticator.log.clone(), limits.clone()),
            limits,
            proxies: config.trusted_proxies.clone(),
        };
        Ok(Self { reads, authenticator, edge, calls: config.calls.clone() })
    }

    /// The routes. Whoever asks has to be somebody, but for the pictures that everybody may use.
    pub fn router(&self) -> Router {
        let authenticated =
            middleware::from_fn_with_state(self.authenticator.clone(), authenticated);
        let codes = Extension(invite::Codes::of(self.authenticator.log.secrets()));
        let routes = Router::from(routes()).route_layer(authenticated).layer(codes);
        let routes = routes.layer(Extension(self.calls.clone()));
        let routes = routes.layer(Extension(self.authenticator.log.clone()));
        let routes = routes.merge(Router::from(avatars::router())).with_state(self.reads.clone());
        self.edge.clone().guard(routes)
    }

    /// Records the denials that wait, after the last request was answered.
    pub async fn drained(&self) {
        self.edge.denials.drained().await;
    }

    /// The description of the routes (OpenAPI).
    pub fn openapi() -> utoipa::openapi::OpenApi {
        let mut api = routes().merge(avatars::router()).into_openapi();
        // Parameters of the query do not bring the schemas of their types along.
        let components = api.components.get_or_insert_default();
        components.schemas.insert("Limit".to_owned(), page::Limit::schema());
        page::describe_last(components);
        api
    }

    /// What the reads depend on.
    pub fn health(&self) -> Health {
        let log = self.authenticator.log.clone();
        let (postgres, cache) = (self.reads.clone(), self.reads.clone());
        Health::new()
            .with("event_store", Need::Required, move || {
                let log = log.clone();
                async move {
                    let head = log.head().await.map_err(|error| error.to_string())?;
                    Ok(format!("the log's head is at {head}"))
                }
            })
            .with("postgres_reader", Need::Required, move || {
                let reads = postgres.clone();
                async move { reads.probe().await }
            })
            .with("redis", Need::Optional, move || {
                let reads = cache.clone();
                async move { reads.cache.probe().await }
            })
    }
}

/// Serves the reads until the shutdown.
///
/// # Errors
/// When the event store does not answer for too long, or the listener fails.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let vault = PgPoolOptions::new()
        .max_connections(4)
        .connect_lazy(&config.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is no URL of Postgres")?;
    let log = EventLog::connect(event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres: vault,
        secrets: config.secrets.log.clone(),
    })
    .await?;
    let app = App::start(&config, log, shutdown.clone()).await?;
    let router = service::http::app(app.router(), &config, app.health());
    tracing::info!(address = %listener.local_addr()?, "query-api listens");
    service::serve(router, listener, shutdown).await?;
    app.drained().await;
    Ok(())
}

fn routes() -> OpenApiRouter<Reads> {
    OpenApiRouter::new()
        .merge(user_search::router())
        .merge(recommended::router())
        .merge(user_profile::router())
        .merge(block::router())
        .merge(friend_list::router())
        .merge(friend_request::router())
        .merge(login::router())
        .merge(conversation::router())
        .merge(invite::router())
        .merge(conversation_ban::router())
        .merge(report::router())
        .merge(standing::router())
        .merge(erasure::router())
        .merge(parked::router())
        .merge(message::router())
        .merge(presence::router())
        .merge(change_feed::router())
        .merge(study_session::router())
        .merge(whiteboard::router())
        .merge(file::router())
        .merge(notification::router())
        .merge(call_history::router())
        .merge(recording::router())
        .merge(ice_servers::router())
        .merge(history::router())
        .merge(api_token::router())
        .merge(webhook::router())
}

/// One place says who reads, for every route.
async fn authenticated(
    State(authenticator): State<Authenticator>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match Identity::from_request_parts(&mut parts, &authenticator).await {
        Ok(identity) => {
            parts.extensions.insert(Reader(identity.user));
            parts.extensions.insert(identity);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}
