//! A small single-node event store that speaks the KurrentDB gRPC protocol.
//!
//! It is the default store of Roundtable: the clients of KurrentDB, in any language, work against
//! it unchanged. Its promises:
//!
//! - **What was acknowledged is durable.** Answers and subscriptions come after the sync.
//! - **An append is there as a whole or not at all**, whenever the power fails.
//! - **The log is the only truth.** The index follows from it, and is built anew when it is missing.
//! - **A subscriber is never dropped for being slow**; it reads the log at its own pace.

mod access;
mod batch;
mod catalog;
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
mod tls;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use check::{CheckError, check};
pub use config::{Config, Credentials, Password, TlsFiles};
pub use error::Error;
pub use tls::Tls;

/// An open store, which owns its folder until it is dropped.
pub struct EventStore {
    running: engine::Running,
    access: Arc<access::Gate>,
    tls: Option<Arc<Tls>>,
}

impl EventStore {
    /// Opens the folder, checks the whole log and builds the index. When this returns, the store
    /// is ready. It blocks; in async code use `spawn_blocking` when the log may be long.
    ///
    /// # Errors
    ///
    /// When the folder is taken ([`Error::Taken`]), cannot be used, or holds a log that was
    /// changed after it was written ([`Error::Corrupt`]); when the certificate cannot be used or
    /// the first password of the admin is missing ([`Error::Configuration`]).
    pub fn open(config: Config) -> Result<Self, Error> {
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let running = engine::Running::open(config)?;
        let access = Arc::new(access::Gate::open(Arc::clone(&running.engine))?);
        Ok(Self { running, access, tls })
    }

    /// The certificate that is served, to have it read anew; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Serves the protocol, over TLS when it is configured and else in clear text (h2c), until the
    /// shutdown; then lets the folder go.
    /// Subscriptions end with UNAVAILABLE; other calls have a few seconds to end.
    ///
    /// # Errors
    ///
    /// When the listener or the server fails, or passwords would come to the listener in clear
    /// text ([`Error::Configuration`]).
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let engine = Arc::clone(&self.running.engine);
        let access = Arc::clone(&self.access);
        let served = grpc::serve(engine, access, self.tls.clone(), listener, shutdown).await;
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
