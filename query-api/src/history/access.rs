//! That personal data was opened is a fact, recorded before the data is shown.

use domain::access::{Accesses, Command};
use event_log::{Context, EventLog};
use events::{StreamName, UserId};
use uuid::Uuid;

use super::HistoryError;
use super::entry::{Entry, subjects};

/// Records that somebody opens what these events say of persons; nothing, where they say nothing.
///
/// # Errors
/// When it cannot be recorded: then the data must not be shown.
pub async fn opened(
    log: &EventLog,
    by: UserId,
    view: &str,
    asked: String,
    entries: &[Entry],
) -> Result<(), HistoryError> {
    let mut whose = vec![];
    for entry in entries {
        subjects(&entry.data, &mut whose);
    }
    match whose.is_empty() {
        true => Ok(()),
        false => record(log, by, view, asked, whose).await,
    }
}

/// Records that somebody opens personal data of these people.
///
/// # Errors
/// As [`opened`].
pub async fn record(
    log: &EventLog,
    by: UserId,
    view: &str,
    asked: String,
    subjects: Vec<UserId>,
) -> Result<(), HistoryError> {
    #[expect(clippy::disallowed_methods, reason = "each time is a fact of its own")]
    let request = Uuid::now_v7();
    let context = Context {
        actor: by,
        key: request,
        body_hash: String::new(),
        correlation: request,
        causation: request,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    };
    // A name of a stream that somebody made up may be anything.
    let asked = asked.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(500).collect();
    let command = Command { by, view: view.to_owned(), asked, subjects };
    let stream = StreamName::access(by);
    let recorded = log.transact::<Accesses>(&stream, &command, &context).await;
    recorded.map(drop).map_err(|error| HistoryError::NotRecorded(error.to_string()))
}
