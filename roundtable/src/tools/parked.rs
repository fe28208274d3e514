//! `roundtable parked`: the events that projections could not work on.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use domain::parked::Action;
use events::{EventId, Position, StreamName};
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, PgPool};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Place;
use crate::client::new_id;

/// How long it is waited for what a projection does about a decision.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done about parked events.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// Show which events are parked, by which projections, and why.
    List(ListArguments),
    /// Show one event as it lies in the log, and who could not work on it.
    Show(ShowArguments),
    /// Try an event again, and then the later ones of its stream.
    Retry(RetryArguments),
    /// Do without an event, and go on with the later ones of its stream. This is recorded in the log.
    Skip(SkipArguments),
}

/// Which parked events.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Of this projection only.
    #[arg(long)]
    projection: Option<String>,
    /// Print one JSON object for each line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Which event.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Its id.
    event: Uuid,
    /// Print one JSON object for each line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Which event, of which projection.
#[derive(Debug, Args)]
pub struct RetryArguments {
    /// Its id.
    event: Uuid,
    /// The projection, if several parked it.
    #[arg(long)]
    projection: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Which event, of which projection, and why.
#[derive(Debug, Args)]
pub struct SkipArguments {
    /// Its id.
    event: Uuid,
    /// The projection, if several parked it.
    #[arg(long)]
    projection: Option<String>,
    /// Why; no personal data.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Serialize, FromRow)]
struct Row {
    projection: String,
    event: Uuid,
    stream: String,
    revision: i64,
    error: String,
    parked_at: DateTime<Utc>,
    retries: i32,
    retried_at: Option<DateTime<Utc>>,
}

/// Does what was asked for. Fails (with a code) when an event that was tried again stays parked.
///
/// # Errors
/// When a server does not answer, or no such event is parked.
pub async fn run(command: ParkedCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    match command {
        ParkedCommand::List(ListArguments { projection, json, place }) => {
            let rows = rows(&place.postgres()?, None, projection.as_deref()).await?;
            rows.iter().for_each(|row| print(row, json));
            if rows.is_empty() && !json {
                println!("no events are parked");
            }
            Ok(ExitCode::SUCCESS)
        }
        ParkedCommand::Show(ShowArguments { event, json, place }) => {
            show(event, json, &place).await
        }
        ParkedCommand::Retry(RetryArguments { event, projection, place }) => {
            decide(&place, event, projection, Action::Retry).await
        }
        ParkedCommand::Skip(SkipArguments { event, projection, reason, place }) => {
            decide(&place, event, projection, Action::Skip { reason }).await
        }
    }
}

async fn rows(
    postgres: &PgPool,
    event: Option<Uuid>,
    projection: Option<&str>,
) -> Result<Vec<Row>> {
    sqlx::query_as(
        "select projection, event_id as event, stream, revision, error, parked_at, retries, retried_at
         from parked_event
         where ($1::uuid is null or event_id = $1) and ($2::text is null or projection = $2)
         order by position, projection",
    )
    .bind(event)
    .bind(projection)
    .fetch_all(postgres)
    .await
    .context("PostgreSQL does not answer")
}

fn print(row: &Row, json: bool) {
    if json {
        println!("{}", json!(row));
        return;
    }
    let Row { projection, event, stream, revision, error, parked_at, retries, .. } = row;
    let tried = if *retries > 0 { format!(", tried again {retries} times") } else { String::new() };
    println!("{event} {projection} {stream} #{revision} since {parked_at}{tried}\n  {error}");
}

async fn show(event: Uuid, json: bool, place: &Place) -> Result<ExitCode> {
    let rows = rows(&place.postgres()?, Some(event), None).await?;
    let first = rows.first().with_context(|| format!("{event} is not parked"))?;
    let revision = u64::try_from(first.revision)?;
    let log = place.sealed_log().await?;
    let events = log.read_stream(&StreamName::recorded(first.stream.as_str()), revision).await?;
    let found = events.into_iter().next().filter(|it| it.id.uuid() == event);
    let found = found.context("the log does not have it")?;
    match json {
        true => println!("{}", json!(found)),
        false => println!("{}", serde_json::to_string_pretty(&found)?),
    }
    rows.iter().for_each(|row| print(row, json));
    Ok(ExitCode::SUCCESS)
}

async fn decide(
    place: &Place,
    event: Uuid,
    projection: Option<String>,
    action: Action,
) -> Result<ExitCode> {
    let postgres = place.postgres()?;
    let found = rows(&postgres, Some(event), projection.as_deref()).await?;
    let row = match &found[..] {
        [] => bail!("{event} is not parked: see `roundtable parked list`"),
        [row] => row,
        several => {
            let names: Vec<&str> = several.iter().map(|row| row.projection.as_str()).collect();
            bail!(
                "several projections parked it, say which with --projection: {}",
                names.join(", ")
            )
        }
    };
    let log = place.sealed_log().await?;
    let id = EventId::new(event);
    let decided =
        command_api::decide_as_operator(&log, new_id(), id, &row.projection, action).await;
    let position = decided.map_err(|problem| anyhow!("{}", super::erase::told(&problem)))?;
    println!("recorded at {position}");
    reached(&postgres, &row.projection, position).await?;
    let left = rows(&postgres, Some(event), Some(&row.projection)).await?;
    left.iter().for_each(|row| print(row, false));
    if left.is_empty() {
        println!("{} has no such event parked any more", row.projection);
    }
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until a projection has come to a decision.
async fn reached(postgres: &PgPool, projection: &str, position: Position) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there: bool = sqlx::query_scalar(
            "select exists (
               select from projection_checkpoint where projection = $1 and position >= $2
             )",
        )
        .bind(projection)
        .bind(position.to_bytes())
        .fetch_one(postgres)
        .await?;
        if there {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{projection} has not come to it yet: it will, when a projector runs");
        }
        sleep(Duration::from_millis(50)).await;
    }
}
