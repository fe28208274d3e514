//! `roundtable state`: what the rules of a stream knew at a place in the past, and what has changed.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use events::{Position, StreamName};
use query_api::history::access;
use query_api::history::state::{Change, StreamState, changes, state};
use query_api::history::when::When;
use serde::Serialize;
use serde_json::Value;

use super::Place;
use super::events::{Printer, index, open, operator, until_closed, whose};

/// Print the state that a stream had at a position or a moment.
///
/// It is what the rules decided on: folded from the events up to there. What is personal in it
/// stays sealed unless --open is given; that is recorded in the log.
#[derive(Debug, Args)]
pub struct StateArguments {
    /// The stream, such as `conversation-{id}`.
    stream: String,
    /// As of this position or moment [default: now].
    #[arg(long, value_name = "POSITION|TIME")]
    at: Option<When>,
    /// Print what changed between two places instead.
    #[arg(long, value_names = ["FROM", "TO"], num_args = 2, conflicts_with = "at")]
    diff: Option<Vec<When>>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    /// Open what is said of persons; this is recorded in the log.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    place: Place,
}

/// Prints it.
///
/// # Errors
/// When a server does not answer, or the stream had no events by then.
pub async fn run(arguments: StateArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    until_closed(print(arguments).await)
}

#[derive(Serialize)]
struct Difference<'a> {
    stream: &'a str,
    from: Position,
    to: Position,
    changes: Vec<Change>,
}

async fn print(arguments: StateArguments) -> Result<()> {
    let StateArguments { stream, at, diff, json, open: opens, place } = arguments;
    let (log, seals) = open(&place, opens).await?;
    let name = StreamName::recorded(stream);
    let place_of = async |when: Option<When>| match when {
        None => Ok(log.head().await?),
        Some(When::At(position)) => Ok(position),
        Some(moment) => {
            let mut db = index(&log, &place.postgres()?).await?;
            anyhow::Ok(moment.last_event(&mut db).await?.unwrap_or(Position::START))
        }
    };
    let fold = async |at: Position| {
        let found = state(&log, &name, at, seals).await?;
        let kinds = "it is not a stream of Roundtable, which has rules: its name begins with a \
                     category, such as `conversation-`";
        anyhow::Ok(found.context(kinds)?)
    };
    let mut printer = Printer::new(json);
    if let Some([from, to]) = diff.as_deref() {
        let (from, to) = (place_of(Some(*from)).await?, place_of(Some(*to)).await?);
        let (before, after) = (fold(from).await?, fold(to).await?);
        let both = whose(&[&before.state, &after.state]);
        record(opens, &log, format!("stream={name} from={from} to={to}"), both).await?;
        let changes = changes(&before.state, &after.state);
        if json {
            return printer.json(&Difference { stream: name.as_str(), from, to, changes });
        }
        printer.line(&heading(&after, Some(from), &printer))?;
        if changes.is_empty() {
            return printer.line("nothing changed");
        }
        return changes.iter().try_for_each(|change| show(change, &mut printer));
    }
    let found = fold(place_of(at).await?).await?;
    if found.revision.is_none() {
        bail!("{name} has no events up to {}", found.as_of);
    }
    let asked = format!("stream={name} as_of={}", found.as_of);
    record(opens, &log, asked, whose(&[&found.state])).await?;
    if json {
        return printer.json(&found);
    }
    printer.line(&heading(&found, None, &printer))?;
    printer.line(&serde_json::to_string_pretty(&found.state)?)
}

async fn record(
    opens: bool,
    log: &event_log::EventLog,
    asked: String,
    whose: Vec<events::UserId>,
) -> Result<()> {
    if opens && !whose.is_empty() {
        access::record(log, operator(), "state", asked, whose).await?;
    }
    Ok(())
}

fn heading(state: &StreamState, since: Option<Position>, printer: &Printer) -> String {
    let at = match state.revision {
        Some(revision) => format!("@{revision}"),
        None => ", which was empty,".to_owned(),
    };
    let since = since.map_or_else(String::new, |from| format!(" since {from}"));
    let text = format!("{}{at} as of {}{since}", state.stream, state.as_of);
    printer.paint.text("1", &text)
}

fn show(change: &Change, printer: &mut Printer) -> Result<()> {
    let path = if change.path.is_empty() { "/" } else { &change.path };
    let line = match (&change.before, &change.after) {
        (Value::Null, after) => printer.paint.text("32", &format!("+ {path}: {after}")),
        (before, Value::Null) => printer.paint.text("31", &format!("- {path}: {before}")),
        (before, after) => printer.paint.text("33", &format!("~ {path}: {before} -> {after}")),
    };
    printer.line(&line)
}
