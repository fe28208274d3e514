//! The WebSocket gateway: commands in, live events out.
//!
//! - **Exactly once, in order.** One dispatcher takes every frame in the order of the log; each
//!   socket has one position, and is given what is beyond it ([`fanout`], [`attach`]).
//! - **A frame is encoded once**, by the relay. Everything after that shares its bytes.
//! - **What is of this moment only** (who is there, who types) passes beside the order of the log,
//!   by the same subscriptions ([`whispers`]); it may be dropped, and delays nothing.
//! - **What two devices in a call tell each other** waits in a mailbox until it is seen ([`signals`]).
//! - **Nothing grows without a bound**: sockets, queues, commands in flight, time to say who one
//!   is.

mod attach;
mod bells;
mod bucket;
mod change;
mod dispatcher;
mod fanout;
mod feed;
mod frames;
mod history;
mod in_flight;
mod programs;
mod queue;
mod signals;
mod socket;
mod taps;
mod tick;
mod typing;
mod whispers;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use event_log::EventLog;
use http::{HeaderMap, Method, StatusCode};
use service::auth::scopes::Need;
use service::auth::{ACCESS_COOKIE, ApiToken, bearer, cookie, is_same_origin};
use service::{Config, Identity, Problem, Redis};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::presence::{Around, Presence};
use crate::{App, Limits};
use dispatcher::Dispatcher;
pub(crate) use fanout::SocketId;
use feed::Feed;
use frames::{MAX_FRAME_BYTES, SUBPROTOCOL};
use history::History;
use programs::Programs;
pub(crate) use queue::Bounds;
use taps::Taps;
pub(crate) use whispers::Whispers;
use wire::Wire;

/// What all sockets of a process share.
pub(crate) struct Gateway {
    node: String,
    limits: Limits,
    dispatcher: Dispatcher,
    history: Arc<History>,
    whispers: Whispers,
    presence: Presence,
    programs: Programs,
    nats: async_nats::Client,
    places: Arc<Semaphore>,
    next_socket: AtomicU64,
    sockets: TaskTracker,
    shutdown: CancellationToken,
}

/// The servers of the gateway, beside NATS.
pub(crate) struct Servers {
    pub(crate) log: EventLog,
    pub(crate) postgres: PgPool,
    pub(crate) redis: Redis,
}

impl Gateway {
    /// Connects to NATS, now or as soon as it is there, and starts the dispatcher at the end of
    /// the log.
    pub(crate) async fn start(
        config: &Config,
        namespace: &str,
        limits: Limits,
        servers: Servers,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let Servers { log, postgres, redis } = servers;
        let feed = Feed::follow(postgres.clone(), shutdown.clone());
        let history = Arc::new(History { feed, log: log.clone() });
        let instance = whispers::instance(&config.node);
        let (taps, alarm) = Taps::connect(config, namespace, &instance).await?;
        let nats = taps.client().clone();
        let whispers = Whispers::new(nats.clone(), namespace, &instance);
        let (heartbeat, going_away) = (limits.heartbeat, limits.going_away);
        let sockets = TaskTracker::new();
        let around =
            Around { redis, postgres, log, whispers: whispers.clone(), heartbeat, going_away };
        let presence = Presence::start(around, &sockets, shutdown.clone());
        let dispatcher =
            Dispatcher::start(taps, alarm, Arc::clone(&history), shutdown.clone()).await?;
        Ok(Self {
            node: config.node.clone(),
            places: Arc::new(Semaphore::new(limits.sockets)),
            limits,
            dispatcher,
            history,
            whispers,
            presence,
            programs: Programs::default(),
            nats,
            next_socket: AtomicU64::new(1),
            sockets,
            shutdown,
        })
    }

    /// The connection to NATS.
    pub(crate) const fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// Where frames of the moment are said.
    pub(crate) const fn whispers(&self) -> &Whispers {
        &self.whispers
    }

    /// Resolves when every socket has ended; after the shutdown only.
    pub(crate) async fn drained(&self) {
        self.sockets.close();
        self.sockets.wait().await;
    }

    fn next_id(&self) -> SocketId {
        SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed))
    }
}

/// `GET /v1/gateway`.
pub(crate) async fn upgrade(
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::upgrade_required(rejection.body_text()))?;
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() && upgrade.requested_protocols().next().is_some() {
        return Err(Problem::malformed("the subprotocol is roundtable.v1"));
    }
    let gateway = app.gateway();
    let place = Arc::clone(&gateway.places).try_acquire_owned().map_err(|_| {
        let title = "This node has no room for another socket";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "node-full", title)
            .retry_after(Duration::from_secs(5))
    })?;
    let known = recognise(&app, &headers).await?;
    let tracker = gateway.sockets.clone();
    Ok(upgrade
        // We say ourselves that a frame is too large, so a somewhat larger one has to come in.
        .max_message_size(2 * MAX_FRAME_BYTES)
        .max_frame_size(2 * MAX_FRAME_BYTES)
        // An idle socket should be small: this is allocated for each, and what is larger than most
        // commands is read in several steps.
        .read_buffer_size(256)
        .write_buffer_size(64 * 1024)
        .on_upgrade(move |websocket| {
            let wire = Wire::new(websocket, app.gateway().limits.stall);
            // In a task of its own: the one that waited for the upgrade is given back.
            tracker.spawn(async move {
                socket::serve(&app, wire, known).await;
                drop(place);
            });
            std::future::ready(())
        }))
}

/// Who opens the socket, if a header says so. A cookie counts only from our own pages, and an old
/// one does not hinder a socket that authenticates by a frame.
async fn recognise(app: &App, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
    if let Some(token) = bearer(headers)? {
        let identity = app.auth().introduce(token).await?;
        admit(app, identity)?;
        return Ok(Some(identity));
    }
    match cookie(headers, ACCESS_COOKIE) {
        Some(token)
            if is_same_origin(headers, app.allowed_origins()) && !ApiToken::is_meant(token) =>
        {
            Ok(app.auth().introduce(token).await.ok())
        }
        Some(_) | None => Ok(None),
    }
}

/// Whether somebody may be told live of everything, which an API token needs a scope for.
fn admit(app: &App, identity: Identity) -> Result<(), Problem> {
    identity.may(Need::of_route(&Method::GET, "/v1/gateway")).inspect_err(|problem| {
        app.edge().denials.note_problem(identity.user, "GET /v1/gateway", None, problem);
    })
}
