//! The state that a stream had at a place: what its rules knew, as JSON, and what changed between two.

use domain::Decider;
use domain::access::Accesses;
use domain::call::Call;
use domain::conversation::Conversation;
use domain::denial::Denials;
use domain::file::File;
use domain::friendship::Friendship;
use domain::hold::Hold;
use domain::line::Line;
use domain::login::Login;
use domain::message::Message;
use domain::notification::Notification;
use domain::parked::Parked;
use domain::receipt::Receipt;
use domain::report::Report;
use domain::reservation::Reservation;
use domain::session::Session;
use domain::user::User;
use domain::webhook::Webhook;
use domain::whiteboard::Whiteboard;
use event_log::{EventLog, Seals};
use events::{Category, Position, StreamName};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::HistoryError;
use super::entry::strip;

/// The state of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StreamState {
    /// The stream.
    pub stream: String,
    /// The place in the log up to which it was folded.
    pub as_of: Position,
    /// Of the last event up to there; `null` if there was none yet.
    pub revision: Option<u64>,
    /// Where that event stands.
    pub position: Option<Position>,
    /// What the rules of the stream knew then; personal data as in events.
    pub state: Value,
}

/// Something that is different between two states.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// Where: the keys on the way, joined by `/` (a JSON pointer, RFC 6901).
    pub path: String,
    /// What it was; `null` if it was not there.
    pub before: Value,
    /// What it is; `null` if it is not there any more.
    pub after: Value,
}

/// The state that a stream of ours had at a place; none for a foreign stream.
///
/// # Errors
/// When the log, or the vault if it is to be opened, is away.
pub async fn state(
    log: &EventLog,
    stream: &StreamName,
    at: Position,
    seals: Seals,
) -> Result<Option<StreamState>, HistoryError> {
    let Some(category) = stream.category() else { return Ok(None) };
    let state = match category {
        Category::User => fold::<User>(log, stream, at, seals).await,
        Category::Email | Category::Handle => fold::<Reservation>(log, stream, at, seals).await,
        Category::Login => fold::<Login>(log, stream, at, seals).await,
        Category::Friendship => fold::<Friendship>(log, stream, at, seals).await,
        Category::Conversation => fold::<Conversation>(log, stream, at, seals).await,
        Category::Message => fold::<Message>(log, stream, at, seals).await,
        Category::Receipt => fold::<Receipt>(log, stream, at, seals).await,
        Category::Session => fold::<Session>(log, stream, at, seals).await,
        Category::Whiteboard => fold::<Whiteboard>(log, stream, at, seals).await,
        Category::File => fold::<File>(log, stream, at, seals).await,
        Category::Notification => fold::<Notification>(log, stream, at, seals).await,
        Category::Report => fold::<Report>(log, stream, at, seals).await,
        Category::Denial => fold::<Denials>(log, stream, at, seals).await,
        Category::Call => fold::<Call>(log, stream, at, seals).await,
        Category::Line => fold::<Line>(log, stream, at, seals).await,
        Category::Hold => fold::<Hold>(log, stream, at, seals).await,
        Category::Access => fold::<Accesses>(log, stream, at, seals).await,
        Category::Parked => fold::<Parked>(log, stream, at, seals).await,
        Category::Webhook => fold::<Webhook>(log, stream, at, seals).await,
    };
    state.map(Some)
}

async fn fold<D: Decider + Serialize>(
    log: &EventLog,
    stream: &StreamName,
    at: Position,
    seals: Seals,
) -> Result<StreamState, HistoryError> {
    let loaded = log.state_at::<D>(stream, at, seals).await?;
    let mut state = serde_json::to_value(&*loaded.state).expect("states have text keys only");
    strip(&mut state);
    Ok(StreamState {
        stream: stream.as_str().to_owned(),
        as_of: at,
        revision: loaded.revision,
        position: loaded.last,
        state,
    })
}

/// What is different in the second state, in the order of its paths.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = vec![];
    compare(&mut String::new(), before, after, &mut found);
    found
}

fn compare(path: &mut String, before: &Value, after: &Value, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        let (path, before, after) = (path.clone(), before.clone(), after.clone());
        return found.push(Change { path, before, after });
    };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let length = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        let of = |fields: &serde_json::Map<String, Value>| {
            fields.get(key).cloned().unwrap_or(Value::Null)
        };
        compare(path, &of(old), &of(new), found);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_by_its_path() {
        let before = json!({"members": {"a": "owner", "b": "member"}, "title": "x", "pins": []});
        let after = json!({"members": {"a": "owner", "c": "member"}, "title": "x", "pins": [1]});
        let change = |path: &str, before, after| Change { path: path.to_owned(), before, after };
        assert_eq!(
            changes(&before, &after),
            vec![
                change("/members/b", json!("member"), Value::Null),
                change("/members/c", Value::Null, json!("member")),
                change("/pins", json!([]), json!([1])),
            ]
        );
        assert_eq!(changes(&before, &before), vec![]);
    }

    /// Every state can be shown: no map in them has keys that are no texts.
    #[test]
    fn the_empty_state_of_every_stream_is_json() {
        fn shown<D: Decider + Serialize>() -> Value {
            serde_json::to_value(D::default()).unwrap()
        }
        for state in [shown::<User>(), shown::<Call>(), shown::<Line>(), shown::<Login>()] {
            assert!(!state.is_number());
        }
    }
}
