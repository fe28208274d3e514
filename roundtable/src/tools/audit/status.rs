//! How far the log is signed.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use event_log::EventLog;
use events::Position;
use projector::notary::verify::Newest;
use projector::notary::{STREAM, Tail, newest};
use serde_json::json;

use super::key;
use crate::tools::Place;

/// Say how far the log is signed, and how much of it nobody has signed yet.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: StatusArguments) -> Result<ExitCode> {
    let StatusArguments { json, place } = arguments;
    let log = place.sealed_log().await?;
    let (_, signed) = newest(&log, &key::of(&place)?).await?;
    let newest = signed.as_ref().map(Newest::of);
    let unsigned = after(&log, newest.as_ref().map_or(Position::START, |at| at.last)).await?;
    if json {
        println!("{}", json!({ "newest": newest, "unsigned": unsigned }));
    } else {
        match &newest {
            Some(newest) => println!("{}", say(newest)),
            None => println!("nothing is signed yet"),
        }
        println!("not signed yet: {unsigned} events");
    }
    Ok(ExitCode::SUCCESS)
}

/// A checkpoint in words.
pub(super) fn say(newest: &Newest) -> String {
    let Newest { number, hash, last, total, time } = newest;
    format!("signed: {total} events up to position {last}, at {time} (checkpoint {number}, {hash})")
}

/// How many events there are after a position, not counting checkpoints.
async fn after(log: &EventLog, position: Position) -> Result<usize> {
    let (mut tail, mut count) = (Tail::after(position), 0);
    while let Some(page) = tail.page(log).await? {
        count += page.iter().filter(|event| !event.is_system() && event.stream != STREAM).count();
    }
    Ok(count)
}
