//! The command line of the program `roundtable`.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use roundtable::{import_users::ImportArguments, tools::Tool};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ROUNDTABLE_COMMIT"), ")");

/// Roundtable: friends, conversations and study rooms, every fact of them in an event store.
///
/// `roundtable up` runs the whole stack; `roundtable demo` shows what it does.
#[derive(Debug, Parser)]
#[command(version = VERSION, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpArguments),
    Migrate(MigrateArguments),
    Secrets(SecretsArguments),
    Demo(DemoArguments),
    #[command(flatten)]
    Tool(Tool),
    ImportUsers(ImportArguments),
    /// Measure, and print the figures.
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// Run the whole stack in one process: event store, PostgreSQL, Redis, NATS and all services.
///
/// Servers that are not given by URL are started as private children with their data under the
/// data folder, on ports of their own, so they disturb nothing that already runs. Everything is
/// found again by the next start. Ctrl-C stops all of it; a second Ctrl-C ends at once.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// The folder with everything it keeps; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".roundtable")]
    pub(crate) data: PathBuf,
    /// Where the API listens; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", env = "ROUNDTABLE_LISTEN", value_parser = address,
          default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The folder of the secret keys [default: `secrets` in the data folder, made if need be].
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_SECRETS", hide_env_values = true)]
    pub(crate) secrets: Option<PathBuf>,
    /// Say what every setting is, where it comes from and whether it works, and start nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Remove all data in the end.
    #[arg(long)]
    pub(crate) throw_away: bool,
    /// End when standard input is closed.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
    /// What is logged on standard error, such as `info` or `warn,projector=debug`.
    #[arg(long, value_name = "FILTER", env = "ROUNDTABLE_LOG", default_value = "warn")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) servers: ServerArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Servers to use instead of private ones")]
pub(crate) struct ServerArguments {
    /// PostgreSQL, as the role that owns the database.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    pub(crate) postgres_url: Option<String>,
    /// The same database, as the role of the readers; made with this password if need be.
    #[arg(
        long,
        value_name = "URL",
        env = "ROUNDTABLE_POSTGRES_READER_URL",
        hide_env_values = true,
        requires = "postgres_url"
    )]
    pub(crate) postgres_reader_url: Option<String>,
    /// Redis; it should run with `appendonly yes`.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,
    /// NATS with JetStream.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_NATS_URL", hide_env_values = true)]
    pub(crate) nats_url: Option<String>,
    /// KurrentDB, or an event store of ours in a process of its own.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_EVENTSTORE_URL", hide_env_values = true)]
    pub(crate) eventstore_url: Option<String>,
}

/// Bring the database to the version of this program, and let the readers' role log in.
#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// PostgreSQL, as the role that owns the database.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    pub(crate) postgres_url: String,
    /// The same database, as the role of the readers; made with this password if need be.
    #[arg(
        long,
        value_name = "URL",
        env = "ROUNDTABLE_POSTGRES_READER_URL",
        hide_env_values = true
    )]
    pub(crate) postgres_reader_url: Option<String>,
}

/// Make the secret keys of a deployment that are not there yet.
///
/// They are `master.key` (seals personal data: without it none is ever read again, so back it up),
/// `deployment.key`, `signing.key` and `audit.key` (signs the log). A key that is there is never
/// replaced.
#[derive(Debug, Args)]
pub(crate) struct SecretsArguments {
    /// The folder; made if it is not there.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// See two people meet and talk, step by step.
///
/// Two people sign up, become friends and talk over WebSocket; receipts turn a message from sent
/// to delivered to read; one connection is cut and resumes with nothing missed. The exit status is
/// 0 only if no step failed. Without --url this runs on a throw-away stack in a temporary folder,
/// on ports of its own.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// A stack that runs, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Chat(ChatArguments),
    Idle(IdleArguments),
    EventStore(EventStoreArguments),
    Reads(ReadsArguments),
    Rebuild(RebuildArguments),
    Receipts(ReceiptsArguments),
    Sfu(SfuArguments),
    /// What is measured runs in processes of its own.
    #[command(subcommand, hide = true)]
    Serve(ServeCommand),
}

/// What every bench that runs a stack can be told.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RunArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Less of it, for a shorter time: at most 40 s.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// One conversation with 50 subscribers, at a rate that rises until it is too much.
///
/// Latencies count from the moment a message was due (no coordinated omission); a message is
/// acknowledged when it is stored durably. The stack runs in processes of its own, in a temporary
/// folder, on ports of its own; the load comes from this process, on the same machine.
#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Measure a stack that runs, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// A busy group in which everybody acknowledges and reads every message: how many receipts come in,
/// and how many events and rows are written for them.
#[derive(Debug, Args)]
pub(crate) struct ReceiptsArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Measure a stack that runs, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// The read endpoints at a million messages: latency at a steady rate, and what eight callers get
/// who do not pause.
///
/// A hundred groups of twenty people; the reader is in half of them. Latencies count from the moment
/// a question was due (no coordinated omission). The stack runs in this process, in a temporary
/// folder, on ports of its own.
#[derive(Debug, Args)]
pub(crate) struct ReadsArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// How many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) messages: Option<u32>,
}

/// Read models built anew from a million messages, while two people go on talking: events a second, and
/// what the two notice.
///
/// The new tables are compared with the live ones row by row, and switched. The stack runs in this
/// process, in a temporary folder, on ports of its own.
#[derive(Debug, Args)]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// How many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) messages: Option<u32>,
    /// The read models, or `all` [default: message].
    #[arg(long, value_name = "PROJECTION", value_delimiter = ',')]
    pub(crate) projections: Vec<String>,
}

/// What a forwarded packet costs the SFU: rooms with many subscribers, and a conference.
///
/// The SFU is a process of its own, and only its processor time counts; the load comes from this
/// process, on the same machine.
#[derive(Debug, Args)]
pub(crate) struct SfuArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// Many sockets at one gateway, and nobody says anything: what each costs.
///
/// Every socket is of another person, in a group of ten. The gateway is a process of its own; its
/// memory with no socket is subtracted. Presence and heartbeats go on as always.
#[derive(Debug, Args)]
pub(crate) struct IdleArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// How many sockets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sockets: Option<u32>,
}

/// The event store through the official client, beside PostgreSQL and beside no store at all.
///
/// Events of 300 bytes, each written to a new stream and durable before it is acknowledged, by 1,
/// 16 and 256 callers and in batches; the same against a table of PostgreSQL behind the same
/// protocol, and against a server that answers and stores nothing. Each server is a process of its
/// own; they take turns in three rounds, and medians are reported. Then reads, the way to a
/// subscriber, the time to open and the disk space.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("sized").args(["sizes", "from"]))]
pub(crate) struct EventStoreArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Shorter rounds: at most 40 s.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the temporary folder with the data is made: it decides which disk is measured.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The most events that one measurement writes, and that the long stream has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) events: Option<u64>,
    /// Connections to PostgreSQL, to see what suits it best on this machine.
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=150))]
    pub(crate) postgres_connections: u32,
    /// Measure instead what the store costs at these numbers of events, such as 1000000,10000000.
    #[arg(long, value_name = "N,N", value_delimiter = ',', conflicts_with_all = ["quick", "events"])]
    pub(crate) sizes: Vec<u64>,
    /// Draw the sizes into this SVG file.
    #[arg(long, value_name = "FILE", requires = "sized")]
    pub(crate) graph: Option<PathBuf>,
    /// Draw the sizes that an earlier run printed with --json, and measure nothing.
    #[arg(long, value_name = "FILE", requires = "graph", conflicts_with = "sizes")]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServeCommand {
    Store {
        #[command(flatten)]
        listen: ServeListen,
        #[arg(long)]
        data: PathBuf,
    },
    Echo(ServeListen),
    Gateway(ServeListen),
    Sfu(ServeListen),
    Postgres {
        #[command(flatten)]
        listen: ServeListen,
        #[arg(long, env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
        postgres_url: String,
        #[arg(long)]
        connections: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ServeListen {
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) listen: SocketAddr,
}

/// `host:port`, the host by name or number.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("host:port is wanted: {error}"))?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}
