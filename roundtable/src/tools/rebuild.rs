//! `roundtable rebuild`: the next version of projections beside the live one, compared, switched, and
//! switched back.

use std::{process::ExitCode, str::FromStr, time::Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::HumanCount;
use projector::rebuild::{
    Compared, Difference, Job, Kept, Progress, Slot, Status, discard, models, status,
};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::watch, task::AbortHandle};

use super::{Place, progress, stop};

/// How many differences are shown to people.
const SHOWN: usize = 20;

/// Build read models anew from the event store, beside the live ones, and switch to them.
///
/// The system serves all the while. The new tables are compared with the live ones row by row, at one
/// position. If nothing differs they take their place, in one transaction; if something does, it is
/// shown, and nothing is switched without --switch. What was replaced is kept until --drop: --back
/// switches to it again. An interrupted rebuild is taken up by the same command. Nobody is notified of
/// anything by a rebuild.
#[derive(Debug, Args)]
pub struct RebuildArguments {
    /// The read models, or `all`. Those that read each other are best built together.
    #[arg(value_name = "PROJECTION")]
    projections: Vec<String>,
    /// Switch even if rows differ: as they do when the definition has changed, or the live tables were
    /// wrong.
    #[arg(long, conflicts_with_all = ["keep", "back", "drop", "status"])]
    switch: bool,
    /// Build and compare, and switch nothing.
    #[arg(long, conflicts_with_all = ["back", "drop", "status"])]
    keep: bool,
    /// Bring what was replaced up to date, and switch back to it.
    #[arg(long, conflicts_with_all = ["drop", "status"])]
    back: bool,
    /// Drop what is not live: what is built, and what was replaced.
    #[arg(long, conflicts_with = "status")]
    drop: bool,
    /// Show what there is of every read model.
    #[arg(long)]
    status: bool,
    /// Print one JSON object for each line, with every difference; rows may hold personal data.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Does what was asked for. Fails (with a code, not an error) if rows differ and nothing was switched.
///
/// # Errors
/// When a server does not answer, or it cannot be done; what was built stays.
pub async fn run(arguments: RebuildArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let options = PgConnectOptions::from_str(&arguments.place.postgres_url()?)
        .context("the URL of PostgreSQL is wrong")?;
    if arguments.status {
        return show_status(&options, arguments.json).await;
    }
    let names = named(&arguments.projections)?;
    if arguments.drop {
        let mut db = PgConnection::connect_with(&options).await?;
        discard(&mut db, &names, Slot::Next).await?;
        discard(&mut db, &names, Slot::Old).await?;
        say(arguments.json, json!({ "dropped": names }), || "only the live tables are left".into());
        return Ok(ExitCode::SUCCESS);
    }
    let slot = if arguments.back { Slot::Old } else { Slot::Next };
    let log = arguments.place.log().await?;
    stop::says(stop::GOES_ON);
    let mut job = Job::open(options, log, &names, slot).await?;
    let begun = Instant::now();
    let shown = show(job.progress());
    job.build().await?;
    shown.abort();
    let progress = *job.progress().borrow();
    let seconds = begun.elapsed().as_secs_f64();
    say(
        arguments.json,
        json!({ "built": names, "position": progress.until, "events": progress.events,
                "seconds": seconds }),
        || format!("built from {} events in {seconds:.1} s", HumanCount(progress.events)),
    );
    let same = compare(&mut job, arguments.json).await?;
    if arguments.keep || !(same || arguments.switch || arguments.back) {
        let again = arguments.projections.join(" ");
        say(arguments.json, json!({ "switched": false, "same": same }), || {
            format!("nothing was switched; `roundtable rebuild {again} --switch` does it")
        });
        return Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    job.switch().await?;
    say(arguments.json, json!({ "switched": true, "same": same }), || {
        "switched; what was live before is kept: --back switches back, --drop drops it".into()
    });
    Ok(ExitCode::SUCCESS)
}

/// The projections that were named.
fn named(asked: &[String]) -> Result<Vec<&'static str>> {
    let all: Vec<&str> = models().iter().map(|model| model.name).collect();
    if asked.is_empty() {
        bail!("say which read model, or `all`: {}", all.join(", "));
    }
    if asked.iter().any(|name| name == "all") {
        return Ok(all);
    }
    asked
        .iter()
        .map(|name| {
            let found = all.iter().find(|known| *known == name).copied();
            found.with_context(|| format!("there is no read model {name}: {}", all.join(", ")))
        })
        .collect()
}

/// Compares, and tells what differs. Says whether nothing does.
async fn compare(job: &mut Job, json: bool) -> Result<bool> {
    let mut told = 0;
    let mut tell = |difference: Difference| {
        told += 1;
        if json {
            println!("{}", json!(difference));
        } else if told <= SHOWN {
            println!("  {}", words(&difference));
        } else if told == SHOWN + 1 {
            println!("  and more: all of them with --json");
        }
    };
    let tables = job.compare(&mut tell).await?;
    for table in &tables {
        say(json, json!(table), || row(table));
    }
    Ok(tables.iter().all(Compared::is_same))
}

fn words(it: &Difference) -> String {
    let what = match it.difference.as_str() {
        "only_live" => "is only in the live one".to_owned(),
        "only_next" => "is only in the new one".to_owned(),
        _ => format!("differs in {}", it.columns.join(", ")),
    };
    format!("{} {} {what}", it.table, it.key)
}

fn row(it: &Compared) -> String {
    let Compared { table, live_rows, next_rows, only_live, only_next, different } = it;
    match it.is_same() {
        true => format!("{table}: {live_rows} rows, the same"),
        false => format!(
            "{table}: {live_rows} rows live, {next_rows} new; {only_live} only live, {only_next} only \
             new, {different} different"
        ),
    }
}

fn say(json: bool, object: serde_json::Value, words: impl FnOnce() -> String) {
    match json {
        true => println!("{object}"),
        false => println!("{}", words()),
    }
}

async fn show_status(options: &PgConnectOptions, json: bool) -> Result<ExitCode> {
    let mut db = PgConnection::connect_with(options).await?;
    for it in status(&mut db).await? {
        say(json, json!(it), || status_row(&it));
    }
    Ok(ExitCode::SUCCESS)
}

fn status_row(it: &Status) -> String {
    let kept = |name: &str, kept: &Option<Kept>| match kept {
        Some(Kept { position, version, parked, together }) => {
            let others = if together.len() > 1 { " with others" } else { "" };
            format!("  {name}: version {version} at {position}, {parked} parked{others}")
        }
        None => String::new(),
    };
    let outdated = it.live.as_ref().is_some_and(|live| live.version != it.version);
    let hint = if outdated { "  (not of this program's version)" } else { "" };
    let parts = [kept("live", &it.live), kept("next", &it.next), kept("old", &it.old)];
    format!("{} {}{}{hint}", it.projection, it.version, parts.concat())
}

/// Shows how far it is, on a terminal, until it is aborted.
fn show(mut progress: watch::Receiver<Progress>) -> AbortHandle {
    let bar = progress::way("{wide_bar} {percent}%  {msg}  {eta} left");
    let begun = Instant::now();
    let task = tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let Progress { from, position, until, events } = *progress.borrow();
            bar.set_length(until.commit.saturating_sub(from.commit));
            bar.set_position(position.commit.saturating_sub(from.commit));
            let rate = events as f64 / begun.elapsed().as_secs_f64().max(0.001);
            bar.set_message(format!("{} events, {rate:.0}/s", HumanCount(events)));
        }
    });
    task.abort_handle()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_models_are_named_one_by_one_or_all_at_once() {
        let asked =
            |names: &[&str]| named(&names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        assert_eq!(asked(&["member", "login"]).unwrap(), ["member", "login"]);
        assert_eq!(asked(&["all"]).unwrap().len(), models().len());
        assert!(asked(&[]).unwrap_err().to_string().contains("user_profile"));
        let removals = asked(&["file_removal"]).unwrap_err().to_string();
        assert!(removals.contains("no read model file_removal"), "{removals}");
    }
}
