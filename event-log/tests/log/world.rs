//! A store and a Postgres of one test, each of which can go away and come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_log::{Config, Context, EventLog, Secrets};
use events::{ConversationId, Moment, UserId};
use rand::Rng;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) struct World {
    store: Mutex<Option<Store>>,
    address: SocketAddr,
    folder: TempDir,
    postgres: Proxy,
    options: PgConnectOptions,
    _database: servers::TestDatabase,
    _servers: servers::TestServers,
}

struct Store {
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let servers = servers::shared_for_tests().await.unwrap();
        let database = servers.database().await.unwrap();
        let options = PgConnectOptions::from_str(&database.url).unwrap();
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let postgres = Proxy::start(server).await;
        let listener = listen_to_keep().await;
        let world = Self {
            store: Mutex::default(),
            address: listener.local_addr().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            options: options.host("127.0.0.1").port(postgres.address.port()),
            postgres,
            _database: database,
            _servers: servers,
        };
        world.serve(listener);
        world
    }

    /// An event log as a new process would have it.
    pub(crate) async fn log(&self) -> EventLog {
        EventLog::connect(self.config()).await.unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        let secrets = Secrets { master: [1; 32], deployment: [2; 32] };
        let eventstore_url = format!("esdb://{}?tls=false", self.address);
        Config { eventstore_url, postgres: self.pool(), secrets }
    }

    pub(crate) fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_lazy_with(self.options.clone())
    }

    /// All bytes that the store has written.
    pub(crate) fn stored_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => bytes.extend(std::fs::read(path).unwrap()),
                }
            }
        }
        bytes
    }

    pub(crate) async fn stop_store(&self) {
        let store = self.store.lock().unwrap().take().expect("it runs");
        store.shutdown.cancel();
        store.served.await.unwrap();
    }

    pub(crate) async fn start_store(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        self.serve(listener);
    }

    fn serve(&self, listener: TcpListener) {
        let shutdown = CancellationToken::new();
        let config = event_store::Config::new(self.folder.path().join("log"));
        let serving = event_store::serve(config, listener, shutdown.clone());
        let served = tokio::spawn(async { serving.await.unwrap() });
        *self.store.lock().unwrap() = Some(Store { shutdown, served });
    }

    pub(crate) fn cut_postgres(&self) {
        self.postgres.cut();
    }

    pub(crate) fn mend_postgres(&self) {
        self.postgres.state.lock().unwrap().cut = false;
    }

    /// How many connections were tried while Postgres was cut.
    pub(crate) fn tried_in_vain(&self) -> usize {
        self.postgres.state.lock().unwrap().refused
    }
}

/// Listens on a port that the system gives to nobody who connects, nor to who asks for any port:
/// the store leaves it and comes back to it.
async fn listen_to_keep() -> TcpListener {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let least: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    for _ in 0..1000 {
        // Tests run side by side, as threads and as processes: no two look at the same ports.
        let port = rand::rng().random_range(least / 2..least);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
    panic!("no port is free");
}

/// Passes connections on to a server, until it is cut.
struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<Wire>>,
}

#[derive(Default)]
struct Wire {
    cut: bool,
    refused: usize,
    connections: Vec<AbortHandle>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<Wire>>::default();
        let wire = state.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut wire = wire.lock().unwrap();
                if wire.cut {
                    wire.refused += 1;
                    continue;
                }
                let server = server.clone();
                let pass = tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
                wire.connections.push(pass.abort_handle());
            }
        });
        Self { address, state }
    }

    fn cut(&self) {
        let mut wire = self.state.lock().unwrap();
        wire.cut = true;
        wire.connections.drain(..).for_each(|connection| connection.abort());
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

pub(crate) fn user(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

pub(crate) fn conversation(number: u128) -> ConversationId {
    ConversationId::new(Uuid::from_u128(number))
}

/// The context of an actor's request with some key and some body, later than the one before.
pub(crate) fn by(actor: UserId, key: u128, body: &str) -> Context {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let micros = CLOCK.fetch_add(1, Ordering::Relaxed);
    Context {
        actor,
        key: Uuid::from_u128(key),
        body_hash: body.to_owned(),
        correlation: Uuid::from_u128(key),
        causation: Uuid::from_u128(key),
        now: Moment::from_timestamp_micros(micros).unwrap(),
        decided_on: None,
        token: None,
    }
}
