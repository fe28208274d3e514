//! A small single-node event store that speaks the KurrentDB gRPC protocol.
//!
//! It is the default store of Roundtable: the clients of KurrentDB, in any language, work against
//! it unchanged. Its promises:
//!
//! - **What was acknowledged is durable.** Answers and subscriptions come after the sync.
//! - **An append is there as a whole or not at all**, whenever the power fails.
//! - **The log is the only truth.** The index is rebuilt from it at open.
//! - **A subscriber is never dropped for being slow**; it reads the log at its own pace.

mod batch;
mod check;
mod committer;
mod config;
mod engine;
mod error;
mod expected;
mod filter;
mod grpc;
mod index;
mod log;
mod metadata;
mod net;
mod read;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use check::{CheckError, check};
pub use config::Config;
pub use error::Error;

/// How the store takes connections: for a server that is compared with it on equal terms.
pub mod transport {
    pub use crate::{
        grpc::server,
        net::{PromptStream, incoming},
    };
}

/// An open store, which owns its folder until it is dropped.
pub struct EventStore(engine::Running);

impl EventStore {
    /// Opens the folder, checks the whole log and builds the index. When this returns, the store
    /// is ready. It blocks; in async code use `spawn_blocking` when the log may be long.
    ///
    /// # Errors
    ///
    /// When the folder is taken ([`Error::Taken`]), cannot be used, or holds a log that was
    /// changed after it was written ([`Error::Corrupt`]).
    pub fn open(config: Config) -> Result<Self, Error> {
        engine::Running::open(config).map(Self)
    }

    /// Serves the protocol in clear text (h2c) until the shutdown, then lets the folder go.
    /// Subscriptions end with UNAVAILABLE; other calls have a few seconds to end.
    ///
    /// # Errors
    ///
    /// When the listener or the server fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let served = grpc::serve(Arc::clone(&self.0.engine), listener, shutdown).await;
        // Waiting for the committer to finish its last batch blocks.
        let closed = tokio::task::spawn_blocking(move || drop(self)).await;
        closed.expect("closing the store does not panic");
        served
    }
}

/// Opens the store and serves it until the shutdown.
///
/// # Errors
///
/// Those of [`EventStore::open`] and [`EventStore::serve`].
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let store = tokio::task::spawn_blocking(move || EventStore::open(config))
        .await
        .expect("opening the store does not panic")?;
    store.serve(listener, shutdown).await
}
