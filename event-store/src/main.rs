//! The event store as a program of its own.

mod cli;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use event_store::{Config, Credentials, EventStore, Password, Tls, TlsFiles};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A single-node event store that speaks the KurrentDB gRPC protocol.
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
    /// The certificate chain of the server, PEM: with it and its key only TLS is spoken. Both are
    /// read again on SIGHUP.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Whether callers must say who they are. With `off` everybody may do everything.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_CREDENTIALS", default_value = "off")]
    credentials: Asked,
    /// Take passwords in clear text from other machines too.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_CREDENTIALS_IN_CLEAR")]
    credentials_in_clear: bool,
    /// A file with the first password of the user `admin`; it may be in the variable
    /// ROUNDTABLE_EVENTSTORE_ADMIN_PASSWORD instead.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_ADMIN_PASSWORD_FILE", value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// The same for the user `ops`, with ROUNDTABLE_EVENTSTORE_OPS_PASSWORD.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_OPS_PASSWORD_FILE", value_name = "FILE")]
    ops_password_file: Option<PathBuf>,
    /// A segment file of the log that has reached this many bytes is closed and a new one begun.
    #[arg(
        long,
        env = "ROUNDTABLE_EVENTSTORE_SEGMENT_BYTES",
        value_name = "BYTES",
        default_value_t = 256 << 20,
        value_parser = clap::value_parser!(u64).range(4096..),
    )]
    segment_bytes: u64,
    /// How many events' places the index holds in memory before they go to disk; as many events are
    /// read again at open.
    #[arg(
        long,
        env = "ROUNDTABLE_EVENTSTORE_INDEX_MEMORY_EVENTS",
        value_name = "EVENTS",
        default_value_t = 1 << 18,
        value_parser = clap::value_parser!(u64).range(1..1 << 32),
    )]
    index_memory_events: u64,
    /// Give back the space of events that nobody can read any more, every so many hours; never when
    /// it is 0.
    #[arg(
        long,
        env = "ROUNDTABLE_EVENTSTORE_SCAVENGE_HOURS",
        value_name = "HOURS",
        default_value_t = 0
    )]
    scavenge_hours: u32,
    /// Only ask whether the store at this address (`host:port`) is healthy; over TLS when the
    /// certificate is given.
    #[arg(long, value_name = "ADDRESS")]
    check: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Asked {
    Required,
    Off,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(command) = arguments.command {
        return cli::run(command).await;
    }
    if let Some(address) = arguments.check {
        let checked = event_store::check(&address, arguments.tls_certificate.as_deref()).await;
        checked.with_context(|| format!("{address} is sick"))?;
        return Ok(ExitCode::SUCCESS);
    }
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    let config = config(&arguments)?;
    allow_many_files();
    // Bound first, so that clients may come while the log is read: they wait, and are not refused.
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    config.permits(address)?;
    let shutdown = CancellationToken::new();
    stop_on_signals(&shutdown)?;
    let store = tokio::task::spawn_blocking(move || EventStore::open(config)).await??;
    if let Some(tls) = store.tls() {
        reload_on_hangup(tls)?;
    }
    announce(address)?;
    store.serve(listener, shutdown).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Every segment of the log is an open file, and so is every connection.
fn allow_many_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the number of open files cannot be raised");
    }
}

fn config(arguments: &Arguments) -> anyhow::Result<Config> {
    let tls = match (&arguments.tls_certificate, &arguments.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
        }
        (None, None) => None,
        (Some(_), None) => bail!("there is a certificate (--tls-certificate) but no --tls-key"),
        (None, Some(_)) => bail!("there is a key (--tls-key) but no --tls-certificate"),
    };
    let admin_password = password("ADMIN", arguments.admin_password_file.as_deref())?;
    let ops_password = password("OPS", arguments.ops_password_file.as_deref())?;
    let credentials = match arguments.credentials {
        Asked::Required => {
            let in_clear = arguments.credentials_in_clear;
            Some(Credentials { admin_password, ops_password, in_clear })
        }
        Asked::Off => {
            if admin_password.is_some() || ops_password.is_some() {
                tracing::warn!("passwords are configured, but credentials are not required");
            }
            None
        }
    };
    let advertise = arguments.advertise.clone();
    Ok(Config {
        advertise,
        tls,
        credentials,
        segment_bytes: arguments.segment_bytes,
        scavenge_every: (arguments.scavenge_hours > 0)
            .then(|| Duration::from_secs(3600) * arguments.scavenge_hours),
        index_memory_events: usize::try_from(arguments.index_memory_events)?,
        ..Config::new(&arguments.data)
    })
}

/// The first password of a user, from the file or from the variable; none of them may be on the
/// command line, where every user of the machine sees it.
fn password(user: &str, file: Option<&Path>) -> anyhow::Result<Option<Password>> {
    let variable = format!("ROUNDTABLE_EVENTSTORE_{user}_PASSWORD");
    #[expect(clippy::disallowed_methods, reason = "main is where configuration is read")]
    let given = std::env::var(&variable).ok().filter(|password| !password.is_empty());
    let password = match (given, file) {
        (Some(_), Some(_)) => bail!("{variable} and {variable}_FILE are both set"),
        (Some(password), None) => password,
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the password in {}", file.display()))?;
            // Editors end the last line.
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(password.into()))
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

/// A renewed certificate is served without a restart.
fn reload_on_hangup(tls: Arc<Tls>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let tls = Arc::clone(&tls);
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => tracing::info!("the certificate was read again"),
                Ok(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
                Err(_) => return,
            }
        }
    });
    Ok(())
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("a host, a colon and a port are wanted")?;
    let port = port.parse().map_err(|_| "the port is not a number".to_owned())?;
    Ok((host.to_owned(), port))
}
