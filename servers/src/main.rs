//! `roundtable-servers`: runs a command with private servers around it.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Parser;
use servers::{Afterwards, Durability, run_with_servers};

/// Starts a private PostgreSQL, Redis and NATS, runs a command, and stops them again.
///
/// The command finds them in ROUNDTABLE_TEST_POSTGRES_URL, ROUNDTABLE_TEST_REDIS_URL and
/// ROUNDTABLE_TEST_NATS_URL. Without a command the addresses are printed, and the servers run
/// until Ctrl-C. The exit status is the command's.
#[derive(Debug, Parser)]
#[command(name = "roundtable-servers", version)]
struct Arguments {
    /// The folder with the servers' data; made if it is not there.
    #[arg(long)]
    data: PathBuf,
    /// Leave the disk to the operating system: faster, and enough for tests.
    #[arg(long)]
    relaxed: bool,
    /// Remove the data in the end.
    #[arg(long)]
    throw_away: bool,
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<OsString>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    let arguments = Arguments::parse();
    let durability = if arguments.relaxed { Durability::Relaxed } else { Durability::Full };
    let afterwards = if arguments.throw_away { Afterwards::Remove } else { Afterwards::Keep };
    let run = run_with_servers(&arguments.data, durability, afterwards, &arguments.command);
    match run.await {
        Ok(None) => ExitCode::SUCCESS,
        // A command that a signal ended has no code.
        Ok(Some(status)) => {
            ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("roundtable-servers: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(reason) = cause {
                eprintln!("  because: {reason}");
                cause = reason.source();
            }
            ExitCode::FAILURE
        }
    }
}
