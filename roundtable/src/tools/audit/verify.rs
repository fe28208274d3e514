//! Whether the log is as it was signed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use ed25519_dalek::VerifyingKey;
use event_log::EventLog;
use projector::notary::checkpoint::digest;
use projector::notary::leaf::Digest;
use projector::notary::verify::{Checkpoints, Halfway, Report, Verifier};
use projector::notary::{STREAM, Tail, export};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lines::{At, Lines};
use super::{key, status};
use crate::tools::bookmark::Bookmark;
use crate::tools::{Place, progress, stop};

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
    /// Keep in this file how far it is: a verification that was stopped goes on, begun again with the
    /// same file. It is removed in the end; until then it is to be trusted as the answer is.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
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
    let VerifyArguments { from, public_key, known, resume, json, place } = arguments;
    let keys: Vec<VerifyingKey> = match public_key.is_empty() {
        true => vec![key::of(&place).context("no --public-key, and no secrets to take it from")?],
        false => public_key.iter().map(|given| key::read(given)).collect::<Result<_>>()?,
    };
    stop::says(match resume {
        Some(_) => stop::GOES_ON,
        None => "with --resume FILE it would have kept how far it was",
    });
    let way = |what: String| {
        let keys = keys.iter().map(|key| hex::encode(key.as_bytes())).collect();
        Way::open(resume.as_deref(), Work { verify: what, keys })
    };
    let report = match from {
        Some(file) => {
            let way = way(std::path::absolute(&file)?.display().to_string())?;
            of_file(&file, keys, way, known.as_ref())
                .with_context(|| format!("{} cannot be verified", file.display()))?
        }
        None => {
            let way = way(place.name()?)?;
            of_log(&place.sealed_log().await?, keys, way, known.as_ref()).await?
        }
    };
    tell(&report, json);
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is verified: a log or a file, with which keys.
#[derive(PartialEq, Serialize, Deserialize)]
struct Work {
    verify: String,
    keys: Vec<String>,
}

/// How far a verification is, and where in a file.
#[derive(Serialize, Deserialize)]
struct Stop {
    at: Option<At>,
    verifier: Halfway,
}

/// From where a verification goes, and where it keeps how far it is.
struct Way {
    bookmark: Option<Bookmark<Work>>,
    from: Option<Stop>,
}

impl Way {
    fn open(path: Option<&Path>, work: Work) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { bookmark: None, from: None }) };
        let (bookmark, from) = Bookmark::open(path, work)?;
        Ok(Self { bookmark: Some(bookmark), from })
    }

    /// A verifier, and whether it is at the place where another one was stopped, or at the beginning.
    fn begin(&mut self, checkpoints: Checkpoints) -> (Verifier, bool) {
        let Some(Stop { verifier, .. }) = self.from.take() else {
            return (checkpoints.read(), false);
        };
        match checkpoints.resume(verifier) {
            Ok(verifier) => {
                eprintln!("going on after {} events", verifier.progress().0);
                (verifier, true)
            }
            Err(anew) => {
                eprintln!("beginning anew: other checkpoints are about what was read");
                (*anew, false)
            }
        }
    }

    /// Keeps how far it is, now and then.
    fn keep(&mut self, verifier: &Verifier, at: impl FnOnce() -> Option<At>) -> Result<()> {
        match &mut self.bookmark {
            Some(bookmark) if bookmark.is_due() => match verifier.halfway() {
                Some(verifier) => bookmark.keep(&Stop { at: at(), verifier }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn end(self) -> Result<()> {
        self.bookmark.map_or(Ok(()), Bookmark::end)
    }
}

async fn of_log(
    log: &EventLog,
    keys: Vec<VerifyingKey>,
    mut way: Way,
    known: Option<&Digest>,
) -> Result<Report> {
    let (mut verifier, _) = way.begin(Checkpoints::of_log(log, keys).await?);
    let (read, of) = verifier.progress();
    let bar = progress::events(of, "verifying");
    progress::behind(&bar, read);
    let mut tail = Tail::after(verifier.after());
    while let Some(page) = tail.page(log).await? {
        page.iter().for_each(|event| verifier.take(event));
        let (read, of) = verifier.progress();
        bar.set_length(of);
        bar.set_position(read);
        way.keep(&verifier, || None)?;
    }
    bar.finish_and_clear();
    way.end()?;
    Ok(verifier.end(known))
}

fn of_file(
    file: &Path,
    keys: Vec<VerifyingKey>,
    mut way: Way,
    known: Option<&Digest>,
) -> Result<Report> {
    let mut lines = Lines::open(file)?;
    let bar = progress::bytes(2 * lines.input.get_ref().metadata()?.len(), "verifying");
    let mut checkpoints = Checkpoints::new(keys);
    let beginning = lines.at();
    let stopped = way.from.as_ref().and_then(|stop| stop.at.clone());
    let mut is_same = stopped.as_ref() == Some(&beginning);
    while let Some((_, line)) = lines.next()? {
        bar.inc(line.len() as u64 + 1);
        is_same |= stopped.as_ref().is_some_and(|at| at.byte == lines.byte && *at == lines.at());
        // Most lines are not looked at twice.
        if line.contains(STREAM)
            && let Some(event) = export::parse(&line).filter(|event| event.stream == STREAM)
        {
            checkpoints.take(&event);
        }
    }
    if stopped.is_some() && !is_same {
        eprintln!("beginning anew: what was read of the file has changed");
        way.from = None;
    }
    let (mut verifier, goes_on) = way.begin(checkpoints);
    lines.seek(match stopped {
        Some(at) if goes_on => at,
        _ => beginning,
    })?;
    progress::behind(&bar, bar.position() + lines.byte);
    while let Some((number, line)) = lines.next()? {
        bar.inc(line.len() as u64 + 1);
        take_line(&mut verifier, number, &line);
        way.keep(&verifier, || Some(lines.at()))?;
    }
    bar.finish_and_clear();
    way.end()?;
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
