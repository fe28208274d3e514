//! The whole system in one process: what `roundtable up` runs, and tests and the demo with it.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use event_log::EventLog;
use rand::Rng;
use reqwest::Method;
use servers::{Durability, PrivateServers, Wanted};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{client::Client, index};

mod database;
mod store;

pub use database::migrate;

/// How long the last requests and sockets may take; their own bounds are shorter.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long a start waits for a server that is given and away.
const CONNECTED: Duration = Duration::from_secs(5);

/// Connections of the owner's role, for the vault, the gateway and the projections' reads.
const OWNER_CONNECTIONS: u32 = 24;

/// In a data folder whose restore is not done.
pub(crate) const UNFINISHED: &str = "restore-unfinished.json";

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// The folder with everything it keeps; made if it is not there.
    pub data: PathBuf,
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Servers that are there already.
    pub given: Given,
    /// The folder of the secret keys; those under `data`, made if they are not there, if `None`.
    pub secrets: Option<PathBuf>,
    /// What a power cut may cost.
    pub durability: Durability,
    /// The rate limits, as `ROUNDTABLE_LIMITS` has them; what that says if `None`.
    pub limits: Option<String>,
}

/// URLs of servers to use instead of private ones.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `postgres://`, as the owner of the database.
    pub postgres: Option<String>,
    /// `postgres://`, as the role that row-level security binds.
    pub postgres_reader: Option<String>,
    /// `redis://`.
    pub redis: Option<String>,
    /// `nats://`.
    pub nats: Option<String>,
    /// `esdb://`.
    pub eventstore: Option<String>,
}

impl StackConfig {
    /// A stack with servers of its own, on a free port of this machine.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            given: Given::default(),
            secrets: None,
            durability: Durability::Full,
            limits: None,
        }
    }
}

/// Where the parts of a stack are.
#[derive(Clone, Debug)]
pub struct Urls {
    /// `http://` of the API.
    pub api: String,
    /// `postgres://`, as the owner.
    pub postgres: String,
    /// `postgres://`, as the reader.
    pub postgres_reader: String,
    /// `redis://`.
    pub redis: String,
    /// `nats://`.
    pub nats: String,
    /// `esdb://`.
    pub eventstore: String,
}

/// A stack that runs. Dropping it ends it without ceremony; [`stop`](Self::stop) is kinder.
pub struct Stack {
    urls: Urls,
    data: PathBuf,
    edge: Edge,
    inside: Inside,
    servers: PrivateServers,
    store: Option<store::Store>,
}

/// What works on the log behind the clients' backs: it ends when they are gone.
struct Inside {
    shutdown: DropGuard,
    projector: projector::Projector,
}

/// What clients talk to: it ends first.
struct Edge {
    shutdown: DropGuard,
    serving: JoinHandle<std::io::Result<()>>,
    commands: command_api::App,
    queries: query_api::App,
    sfu: sfu::App,
}

impl Stack {
    /// Starts everything. It serves when this returns.
    ///
    /// # Errors
    /// When the address is taken, the folder is in use, or a part does not start: then with its
    /// reason. What was started already is stopped again.
    pub async fn start(config: StackConfig) -> Result<Self> {
        // The first of all: an address that is taken should not cost half a minute.
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!("{} cannot be listened on; choose another with --listen", config.listen)
        })?;
        ensure!(
            !config.data.join(UNFINISHED).exists(),
            "{} is half restored: `roundtable restore` goes on with it",
            config.data.display()
        );
        // Others may pass through it: Postgres is another user where we are root.
        let data = private_folder(&config.data, 0o711)?;
        let secrets = match &config.secrets {
            Some(folder) => folder.clone(),
            None => private_folder(&data.join("secrets"), 0o700)?,
        };
        if config.secrets.is_none() {
            service::Secrets::generate(&secrets)?;
        }
        let wanted = Wanted {
            postgres: config.given.postgres.is_none(),
            redis: config.given.redis.is_none(),
            nats: config.given.nats.is_none(),
        };
        let (servers, store) = tokio::try_join!(
            async {
                let start = PrivateServers::start_with(&data, wanted, config.durability);
                start.await.context("the private servers did not start")
            },
            async {
                match config.given.eventstore {
                    Some(_) => Ok(None),
                    None => store::Store::start(&data).await.map(Some),
                }
            }
        )?;
        let api = format!("http://{}", listener.local_addr()?);
        let urls = urls(&config.given, &servers, store.as_ref(), &data, api)?;
        migrate(&urls.postgres, Some(&urls.postgres_reader)).await?;
        let service = configuration(&urls, &secrets, &data, config.limits.as_deref())?;
        let (edge, inside) = services(&service, &data, listener).await?;
        connected(&urls.api).await?;
        Ok(Self { urls, data, edge, inside, servers, store })
    }

    /// Where its parts are.
    #[must_use]
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// Where clients send media (UDP), one address for each thread.
    #[must_use]
    pub fn media(&self) -> Vec<SocketAddr> {
        self.edge.sfu.media_addresses()
    }

    /// The folder with everything it keeps.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its private servers, to kill, pause and restart them.
    pub fn servers(&mut self) -> &mut PrivateServers {
        &mut self.servers
    }

    /// Keeps it running: restarts private servers that end by themselves.
    ///
    /// # Errors
    /// Returns only when a part of this process failed, and says which.
    pub async fn supervise(&mut self) -> Result<()> {
        let store = self.store.as_ref();
        let serving = &self.edge.serving;
        let ended = async {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                if store.is_some_and(store::Store::has_ended) {
                    return "the event store ended";
                }
                if serving.is_finished() {
                    return "the API ended";
                }
            }
        };
        tokio::select! {
            part = ended => bail!("{part}; the reason is in the log above"),
            never = self.servers.supervise() => match never {},
        }
    }

    /// Ends it from the outside in: sockets are told to come back, then the services end, the
    /// projector, the private servers, and the event store as the last.
    ///
    /// # Errors
    /// When a part failed; the others are ended nevertheless.
    pub async fn stop(self) -> Result<()> {
        let Self { edge, inside, servers, store, .. } = self;
        let ended = end_services(edge, inside).await;
        servers.stop().await;
        let store = match store {
            Some(store) => store.stop().await,
            None => Ok(()),
        };
        ended.and(store)
    }

    /// Ends it and removes everything it kept.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub async fn destroy(self) -> Result<()> {
        let Self { edge, inside, servers, store, data, .. } = self;
        let ended = end_services(edge, inside).await;
        let store = match store {
            Some(store) => store.stop().await,
            None => Ok(()),
        };
        servers.destroy().await;
        let removed = match fs::remove_dir_all(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        ended.and(store).and(removed.context("the data folder cannot be removed"))
    }
}

/// Starts the services on one log and one listener.
async fn services(
    config: &service::Config,
    data: &Path,
    listener: TcpListener,
) -> Result<(Edge, Inside)> {
    let postgres = pool(&config.postgres_url)?;
    let log = EventLog::connect(event_log::Config {
        eventstore_url: config.eventstore_url.clone(),
        postgres: postgres.clone(),
        secrets: config.secrets.log.clone(),
    })
    .await
    .context("the event store does not answer")?;
    let inside = CancellationToken::new();
    let projector = projector::start(config, log.clone(), inside.clone())
        .await
        .context("the projector did not start")?;
    let shutdown = CancellationToken::new();
    let commands = command_api::App::start(config, log.clone(), postgres.clone(), shutdown.clone())
        .await
        .context("command-api did not start")?;
    let queries = query_api::App::start(config, log.clone(), shutdown.clone())
        .await
        .context("query-api did not start")?;
    let sfu = media(config, data, listener.local_addr()?, log, shutdown.clone()).await?;
    let health = commands.health().and(queries.health()).and(projector.health()).and(sfu.health());
    let routes = commands.router().merge(queries.router()).merge(index::router());
    let routes = routes.merge(sfu.router());
    let router = service::http::app(routes, config, health);
    let serving = tokio::spawn(service::serve(router, listener, shutdown.clone()));
    let edge = Edge { shutdown: shutdown.drop_guard(), serving, commands, queries, sfu };
    Ok((edge, Inside { shutdown: inside.drop_guard(), projector }))
}

/// The SFU, which takes media where the API listens unless the environment says otherwise.
async fn media(
    config: &service::Config,
    data: &Path,
    api: SocketAddr,
    log: EventLog,
    shutdown: CancellationToken,
) -> Result<sfu::App> {
    #[expect(clippy::disallowed_methods, reason = "the stack is an edge, as `from_env` is")]
    let environment = |name: &str| std::env::var(name).ok();
    let settings = sfu::Settings::read(|name| match name {
        "ROUNDTABLE_SFU_LISTEN" => {
            environment(name).or_else(|| Some(SocketAddr::new(api.ip(), 0).to_string()))
        }
        "ROUNDTABLE_SFU_RECORDINGS" => {
            environment(name).or_else(|| Some(data.join("recordings").display().to_string()))
        }
        _ => environment(name),
    })?;
    let url = format!("http://{api}");
    let app = sfu::App::start(config, &settings, &url, "", Some(log), shutdown).await;
    app.context("the SFU did not start")
}

/// Waits until everything is connected. A server that is given and away holds nobody up for long:
/// the services do without it for a while.
async fn connected(api: &str) -> Result<()> {
    let client = Client::new(api)?;
    let is_ready = async || {
        let answer = client.request(Method::GET, "/readyz").send().await.ok()?;
        let body: serde_json::Value = answer.json().await.ok()?;
        (body["status"] == "ready").then_some(())
    };
    let begun = Instant::now();
    while is_ready().await.is_none() {
        if begun.elapsed() > CONNECTED {
            tracing::warn!("starting without a server; {api}/readyz says which");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn end_services(edge: Edge, inside: Inside) -> Result<()> {
    let Edge { shutdown, serving, commands, queries, sfu } = edge;
    shutdown.disarm().cancel();
    let served = timeout(FAREWELL, async {
        let served = serving.await;
        commands.drained().await;
        queries.drained().await;
        sfu.drained().await;
        served
    });
    let served = match served.await {
        Ok(served) => served.context("the API panicked")?.context("the API failed"),
        Err(_) => Ok(()),
    };
    inside.shutdown.disarm().cancel();
    if timeout(FAREWELL, inside.projector.ended()).await.is_err() {
        tracing::warn!("the projector did not end in time and is cut off");
    }
    served
}

fn urls(
    given: &Given,
    servers: &PrivateServers,
    store: Option<&store::Store>,
    data: &Path,
    api: String,
) -> Result<Urls> {
    let one_of = |given: &Option<String>, own: Option<String>| {
        given.clone().or(own).context("a server is neither given nor started")
    };
    let postgres = one_of(&given.postgres, servers.postgres_url.clone())?;
    let postgres_reader = match &given.postgres_reader {
        Some(url) => url.clone(),
        None => {
            let password = password(&data.join("postgres-reader.password"))?;
            database::reader_url(&postgres, &password, given.postgres.is_none())?
        }
    };
    Ok(Urls {
        api,
        postgres,
        postgres_reader,
        redis: one_of(&given.redis, servers.redis_url.clone())?,
        nats: one_of(&given.nats, servers.nats_url.clone())?,
        eventstore: one_of(&given.eventstore, store.map(|store| store.url.clone()))?,
    })
}

/// What the services are told: what the stack knows, and the rest from the environment.
fn configuration(
    urls: &Urls,
    secrets: &Path,
    data: &Path,
    limits: Option<&str>,
) -> Result<service::Config> {
    let listen = urls.api.trim_start_matches("http://");
    #[expect(clippy::disallowed_methods, reason = "the stack is an edge, as `from_env` is")]
    let environment = |name: &str| std::env::var(name).ok();
    let config = service::Config::read(|name| {
        Some(match name {
            "ROUNDTABLE_POSTGRES_URL" => urls.postgres.clone(),
            "ROUNDTABLE_POSTGRES_READER_URL" => urls.postgres_reader.clone(),
            "ROUNDTABLE_REDIS_URL" => urls.redis.clone(),
            "ROUNDTABLE_NATS_URL" => urls.nats.clone(),
            "ROUNDTABLE_EVENTSTORE_URL" => urls.eventstore.clone(),
            "ROUNDTABLE_LISTEN" => listen.to_owned(),
            "ROUNDTABLE_SECRETS" => secrets.display().to_string(),
            "ROUNDTABLE_LIMITS" => return limits.map(str::to_owned).or_else(|| environment(name)),
            // Without a proxy in front people come over plain http, and cookies have to as well.
            "ROUNDTABLE_PUBLIC_URL" => environment(name).unwrap_or_else(|| urls.api.clone()),
            "ROUNDTABLE_FILES_URL" => {
                environment(name).unwrap_or_else(|| data.join("files").display().to_string())
            }
            _ => return environment(name),
        })
    });
    Ok(config?)
}

fn pool(url: &str) -> Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(OWNER_CONNECTIONS)
        .acquire_timeout(Duration::from_secs(2));
    pool.connect_lazy(url).context("ROUNDTABLE_POSTGRES_URL is wrong")
}

/// Makes a folder that others cannot look into. One that is there stays as it is.
pub(crate) fn private_folder(path: &Path, mode: u32) -> Result<PathBuf> {
    let named = || format!("the folder {} cannot be made", path.display());
    if !path.exists() {
        fs::create_dir_all(path).with_context(named)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(named)?;
    }
    fs::canonicalize(path).with_context(named)
}

/// The password in the file; made if it is not there.
fn password(path: &Path) -> Result<String> {
    let named = || format!("{} cannot be used", path.display());
    if let Ok(known) = fs::read_to_string(path) {
        return Ok(known.trim().to_owned());
    }
    let password = hex::encode(rand::rng().random::<[u8; 24]>());
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(password.as_bytes())).with_context(named)?;
    Ok(password)
}
