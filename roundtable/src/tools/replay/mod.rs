//! `roundtable replay`: a recorded slice of the log is done again, against another stack.
//!
//! Who took part get new accounts there, under pseudonyms that follow from a key which is thrown away
//! (`mask`): nothing of what was said leaves, only how much, by whom, when. What was between them when the
//! slice begins is made first; then each fact is issued again as the command that made it, at the
//! recorded pace or faster. Conversations go side by side, each in its own order. A journal tells what is done,
//! where it is to go on after a stop.

mod ask;
mod cast;
mod issue;
mod journal;
mod mask;
mod prepare;
mod report;
mod step;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use event_log::EventLog;
use events::Position;
use query_api::history::{access, when::When};
use reqwest::Method;
use tokio::time::Instant;

use super::{
    Place,
    events::{index, operator},
    export::opened,
    stop,
    sweep::sweep,
};
use crate::client::Client;
use cast::Cast;
use issue::Issuer;
use journal::{Asked, Journal, Line, Slice};
use mask::Mask;
use step::Step;

/// Do a recorded slice of the log again, against another stack: to look at an incident, or as a load
/// that is like the real one.
///
/// People, messages, edits, reactions, receipts, friendships and groups are issued anew under
/// pseudonyms; words become other words of the same length, and nothing personal leaves this stack.
/// The other stack should have no rate limits (`ROUNDTABLE_LIMITS=off`); where it has, they are
/// waited for. What cannot be done again, such as calls, is counted.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The first event: after this position, or from this moment on.
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<When>,
    /// The last event: at this position, or before this moment.
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<When>,
    /// How many times faster than it happened; 0 is as fast as it goes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// The other stack, such as http://127.0.0.1:8090. Never the one that is replayed.
    #[arg(long, value_name = "URL")]
    into: String,
    /// Keep in this file what is done, and the key of the pseudonyms: a replay that was stopped goes
    /// on, begun again with the same file. It is removed in the end.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Whether the other stack signs its tokens with the key of this one.
async fn is_itself(client: &Client, place: &Place) -> Result<bool> {
    let answer = client.request(Method::GET, "/.well-known/jwks.json").send().await;
    let there: serde_json::Value =
        answer.context("the other stack does not answer")?.json().await.unwrap_or_default();
    Ok(there == *service::Tokens::new(&place.secrets()?.signing).jwks())
}

/// Does it, and says what came of it.
///
/// # Errors
/// When a server does not answer, or the slice is empty.
pub async fn run(arguments: ReplayArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let ReplayArguments { from, to, speed, into, resume, json, place } = arguments;
    ensure!(speed >= 0.0 && speed.is_finite(), "--speed is a number from 0 on");
    let client = Client::new(&into)?;
    ensure!(!is_itself(&client, &place).await?, "{into} is the stack that is replayed");
    // The lengths of words are needed, not the words: they are masked before anything is kept.
    let log = place.log().await?;
    let asked = Asked {
        log: place.name()?,
        from: from.map(|from| from.to_string()),
        to: to.map(|to| to.to_string()),
        into,
    };
    let (journal, mut past) = Journal::open(resume.as_deref())?;
    let (slice, mask) = match past.begun() {
        Some((begun, slice, mask)) => {
            ensure!(*begun == asked, "the file of --resume is of another replay: {begun:?}");
            (*slice, mask.clone())
        }
        None => {
            let (slice, mask) = (resolved(&log, &place, from, to).await?, Mask::new());
            journal.note(&[Line::Replay { asked, slice, mask: mask.clone() }])?;
            journal.sync()?;
            (slice, mask)
        }
    };
    stop::says(match resume {
        Some(_) => stop::GOES_ON,
        None => "with --resume FILE it would have kept what is done",
    });
    let Slice { from, to } = slice;
    access::record(&log, operator(), "replay", format!("from={from} to={to}"), vec![]).await?;
    let (cast, steps) = read(&log, from, to, &mask).await?;
    let issuer = Issuer::new(client, mask, journal, &mut past);
    let prepared = issuer.prepare(&cast, &steps, past.prepared).await;
    prepared.context("the people of the slice cannot be made there")?;
    let begun = Instant::now();
    let report = issuer.issue(steps, &past, speed).await?;
    report.print(begun.elapsed(), json)?;
    Ok(ExitCode::SUCCESS)
}

/// The slice between two places.
async fn resolved(
    log: &EventLog,
    place: &Place,
    from: Option<When>,
    to: Option<When>,
) -> Result<Slice> {
    let place_of = async |when: Option<When>, otherwise: Position| match when {
        None => Ok(otherwise),
        Some(When::At(position)) => Ok(position),
        Some(moment) => {
            let mut db = index(log, &place.postgres()?).await?;
            anyhow::Ok(moment.last_event(&mut db).await?.unwrap_or(Position::START))
        }
    };
    let from = place_of(from, Position::START).await?;
    let to = place_of(to, log.head().await?).await?;
    ensure!(from < to, "there is nothing between {from} and {to}");
    Ok(Slice { from, to })
}

/// Who was there before the slice, and what was done in it.
async fn read(
    log: &EventLog,
    from: Position,
    to: Position,
    mask: &Mask,
) -> Result<(Cast, Vec<Step>)> {
    let (mut cast, mut steps) = (Cast::default(), Vec::new());
    sweep(log, Position::START, to, "reading", async |recorded| {
        let Some(envelope) = opened(log, recorded).await? else { return Ok(()) };
        if envelope.position <= from {
            cast.learn(&envelope.event);
        } else {
            steps.push(Step::of(&envelope, mask));
        }
        Ok(())
    })
    .await?;
    Ok((cast, steps))
}
