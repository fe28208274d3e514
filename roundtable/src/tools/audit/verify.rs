//! Whether the log is as it was signed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use ed25519_dalek::VerifyingKey;
use event_log::EventLog;
use projector::notary::checkpoint::digest;
use projector::notary::leaf::Digest;
use projector::notary::verify::{self, Checkpoints, Report, Verifier};
use projector::notary::{STREAM, export};
use serde_json::{Value, json};

use super::{key, status};
use crate::tools::{Place, progress};

/// Verify that nothing in the log was changed, dropped, inserted or reordered since it was signed.
///
/// Every fault is told with its place. The last line is `verified: N events, M faults`, and the exit
/// status is 0 only without a fault. What came after the last checkpoint nobody has signed yet: it
/// is counted apart.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// A file that `roundtable audit export` wrote, instead of the log of a deployment.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The public key of the notary: a PEM file or 64 hexadecimal digits; several where the key was
    /// changed [default: that of the deployment's secrets].
    #[arg(long, value_name = "KEY")]
    public_key: Vec<String>,
    /// The hash of a checkpoint that you know from before, which has to be in the log: shows that
    /// the log was not cut off or replaced.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    known: Option<Digest>,
    /// One JSON object for each fault and one in the end, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

fn hash(text: &str) -> Result<Digest, &'static str> {
    digest(text).ok_or("the hash of a checkpoint has 64 hexadecimal digits")
}

pub(super) async fn run(arguments: VerifyArguments) -> Result<ExitCode> {
    let VerifyArguments { from, public_key, known, json, place } = arguments;
    let keys: Vec<VerifyingKey> = match public_key.is_empty() {
        true => vec![key::of(&place).context("no --public-key, and no secrets to take it from")?],
        false => public_key.iter().map(|given| key::read(given)).collect::<Result<_>>()?,
    };
    let report = match from {
        Some(file) => of_file(&file, keys, known.as_ref())
            .with_context(|| format!("{} cannot be verified", file.display()))?,
        None => of_log(&place.sealed_log().await?, keys, known.as_ref()).await?,
    };
    tell(&report, json);
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn of_log(log: &EventLog, keys: Vec<VerifyingKey>, known: Option<&Digest>) -> Result<Report> {
    let bar = progress::events(0, "verifying");
    let report = verify::of_log(log, keys, known, |read, of| {
        bar.set_length(of);
        bar.set_position(read);
    });
    let report = report.await?;
    bar.finish_and_clear();
    Ok(report)
}

fn of_file(file: &Path, keys: Vec<VerifyingKey>, known: Option<&Digest>) -> Result<Report> {
    let mut input = BufReader::with_capacity(1 << 20, File::open(file)?);
    let size = input.get_ref().metadata()?.len();
    let bar = progress::bytes(2 * size, "verifying");
    let mut checkpoints = Checkpoints::new(keys);
    each_line(&mut input, &mut |_, line| {
        bar.inc(line.len() as u64 + 1);
        // Most lines are not looked at twice.
        if line.contains(STREAM)
            && let Some(event) = export::parse(line).filter(|event| event.stream == STREAM)
        {
            checkpoints.take(&event);
        }
    })?;
    input.rewind()?;
    let mut verifier = checkpoints.read();
    each_line(&mut input, &mut |number, line| {
        bar.inc(line.len() as u64 + 1);
        take_line(&mut verifier, number, line);
    })?;
    bar.finish_and_clear();
    Ok(verifier.end(known))
}

fn take_line(verifier: &mut Verifier, number: u64, line: &str) {
    match export::parse(line) {
        Some(event) => verifier.take(&event),
        None => {
            let read: Option<Value> = serde_json::from_str(line).ok();
            let position = read.and_then(|line| line["position"].as_str()?.parse().ok());
            verifier.unreadable(position, format!("line {number} is no event"));
        }
    }
}

/// Every line after the first, with its number. What is no text is a line that cannot be read.
fn each_line(input: &mut BufReader<File>, take: &mut dyn FnMut(u64, &str)) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            ensure!(number > 1, "it is empty");
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if number == 1 {
            ensure!(text == export::HEADER.as_bytes(), "it was not written by `audit export`");
        } else {
            take(number, &String::from_utf8_lossy(text));
        }
    }
    Ok(())
}

fn tell(report: &Report, json: bool) {
    let (events, faults) = (report.events, report.faults.len());
    for fault in &report.faults {
        match json {
            true => println!("{}", json!({ "fault": fault })),
            false => println!("fault: {fault}"),
        }
    }
    if json {
        let (unsigned, newest) = (report.unsigned, &report.newest);
        println!(
            "{}",
            json!({ "verified": { "events": events, "faults": faults, "unsigned": unsigned, "newest": newest } })
        );
        return;
    }
    if let Some(newest) = &report.newest {
        println!("{}", status::say(newest));
    }
    println!("not signed yet: {} events", report.unsigned);
    println!("verified: {events} events, {faults} faults");
}
