//! The embedded event store, on a loopback port that stays the same.

use std::{fs, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::private_folder;

/// The store in this process.
pub(super) struct Store {
    pub(super) url: String,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), event_store::Error>>,
}

impl Store {
    /// Opens the store under `data`. It is ready when this returns.
    pub(super) async fn start(data: &Path) -> Result<Self> {
        let listener = listen(&data.join("event-store.port")).await?;
        let url = format!("esdb://{}?tls=false", listener.local_addr()?);
        let folder = private_folder(&data.join("event-store"), 0o700)?;
        let config = event_store::Config::new(folder);
        let store = tokio::task::spawn_blocking(move || event_store::EventStore::open(config))
            .await
            .expect("opening the store does not panic")
            .context("the event store cannot be opened")?;
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(store.serve(listener, shutdown.clone()));
        Ok(Self { url, shutdown, task })
    }

    /// Lets the last appends end and closes the log.
    pub(super) async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        self.task.await.context("the event store panicked")?.context("the event store failed")
    }

    /// Whether it ended, which it does only if something is wrong.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

/// Listens on the port of the last start if it is free, else on another, and remembers it: a tool
/// that was pointed at the log finds it again.
async fn listen(remembered: &Path) -> Result<TcpListener> {
    let known = fs::read_to_string(remembered).ok().and_then(|text| text.trim().parse().ok());
    if let Some(port) = known
        && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
    {
        return Ok(listener);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    fs::write(remembered, port.to_string())
        .with_context(|| format!("{} cannot be written", remembered.display()))?;
    Ok(listener)
}
