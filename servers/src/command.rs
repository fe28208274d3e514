//! Runs a command while private servers run: what `roundtable-servers` does.

use std::{ffi::OsString, io::IsTerminal, path::Path, process::ExitStatus};

use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::{Durability, Error, PrivateServers, Wanted, error::Context};

const VARIABLES: [&str; 3] =
    ["ROUNDTABLE_TEST_POSTGRES_URL", "ROUNDTABLE_TEST_REDIS_URL", "ROUNDTABLE_TEST_NATS_URL"];

/// Where the three servers are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerUrls {
    /// `postgres://`, or empty.
    pub postgres: String,
    /// `redis://`, or empty.
    pub redis: String,
    /// `nats://`, or empty.
    pub nats: String,
}

impl ServerUrls {
    pub(crate) fn of(servers: &PrivateServers) -> Self {
        Self {
            postgres: servers.postgres_url.clone().unwrap_or_default(),
            redis: servers.redis_url.clone().unwrap_or_default(),
            nats: servers.nats_url.clone().unwrap_or_default(),
        }
    }

    /// Those of the test run that this process is part of, if all three are known.
    pub(crate) fn of_the_test_run() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "the tests have no service::config")]
        let read = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
        let [postgres, redis, nats] = VARIABLES.map(read);
        Some(Self { postgres: postgres?, redis: redis?, nats: nats? })
    }

    /// The variables that hand them to a command, and their values.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        VARIABLES.into_iter().zip([&*self.postgres, &*self.redis, &*self.nats])
    }
}

/// What becomes of the data when the servers are not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// The next start finds it again.
    Keep,
    /// It is removed, wherever it is.
    Remove,
}

/// Starts all servers under `data`, runs `command` with their URLs in its environment, and stops
/// the servers when it ended. Without a command, prints the URLs and waits for Ctrl-C or SIGTERM.
///
/// # Errors
/// As [`PrivateServers::start`], or when the command cannot be started.
pub async fn run_with_servers(
    data: &Path,
    durability: Durability,
    afterwards: Afterwards,
    command: &[OsString],
) -> Result<Option<ExitStatus>, Error> {
    let mut servers = PrivateServers::start_with(data, Wanted::ALL, durability).await?;
    let urls = ServerUrls::of(&servers);
    let result = tokio::select! {
        result = run(command, &urls) => result,
        never = servers.supervise() => match never {},
    };
    match afterwards {
        Afterwards::Keep => servers.stop().await,
        Afterwards::Remove => servers.destroy().await,
    }
    result
}

async fn run(command: &[OsString], urls: &ServerUrls) -> Result<Option<ExitStatus>, Error> {
    let listen = |kind| signal(kind).context("could not listen for signals", "/proc/self");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let Some((program, arguments)) = command.split_first() else {
        for (name, url) in urls.variables() {
            println!("{name}={url}");
        }
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        return Ok(None);
    };
    let mut child = Command::new(program)
        .args(arguments)
        .envs(urls.variables())
        .kill_on_drop(true)
        .spawn()
        .context("could not start the command", program)?;
    // A terminal sends Ctrl-C to the command as well; a script sends it to us alone.
    let hand_on_interrupt = !std::io::stdin().is_terminal();
    loop {
        let is_interrupt = tokio::select! {
            status = child.wait() => return status.context("the command", program).map(Some),
            _ = interrupt.recv() => true,
            _ = terminate.recv() => false,
        };
        if (!is_interrupt || hand_on_interrupt)
            && let Some(pid) = child.id()
        {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
    }
}
