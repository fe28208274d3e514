//! `roundtable replay`: a recorded slice of the log is done again, against another stack.
//!
//! Who took part get new accounts there, under pseudonyms that follow from a key which is thrown away
//! (`mask`): nothing of what was said leaves, only how much, by whom, when. What was between them when the
//! slice begins is made first; then each fact is issued again as the command that made it, at the
//! recorded pace or faster. Conversations go side by side, each in its own order.

mod ask;
mod cast;
mod issue;
mod mask;
mod report;
mod step;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use events::Position;
use query_api::history::{access, when::When};
use reqwest::Method;
use tokio::time::Instant;

use super::{
    Place,
    events::{index, operator},
    export::opened,
    sweep::sweep,
};
use crate::client::Client;
use cast::Cast;
use issue::Issuer;
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
    let ReplayArguments { from, to, speed, into, json, place } = arguments;
    ensure!(speed >= 0.0 && speed.is_finite(), "--speed is a number from 0 on");
    let client = Client::new(&into)?;
    ensure!(!is_itself(&client, &place).await?, "{into} is the stack that is replayed");
    // The lengths of words are needed, not the words: they are masked before anything is kept.
    let log = place.log().await?;
    let place_of = async |when: Option<When>, otherwise: Position| match when {
        None => Ok(otherwise),
        Some(When::At(position)) => Ok(position),
        Some(moment) => {
            let mut db = index(&log, &place.postgres()?).await?;
            anyhow::Ok(moment.last_event(&mut db).await?.unwrap_or(Position::START))
        }
    };
    let from = place_of(from, Position::START).await?;
    let to = place_of(to, log.head().await?).await?;
    ensure!(from < to, "there is nothing between {from} and {to}");

    access::record(&log, operator(), "replay", format!("from={from} to={to}"), vec![]).await?;
    let mask = Mask::new();
    let (mut cast, mut steps) = (Cast::default(), Vec::new());
    sweep(&log, Position::START, to, "reading", async |recorded| {
        let Some(envelope) = opened(&log, recorded).await? else { return Ok(()) };
        if envelope.position <= from {
            cast.learn(&envelope.event);
        } else {
            steps.push(Step::of(&envelope, &mask));
        }
        Ok(())
    })
    .await?;
    let issuer = Issuer::new(client, mask);
    issuer.prepare(&cast, &steps).await.context("the people of the slice cannot be made there")?;
    let begun = Instant::now();
    let report = issuer.issue(steps, speed).await?;
    report.print(begun.elapsed(), json)?;
    Ok(ExitCode::SUCCESS)
}
