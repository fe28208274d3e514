//! Why the store cannot be opened or served.

use std::{io, path::PathBuf};

/// A fault of the store as a whole; what can go wrong with one request is a gRPC status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data folder open.
    #[error("the data folder {} is in use by another process", .0.display())]
    Taken(PathBuf),
    /// A file or folder could not be made, read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `sync`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Bytes that were durable once are not what was written. Opening would lose events, so the
    /// store refuses: the folder has to be restored from a copy.
    #[error("{} is corrupt at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// The place in that file.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// What is configured cannot be, or is not safe.
    #[error("{0}")]
    Configuration(String),
    /// The index cannot be written, and has grown in memory as far as it may.
    #[error("the index has not been written for too long")]
    IndexOverdue,
    /// The gRPC server failed.
    #[error("the gRPC server failed")]
    Transport(#[source] tonic::transport::Error),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Error {
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
