//! How a projector starts, and what it depends on.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use axum::Router;
use chrono::TimeDelta;
use event_log::EventLog;
use files::Storage;
use service::health::Need;
use service::{Connections, Health, Redis, SfuRegistry};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::erasures::{Erasures, Signer};
use crate::invalidation::Invalidations;
use crate::notary::{self, Notary};
use crate::notifications::{self, Deliveries, Raiser};
use crate::projections::{
    ApiToken, Block, CallHistory, ChangeFeed, Conversation, ConversationBan, Erasure, EventIndex,
    File, FileRemoval, FriendList, FriendRequest, FriendshipInterval, Invite, LegalHold, Login,
    Member, Mention, Message, MessageSearch, NotificationLog, Pin, Projection, Reaction,
    ReadCursor, Recording, Report, Retention, Standing, StudySession, Timer, UserProfile, Webhook,
    Whiteboard,
};
use crate::rebuild::{self, Build, Builder};
use crate::relay::Relay;
use crate::removals::Removals;
use crate::runner::{self, Runner};
use crate::subjects::Subjects;
use crate::tail::Tail;
use crate::timers::{self, Timers};
use crate::webhooks::Webhooks;

/// How long a start waits for Postgres.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a projector is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// As the role that owns the read models.
    pub postgres_url: String,
    /// Where the caches are.
    pub redis_url: String,
    /// NATS with JetStream.
    pub nats_url: String,
    /// Keeps test runs apart that share servers; empty otherwise.
    pub namespace: String,
    /// How long the change feed is kept.
    pub retention: TimeDelta,
    /// How long messages are kept in the read models; for ever when absent.
    pub message_retention: Option<TimeDelta>,
    /// Where files are kept.
    pub files: service::FileSettings,
    /// How far a checkpoint may be behind while nothing concerns its projection and nobody waits.
    pub idle_pace: Duration,
    /// The Ed25519 seed that signs certificates of erasures: that of the audit.
    pub signing: [u8; 32],
    /// How people are told; nobody is told of anything when absent.
    pub notifications: Option<service::NotificationSettings>,
    /// The Ed25519 seed that signs the log; nothing is signed when absent.
    pub audit: Option<[u8; 32]>,
    /// How webhooks are delivered; they are not when absent.
    pub webhooks: Option<service::WebhookSettings>,
}

impl From<&service::Config> for Settings {
    fn from(config: &service::Config) -> Self {
        Self {
            postgres_url: config.postgres_url.clone(),
            redis_url: config.redis_url.clone(),
            nats_url: config.nats_url.clone(),
            namespace: String::new(),
            retention: TimeDelta::days(7),
            message_retention: config.message_retention,
            files: config.files.clone(),
            signing: config.secrets.audit,
            idle_pace: runner::IDLE_PACE,
            notifications: Some(config.notifications.clone()),
            audit: Some(config.secrets.audit),
            webhooks: Some(config.webhooks),
        }
    }
}

/// A projector at work.
pub struct Projector {
    health: Health,
    tasks: TaskTracker,
}

impl Projector {
    /// What it depends on.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Waits until everything has ended, after the shutdown was asked for.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// Brings the tables up to date. Several processes may do so at once: they take turns.
///
/// # Errors
/// When Postgres is away, or holds tables of another version.
pub async fn migrate(postgres: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    sqlx::migrate!("../migrations").run(postgres).await
}

/// Starts the relay and all projections, until the shutdown.
///
/// # Errors
/// When Postgres or the event store does not answer for half a minute, or a URL is none. NATS and
/// Redis may be away.
pub async fn start(
    settings: impl Into<Settings>,
    log: EventLog,
    shutdown: CancellationToken,
) -> anyhow::Result<Projector> {
    let settings = settings.into();
    let names = Subjects::new(&settings.namespace);
    let options = PgConnectOptions::from_str(&settings.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is no URL of Postgres")?
        // To compile a query takes longer than any of ours.
        .options([("jit", "off")]);
    let postgres = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options.clone());
    migrate(&postgres).await.context("the tables cannot be brought up to date")?;
    let redis = redis::Client::open(settings.redis_url.as_str())
        .context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
    // The order of live frames is the order of one connection, so the relay has its own.
    let relay_nats = connect(&settings.nats_url, "relay").await?;
    let tail_nats = connect(&settings.nats_url, "projections").await?;
    let tail = Tail::new(log.clone()).await.context("the event store does not answer")?;

    let tasks = Tasks { tracker: TaskTracker::new(), projections: TaskTracker::new(), shutdown };
    let invalidations = Invalidations::default();
    tasks.spawn(Relay::new(log.clone(), relay_nats.clone(), names.clone()).run());
    let last = tasks.after_projections();
    tasks.tracker.spawn(invalidations.clone().run(redis, names.clone(), last));
    tasks.spawn({
        let (tail, nats) = (tail.clone(), tail_nats);
        async move { tail.follow(nats, names).await }
    });
    tasks.spawn(
        Timers::new(
            options.clone(),
            log.clone(),
            &settings.redis_url,
            &settings.namespace,
            SfuRegistry::new(relay_nats.clone(), &settings.namespace),
            timers::Settings::from_env()?,
        )?
        .run(),
    );
    if let Some(seed) = settings.audit {
        let notary = Notary::new(log.clone(), &seed, notary::Settings::from_env()?);
        tasks.spawn(notary.run(options.clone()));
    }
    if let Some(told) = settings.notifications {
        notifications::begin(&postgres, &log).await.context("where notifications begin")?;
        let redis = Redis::new(&settings.redis_url, &settings.namespace)
            .context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
        let connections = Connections::new(redis);
        let deliveries =
            Deliveries::new(options.clone(), log.clone(), connections.clone(), told.clone())?;
        tasks.spawn(deliveries.run());
        tasks.spawn(Raiser::new(options.clone(), log.clone(), connections, told.after).run());
    }
    if let Some(told) = settings.webhooks {
        let webhooks = Webhooks::new(options.clone(), log.clone(), tail.clone(), told)?;
        tasks.tracker.spawn(webhooks.run(tasks.shutdown.clone()));
    }
    let storage =
        Storage::open(&settings.files.url, settings.files.cloud).context("ROUNDTABLE_FILES_URL")?;
    tasks.spawn(Removals::new(postgres.clone(), storage).run(log.clone()));
    let signer = Signer::new(&settings.signing);
    tasks.spawn(Erasures::new(postgres.clone(), log.clone(), signer).run());
    let retention = Retention { feed: settings.retention, messages: settings.message_retention };
    let runner = Runner::new(options, tail, invalidations, retention, settings.idle_pace);
    tasks.spawn(runner.clone().listen());
    tasks.project_all(&runner);
    tasks.projections.close();
    tasks.tracker.close();
    Ok(Projector { health: health(log, postgres, relay_nats), tasks: tasks.tracker })
}

/// The service: a projector, and its health on the listener.
///
/// # Errors
/// As [`start`], or when the listener fails.
pub async fn serve(
    config: service::Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let postgres = PgPoolOptions::new()
        .max_connections(4)
        .connect_lazy(&config.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is no URL of Postgres")?;
    let log = EventLog::connect(event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres,
        secrets: config.secrets.log.clone(),
    });
    let projector = start(&config, log.await?, shutdown.clone()).await?;
    let routes = service::http::app(Router::new(), &config, projector.health());
    service::serve(routes, listener, shutdown).await?;
    projector.ended().await;
    Ok(())
}

/// The one list of projections.
macro_rules! projections {
    ($($projection:ident),* $(,)?) => {
        /// The names of all projections.
        pub const PROJECTIONS: &[&str] = &[$($projection::NAME),*];

        /// Which categories of events each projection reads.
        pub fn follows() -> impl Iterator<Item = (&'static str, &'static [events::Category])> {
            [$(($projection::NAME, $projection::FOLLOWS)),*].into_iter()
        }

        /// What a rebuild has to know of each of them.
        pub(crate) fn builds() -> Vec<Box<dyn Build>> {
            vec![$(Box::new(Builder::<$projection>::default())),*]
        }

        impl Tasks {
            fn project_all(&self, runner: &Runner) {
                $(self.project::<$projection>(runner);)*
            }
        }
    };
}

projections![
    ApiToken,
    Block,
    CallHistory,
    ChangeFeed,
    Conversation,
    ConversationBan,
    Erasure,
    EventIndex,
    File,
    FileRemoval,
    FriendList,
    FriendRequest,
    FriendshipInterval,
    Invite,
    LegalHold,
    Login,
    Member,
    Mention,
    Message,
    MessageSearch,
    NotificationLog,
    Pin,
    Reaction,
    ReadCursor,
    Recording,
    Report,
    Standing,
    StudySession,
    Timer,
    UserProfile,
    Webhook,
    Whiteboard,
];

/// The tasks of a projector, which end with the shutdown. Ending one anywhere is safe: what was
/// not committed, or not acknowledged, is done again.
struct Tasks {
    tracker: TaskTracker,
    /// Those of the projections alone.
    projections: TaskTracker,
    shutdown: CancellationToken,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.shutdown.clone();
        self.tracker.spawn(async move {
            ended.run_until_cancelled(task).await;
        });
    }

    fn project<P: Projection>(&self, runner: &Runner) {
        self.spawn(self.projections.track_future(runner.clone().run::<P>()));
    }

    /// Is cancelled once all projections have ended: nothing is committed any more.
    fn after_projections(&self) -> CancellationToken {
        let (shutdown, projections) = (self.shutdown.clone(), self.projections.clone());
        let ended = CancellationToken::new();
        let told = ended.clone();
        self.tracker.spawn(async move {
            shutdown.cancelled().await;
            projections.wait().await;
            told.cancel();
        });
        ended
    }
}

/// Connects to NATS, now or whenever it is there.
async fn connect(url: &str, name: &str) -> anyhow::Result<Client> {
    service::nats::options(url)
        .name(format!("projector {name}"))
        .retry_on_initial_connect()
        .connect(url)
        .await
        .context("ROUNDTABLE_NATS_URL is no URL of NATS")
}

/// Whether all read models were built by the definitions of this program.
async fn of_this_version(postgres: &PgPool) -> Result<String, String> {
    let built: Vec<(String, i32)> =
        sqlx::query_as("select projection, version from projection_checkpoint")
            .fetch_all(postgres)
            .await
            .map_err(|_| "Postgres does not answer".to_owned())?;
    let outdated: Vec<String> = rebuild::models()
        .iter()
        .filter_map(|model| {
            let (_, version) = built.iter().find(|(name, _)| *name == model.name)?;
            (*version != model.version)
                .then(|| runner::outdated::words(model.name, model.version, *version))
        })
        .collect();
    match outdated.is_empty() {
        true => Ok("all of them are of this version".to_owned()),
        false => Err(outdated.join("; ")),
    }
}

fn health(log: EventLog, postgres: PgPool, nats: Client) -> Health {
    let versions = postgres.clone();
    Health::new()
        .with("event_store", Need::Required, move || {
            let log = log.clone();
            async move {
                let head = log.head().await.map_err(|error| error.to_string())?;
                Ok(format!("the log ends at {head}"))
            }
        })
        .with("postgres", Need::Required, move || {
            let postgres = postgres.clone();
            async move {
                let parked = sqlx::query_scalar::<_, i64>("select count(*) from parked_event");
                match parked.fetch_one(&postgres).await {
                    Ok(parked) => Ok(format!("{parked} events are parked")),
                    Err(_) => Err("it does not answer".to_owned()),
                }
            }
        })
        .with("projections", Need::Optional, move || {
            let postgres = versions.clone();
            async move { of_this_version(&postgres).await }
        })
        .with("nats", Need::Optional, move || {
            let state = nats.connection_state();
            async move {
                match state {
                    async_nats::connection::State::Connected => Ok("connected".to_owned()),
                    async_nats::connection::State::Pending
                    | async_nats::connection::State::Disconnected => {
                        Err("not connected".to_owned())
                    }
                }
            }
        })
}
