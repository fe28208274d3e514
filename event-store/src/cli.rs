//! The commands that do something else than serving a store.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::SystemTime,
};

use clap::Subcommand;
use event_store::{Fault, Report};
use serde_json::{Value, json};

/// What the program does instead of serving.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read the whole log and check every event; a running store may have it open.
    Verify {
        #[command(flatten)]
        folder: Folder,
        /// Say each fault, and at last the report, as one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy the log while the store serves; a second time into the same folder, only what is new.
    Backup {
        #[command(flatten)]
        folder: Folder,
        /// The folder of the backup; made when missing.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Check a backup and make the folder of a store from it.
    Restore {
        /// The folder of the backup.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        #[command(flatten)]
        folder: Folder,
    },
    /// Ask a running store, which takes no credentials, to give back the space of events that nobody
    /// can read any more.
    Scavenge {
        /// The host and port of the store.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2113")]
        at: String,
    },
}

/// Which store.
#[derive(clap::Args)]
pub(crate) struct Folder {
    /// The folder of the log.
    #[arg(long, env = "ROUNDTABLE_EVENTSTORE_DATA", value_name = "DIR")]
    data: PathBuf,
}

/// Does it, and says on standard output what came of it.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify { folder, json } => verify(folder, json),
        Command::Backup { folder, to } => {
            let copied = event_store::backup(&folder.data, &to, SystemTime::now(), |_, _| {})?;
            say(&format!(
                "backed up to position {}: {} bytes in {} segments, {} bytes of them new",
                copied.head, copied.bytes, copied.segments, copied.copied
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore { from, folder } => {
            let report = event_store::restore(&from, &folder.data, |_, _| {})?;
            tell_report(&report)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Scavenge { at } => {
            let id = event_store::scavenge(&at).await?;
            say(&format!("scavenging: the stream $scavenges-{id} tells what becomes of it"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(folder: Folder, json: bool) -> anyhow::Result<ExitCode> {
    let mut said = Ok(());
    let report = event_store::verify(&folder.data, |fault| {
        let line = if json { as_json(fault).to_string() } else { as_text(fault) };
        if said.is_ok() {
            said = say(&line);
        }
    })?;
    said?;
    if json {
        say(&report_as_json(&report).to_string())?;
    } else {
        tell_report(&report)?;
    }
    Ok(if report.faults > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell_report(report: &Report) -> io::Result<()> {
    say(&format!(
        "{} bytes in {} segments up to position {}, {} streams, {} bytes in flight",
        report.bytes, report.segments, report.head, report.streams, report.in_flight
    ))?;
    say(&format!("verified: {} events, {} faults", report.events, report.faults))
}

fn as_text(fault: &Fault) -> String {
    format!("fault: {} at byte {}: {}", fault.file.display(), fault.offset, fault.reason)
}

fn as_json(fault: &Fault) -> Value {
    let file = fault.file.display().to_string();
    json!({ "fault": { "file": file, "offset": fault.offset, "reason": fault.reason } })
}

fn report_as_json(report: &Report) -> Value {
    json!({ "verified": {
        "events": report.events,
        "streams": report.streams,
        "bytes": report.bytes,
        "segments": report.segments,
        "head": report.head,
        "inFlight": report.in_flight,
        "faults": report.faults,
    } })
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
