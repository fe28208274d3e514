//! Everything that is running while the store is measured, and the folder it is in.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use eventstore::Client;
use servers::{Durability, PrivateServers, Wanted};
use tempfile::TempDir;

use super::{
    disk,
    load::Numbers,
    server::{Server, Which},
    steps::On,
};

/// Connections of the measurement that uses more than one.
const CONNECTIONS: usize = 4;

/// The three servers, PostgreSQL, and the data of all of them in one folder.
pub(super) struct Site {
    store: Running,
    echo: Running,
    postgres: Running,
    database: PrivateServers,
    pub(super) numbers: Numbers,
    /// Events that the store has acknowledged.
    pub(super) written: u64,
    folder: TempDir,
}

struct Running {
    server: Server,
    clients: Vec<Client>,
}

impl Running {
    async fn start(which: &Which, folder: &Path) -> Result<Self> {
        let name = match which {
            Which::Store(_) => "store.log",
            Which::Echo => "echo.log",
            Which::Postgres(..) => "postgres.log",
        };
        let server = Server::start(which, &folder.join(name)).await?;
        let clients = (0..CONNECTIONS).map(|_| server.client()).collect::<Result<_>>()?;
        Ok(Self { server, clients })
    }
}

/// A temporary folder below `parent` that the user of PostgreSQL may pass through, so that its
/// data are on the same disk as everything else's.
pub(super) fn folder(parent: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("roundtable-bench-").permissions(Permissions::from_mode(0o711));
    let made = match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    made.context("a temporary folder cannot be made")
}

impl Site {
    /// Starts everything, with the data below `parent` and so many connections to PostgreSQL.
    pub(super) async fn start(parent: Option<&Path>, connections: u32) -> Result<Self> {
        let folder = folder(parent)?;
        let path = folder.path();
        let wanted = Wanted { postgres: true, redis: false, nats: false };
        let data = path.join("servers");
        let database = PrivateServers::start_with(&data, wanted, Durability::Full).await?;
        let url = database.postgres_url.clone().expect("it was wanted");
        let started = async {
            anyhow::Ok((
                Running::start(&Which::Store(path.join("store")), path).await?,
                Running::start(&Which::Echo, path).await?,
                Running::start(&Which::Postgres(url, connections), path).await?,
            ))
        };
        let (store, echo, postgres) = match started.await {
            Ok(started) => started,
            Err(error) => {
                database.destroy().await;
                return Err(error);
            }
        };
        let numbers = Numbers::default();
        Ok(Self { store, echo, postgres, database, numbers, written: 0, folder })
    }

    pub(super) fn server(&self, on: On) -> &Server {
        &self.running(on).server
    }

    pub(super) fn clients(&self, on: On) -> &[Client] {
        &self.running(on).clients
    }

    fn running(&self, on: On) -> &Running {
        match on {
            On::Store => &self.store,
            On::Echo => &self.echo,
            On::Postgres => &self.postgres,
        }
    }

    pub(super) fn store_folder(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Waits until nothing that was written has still to go to the disk.
    pub(super) async fn settle(&self) -> Result<()> {
        let folder = self.store_folder();
        Ok(tokio::task::spawn_blocking(move || disk::settle(&folder)).await??)
    }

    /// Stops the store cleanly.
    pub(super) async fn stop_store(&mut self) -> Result<()> {
        self.store.server.terminate().await
    }

    /// Starts the store again on its data, and tells how long it took until it answered.
    pub(super) async fn start_store(&mut self) -> Result<Duration> {
        let which = Which::Store(self.store_folder());
        self.store = Running::start(&which, self.folder.path()).await?;
        Ok(self.store.server.opened)
    }

    /// Ends everything and removes the data.
    pub(super) async fn end(self) -> Result<()> {
        let Self { store, echo, postgres, database, folder, .. } = self;
        for mut running in [store, echo, postgres] {
            running.server.kill().await?;
        }
        database.destroy().await;
        Ok(folder.close()?)
    }
}
