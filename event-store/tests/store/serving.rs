//! Starts stores for tests: in this process, or as the real program.

use std::{path::Path, process::Stdio};

use event_store::{Config, Error, EventStore};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A store served in this process, on a free port.
pub(crate) struct Served {
    pub(crate) port: u16,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Served {
    /// Serves a store whose index goes to disk every few events, so that every test crosses runs.
    pub(crate) async fn start(data: &Path) -> Self {
        let config = Config { index_memory_events: 4, ..Config::new(data) };
        Self::with(config).await.expect("the store opens")
    }

    /// Serves a store whose index stays in memory, for tests that take from the log what was not
    /// acknowledged: an index on disk would know that it was there.
    #[allow(dead_code, reason = "some test programs take nothing away")]
    pub(crate) async fn without_index(data: &Path) -> Self {
        Self::with(Config::new(data)).await.expect("the store opens")
    }

    pub(crate) async fn with(config: Config) -> Result<Self, Error> {
        let store = EventStore::open(config)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(store.serve(listener, shutdown.clone()));
        Ok(Self { port, shutdown, task })
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// Stops the store and waits until its folder is free.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// Waits until the store has stopped and its folder is free.
    pub(crate) async fn ended(self) {
        self.task.await.expect("serving does not panic").expect("serving ends well");
    }
}

/// Where a client finds a store in clear text. Its own default of ten seconds for a call is less
/// than a busy machine may stand still.
pub(crate) fn url(port: u16) -> String {
    format!("esdb://127.0.0.1:{port}?tls=false&discoveryInterval=1&defaultDeadline=120000")
}

/// The real program, which dies with the test.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Program {
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    pub(crate) async fn start_with(data: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).args(more);
        Self::spawn(&mut command).await
    }

    /// Starts what the command says, and waits until it tells its address.
    pub(crate) async fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("its output is piped");
        let line = BufReader::new(out).lines().next_line().await.expect("its output is text");
        let line = line.expect("it says where it is ready");
        let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
        Self { child, port: port.expect("the line ends with a port") }
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }
}

/// Where the program is.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_roundtable-event-store");

#[expect(clippy::disallowed_methods, reason = "a test is the edge that makes its events")]
pub(crate) fn new_id() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}
