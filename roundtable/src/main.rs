//! The program `roundtable`.

use std::{
    fmt::Display,
    io::Write,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use events::user::PlatformRole;
use roundtable::{
    admin, bench, demo,
    import_users::{self, ImportArguments},
    stack::{self, Given, Stack, StackConfig},
    up::{self, Up},
};
use servers::Durability;
use tokio::runtime::{Builder, Runtime};

mod check_config;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ROUNDTABLE_COMMIT"), ")");

/// Roundtable: friends, conversations and study rooms, every fact of them in an event store.
///
/// `roundtable up` runs the whole stack; `roundtable demo` shows what it does.
#[derive(Debug, Parser)]
#[command(version = VERSION, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(UpArguments),
    Migrate(MigrateArguments),
    Secrets(SecretsArguments),
    Demo(DemoArguments),
    /// Appoint people, as the operator.
    #[command(subcommand)]
    Admin(AdminCommand),
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
struct UpArguments {
    /// The folder with everything it keeps; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".roundtable")]
    data: PathBuf,
    /// Where the API listens; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", env = "ROUNDTABLE_LISTEN", value_parser = address,
          default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder of the secret keys [default: `secrets` in the data folder, made if need be].
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_SECRETS", hide_env_values = true)]
    secrets: Option<PathBuf>,
    /// Say what every setting is, where it comes from and whether it works, and start nothing.
    #[arg(long)]
    check_config: bool,
    /// Remove all data in the end.
    #[arg(long)]
    throw_away: bool,
    /// End when standard input is closed.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
    /// What is logged on standard error, such as `info` or `warn,projector=debug`.
    #[arg(long, value_name = "FILTER", env = "ROUNDTABLE_LOG", default_value = "warn")]
    log: String,
    #[command(flatten)]
    servers: ServerArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Servers to use instead of private ones")]
struct ServerArguments {
    /// PostgreSQL, as the role that owns the database.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    postgres_url: Option<String>,
    /// The same database, as the role of the readers; made with this password if need be.
    #[arg(
        long,
        value_name = "URL",
        env = "ROUNDTABLE_POSTGRES_READER_URL",
        hide_env_values = true,
        requires = "postgres_url"
    )]
    postgres_reader_url: Option<String>,
    /// Redis; it should run with `appendonly yes`.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// NATS with JetStream.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_NATS_URL", hide_env_values = true)]
    nats_url: Option<String>,
    /// KurrentDB, or an event store of ours in a process of its own.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_EVENTSTORE_URL", hide_env_values = true)]
    eventstore_url: Option<String>,
}

/// Bring the database to the version of this program, and let the readers' role log in.
#[derive(Debug, Args)]
struct MigrateArguments {
    /// PostgreSQL, as the role that owns the database.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    postgres_url: String,
    /// The same database, as the role of the readers; made with this password if need be.
    #[arg(
        long,
        value_name = "URL",
        env = "ROUNDTABLE_POSTGRES_READER_URL",
        hide_env_values = true
    )]
    postgres_reader_url: Option<String>,
}

/// Make the secret keys of a deployment that are not there yet.
///
/// They are `master.key` (seals personal data: without it none is ever read again, so back it up),
/// `deployment.key` and `signing.key`. A key that is there is never replaced.
#[derive(Debug, Args)]
struct SecretsArguments {
    /// The folder; made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// See two people meet and talk, step by step.
///
/// Two people sign up, become friends and talk over WebSocket; receipts turn a message from sent
/// to delivered to read; one connection is cut and resumes with nothing missed. The exit status is
/// 0 only if no step failed. Without --url this runs on a throw-away stack in a temporary folder,
/// on ports of its own.
#[derive(Debug, Args)]
struct DemoArguments {
    /// A stack that runs, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    Grant(GrantArguments),
}

/// Give somebody a role on the whole platform.
///
/// This is how the first admin comes to be; admins then appoint others over the API. The stack has
/// to run. It is found by its data folder, or by the URL of its event store and its secret keys.
#[derive(Debug, Args)]
struct GrantArguments {
    /// The person, by handle or id.
    #[arg(long, value_name = "HANDLE")]
    user: String,
    /// The role.
    #[arg(long, value_enum)]
    role: GrantedRole,
    /// The data folder of `roundtable up`.
    #[arg(long, value_name = "DIR", default_value = ".roundtable")]
    data: PathBuf,
    /// The folder of the secret keys [default: `secrets` in the data folder].
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_SECRETS", hide_env_values = true)]
    secrets: Option<PathBuf>,
    /// The event store, where it is not embedded.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_EVENTSTORE_URL", hide_env_values = true)]
    eventstore_url: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum GrantedRole {
    User,
    Moderator,
    Admin,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Chat(ChatArguments),
    Idle(IdleArguments),
    EventStore(EventStoreArguments),
    Receipts(ReceiptsArguments),
    Sfu(SfuArguments),
    /// What is measured runs in processes of its own.
    #[command(subcommand, hide = true)]
    Serve(ServeCommand),
}

/// One conversation with 50 subscribers, at a rate that rises until it is too much.
///
/// Latencies count from the moment a message was due (no coordinated omission); a message is
/// acknowledged when it is stored durably. The stack runs in processes of its own, in a temporary
/// folder, on ports of its own; the load comes from this process, on the same machine.
#[derive(Debug, Args)]
struct ChatArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Fewer and shorter steps: at most 40 s.
    #[arg(long)]
    quick: bool,
    /// Measure a stack that runs, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// A busy group in which everybody acknowledges and reads every message: how many receipts come in,
/// and how many events and rows are written for them.
#[derive(Debug, Args)]
struct ReceiptsArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Shorter: at most 40 s.
    #[arg(long)]
    quick: bool,
    /// Measure a stack that runs, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// What a forwarded packet costs the SFU: rooms with many subscribers, and a conference.
///
/// The SFU is a process of its own, and only its processor time counts; the load comes from this
/// process, on the same machine.
#[derive(Debug, Args)]
struct SfuArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Shorter: at most 40 s.
    #[arg(long)]
    quick: bool,
}

/// Many sockets at one gateway, and nobody says anything: what each costs.
///
/// Every socket is of another person, in a group of ten. The gateway is a process of its own; its
/// memory with no socket is subtracted. Presence and heartbeats go on as always.
#[derive(Debug, Args)]
struct IdleArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Fewer sockets, for a shorter time: at most 40 s.
    #[arg(long)]
    quick: bool,
    /// How many sockets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sockets: Option<u32>,
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
struct EventStoreArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Shorter rounds: at most 40 s.
    #[arg(long)]
    quick: bool,
    /// Where the temporary folder with the data is made: it decides which disk is measured.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The most events that one measurement writes, and that the long stream has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..))]
    events: Option<u64>,
    /// Connections to PostgreSQL, to see what suits it best on this machine.
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=150))]
    postgres_connections: u32,
    /// Measure instead what the store costs at these numbers of events, such as 1000000,10000000.
    #[arg(long, value_name = "N,N", value_delimiter = ',', conflicts_with_all = ["quick", "events"])]
    sizes: Vec<u64>,
    /// Draw the sizes into this SVG file.
    #[arg(long, value_name = "FILE", requires = "sized")]
    graph: Option<PathBuf>,
    /// Draw the sizes that an earlier run printed with --json, and measure nothing.
    #[arg(long, value_name = "FILE", requires = "graph", conflicts_with = "sizes")]
    from: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ServeCommand {
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
struct ServeListen {
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(arguments) => run_up(arguments),
        Command::Migrate(arguments) => migrate(&arguments),
        Command::Secrets(arguments) => secrets(&arguments),
        Command::Demo(arguments) => run_demo(arguments),
        Command::Admin(AdminCommand::Grant(arguments)) => grant(arguments),
        Command::ImportUsers(arguments) => import(&arguments),
        Command::Bench(BenchCommand::Chat(arguments)) => chat(arguments),
        Command::Bench(BenchCommand::Idle(arguments)) => idle(&arguments),
        Command::Bench(BenchCommand::EventStore(arguments)) => event_store(arguments),
        Command::Bench(BenchCommand::Receipts(arguments)) => receipts(arguments),
        Command::Bench(BenchCommand::Sfu(arguments)) => sfu(&arguments),
        Command::Bench(BenchCommand::Serve(command)) => serve(command),
    };
    result.unwrap_or_else(|error| {
        eprintln!("roundtable: {error}");
        for cause in error.chain().skip(1) {
            eprintln!("  because: {cause}");
        }
        ExitCode::FAILURE
    })
}

fn run_up(arguments: UpArguments) -> Result<ExitCode> {
    if arguments.check_config {
        return one_thread()?.block_on(check_config::run(&arguments));
    }
    service::telemetry::init(&arguments.log);
    let ServerArguments { postgres_url, postgres_reader_url, redis_url, nats_url, eventstore_url } =
        arguments.servers;
    let up = Up {
        stack: StackConfig {
            data: arguments.data,
            listen: arguments.listen,
            given: Given {
                postgres: given(postgres_url),
                postgres_reader: given(postgres_reader_url),
                redis: given(redis_url),
                nats: given(nats_url),
                eventstore: given(eventstore_url),
            },
            secrets: arguments.secrets.filter(|path| !path.as_os_str().is_empty()),
            durability: Durability::Full,
            limits: None,
        },
        throw_away: arguments.throw_away,
        until_stdin_closes: arguments.until_stdin_closes,
    };
    many_threads()?.block_on(up::run(up))?;
    Ok(ExitCode::SUCCESS)
}

fn migrate(arguments: &MigrateArguments) -> Result<ExitCode> {
    let reader = arguments.postgres_reader_url.as_deref().filter(|url| !url.is_empty());
    one_thread()?.block_on(stack::migrate(&arguments.postgres_url, reader))?;
    println!("the database is at the version of this program");
    Ok(ExitCode::SUCCESS)
}

fn secrets(arguments: &SecretsArguments) -> Result<ExitCode> {
    service::Secrets::generate(&arguments.folder)?;
    println!("the secret keys are in {}", arguments.folder.display());
    Ok(ExitCode::SUCCESS)
}

fn grant(arguments: GrantArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let GrantArguments { user, role, data, secrets, eventstore_url } = arguments;
    let place = admin::Place {
        data,
        eventstore_url: given(eventstore_url),
        secrets: secrets.filter(|path| !path.as_os_str().is_empty()),
    };
    let (role, name) = match role {
        GrantedRole::User => (PlatformRole::User, "user"),
        GrantedRole::Moderator => (PlatformRole::Moderator, "moderator"),
        GrantedRole::Admin => (PlatformRole::Admin, "admin"),
    };
    match many_threads()?.block_on(admin::grant(&place, &user, role))? {
        admin::Granted::Now(id) => println!("{id} has the role {name} now"),
        admin::Granted::Before(id) => println!("{id} had the role {name} already"),
    }
    Ok(ExitCode::SUCCESS)
}

fn import(arguments: &ImportArguments) -> Result<ExitCode> {
    service::telemetry::init("warn");
    many_threads()?.block_on(import_users::run(arguments))
}

fn run_demo(arguments: DemoArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    many_threads()?.block_on(async {
        let outcome = match arguments.url {
            Some(url) => demo::run(&url, std::io::stdout(), demo::colour()).await?,
            None => demo_on_its_own().await?,
        };
        println!("\n{outcome}");
        Ok(if outcome.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Nothing of the stack stays, even when somebody has seen enough and presses Ctrl-C.
async fn demo_on_its_own() -> Result<demo::Outcome> {
    println!("starting a throw-away stack in a temporary folder");
    let enough = service::shutdown::on_signal();
    let folder = tempfile::Builder::new().prefix("roundtable-demo-").tempdir()?;
    let stack = Stack::start(StackConfig::new(folder.path().join("data"))).await?;
    let url = stack.urls().api.clone();
    let outcome = tokio::select! {
        outcome = demo::run(&url, std::io::stdout(), demo::colour()) => Some(outcome),
        () = enough.cancelled() => None,
    };
    stack.destroy().await?;
    Ok(outcome.context("ended by a signal")??)
}

fn chat(arguments: ChatArguments) -> Result<ExitCode> {
    let chat = bench::Chat { quick: arguments.quick, url: arguments.url };
    // One thread: the load generator must leave the other core to the stack.
    let report = one_thread()?.block_on(async {
        let enough = service::shutdown::on_signal();
        tokio::select! {
            report = bench::chat(&chat) => report,
            () = enough.cancelled() => anyhow::bail!("ended by a signal"),
        }
    })?;
    print(arguments.json, &report)?;
    bench::check(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn receipts(arguments: ReceiptsArguments) -> Result<ExitCode> {
    let bench = bench::Receipts { quick: arguments.quick, url: arguments.url };
    let report = one_thread()?.block_on(async {
        let enough = service::shutdown::on_signal();
        tokio::select! {
            report = bench::receipts(&bench) => report,
            () = enough.cancelled() => anyhow::bail!("ended by a signal"),
        }
    })?;
    print(arguments.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn sfu(arguments: &SfuArguments) -> Result<ExitCode> {
    let bench = bench::Sfu { quick: arguments.quick };
    let report = many_threads()?.block_on(async {
        let enough = service::shutdown::on_signal();
        tokio::select! {
            report = bench::sfu(&bench) => report,
            () = enough.cancelled() => anyhow::bail!("ended by a signal"),
        }
    })?;
    print(arguments.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn idle(arguments: &IdleArguments) -> Result<ExitCode> {
    let sockets = arguments.sockets.map(|sockets| sockets as usize);
    let idle = bench::Idle { quick: arguments.quick, sockets };
    let report = many_threads()?.block_on(async {
        let enough = service::shutdown::on_signal();
        tokio::select! {
            report = bench::idle(&idle) => report,
            () = enough.cancelled() => anyhow::bail!("ended by a signal"),
        }
    })?;
    print(arguments.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn event_store(arguments: EventStoreArguments) -> Result<ExitCode> {
    let EventStoreArguments { json, quick, data, events, postgres_connections, sizes, graph, from } =
        arguments;
    if let (Some(from), Some(graph)) = (&from, &graph) {
        let text = std::fs::read_to_string(from)
            .with_context(|| format!("{} cannot be read", from.display()))?;
        draw(graph, &serde_json::from_str(&text).context("it holds no sizes")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    many_threads()?.block_on(async {
        let enough = service::shutdown::on_signal();
        if sizes.is_empty() {
            let bench = bench::Store { quick, data, events, postgres_connections };
            print(json, &bench::store(&bench, enough).await?)?;
        } else {
            let report = bench::sizes(&sizes, data, enough).await?;
            print(json, &report)?;
            graph.map(|graph| draw(&graph, &report)).transpose()?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn draw(graph: &Path, report: &bench::SizesReport) -> Result<()> {
    std::fs::write(graph, bench::draw(report))
        .with_context(|| format!("{} cannot be written", graph.display()))
}

/// One JSON object, or a table for people.
fn print(json: bool, report: &(impl serde::Serialize + Display)) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match json {
        true => writeln!(out, "{}", serde_json::to_string(report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(())
}

fn serve(command: ServeCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    let (what, listen) = match command {
        ServeCommand::Store { listen, data } => (bench::Serve::Store(data), listen),
        ServeCommand::Echo(listen) => (bench::Serve::Echo, listen),
        ServeCommand::Gateway(listen) => {
            many_threads()?.block_on(bench::serve_gateway(listen.listen))?;
            return Ok(ExitCode::SUCCESS);
        }
        ServeCommand::Sfu(listen) => {
            many_threads()?.block_on(bench::serve_sfu(listen.listen))?;
            return Ok(ExitCode::SUCCESS);
        }
        ServeCommand::Postgres { listen, postgres_url: url, connections } => {
            (bench::Serve::Postgres { url, connections }, listen)
        }
    };
    many_threads()?.block_on(bench::serve(what, listen.listen))?;
    Ok(ExitCode::SUCCESS)
}

fn many_threads() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("threads cannot be started")
}

fn one_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("a thread cannot be started")
}

/// `host:port`, the host by name or number.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("host:port is wanted: {error}"))?;
    found.next().ok_or_else(|| "the host has no address".to_owned())
}

/// A variable that is there and empty is one that is not set.
fn given(url: Option<String>) -> Option<String> {
    url.filter(|url| !url.trim().is_empty())
}
