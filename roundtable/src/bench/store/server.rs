//! A server under test: a process of its own that ends with this one.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use eventstore::{Client, ReadAllOptions, StreamPosition};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::serve::ready_at;

/// A log of many gigabytes may have to be read before the store is ready.
const START: Duration = Duration::from_secs(600);
const STOP: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Clone, Debug)]
pub(super) enum Which {
    /// The store, with its data in this folder.
    Store(PathBuf),
    /// The protocol before nothing.
    Echo,
    /// The protocol before a table of the PostgreSQL at this URL, by so many connections.
    Postgres(String, u32),
}

/// A running server. Dropping it kills it.
pub(super) struct Server {
    process: Child,
    pub(super) address: String,
    /// From its start until it answered.
    pub(super) opened: Duration,
    /// Kept open, so that what the server still says does not end it.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it, and waits until it answers.
    pub(super) async fn start(which: &Which, log: &Path) -> Result<Self> {
        let begun = Instant::now();
        let mut process = command(which)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            .spawn()
            .context("a server cannot be started (setpriv is in the package util-linux)")?;
        let mut stdout = BufReader::new(process.stdout.take().context("it has no output")?);
        let mut line = String::new();
        let address = match timeout(START, stdout.read_line(&mut line)).await {
            Ok(Ok(_)) => ready_at(&line),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(address) = address.map(str::to_owned) else {
            let said = fs::read_to_string(log).unwrap_or_default();
            bail!("{which:?} did not become ready; it said:\n{said}");
        };
        let mut server = Self { process, address, opened: Duration::ZERO, _stdout: stdout };
        if matches!(which, Which::Store(_)) {
            server.answers().await?;
        }
        server.opened = begun.elapsed();
        Ok(server)
    }

    /// A connection of the official client, which is made with the first call.
    pub(super) fn client(&self) -> Result<Client> {
        // Otherwise the client waits for half a second before it connects.
        let url = format!("esdb://{}?tls=false&discoveryInterval=1", self.address);
        Client::new(url.parse()?).map_err(|error| anyhow::anyhow!("no client: {error}"))
    }

    /// The last event can be read, if there is one.
    async fn answers(&self) -> Result<()> {
        let last = ReadAllOptions::default().position(StreamPosition::End).max_count(1);
        self.client()?.read_all(&last).await?.next().await?;
        Ok(())
    }

    /// Stops it as an operator would, and waits until it is gone.
    pub(super) async fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = timeout(STOP, self.process.wait()).await.context("it did not stop")??;
        ensure!(status.success(), "it did not stop cleanly: {status}");
        Ok(())
    }

    /// Kills it with SIGKILL, as a crash would, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.process.id().context("it has ended by itself")?;
        Ok(kill(Pid::from_raw(pid.cast_signed()), signal)?)
    }

    pub(super) fn memory(&self) -> Memory {
        let pid = self.process.id().unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        Memory::of(&status)
    }
}

/// The store's own program if it lies beside this one, else this one serves the store.
fn store_program() -> Result<Option<PathBuf>> {
    let own = std::env::current_exe().context("this program does not know its path")?;
    Ok(Some(own.with_file_name("roundtable-event-store")).filter(|program| program.exists()))
}

/// The name of the program that serves the store.
pub(super) fn store_name() -> Result<String> {
    Ok(match store_program()? {
        Some(_) => "roundtable-event-store".to_owned(),
        None => "roundtable bench serve store".to_owned(),
    })
}

/// `setpriv` lets the server end when this process is killed.
fn command(which: &Which) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    // Ctrl-C is for this process, which ends the servers.
    command.process_group(0);
    let own = std::env::current_exe().context("this program does not know its path")?;
    match which {
        Which::Store(data) => {
            match store_program()? {
                Some(program) => command.arg(program),
                None => command.arg(own).args(["bench", "serve", "store"]),
            };
            command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
        }
        Which::Echo => {
            command.arg(own).args(["bench", "serve", "echo", "--listen", "127.0.0.1:0"]);
        }
        Which::Postgres(url, connections) => {
            command.arg(own).args(["bench", "serve", "postgres", "--listen", "127.0.0.1:0"]);
            command.arg("--connections").arg(connections.to_string());
            // Not an argument: everybody sees those.
            command.env("ROUNDTABLE_POSTGRES_URL", url);
        }
    }
    for name in ["ROUNDTABLE_EVENTSTORE_LISTEN", "ROUNDTABLE_EVENTSTORE_ADVERTISE"] {
        command.env_remove(name);
    }
    Ok(command)
}

/// What a process holds in memory, in MiB (proc(5), `status`).
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// All that is resident, with the pages of files that it maps.
    pub rss_mb: f64,
    /// Of it what is not backed by a file, and so cannot be dropped by the kernel.
    pub anonymous_mb: f64,
    /// The most that was ever resident since its start.
    pub peak_mb: f64,
}

impl Memory {
    fn of(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().nth(0)?.parse::<f64>().ok());
            super::super::report::rounded(kib.unwrap_or(0.0) / 1024.0, 1)
        };
        Self { rss_mb: field("VmRSS:"), anonymous_mb: field("RssAnon:"), peak_mb: field("VmHWM:") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mebibytes() {
        let memory = Memory::of("VmHWM:\t  2048 kB\nVmRSS:\t  1536 kB\nRssAnon:\t 512 kB\n");
        assert_eq!((memory.peak_mb, memory.rss_mb, memory.anonymous_mb), (2.0, 1.5, 0.5));
    }
}
