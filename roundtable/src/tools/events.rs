//! `roundtable events`: the log on the terminal, from the past or as it grows.

mod show;

use std::io::ErrorKind;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use event_log::{EventLog, Seals};
use events::{Category, ConversationId, Position, StreamName, UserId};
use futures::StreamExt;
use query_api::history::entry::subjects;
use query_api::history::filter::{Bounded, Filter, category};
use query_api::history::when::When;
use query_api::history::{access, list};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Place;
use super::admin::find;
pub(super) use show::{Paint, Printer, by, hue, told};

/// How long a list waits for the index to know the whole log.
const PATIENCE: Duration = Duration::from_secs(10);

/// The log, to read.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the arguments say what it does, and so does its help")]
pub enum EventsCommand {
    List(ListArguments),
    Tail(TailArguments),
}

/// List events that have happened.
///
/// Everything that is given has to fit. What events say of persons stays sealed unless --open is
/// given; that is recorded in the log, with whose data it was.
#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    wanted: Wanted,
    /// Not before this position or moment (RFC 3339).
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<When>,
    /// Not after this position or moment.
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<When>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// The newest first.
    #[arg(long)]
    reverse: bool,
    /// Read the log itself from front to back, foreign events included, rather than the index.
    #[arg(long, conflicts_with = "reverse")]
    scan: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    place: Place,
}

/// Follow the log: print events as they happen, until Ctrl-C.
#[derive(Debug, Args)]
pub struct TailArguments {
    #[command(flatten)]
    wanted: Wanted,
    /// Begin at this position or moment, or at the `start` [default: what comes from now on].
    #[arg(long, value_name = "POSITION|TIME|start")]
    from: Option<Begin>,
    /// End after so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Wanted {
    /// Of streams of this category, such as `message`.
    #[arg(long, value_parser = category)]
    category: Option<Category>,
    /// Of this stream, such as `conversation-{id}`.
    #[arg(long)]
    stream: Option<String>,
    /// Of this type, such as `message.sent`.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// That this person did, or that happened to them: a handle or an id.
    #[arg(long, value_name = "HANDLE|ID")]
    person: Option<String>,
    /// About this conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// That one request caused.
    #[arg(long, value_name = "ID")]
    correlation: Option<Uuid>,
}

#[derive(Debug, Args)]
struct OutputArguments {
    /// One JSON object for each line.
    #[arg(long)]
    json: bool,
    /// Open what is said of persons; this is recorded in the log.
    #[arg(long)]
    open: bool,
}

#[derive(Clone, Copy, Debug)]
enum Begin {
    Start,
    At(When),
}

impl std::str::FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self::Start),
            other => other.parse().map(Self::At).map_err(|error| format!("`start`, or {error}")),
        }
    }
}

impl Wanted {
    async fn filter(self, log: &EventLog) -> Result<Filter> {
        let person = match &self.person {
            Some(who) => Some(find(log, who).await?),
            None => None,
        };
        Ok(Filter {
            category: self.category,
            stream: self.stream.map(StreamName::recorded),
            event_type: self.event_type,
            person,
            conversation: self.conversation,
            correlation: self.correlation,
            from: None,
            to: None,
        })
    }
}

/// Prints them.
///
/// # Errors
/// When a server does not answer. That nobody reads on is no error.
pub async fn run(command: EventsCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    let done = match command {
        EventsCommand::List(arguments) => run_list(arguments).await,
        EventsCommand::Tail(arguments) => {
            let enough = service::shutdown::on_signal();
            tokio::select! {
                done = run_tail(arguments) => done,
                () = enough.cancelled() => Ok(()),
            }
        }
    };
    until_closed(done)
}

/// Whoever reads a pipe may have read enough.
pub(super) fn until_closed(done: Result<()>) -> Result<ExitCode> {
    match done {
        Err(error) => match error.downcast_ref::<std::io::Error>() {
            Some(closed) if closed.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            _ => Err(error),
        },
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

async fn run_list(arguments: ListArguments) -> Result<()> {
    let ListArguments { wanted, from, to, limit, reverse, scan, output, place } = arguments;
    let (log, seals) = open(&place, output.open).await?;
    let filter = Filter { from, to, ..wanted.filter(&log).await? };
    let asked = filter.to_string();
    let mut printer = Printer::new(output.json);
    let bounded = bounded(&log, &place, filter, scan).await?;
    if scan {
        return run_scan(&log, &bounded, limit, seals, &asked, &mut printer).await;
    }
    // Nothing of a stream is asked of Postgres.
    let found = match bounded.1 {
        Some(mut db) => list::list(&log, &mut db, &bounded.0, reverse, limit, seals).await?,
        None => bail!("the index of events is in PostgreSQL, which is not known: see --help"),
    };
    access::opened(&log, operator(), "events", asked, &found).await?;
    printer.all(&found)?;
    printer.end(&found)
}

type Bounds = (Bounded, Option<sqlx::pool::PoolConnection<sqlx::Postgres>>);

/// The bounds of a filter, and a connection to the index, once that knows the whole log.
async fn bounded(log: &EventLog, place: &Place, filter: Filter, scan: bool) -> Result<Bounds> {
    let moments = [filter.from, filter.to].iter().any(|at| matches!(at, Some(When::Moment(_))));
    if scan && !moments && filter.from.is_none() {
        let upto = filter.to.and_then(|to| match to {
            When::At(position) => Some(position),
            When::Moment(_) => None,
        });
        return Ok((Bounded::of(filter, Position::START, upto), None));
    }
    let pool = place.postgres()?;
    let mut db = index(log, &pool).await?;
    Ok((filter.bounded(&mut db).await?, Some(db)))
}

/// Waits until the index knows everything that is in the log now.
pub(super) async fn index(
    log: &EventLog,
    pool: &PgPool,
) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>> {
    let away = "PostgreSQL does not answer: is the stack running? `--scan` does without it";
    let mut db = pool.acquire().await.context(away)?;
    let head = log.head().await?;
    let caught_up = async {
        while checkpoint(&mut db).await? < head {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(PATIENCE, caught_up).await {
        Ok(caught_up) => caught_up?,
        Err(_) => {
            eprintln!("roundtable: the index is behind the log; the newest events are missing")
        }
    }
    Ok(db)
}

async fn checkpoint(db: &mut PgConnection) -> Result<Position> {
    let bytes: Option<Vec<u8>> = sqlx::query_scalar(
        "select position from projection_checkpoint where projection = 'event_index'",
    )
    .fetch_optional(db)
    .await?;
    Ok(bytes.and_then(|bytes| Position::from_bytes(&bytes)).unwrap_or(Position::START))
}

async fn run_scan(
    log: &EventLog,
    (bounded, _): &Bounds,
    limit: usize,
    seals: Seals,
    asked: &str,
    printer: &mut Printer,
) -> Result<()> {
    let mut found = vec![];
    if limit > 0 {
        list::scan(
            log,
            bounded,
            seals,
            |_| {},
            |entry| {
                found.push(entry);
                found.len() < limit
            },
        )
        .await?;
    }
    access::opened(log, operator(), "events", asked.to_owned(), &found).await?;
    printer.all(&found)?;
    printer.end(&found)
}

async fn run_tail(arguments: TailArguments) -> Result<()> {
    let TailArguments { wanted, from, limit, output, place } = arguments;
    let (log, seals) = open(&place, output.open).await?;
    let filter = wanted.filter(&log).await?;
    let after = match from {
        None => log.head().await?,
        Some(Begin::Start) => Position::START,
        Some(Begin::At(when)) => {
            when.last_before(&mut *index(&log, &place.postgres()?).await?).await?
        }
    };
    if output.open {
        // Whose data will come is not known yet.
        let asked = format!("tail {filter} after={after}");
        access::record(&log, operator(), "events", asked, vec![]).await?;
    }
    let bounded = Bounded::of(filter, after, None);
    let mut printer = Printer::new(output.json);
    let mut left = limit.unwrap_or(usize::MAX);
    let mut events = pin!(log.subscribe_all(after));
    while left > 0 {
        let Some(recorded) = events.next().await else { bail!("the log ended") };
        if let Some(entry) = list::fitting(&log, &recorded?, &bounded, seals).await? {
            printer.one(&entry)?;
            left -= 1;
        }
    }
    Ok(())
}

/// The log, with the keys of persons if they are needed.
pub(super) async fn open(place: &Place, open: bool) -> Result<(EventLog, Seals)> {
    Ok(match open {
        true => (place.log().await?, Seals::Opened),
        false => (place.sealed_log().await?, Seals::Kept),
    })
}

/// Who has a shell where the stack runs: nobody, as a person.
pub(super) const fn operator() -> UserId {
    UserId::new(Uuid::nil())
}

/// Whose data is open in these.
pub(super) fn whose(values: &[&serde_json::Value]) -> Vec<UserId> {
    let mut found = vec![];
    values.iter().for_each(|value| subjects(value, &mut found));
    found
}
