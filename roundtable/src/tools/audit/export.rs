//! The log as a file, to be verified elsewhere.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use event_log::{EventLog, Stored};
use events::{Position, StreamName};
use indicatif::ProgressBar;
use projector::notary::checkpoint::Signed;
use projector::notary::verify::Newest;
use projector::notary::{STREAM, Tail, export};
use serde_json::json;

use super::{key, status};
use crate::tools::{Place, keep, progress, stop};

/// How long the end of an export waits for the notary to sign what it holds.
const SIGNED_WITHIN: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(200);

/// Write the whole log to a file of lines, which anybody can verify without this deployment.
///
/// Personal data in it stays sealed. An export that was interrupted goes on where it ended, when it
/// is begun again with the same file; so does one that is to hold what is new. It ends with a
/// checkpoint that covers everything that was in the log at its beginning.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The file; made, or continued.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: ExportArguments) -> Result<ExitCode> {
    let ExportArguments { file, json, place } = arguments;
    let log = place.sealed_log().await?;
    let named = || format!("{} cannot be written", file.display());
    let (output, before) = open(&file).with_context(named)?;
    if let Some((_, last)) = &before {
        is_of_this_log(&log, last).await.with_context(|| file.display().to_string())?;
    }
    let (count, position) =
        before.map_or((0, Position::START), |(count, last)| (count, last.position));
    stop::says(stop::GOES_ON);
    let mut export = Export {
        output: BufWriter::with_capacity(1 << 20, output),
        bar: progress::events(0, "exporting"),
        count,
        position,
        newest: None,
    };
    progress::behind(&export.bar, count);
    let signed = export.run(&log, &place).await.with_context(named)?;
    let Export { count, position, .. } = export;
    if json {
        println!("{}", json!({ "events": count, "position": position, "newest": signed }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("exported: {count} events up to position {position}");
    match signed {
        Some(newest) => println!("{}", status::say(&newest)),
        None => println!("nobody signed this yet: export again when the notary runs"),
    }
    Ok(ExitCode::SUCCESS)
}

struct Export {
    output: BufWriter<File>,
    bar: ProgressBar,
    count: u64,
    position: Position,
    newest: Option<Signed>,
}

impl Export {
    async fn run(&mut self, log: &EventLog, place: &Place) -> Result<Option<Newest>> {
        let key = key::of(place)?;
        let (_, newest) = projector::notary::newest(log, &key).await?;
        self.bar.set_length(newest.as_ref().map_or(0, |signed| signed.checkpoint.total));
        // A checkpoint is in the log after what it covers, so everything up to here is enough.
        let head = last_of_others(log, newest.as_ref()).await?;
        let mut tail = Tail::after(self.position);
        let begun = Instant::now();
        loop {
            while let Some(page) = tail.page(log).await? {
                for event in page.iter().filter(|event| !event.is_system()) {
                    writeln!(self.output, "{}", export::line(event))?;
                    self.count += 1;
                    self.position = event.position;
                    let signed =
                        (event.stream == STREAM).then(|| Signed::read(event).ok()).flatten();
                    let signed = signed.filter(|signed| signed.is_signed_by(&key));
                    self.newest = signed.or(self.newest.take());
                }
                self.bar.set_position(self.count);
            }
            let newest = self.newest.as_ref().or(newest.as_ref());
            let up_to = newest.map_or(Position::START, |signed| signed.checkpoint.last);
            if up_to >= head || begun.elapsed() > SIGNED_WITHIN {
                self.output.flush()?;
                self.output.get_ref().sync_all()?;
                self.bar.finish_and_clear();
                return Ok(newest.map(Newest::of));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The position of the last event that is no checkpoint, if it is not signed.
async fn last_of_others(log: &EventLog, newest: Option<&Signed>) -> Result<Position> {
    let signed = newest.map_or(Position::START, |signed| signed.checkpoint.last);
    let (mut tail, mut last) = (Tail::after(signed), signed);
    while let Some(page) = tail.page(log).await? {
        let others = page.iter().filter(|event| !event.is_system() && event.stream != STREAM);
        last = others.last().map_or(last, |event| event.position);
    }
    Ok(last)
}

/// The file, at its end; and what it holds: how many events, and the last one.
fn open(path: &Path) -> Result<(File, Option<(u64, Stored)>)> {
    let (mut lines, mut last) = (0_u64, String::new());
    let mut file = keep::appended(path, |line| {
        ensure!(lines > 0 || line == export::HEADER, "it holds something else than an export");
        lines += 1;
        line.clone_into(&mut last);
        Ok(())
    })?;
    match lines {
        0 => writeln!(file, "{}", export::HEADER)?,
        1 => {}
        _ => {
            let event = export::parse(&last).context("its last line is no event")?;
            return Ok((file, Some((lines - 1, event))));
        }
    }
    Ok((file, None))
}

/// Nobody wants two logs in one file.
async fn is_of_this_log(log: &EventLog, last: &Stored) -> Result<()> {
    let stream = StreamName::recorded(&*last.stream);
    let here = log.read_stored_stream(&stream, last.revision, 1).await?;
    ensure!(here.first() == Some(last), "the log does not have the last event of this file");
    Ok(())
}
