//! `roundtable bench sfu`: what a forwarded packet costs.
//!
//! The SFU is a process of its own, and only its processor time counts. The load comes from this
//! process: every participant is a peer of str0m with a socket of its own, which joins over WHIP or
//! WHEP. The SFU has one half of the machine's processors and the load the other, as if they were two
//! machines: who takes turns on one processor also pays for what the other pushes out of its caches. At
//! the end of each scenario a client of the `webrtc` crate joins and says what it sees. Before all of it a
//! browser joins a call with one camera, as often as it takes to know how long that takes; there, everybody
//! shares all processors.
//! Everything that the SFU does for a browser is on: AEAD AES-GCM, retransmissions, reports,
//! congestion control with transport-wide feedback.

mod browser;
mod janus;
mod load;
mod report;
mod wire;
mod witness;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use service::tickets::{Rights, Ticket, Tickets};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    machine::{self, Machine},
    processes,
    report::{Latency, rounded},
    served::Served,
    store::announce,
};
use browser::Browser;
use janus::Janus;
use load::{Load, Server, Shape};
pub use report::{Scenario, SfuReport};

const NODE: &str = "bench";

/// How long nothing is measured after the last one joined.
const SETTLE: Duration = Duration::from_secs(2);

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Sfu {
    /// Shorter: about a minute.
    pub quick: bool,
}

/// Makes a ticket for a call.
type Issue = Arc<dyn Fn(Uuid, Rights) -> String + Send + Sync>;

/// The three scenarios: name, rooms, publishers and viewers of a room, and what each sends.
const SCENARIOS: [(&str, Shape); 3] = [
    ("5 rooms of 1 publisher and 40 subscribers", Shape::stage(5, 40, 4)),
    ("1 publisher and 200 subscribers", Shape::stage(1, 200, 6)),
    ("a conference of 12", Shape::conference(12, 2)),
];

/// Measures, and tells on standard error what is being done.
///
/// # Errors
/// When the SFU does not start, or somebody cannot join.
pub async fn run(sfu: &Sfu) -> Result<SfuReport> {
    let (begun, date, machine) = (Instant::now(), machine::date(), Machine::this());
    let processors = processes::processors()?;
    // On a machine with a single one they take turns.
    let (its, ours) = match processors.split_at(processors.len() / 2) {
        ([], ours) => (ours, ours),
        halves => halves,
    };
    let folder = tempfile::Builder::new().prefix("roundtable-bench-").tempdir()?;
    let secrets = service::Secrets::generate(&folder.path().join("secrets"))?;
    let tickets = Tickets::new(&secrets.signing);
    let length = Duration::from_secs(if sfu.quick { 5 } else { 20 });
    let ticket: Issue = Arc::new(move |call: Uuid, rights: Rights| {
        let id = Uuid::from_u128(rand::random());
        let user = Uuid::from_u128(rand::random()).into();
        let device = Uuid::from_u128(rand::random());
        let ticket = Ticket { user, call, device, node: NODE.to_owned(), rights, id };
        tickets.issue(ticket, service::clock::now())
    });
    eprintln!("a browser that joins");
    let process = start(folder.path()).await?;
    let joins = if sfu.quick { 5 } else { 30 };
    let watched = Browser::watch(&process.address, ticket.clone(), joins, folder.path()).await;
    drop(process);
    // The rest does not need a browser.
    let browser_failed = watched.as_ref().err().map(|error| format!("{error:#}"));
    browser_failed.iter().for_each(|why| eprintln!("  {why}"));
    let browser = watched.unwrap_or_default();
    processes::keep_on(std::process::id(), ours)?;
    let (mut scenarios, mut janus, mut first_packet_ms) = (Vec::new(), Vec::new(), 0.0f64);
    for (name, shape) in SCENARIOS {
        // Each has a process of its own, so that its memory is that of its peers.
        let process = start(folder.path()).await?;
        eprintln!("{name}");
        let server = Server::Own {
            address: &process.address,
            http: reqwest::Client::new(),
            ticket: &*ticket,
        };
        let pid = process.pid()?;
        processes::keep_on(pid, its)?;
        let (scenario, first) = measure(name, shape, pid, &server, length).await?;
        eprintln!("  {:.2} us a packet", scenario.cpu_us_per_packet);
        scenarios.push(scenario);
        first_packet_ms = first_packet_ms.max(first);
        drop(process);
        let Some(other) = Janus::start(folder.path()).await? else { continue };
        let pid = other.pid().context("Janus ended")?;
        processes::keep_on(pid, its)?;
        let (scenario, _) = measure(name, shape, pid, &Server::Janus(&other), length).await?;
        eprintln!("  {:.2} us a packet by Janus", scenario.cpu_us_per_packet);
        janus.push(scenario);
    }
    Ok(SfuReport {
        bench: "sfu",
        machine,
        date,
        commit: crate::COMMIT,
        seconds: rounded(begun.elapsed().as_secs_f64(), 1),
        scenarios,
        janus: (!janus.is_empty()).then_some(janus),
        first_frame_ms: browser.as_ref().map(|browser| browser.max),
        browser,
        browser_failed,
        first_packet_ms: rounded(first_packet_ms, 1),
    })
}

async fn measure(
    name: &'static str,
    shape: Shape,
    pid: u32,
    server: &Server<'_>,
    length: Duration,
) -> Result<(Scenario, f64)> {
    let cpu_us = || processes::own_cpu_us(pid).context("the kernel does not tell its time");
    let before = processes::resident(pid)?;
    let load = Load::begin(server, shape).await?;
    sleep(SETTLE).await;
    let after = processes::resident(pid)?;
    load.reset();
    let (begun, cpu) = (Instant::now(), cpu_us()?);
    sleep(length).await;
    let cpu = cpu_us()?.saturating_sub(cpu);
    let seconds = begun.elapsed().as_secs_f64();
    let counted = load.counted();
    let witness = load.watched(server).await?;
    load.end().await;
    let per_peer = after.saturating_sub(before) as f64 / 1_048_576.0 / shape.peers() as f64;
    let scenario = Scenario {
        name,
        publishers: shape.publishers(),
        subscribers: shape.subscribers(),
        packets_per_s: rounded(counted.packets as f64 / seconds, 0),
        mbit_per_s: rounded(counted.bytes as f64 * 8.0 / 1e6 / seconds, 1),
        cpu_us_per_packet: rounded(cpu as f64 / counted.packets.max(1) as f64, 2),
        cpu_percent: rounded(cpu as f64 / 1e4 / seconds, 1),
        added_latency: Latency::of(&counted.latency),
        lost: counted.lost,
        rss_mb_per_peer: rounded(per_peer, 3),
        witness,
    };
    Ok((scenario, counted.first_packet_ms))
}

/// The SFU and nothing around it: of what the URLs name, nothing is asked while media flows.
async fn start(folder: &Path) -> Result<Served> {
    let variables = [
        ("ROUNDTABLE_POSTGRES_URL", "postgres://127.0.0.1:1/none".to_owned()),
        ("ROUNDTABLE_REDIS_URL", "redis://127.0.0.1:1".to_owned()),
        ("ROUNDTABLE_NATS_URL", "nats://127.0.0.1:1".to_owned()),
        ("ROUNDTABLE_EVENTSTORE_URL", "esdb://127.0.0.1:1?tls=false".to_owned()),
        ("ROUNDTABLE_SECRETS", folder.join("secrets").display().to_string()),
        ("ROUNDTABLE_SFU_LISTEN", "127.0.0.1:0".to_owned()),
        ("ROUNDTABLE_NODE", NODE.to_owned()),
    ];
    Served::start("sfu", folder, variables).await
}

/// The hidden command that serves what is measured.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(listen: std::net::SocketAddr) -> Result<()> {
    let config = service::Config::from_env()?;
    let settings = sfu::Settings::from_env()?;
    let listener = TcpListener::bind(listen).await.context("cannot listen")?;
    let (address, shutdown) = (listener.local_addr()?, service::shutdown::on_signal());
    let url = format!("http://{address}");
    // Without a log: nobody appends while media flows.
    let app = sfu::App::start(&config, &settings, &url, "", None, shutdown.clone()).await?;
    announce("sfu", address)?;
    let routes = service::http::app(app.router(), &config, app.health());
    let (served, ()) = tokio::join!(service::serve(routes, listener, shutdown), app.drained());
    Ok(served?)
}
