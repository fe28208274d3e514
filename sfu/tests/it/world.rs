//! An SFU for a test, and tickets for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use service::tickets::{Rights, Ticket, Tickets};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// The name of the node.
pub(crate) const NODE: &str = "sfu-of-a-test";

/// A step from one packet to the next. After the machine stood still, what was missed does not come all
/// at once, which no encoder does and no buffer holds.
pub(crate) fn pace(step: Duration) -> Interval {
    let mut pace = tokio::time::interval(step);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// An SFU that ends with the test.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) node: String,
    pub(crate) call: Uuid,
    tickets: Tickets,
    _shutdown: DropGuard,
    _serving: JoinHandle<()>,
    secrets: tempfile::TempDir,
    _servers: servers::TestServers,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a log, which is told who is connected.
    pub(crate) async fn start_with(log: Option<event_log::EventLog>) -> Self {
        Self::start_changed(log, |_| {}).await
    }

    /// With other settings.
    pub(crate) async fn start_changed(
        log: Option<event_log::EventLog>,
        change: impl FnOnce(&mut HashMap<&'static str, String>),
    ) -> Self {
        let servers = servers::shared_for_tests().await.unwrap();
        let secrets = tempfile::tempdir().unwrap();
        let keys = service::Secrets::generate(secrets.path()).unwrap();
        let node = NODE.to_owned();
        let mut variables = HashMap::from([
            ("ROUNDTABLE_POSTGRES_URL", servers.postgres_url.clone()),
            ("ROUNDTABLE_REDIS_URL", servers.redis_url.clone()),
            ("ROUNDTABLE_NATS_URL", servers.nats_url.clone()),
            ("ROUNDTABLE_EVENTSTORE_URL", "esdb://127.0.0.1:1?tls=false".to_owned()),
            ("ROUNDTABLE_LISTEN", "127.0.0.1:0".to_owned()),
            ("ROUNDTABLE_SECRETS", secrets.path().display().to_string()),
            ("ROUNDTABLE_NODE", node.clone()),
            ("ROUNDTABLE_FILES_URL", secrets.path().join("files").display().to_string()),
            ("ROUNDTABLE_SFU_RECORDINGS", secrets.path().join("recordings").display().to_string()),
        ]);
        change(&mut variables);
        let config = service::Config::read(|name| variables.get(name).cloned()).unwrap();
        let settings = sfu::Settings::read(|name| match name {
            "ROUNDTABLE_SFU_LISTEN" => Some("127.0.0.1:0".to_owned()),
            "ROUNDTABLE_SFU_THREADS" => Some("1".to_owned()),
            _ => variables.get(name).cloned(),
        });
        let (listener, shutdown) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let (settings, namespace) = (settings.unwrap(), servers::prefix());
        let app = sfu::App::start(&config, &settings, &url, &namespace, log, shutdown.clone());
        let app = app.await.unwrap();
        let routes = service::http::app(app.router(), &config, app.health());
        let serving = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                let (served, ()) =
                    tokio::join!(service::serve(routes, listener, shutdown), app.drained());
                served.unwrap();
            }
        });
        Self {
            address,
            node,
            call: Uuid::from_u128(rand::random()),
            tickets: Tickets::new(&keys.signing),
            _shutdown: shutdown.drop_guard(),
            _serving: serving,
            secrets,
            _servers: servers,
        }
    }

    /// Where files are stored, and where recordings are written.
    pub(crate) fn files(&self) -> PathBuf {
        self.secrets.path().join("files")
    }

    pub(crate) fn recordings(&self) -> PathBuf {
        self.secrets.path().join("recordings")
    }

    /// A ticket of a person: the same number is the same person and device.
    pub(crate) fn ticket(&self, person: u128) -> String {
        self.ticket_with(person, Rights::PARTICIPANT, |_| {})
    }

    pub(crate) fn ticket_with(
        &self,
        person: u128,
        rights: Rights,
        change: impl FnOnce(&mut Ticket),
    ) -> String {
        let mut ticket = Ticket {
            user: Uuid::from_u128(person).into(),
            call: self.call,
            device: Uuid::from_u128(person + 1_000_000),
            node: self.node.clone(),
            rights,
            id: Uuid::from_u128(rand::random()),
        };
        change(&mut ticket);
        self.tickets.issue(ticket, service::clock::now())
    }
}
