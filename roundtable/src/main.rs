//! The program `roundtable`.

use std::{fmt::Display, io::Write, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use arguments::{
    Arguments, BenchCommand, ChatArguments, Command, DemoArguments, EventStoreArguments,
    IdleArguments, MigrateArguments, ReadsArguments, RebuildArguments, ReceiptsArguments,
    SecretsArguments, ServeCommand, ServerArguments, SfuArguments, UpArguments,
};
use clap::Parser;
use roundtable::{
    bench, demo,
    import_users::{self, ImportArguments},
    stack::{self, Given, Stack, StackConfig},
    up::{self, Up},
};
use servers::Durability;
use tokio::runtime::{Builder, Runtime};

mod arguments;
mod check_config;

fn main() -> ExitCode {
    service::memory::small_pages();
    let result = match Arguments::parse().command {
        Command::Up(arguments) => run_up(arguments),
        Command::Migrate(arguments) => migrate(&arguments),
        Command::Secrets(arguments) => secrets(&arguments),
        Command::Demo(arguments) => run_demo(arguments),
        Command::Tool(tool) => many_threads().and_then(|threads| threads.block_on(tool.run())),
        Command::ImportUsers(arguments) => import(&arguments),
        Command::Bench(BenchCommand::Chat(arguments)) => chat(arguments),
        Command::Bench(BenchCommand::Idle(arguments)) => idle(&arguments),
        Command::Bench(BenchCommand::EventStore(arguments)) => event_store(arguments),
        Command::Bench(BenchCommand::Reads(arguments)) => reads(&arguments),
        Command::Bench(BenchCommand::Rebuild(arguments)) => rebuild(arguments),
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
    let chat = bench::Chat { quick: arguments.run.quick, url: arguments.url };
    // One thread: the load generator must leave the other core to the stack.
    let report = one_thread()?.block_on(unless_ended(bench::chat(&chat)))?;
    print(arguments.run.json, &report)?;
    bench::check(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn receipts(arguments: ReceiptsArguments) -> Result<ExitCode> {
    let bench = bench::Receipts { quick: arguments.run.quick, url: arguments.url };
    let report = one_thread()?.block_on(unless_ended(bench::receipts(&bench)))?;
    print(arguments.run.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn reads(arguments: &ReadsArguments) -> Result<ExitCode> {
    let reads = bench::Reads { quick: arguments.run.quick, messages: arguments.messages };
    let report = many_threads()?.block_on(unless_ended(bench::reads(&reads)))?;
    print(arguments.run.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn rebuild(arguments: RebuildArguments) -> Result<ExitCode> {
    let RebuildArguments { run, messages, projections } = arguments;
    let bench = bench::Rebuild { quick: run.quick, messages, projections };
    let report = many_threads()?.block_on(unless_ended(bench::rebuild(&bench)))?;
    print(run.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn idle(arguments: &IdleArguments) -> Result<ExitCode> {
    let sockets = arguments.sockets.map(|sockets| sockets as usize);
    let idle = bench::Idle { quick: arguments.run.quick, sockets };
    let report = many_threads()?.block_on(unless_ended(bench::idle(&idle)))?;
    print(arguments.run.json, &report)?;
    Ok(ExitCode::SUCCESS)
}

fn sfu(arguments: &SfuArguments) -> Result<ExitCode> {
    let bench = bench::Sfu { quick: arguments.run.quick };
    let report = many_threads()?.block_on(unless_ended(bench::sfu(&bench)))?;
    print(arguments.run.json, &report)?;
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
        ServeCommand::Sfu(listen) => {
            many_threads()?.block_on(bench::serve_sfu(listen.listen))?;
            return Ok(ExitCode::SUCCESS);
        }
        ServeCommand::Gateway(listen) => {
            many_threads()?.block_on(bench::serve_gateway(listen.listen))?;
            return Ok(ExitCode::SUCCESS);
        }
        ServeCommand::Postgres { listen, postgres_url: url, connections } => {
            (bench::Serve::Postgres { url, connections }, listen)
        }
    };
    many_threads()?.block_on(bench::serve(what, listen.listen))?;
    Ok(ExitCode::SUCCESS)
}

/// What is measured, unless a signal ends it first.
async fn unless_ended<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let enough = service::shutdown::on_signal();
    tokio::select! {
        report = work => report,
        () = enough.cancelled() => anyhow::bail!("ended by a signal"),
    }
}

fn many_threads() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("threads cannot be started")
}

fn one_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("a thread cannot be started")
}

/// A variable that is there and empty is one that is not set.
fn given(url: Option<String>) -> Option<String> {
    url.filter(|url| !url.trim().is_empty())
}
