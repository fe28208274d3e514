//! The event store as a program of its own.

mod cli;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use event_store::{Config, EventStore};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A single-node event store that speaks the KurrentDB gRPC protocol, without TLS.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Without one, the store is served.
    #[command(subcommand)]
    command: Option<cli::Command>,
    /// The folder of the log; made when missing.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_DATA", default_value = ".roundtable/event-store")]
    data: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_LISTEN", default_value = "127.0.0.1:2113")]
    listen: SocketAddr,
    /// The host and port that clients reach this node at, when it is not the address above.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_ADVERTISE", value_parser = host_and_port)]
    advertise: Option<(String, u16)>,
    /// A segment file of the log that has reached this many bytes is closed and a new one begun.
    #[arg(
        long,
        env = "ROUNDTABLE_EVENTSTORE_SEGMENT_BYTES",
        value_name = "BYTES",
        default_value_t = 256 << 20,
        value_parser = clap::value_parser!(u64).range(4096..),
    )]
    segment_bytes: u64,
    /// Only ask whether the store at this address (`host:port`) is healthy.
    #[arg(long, value_name = "ADDRESS")]
    check: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(command) = arguments.command {
        return cli::run(command);
    }
    if let Some(address) = arguments.check {
        event_store::check(&address).await.with_context(|| format!("{address} is sick"))?;
        return Ok(ExitCode::SUCCESS);
    }
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    // Bound first, so that clients may come while the log is read: they wait, and are not refused.
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    stop_on_signals(&shutdown)?;
    let config = Config {
        advertise: arguments.advertise,
        segment_bytes: arguments.segment_bytes,
        ..Config::new(arguments.data)
    };
    let store = tokio::task::spawn_blocking(move || EventStore::open(config)).await??;
    announce(address)?;
    store.serve(listener, shutdown).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Says on standard output, in one line, where the store is ready.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    use std::io::Write;

    let mut out = std::io::stdout().lock();
    writeln!(out, "roundtable-event-store is ready at {address}")?;
    out.flush()
}

fn stop_on_signals(shutdown: &CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        shutdown.cancel();
    });
    Ok(())
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("a host, a colon and a port are wanted")?;
    let port = port.parse().map_err(|_| "the port is not a number".to_owned())?;
    Ok((host.to_owned(), port))
}
