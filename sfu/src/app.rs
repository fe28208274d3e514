//! The service: media threads, the signalling in front of them, and its place in the registry.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use event_log::EventLog;
use files::Storage;
use service::health::Need;
use service::sfu_registry::{BEAT, Node};
use service::{Health, SfuRegistry, Tickets};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::Settings;
use crate::facts::{self, Facts};
use crate::media::dtls::Identity;
use crate::media::worker::{self, Handle};
use crate::recording::{Folder, Studio};
use crate::signal::{self, Signalling, used::Used};

/// How long sockets have to hear that the node ends.
const FAREWELL: Duration = Duration::from_millis(300);

/// An SFU at work. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) node: String,
    pub(crate) tickets: Tickets,
    pub(crate) used: Used,
    pub(crate) media: Vec<Handle>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) sockets: TaskTracker,
    pub(crate) sessions: signal::Sessions,
    threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
    registry: SfuRegistry,
    nats: async_nats::Client,
    tasks: TaskTracker,
}

impl App {
    /// Starts the media threads and says in the registry that this node lives. `url` is where
    /// clients reach its routes. Without a log nothing is recorded.
    ///
    /// # Errors
    /// When a port is taken, or the URL of NATS is none. NATS itself may be away.
    pub async fn start(
        config: &service::Config,
        settings: &Settings,
        url: &str,
        namespace: &str,
        log: Option<EventLog>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let nats = service::nats::options(&config.nats_url)
            .name("sfu")
            .retry_on_initial_connect()
            .connect(&config.nats_url)
            .await
            .context("ROUNDTABLE_NATS_URL is no URL of NATS")?;
        let registry = SfuRegistry::new(nats.clone(), namespace);
        let identity = Arc::new(Identity::new()?);
        let tasks = TaskTracker::new();
        let (mut studio, mut facts) = (None, Facts::default());
        if let Some(log) = log {
            let (connected, calls) = mpsc::unbounded_channel();
            let (node, shutdown) = (config.node.clone(), shutdown.clone());
            let (queue, append) =
                facts::queue(log.clone(), node.clone(), shutdown.clone(), connected);
            tasks.spawn(append);
            facts = queue;
            let folder = Folder::open(&settings.recordings, &node)?;
            let storage = Storage::open(&config.files.url, config.files.cloud.iter().cloned())?;
            studio = Some((Studio { folder, storage, log, node, shutdown }, calls));
        }
        let (ended, over) = mpsc::channel(1024);
        let (mut media, mut threads) = (Vec::new(), Vec::new());
        for (index, socket) in settings.sockets()?.into_iter().enumerate() {
            let (handle, thread) = worker::start(worker::Start {
                index,
                threads: settings.threads,
                bounds: settings.bounds(),
                addresses: settings.reached(&socket)?,
                socket,
                identity: identity.clone(),
                ended: ended.clone(),
                facts: facts.clone(),
            })?;
            media.push(handle);
            threads.push(thread);
        }
        let shared = Arc::new(Shared {
            node: config.node.clone(),
            tickets: Tickets::new(&config.secrets.signing),
            used: Used::default(),
            media,
            shutdown: shutdown.clone(),
            sockets: TaskTracker::new(),
            sessions: signal::Sessions::default(),
            threads: std::sync::Mutex::new(threads),
            registry,
            nats,
            tasks,
        });
        let app = Self { shared };
        app.shared.tasks.spawn(app.clone().live(settings.url.clone().unwrap_or(url.to_owned())));
        app.shared.tasks.spawn(app.clone().release(over));
        if let Some((studio, calls)) = studio {
            app.shared.tasks.spawn(studio.run(app.clone(), calls));
        }
        Ok(app)
    }

    /// The routes.
    pub fn router(&self) -> Router {
        signal::router().with_state(self.clone()).into()
    }

    /// The description of the routes (OpenAPI).
    pub fn openapi() -> utoipa::openapi::OpenApi {
        signal::router().into_openapi()
    }

    /// The schemas of the socket's frames.
    pub fn signalling() -> Signalling {
        signal::frames()
    }

    /// Where clients send media, for people who look.
    pub fn media_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.shared.media.iter().filter_map(|handle| handle.addresses.first().copied()).collect()
    }

    /// What it depends on.
    pub fn health(&self) -> Health {
        let shared = self.shared.clone();
        Health::new()
            .with("nats", Need::Optional, {
                let nats = shared.nats.clone();
                move || {
                    let connected =
                        nats.connection_state() == async_nats::connection::State::Connected;
                    async move {
                        let answer = if connected { Ok("connected") } else { Err("not connected") };
                        answer.map(str::to_owned).map_err(str::to_owned)
                    }
                }
            })
            .with("media", Need::Required, move || {
                let alive = shared.media.len();
                let ended = shared
                    .threads
                    .lock()
                    .map_or(alive, |threads| threads.iter().filter(|t| t.is_finished()).count());
                async move {
                    match ended {
                        0 => Ok(format!("{alive} media threads")),
                        ended => Err(format!("{ended} of {alive} media threads ended")),
                    }
                }
            })
    }

    /// The thread of a call.
    pub(crate) fn thread(&self, call: Uuid) -> &Handle {
        let count = self.shared.media.len() as u128;
        let index = usize::try_from(call.as_u128() % count).unwrap_or(0);
        &self.shared.media[index]
    }

    /// Waits until everything has ended, after the shutdown was asked for.
    pub async fn drained(&self) {
        self.shared.shutdown.cancelled().await;
        if let Err(error) = self.shared.registry.withdraw(&self.shared.node).await {
            tracing::debug!(%error, "the registry was not told that this node ends");
        }
        self.shared.media.iter().for_each(Handle::end);
        self.shared.sockets.close();
        let told = tokio::time::timeout(FAREWELL * 10, self.shared.sockets.wait()).await;
        if told.is_err() {
            tracing::warn!("some clients were not told that this node ends");
        }
        let threads = match self.shared.threads.lock() {
            Ok(mut threads) => std::mem::take(&mut *threads),
            Err(_) => Vec::new(),
        };
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| {
                if thread.join().is_err() {
                    tracing::error!("a media thread panicked");
                }
            });
        });
        if joined.await.is_err() {
            tracing::error!("the media threads were not waited for");
        }
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Says again and again that this node lives, and shows its figures.
    async fn live(self, url: String) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                () = self.shared.shutdown.cancelled() => return,
                _ = beat.tick() => {}
            }
            let busy = self.shared.media.iter().map(|m| m.gauges.busy.load(Ordering::Relaxed));
            #[expect(clippy::cast_precision_loss, reason = "thousandths")]
            let load = busy.max().unwrap_or(0) as f64 / 1000.0;
            self.show();
            let node = Node {
                id: self.shared.node.clone(),
                url: url.clone(),
                load,
                draining: false,
                seen: service::clock::now(),
            };
            let told = self.shared.registry.announce(&node);
            if let Ok(Err(error)) = tokio::time::timeout(BEAT, told).await {
                tracing::debug!(%error, "the registry was not told that this node lives");
            }
        }
    }

    /// Figures for `/metrics`.
    fn show(&self) {
        for (index, handle) in self.shared.media.iter().enumerate() {
            let thread = index.to_string();
            let gauges = &handle.gauges;
            let read = |gauge: &std::sync::atomic::AtomicU64| gauge.load(Ordering::Relaxed);
            let counter = |name: &'static str, value: u64| {
                metrics::counter!(name, "thread" => thread.clone()).absolute(value);
            };
            counter("roundtable_sfu_packets_received_total", read(&gauges.packets_in));
            counter("roundtable_sfu_packets_sent_total", read(&gauges.packets_out));
            counter("roundtable_sfu_bytes_sent_total", read(&gauges.bytes_out));
            counter("roundtable_sfu_packets_dropped_total", read(&gauges.dropped));
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let gauge = |name: &'static str, value: u64| {
                metrics::gauge!(name, "thread" => thread.clone()).set(value as f64);
            };
            gauge("roundtable_sfu_rooms", read(&gauges.rooms));
            gauge("roundtable_sfu_participants", read(&gauges.people));
            gauge("roundtable_sfu_busy_permille", read(&gauges.busy));
        }
    }

    /// Calls that ended here may begin elsewhere.
    async fn release(self, mut over: mpsc::Receiver<Uuid>) {
        loop {
            let call = tokio::select! {
                () = self.shared.shutdown.cancelled() => return,
                call = over.recv() => call,
            };
            let Some(call) = call else { return };
            self.shared.sessions.forget(call);
            if let Err(error) = self.shared.registry.release(call, &self.shared.node).await {
                tracing::debug!(%error, "a call that ended was not released");
            }
        }
    }
}

/// The service: media threads, and its routes on the listener.
///
/// # Errors
/// As [`App::start`], or when the listener fails.
pub async fn serve(
    config: service::Config,
    settings: Settings,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let url = format!("http://{}", listener.local_addr()?);
    let postgres = sqlx::postgres::PgPoolOptions::new()
        .max_connections(2)
        .connect_lazy(&config.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is no URL of Postgres")?;
    let log = EventLog::connect(event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres,
        secrets: config.secrets.log.clone(),
    });
    let log = Some(log.await?);
    let app = App::start(&config, &settings, &url, "", log, shutdown.clone()).await?;
    let routes = service::http::app(app.router(), &config, app.health());
    let (served, ()) = tokio::join!(service::serve(routes, listener, shutdown), app.drained());
    Ok(served?)
}
