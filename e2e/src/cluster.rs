//! The shape of `compose.yaml` as plain processes: two of each service behind the proxy.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::try_join;
use servers::{Durability, PrivateServers, Wanted};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, free_address, program};
use crate::up::{NO_LIMITS, folder, urls};
use crate::wire::Wire;

/// Everything that runs, on ports and data of its own.
#[derive(Debug)]
pub struct Cluster {
    /// PostgreSQL, Redis and NATS.
    pub servers: PrivateServers,
    /// The event store.
    pub event_store: Process,
    /// The wire between the first gateway and NATS.
    pub first_gateway_to_nats: Wire,
    /// Two gateways.
    pub command_apis: Vec<Node>,
    /// Two projectors, each with a relay.
    pub projectors: Vec<Node>,
    /// Two readers.
    pub query_apis: Vec<Node>,
    /// What every service was told.
    pub environment: Vec<(&'static str, String)>,
    /// `http://` of the proxy, in front of all.
    pub url: String,
    proxy: Process,
    folder: TempDir,
}

/// One process of a service.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub process: Process,
    /// `http://` of the node itself, past the proxy.
    pub url: String,
}

impl Cluster {
    /// Starts all of it, in the order of `compose.yaml`, and waits until it is ready.
    pub async fn start() -> Result<Self> {
        Self::with::<&str>(&[]).await
    }

    /// The same, with these variables for the services, which go before those of every test.
    pub async fn with<V: AsRef<str>>(more: &[(&'static str, V)]) -> Result<Self> {
        let folder = folder()?;
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs)?;
        let servers = PrivateServers::start_with(
            &folder.path().join("servers"),
            Wanted::ALL,
            Durability::Relaxed,
        )
        .await?;
        let secrets = folder.path().join("secrets");
        run(&["secrets", &secrets.to_string_lossy()], &[]).await?;

        let store = free_address()?;
        let data = folder.path().join("events").to_string_lossy().into_owned();
        let event_store = Process::start(
            "event-store",
            program("roundtable-event-store")?,
            &["--data", &data, "--listen", &store],
            &[],
            &logs,
        )?;

        let mut environment = environment(&servers, &store, &secrets)?;
        environment.extend(more.iter().map(|(name, value)| (*name, value.as_ref().to_owned())));
        run(&["migrate"], &environment).await?;
        let wire = Wire::to(servers.nats_url.as_deref().context("NATS was wanted")?).await?;
        let mut wired = environment.clone();
        wired.retain(|(name, _)| *name != "ROUNDTABLE_NATS_URL");
        wired.push(("ROUNDTABLE_NATS_URL", wire.url.clone()));
        let (first, second) = (&wired, &environment);
        let start = |name: &'static str, index, environment| {
            Node::start(name, index, environment, logs.as_path())
        };
        let (p1, p2, c1, c2, q1, q2) = try_join!(
            start("projector", 1, second),
            start("projector", 2, second),
            start("command-api", 1, first),
            start("command-api", 2, second),
            start("query-api", 1, second),
            start("query-api", 2, second),
        )?;
        let (projectors, command_apis, query_apis) = (vec![p1, p2], vec![c1, c2], vec![q1, q2]);

        let listen = free_address()?;
        let host = |node: &Node| node.url.trim_start_matches("http://").to_owned();
        let addresses = [
            ("PROXY_LISTEN", listen.clone()),
            ("COMMAND_API_1", host(&command_apis[0])),
            ("COMMAND_API_2", host(&command_apis[1])),
            ("QUERY_API_1", host(&query_apis[0])),
            ("QUERY_API_2", host(&query_apis[1])),
        ];
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy.cfg");
        let mut proxy = Process::start(
            "proxy",
            "haproxy",
            &["-db", "-f", &config.to_string_lossy()],
            &addresses,
            &logs,
        )?;
        let url = format!("http://{listen}");
        proxy.ready(&format!("{url}/readyz")).await?;
        Ok(Self {
            servers,
            event_store,
            first_gateway_to_nats: wire,
            command_apis,
            projectors,
            query_apis,
            environment,
            url,
            proxy,
            folder,
        })
    }

    /// One more process: a node of the SFU.
    pub async fn sfu(&self, index: usize) -> Result<Node> {
        let mut environment = self.environment.clone();
        environment.push(("ROUNDTABLE_SFU_LISTEN", "127.0.0.1:0".to_owned()));
        Node::start("sfu", index, &environment, &self.logs()).await
    }

    /// Where the processes wrote what they had to say.
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// Ends everything and removes its data.
    pub async fn stop(mut self) {
        self.proxy.kill().await;
        for node in
            self.command_apis.iter_mut().chain(&mut self.query_apis).chain(&mut self.projectors)
        {
            node.process.kill().await;
        }
        self.event_store.kill().await;
        self.servers.destroy().await;
    }
}

impl Node {
    async fn start(
        service: &str,
        index: usize,
        environment: &[(&str, String)],
        logs: &Path,
    ) -> Result<Self> {
        let listen = free_address()?;
        let name = format!("{service}-{index}");
        let mut environment = environment.to_vec();
        environment.push(("ROUNDTABLE_LISTEN", listen.clone()));
        environment.push(("ROUNDTABLE_NODE", name.clone()));
        let program = program(&format!("roundtable-{service}"))?;
        let process = Process::start(&name, program, &[], &environment, logs)?;
        let mut node = Self { process, url: format!("http://{listen}") };
        node.ready().await?;
        Ok(node)
    }

    /// Kills it as a crash would, and starts it again at the same address.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.process.restart().await?;
        self.ready().await
    }

    /// Waits until the node says that it is ready.
    pub async fn ready(&mut self) -> Result<()> {
        self.process.ready(&format!("{}/readyz", self.url)).await
    }
}

/// What every service has to know.
fn environment(
    servers: &PrivateServers,
    store: &str,
    secrets: &Path,
) -> Result<Vec<(&'static str, String)>> {
    let mut environment = urls(servers)?;
    environment.extend([
        ("ROUNDTABLE_EVENTSTORE_URL", format!("esdb://{store}?tls=false")),
        ("ROUNDTABLE_SECRETS", secrets.to_string_lossy().into_owned()),
        ("ROUNDTABLE_FILES_URL", secrets.with_file_name("files").to_string_lossy().into_owned()),
        (
            "ROUNDTABLE_SFU_RECORDINGS",
            secrets.with_file_name("recordings").to_string_lossy().into_owned(),
        ),
        ("ROUNDTABLE_LOG", "info".to_owned()),
        // Hashing passwords slowly is not what is tested.
        ("ROUNDTABLE_ARGON2_KIB", "64".to_owned()),
        (NO_LIMITS.0, NO_LIMITS.1.to_owned()),
    ]);
    Ok(environment)
}

/// Runs the command-line tool to its end.
async fn run(arguments: &[&str], environment: &[(&str, String)]) -> Result<()> {
    let output = Command::new(program("roundtable")?)
        .args(arguments)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .output()
        .await?;
    anyhow::ensure!(
        output.status.success(),
        "roundtable {}: {}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
