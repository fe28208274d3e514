//! One server: started, watched, stopped and started again on the same port.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    Durability, Kind,
    data::{Data, Log, is_free},
    error::{Context, Error},
    find::find,
    leftover, nats, postgres,
    process::Process,
    redis,
};

/// Recovery after a crash may have to read much, on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);
/// A port can be taken between the look and the bind; more than this is not chance.
const ATTEMPTS: usize = 5;

/// How to start a server, and how to reach it then.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) command: Command,
    pub(crate) url: String,
    pub(crate) password: String,
    /// Postgres only: the folder its processes work in.
    pub(crate) family: Option<PathBuf>,
}

/// One of the private servers, running or not.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) port: u16,
    durability: Durability,
    process: Option<Process>,
    /// Whether the end of this process was reported already.
    reported: bool,
}

impl Server {
    /// Starts the server. It is ready when this returns.
    pub(crate) async fn start(
        data: &Data,
        kind: Kind,
        durability: Durability,
    ) -> Result<Self, Error> {
        leftover::end(data, kind, None).await?;
        let mut port = data.port(kind)?;
        for attempt in 1.. {
            let mut server =
                Self { kind, url: String::new(), port, durability, process: None, reported: false };
            match server.run(data).await {
                Err(Error::Ended { tail, .. }) if attempt < ATTEMPTS && port_was_taken(&tail) => {
                    port = data.new_port(kind)?;
                }
                result => return result.map(|()| server),
            }
        }
        unreachable!("the last attempt returns its result")
    }

    /// Starts it again, after it ended or after stopping it, on the same port and data.
    pub(crate) async fn restart(&mut self, data: &Data) -> Result<(), Error> {
        self.stop().await;
        if !is_free(self.port) {
            return Err(Error::PortTaken { kind: self.kind, port: self.port });
        }
        self.run(data).await
    }

    async fn run(&mut self, data: &Data) -> Result<(), Error> {
        let begun = Instant::now();
        let binary = find(self.kind)?;
        let plan = match self.kind {
            Kind::Postgres => postgres::plan(data, &binary, self.port, self.durability).await?,
            Kind::Redis => redis::plan(data, &binary, self.port)?,
            Kind::Nats => nats::plan(data, &binary, self.port)?,
        };
        let log = data.log(self.kind)?;
        let mut command = plan.command;
        let output = || log.file.try_clone().context("could not share the log", &log.path);
        command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
        let process = Process::start(command, plan.family).await?;
        leftover::record(data, self.kind, process.pid())?;
        self.url = plan.url;
        self.reported = false;
        // Kept before it is ready: whoever stops waiting can still stop the server.
        let process = self.process.insert(process);
        ready(self.kind, process, &self.url, self.port, &plan.password, &log).await?;
        if self.kind == Kind::Postgres {
            postgres::make_database(&self.url).await?;
        }
        tracing::info!(
            server = self.kind.name(),
            port = self.port,
            milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "started a private server"
        );
        Ok(())
    }

    /// Waits until the process ended by itself, once for each start.
    pub(crate) async fn exited(&self) {
        match &self.process {
            Some(process) if !self.reported => drop(process.ended().await),
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn reported(&mut self) {
        self.reported = true;
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().filter(|process| process.status().is_none()).map(Process::pid)
    }

    pub(crate) async fn stop(&mut self) {
        let steps: &[(Signal, Duration)] = match self.kind {
            // Smart waits for the clients; fast ends them; immediate leaves the rest to recovery.
            Kind::Postgres => &[
                (Signal::SIGTERM, Duration::from_secs(2)),
                (Signal::SIGINT, Duration::from_secs(20)),
                (Signal::SIGQUIT, Duration::from_secs(5)),
            ],
            Kind::Redis | Kind::Nats => &[(Signal::SIGTERM, Duration::from_secs(10))],
        };
        if let Some(process) = &self.process {
            process.stop(steps).await;
        }
        self.process = None;
    }

    pub(crate) async fn kill(&mut self) {
        if let Some(process) = &self.process {
            process.kill().await;
        }
        self.process = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal_family(signal);
        }
    }
}

fn port_was_taken(tail: &str) -> bool {
    tail.to_ascii_lowercase().contains("address already in use")
}

async fn ready(
    kind: Kind,
    process: &Process,
    url: &str,
    port: u16,
    password: &str,
    log: &Log,
) -> Result<(), Error> {
    let begun = Instant::now();
    let mut reason = String::new();
    while begun.elapsed() < PATIENCE {
        let probe = async {
            match kind {
                Kind::Postgres => postgres::probe(url).await,
                Kind::Redis => redis::probe(port, password).await,
                Kind::Nats => nats::probe(port, password).await,
            }
        };
        tokio::select! {
            biased;
            status = process.ended() => {
                let (log, tail) = (log.path.clone(), log.tail());
                return Err(Error::Ended { kind, status: status.to_string(), log, tail });
            }
            probed = tokio::time::timeout(Duration::from_secs(5), probe) => match probed {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(said)) => reason = said,
                Err(_) => "it did not answer in 5 s".clone_into(&mut reason),
            },
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (log, tail) = (log.path.clone(), log.tail());
    Err(Error::NotReady { kind, after: PATIENCE, reason, log, tail })
}
