//! The hidden command that serves what `bench event-store` measures, in a process of its own.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use super::{
    shim::{self, Backend},
    table::Table,
};

/// What stands between a server's name and its address in the line that says that it is ready.
const READY: &str = " is ready at ";

/// What to serve.
#[derive(Clone, Debug)]
pub enum Serve {
    /// The event store, with its data in this folder.
    Store(PathBuf),
    /// The store's protocol before nothing: what the calls alone cost.
    Echo,
    /// The store's protocol before a table of PostgreSQL.
    Postgres {
        /// The database.
        url: String,
        /// Connections to it.
        connections: u32,
    },
}

/// Serves until SIGTERM or SIGINT, and says on standard output when it is ready.
///
/// # Errors
/// When it cannot listen, open the store, or reach PostgreSQL.
pub async fn serve(what: Serve, listen: SocketAddr) -> Result<()> {
    let shutdown = service::shutdown::on_signal();
    let listener = TcpListener::bind(listen).await.context("cannot listen")?;
    let address = listener.local_addr()?;
    let backend = match what {
        Serve::Store(data) => {
            let config = event_store::Config::new(data);
            let opening = move || event_store::EventStore::open(config);
            let store = tokio::task::spawn_blocking(opening).await??;
            announce("store", address)?;
            return Ok(store.serve(listener, shutdown).await?);
        }
        Serve::Echo => Backend::Echo,
        Serve::Postgres { url, connections } => {
            Backend::Postgres(Table::open(&url, connections).await?)
        }
    };
    announce("server", address)?;
    Ok(shim::serve(backend, listener, shutdown).await?)
}

pub(in crate::bench) fn announce(name: &str, address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}{READY}{address}")?;
    out.flush()
}

/// The address in the line that says that a server is ready.
pub(in crate::bench) fn ready_at(line: &str) -> Option<&str> {
    line.trim().split_once(READY).map(|(_, address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_stores_own_program_is_understood() {
        let line = "roundtable-event-store is ready at 127.0.0.1:4711\n";
        assert_eq!(ready_at(line), Some("127.0.0.1:4711"));
        assert_eq!(ready_at(""), None);
    }
}
