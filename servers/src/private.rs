//! The set of private servers of one process.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{join_all, select_all, try_join_all},
};
use nix::sys::signal::Signal;

use crate::{Durability, Error, Kind, Wanted, data::Data, place, procfs, server::Server};

/// The private servers of this process. Dropping it kills them; [`stop`](Self::stop) is kinder.
#[derive(Debug)]
pub struct PrivateServers {
    /// `postgres://` of the database `roundtable`, as its superuser; if it was wanted.
    pub postgres_url: Option<String>,
    /// `redis://`, with the password; if it was wanted.
    pub redis_url: Option<String>,
    /// `nats://`, with user and password; if it was wanted. `async_nats::connect` ignores the user
    /// and the password in a URL: take them from its `ServerAddr` and put them into its
    /// `ConnectOptions`.
    pub nats_url: Option<String>,
    // Before the data: the servers end before the lock of the folder is given back.
    servers: Vec<Server>,
    data: Data,
}

impl PrivateServers {
    /// Starts the wanted servers, durably, with their data under `data`. They are ready to serve
    /// when this returns.
    ///
    /// # Errors
    /// When a program is missing, the folder is in use, or a server does not come up: then with
    /// the last lines of its log. Servers that were started already are stopped again.
    pub async fn start(data: &Path, wanted: Wanted) -> Result<Self, Error> {
        Self::start_with(data, wanted, Durability::Full).await
    }

    /// Like [`start`](Self::start), with a choice of what a power cut may cost.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(
        data: &Path,
        wanted: Wanted,
        durability: Durability,
    ) -> Result<Self, Error> {
        let data = Data::open(data)?;
        let starts = Kind::ALL
            .into_iter()
            .filter(|kind| wanted.has(*kind))
            .map(|kind| Server::start(&data, kind, durability).boxed());
        let servers = try_join_all(starts).await?;
        let url = |kind| servers.iter().find(|server| server.kind == kind).map(|s| s.url.clone());
        Ok(Self {
            postgres_url: url(Kind::Postgres),
            redis_url: url(Kind::Redis),
            nats_url: url(Kind::Nats),
            servers,
            data,
        })
    }

    /// Stops them cleanly, all at once.
    pub async fn stop(mut self) {
        join_all(self.servers.iter_mut().map(|server| server.stop().boxed())).await;
    }

    /// Kills them and removes all their data, wherever it is: for tests.
    pub async fn destroy(mut self) {
        join_all(self.servers.iter_mut().map(|server| server.kill().boxed())).await;
        self.remove();
    }

    /// Like [`destroy`](Self::destroy), where nothing can be awaited.
    pub(crate) fn remove(self) {
        let Self { servers, data, .. } = self;
        drop(servers);
        let folders = [place::elsewhere(&data), Some(data.root().to_owned())];
        for folder in folders.into_iter().flatten() {
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// Kills one with SIGKILL, as a crash would. Returns when it is gone.
    pub async fn kill(&mut self, which: Kind) {
        if let Some(server) = self.server_mut(which) {
            server.kill().await;
        }
    }

    /// Freezes one (SIGSTOP; Postgres with all its backends): connections stay, answers do not
    /// come. Returns when it stands still.
    pub async fn pause(&self, which: Kind) {
        let Some(server) = self.server(which) else { return };
        server.signal(Signal::SIGSTOP);
        while server.pid().is_some_and(|pid| !procfs::is_stopped(pid)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets a paused one go on (SIGCONT).
    #[expect(clippy::unused_async, reason = "all faults are called in the same way")]
    pub async fn resume(&self, which: Kind) {
        if let Some(server) = self.server(which) {
            server.signal(Signal::SIGCONT);
        }
    }

    /// Starts one again on the same port and data, so that its URL stays true. One that still
    /// runs is stopped first.
    ///
    /// # Errors
    /// [`Error::NotStarted`] if it was never wanted, [`Error::PortTaken`], or as
    /// [`start`](Self::start).
    pub async fn restart(&mut self, which: Kind) -> Result<(), Error> {
        let server = self.servers.iter_mut().find(|server| server.kind == which);
        server.ok_or(Error::NotStarted(which))?.restart(&self.data).await
    }

    /// Waits until a server ended by itself, and says which. Each end is told once; one that was
    /// killed or stopped through this value is not told.
    pub async fn exited(&mut self) -> Kind {
        if self.servers.is_empty() {
            std::future::pending::<()>().await;
        }
        let waits = self.servers.iter().map(|server| server.exited().boxed());
        let ((), index, _) = select_all(waits).await;
        self.servers[index].reported();
        self.servers[index].kind
    }

    /// Restarts whatever ends by itself, for ever: run it beside the stack and drop it to stop.
    ///
    /// The wait before a restart doubles from 100 ms to 10 s while a server keeps ending within
    /// a minute.
    pub async fn supervise(&mut self) -> Infallible {
        const LEAST: Duration = Duration::from_millis(100);
        const MOST: Duration = Duration::from_secs(10);
        let mut wait = LEAST;
        let mut last = Instant::now();
        loop {
            let kind = self.exited().await;
            if last.elapsed() > Duration::from_mins(1) {
                wait = LEAST;
            }
            tracing::error!(server = kind.name(), "a private server ended; starting it again");
            loop {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(MOST);
                match self.restart(kind).await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::error!(server = kind.name(), %error, "it did not come back");
                    }
                }
            }
            last = Instant::now();
        }
    }

    /// The process id of a server that runs.
    #[must_use]
    pub fn pid(&self, which: Kind) -> Option<u32> {
        self.server(which)?.pid().map(i32::cast_unsigned)
    }

    /// The port of a server, whether it runs at the moment or not.
    #[must_use]
    pub fn port(&self, which: Kind) -> Option<u16> {
        self.server(which).map(|server| server.port)
    }

    fn server(&self, which: Kind) -> Option<&Server> {
        self.servers.iter().find(|server| server.kind == which)
    }

    fn server_mut(&mut self, which: Kind) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.kind == which)
    }
}
