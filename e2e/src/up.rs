//! The one-process stack, `roundtable up`, as a child process.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use servers::{Durability, PrivateServers, Wanted};
use tempfile::TempDir;

use crate::process::{Process, free_address, program, reader_url};
use crate::talk::PATIENCE;

/// A stack that runs, with everything it keeps in a temporary folder.
#[derive(Debug)]
pub struct Up {
    /// The process.
    pub process: Process,
    /// `http://` of it.
    pub url: String,
    servers: Option<PrivateServers>,
    folder: TempDir,
}

/// Everybody comes from one address in tests: only those that are about limits have some.
pub(crate) const NO_LIMITS: (&str, &str) = ("ROUNDTABLE_LIMITS", "off");

impl Up {
    /// Starts it on fresh servers that do not care for power cuts, which is the quickest.
    pub async fn start() -> Result<Self> {
        let folder = folder()?;
        let data = folder.path().join("servers");
        let servers = PrivateServers::start_with(&data, Wanted::ALL, Durability::Relaxed).await?;
        let given = urls(&servers)?;
        Self::start_in(folder, &given, Some(servers)).await
    }

    /// The same, with these variables, which go before those of every test.
    pub async fn with(environment: &[(&str, &str)]) -> Result<Self> {
        let folder = folder()?;
        let data = folder.path().join("servers");
        let servers = PrivateServers::start_with(&data, Wanted::ALL, Durability::Relaxed).await?;
        let mut given = urls(&servers)?;
        given.extend(environment.iter().map(|&(name, value)| (name, value.to_owned())));
        Self::start_in(folder, &given, Some(servers)).await
    }

    /// Starts it as people do who have nothing: with private servers of its own.
    pub async fn alone() -> Result<Self> {
        Self::start_in(folder()?, &[], None).await
    }

    /// The same, with more variables.
    pub async fn alone_with(more: &[(&str, String)]) -> Result<Self> {
        Self::start_in(folder()?, more, None).await
    }

    /// Starts it on servers that the test can hurt.
    pub async fn on(servers: &PrivateServers) -> Result<Self> {
        Self::start_in(folder()?, &urls(servers)?, None).await
    }

    async fn start_in(
        folder: TempDir,
        given: &[(&str, String)],
        servers: Option<PrivateServers>,
    ) -> Result<Self> {
        let data = folder.path().join("data").to_string_lossy().into_owned();
        let listen = free_address()?;
        let mut environment = vec![
            ("ROUNDTABLE_LOG", "info".to_owned()),
            // Hashing passwords slowly is not what is tested.
            ("ROUNDTABLE_ARGON2_KIB", "64".to_owned()),
            (NO_LIMITS.0, NO_LIMITS.1.to_owned()),
        ];
        environment.extend_from_slice(given);
        let process = Process::start(
            "roundtable",
            program("roundtable")?,
            &["up", "--data", &data, "--listen", &listen],
            &environment,
            folder.path(),
        )?;
        let mut up = Self { process, url: format!("http://{listen}"), servers, folder };
        up.ready().await?;
        Ok(up)
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) -> Result<()> {
        self.process.ready(&format!("{}/readyz", self.url)).await
    }

    /// Kills it and the servers it started as a crash would, and starts it again on the same data.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        let family = self.process.family();
        self.process.kill().await;
        family.gone(PATIENCE).await?;
        self.process.restart().await?;
        self.ready().await
    }

    /// Where it keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The variables that name the servers it works on.
    pub fn servers(&self) -> Result<Vec<(&'static str, String)>> {
        urls(self.servers.as_ref().context("it has servers of its own")?)
    }

    /// Ends it, and removes its data.
    pub async fn end(mut self) -> Result<()> {
        let family = self.process.family();
        self.process.kill().await;
        family.gone(PATIENCE).await?;
        if let Some(servers) = self.servers {
            servers.destroy().await;
        }
        Ok(())
    }
}

/// A temporary folder that Postgres can pass through: as root it runs as another user.
pub fn folder() -> Result<TempDir> {
    let folder = TempDir::with_prefix("roundtable-e2e-")?;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))?;
    Ok(folder)
}

/// The variables that make a stack use these servers.
pub fn urls(servers: &PrivateServers) -> Result<Vec<(&'static str, String)>> {
    let postgres = servers.postgres_url.clone().context("Postgres was wanted")?;
    Ok(vec![
        ("ROUNDTABLE_POSTGRES_READER_URL", reader_url(&postgres)?),
        ("ROUNDTABLE_POSTGRES_URL", postgres),
        ("ROUNDTABLE_REDIS_URL", servers.redis_url.clone().context("Redis was wanted")?),
        ("ROUNDTABLE_NATS_URL", servers.nats_url.clone().context("NATS was wanted")?),
    ])
}
