//! What can go wrong with a private server, said so that the reader knows what to do next.

use std::{io, path::PathBuf, time::Duration};

use crate::Kind;

/// A private server could not be started, found or reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is not installed.
    #[error(
        "{kind} was not found: `{program}` is neither in {places} nor on the PATH; \
         install the Debian package `{package}` (`make deps` does it)"
    )]
    Missing {
        /// Which server.
        kind: Kind,
        /// The program that was looked for.
        program: &'static str,
        /// Where it was looked for.
        places: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Another process works with the same data folder.
    #[error("the data folder {} is in use by another Roundtable process", .0.display())]
    InUse(PathBuf),
    /// The server ended before it was ready.
    #[error("{kind} ended before it was ready ({status}); the end of {}:\n{tail}", log.display())]
    Ended {
        /// Which server.
        kind: Kind,
        /// How the process ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// The server runs but does not answer as it should.
    #[error(
        "{kind} was not ready after {} s: {reason}; the end of {}:\n{tail}",
        after.as_secs(), log.display()
    )]
    NotReady {
        /// Which server.
        kind: Kind,
        /// How long it was waited for.
        after: Duration,
        /// What the last attempt to reach it said.
        reason: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// The port the server has to come back on is taken.
    #[error("{kind} cannot come back on port {port} of 127.0.0.1: the port is taken")]
    PortTaken {
        /// Which server.
        kind: Kind,
        /// The port.
        port: u16,
    },
    /// The data is there but what belongs to it is not.
    #[error("{what}: {}", path.display())]
    Inconsistent {
        /// What does not fit, as a sentence.
        what: &'static str,
        /// The file or folder in question.
        path: PathBuf,
    },
    /// The server was not among those that were started.
    #[error("{0} is not one of the servers that were started here")]
    NotStarted(Kind),
    /// A tool that comes with the server, or with the system, failed.
    #[error("`{program}` failed ({status}):\n{output}")]
    Tool {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// A file or a process could not be handled.
    #[error("{what}: {}", path.display())]
    Io {
        /// What was attempted, as a sentence.
        what: &'static str,
        /// The file or program.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Postgres is up but refused a statement of ours.
    #[error("PostgreSQL refused to prepare the database")]
    Database(#[from] sqlx::Error),
}

/// Adds what was attempted, and on which file, to an I/O error.
pub(crate) trait Context<T> {
    fn context(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what, path: path.into(), source })
    }
}
