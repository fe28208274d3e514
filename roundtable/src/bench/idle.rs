//! `roundtable bench idle`: what a socket costs that nobody uses.
//!
//! The gateway is a process of its own and nothing else, so that its memory is that of sockets.
//! Everybody is another person, in a group of ten: the shape that costs most, because nobody shares
//! a subscription or an entry of presence with another device of theirs.

mod crowd;
mod report;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::time::{Instant, sleep};

use super::{
    machine::{self, Machine},
    report::rounded,
    served::Served,
    store::announce,
};
use crate::stack::{Stack, StackConfig};
use crowd::Crowd;
pub use report::IdleReport;

const SOCKETS: usize = 20_000;
const QUICK_SOCKETS: usize = 1000;

/// Files that are open beside the sockets, in the process of the gateway and in this one.
const OTHER_FILES: u64 = 300;

/// The heartbeat of a quick run, so that there is at least one in it.
const QUICK_HEARTBEAT: Duration = Duration::from_secs(8);

/// How long nothing is measured after the last socket came: its coming is told to others.
const SETTLE: Duration = Duration::from_secs(5);

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    /// Fewer sockets for a shorter time: at most 40 s in all.
    pub quick: bool,
    /// How many sockets, if not the usual number.
    pub sockets: Option<usize>,
}

/// Measures, and tells on standard error what is being done.
///
/// # Errors
/// When the stack or the gateway does not start, or a socket cannot be opened or ends.
pub async fn run(idle: &Idle) -> Result<IdleReport> {
    let (begun, date) = (Instant::now(), machine::date());
    let wanted = idle.sockets.unwrap_or(if idle.quick { QUICK_SOCKETS } else { SOCKETS });
    let files = raise_open_files(wanted as u64 + OTHER_FILES)?;
    let sockets = wanted.min(usize::try_from(files.saturating_sub(OTHER_FILES))?);
    eprintln!("starting a stack, and a gateway in a process of its own");
    let folder = tempfile::Builder::new().prefix("roundtable-bench-").tempdir()?;
    let stack = Stack::start(StackConfig::new(folder.path().join("data"))).await?;
    let measured = measure(&stack, folder.path(), sockets, idle.quick).await;
    stack.destroy().await?;
    let Measured { before, after, seconds, cpu } = measured?;
    Ok(IdleReport {
        bench: "idle",
        machine: Machine::this(),
        date,
        commit: crate::COMMIT,
        seconds: rounded(begun.elapsed().as_secs_f64(), 1),
        sockets,
        people: sockets,
        limited_by: (sockets < wanted).then(|| format!("{files} open files in one process")),
        bytes_per_socket: after.saturating_sub(before) / sockets as u64,
        cpu_percent: rounded(cpu as f64 / 1e4 / seconds, 2),
        idle_seconds: rounded(seconds, 1),
        heartbeat_seconds: heartbeat(idle.quick).as_secs_f64(),
        rss_before_mb: rounded(before as f64 / 1048576.0, 1),
        rss_after_mb: rounded(after as f64 / 1048576.0, 1),
    })
}

struct Measured {
    /// Resident memory of the gateway, in bytes: before the sockets, and with them.
    before: u64,
    after: u64,
    /// How long its processor time was measured.
    seconds: f64,
    /// Of that, in microseconds.
    cpu: u64,
}

async fn measure(stack: &Stack, folder: &Path, sockets: usize, quick: bool) -> Result<Measured> {
    eprintln!("{sockets} people log in, and talk in groups of ten");
    let crowd = Crowd::gather(stack, sockets + 1).await?;
    let gateway = gateway(stack, folder, heartbeat(quick)).await?;
    // Whatever is made once is made for the first one.
    let first = crowd.sockets(&gateway.address, 0..1).await?;
    sleep(SETTLE).await;
    let before = gateway.resident()?;
    drop(first);

    eprintln!("{sockets} sockets open");
    let begun = Instant::now();
    let open = crowd.sockets(&gateway.address, 1..sockets + 1).await?;
    eprintln!("all are open after {:.1} s; now nothing happens", begun.elapsed().as_secs_f64());
    sleep(SETTLE).await;
    let settled = gateway.resident()?;
    let (begun, cpu) = (Instant::now(), gateway.cpu_us()?);
    sleep(Duration::from_secs(if quick { 8 } else { 30 })).await;
    let cpu = gateway.cpu_us()?.saturating_sub(cpu);
    let seconds = begun.elapsed().as_secs_f64();
    let after = settled.max(gateway.resident()?);
    let left = open.alive();
    ensure!(left == sockets, "{} sockets ended", sockets - left);
    Ok(Measured { before, after, seconds, cpu })
}

fn heartbeat(quick: bool) -> Duration {
    match quick {
        true => QUICK_HEARTBEAT,
        false => command_api::Limits::default().heartbeat,
    }
}

/// As many open files as the system lets this process have, and those it starts; more than that
/// where we may raise the bound ourselves.
fn raise_open_files(wanted: u64) -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if most < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

async fn gateway(stack: &Stack, folder: &Path, heartbeat: Duration) -> Result<Served> {
    let urls = stack.urls();
    let variables = [
        ("ROUNDTABLE_POSTGRES_URL", urls.postgres.clone()),
        ("ROUNDTABLE_REDIS_URL", urls.redis.clone()),
        ("ROUNDTABLE_NATS_URL", urls.nats.clone()),
        ("ROUNDTABLE_EVENTSTORE_URL", urls.eventstore.clone()),
        ("ROUNDTABLE_SECRETS", stack.data().join("secrets").display().to_string()),
        ("ROUNDTABLE_NODE", "idle".to_owned()),
        ("ROUNDTABLE_HEARTBEAT_MS", heartbeat.as_millis().to_string()),
    ];
    Served::start("gateway", folder, variables).await
}

/// Serves the gateway that is measured, until SIGTERM or SIGINT; everything else about it is in
/// the environment.
///
/// # Errors
/// When the configuration is wrong, or a server does not answer.
pub async fn serve(listen: std::net::SocketAddr) -> Result<()> {
    let shutdown = service::shutdown::on_signal();
    let config = service::Config::from_env()?;
    let listener = tokio::net::TcpListener::bind(listen).await.context("cannot listen")?;
    announce("gateway", listener.local_addr()?)?;
    command_api::serve(config, listener, shutdown).await
}
