//! The groups there are, as a stream of changes: one event for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Definition, EventSource, GroupId, io};
use crate::{
    committer::Refusal,
    engine::Engine,
    log::frame::Record,
    read::{
        Failure,
        stream::{self, Look},
    },
};

const STREAM: &str = "$persistentSubscriptionConfig";
/// Clients leave events of types like this out unless they are asked for.
const TYPE: &[u8] = b"PersistentConfig1";

/// A group was made or changed, or is no more.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    stream: String,
    group: String,
    /// `None` when the group was deleted.
    definition: Option<Definition>,
}

/// Makes a change durable.
pub(crate) async fn write(
    engine: &Engine,
    id: &GroupId,
    definition: Option<&Definition>,
) -> Result<(), Refusal> {
    let change = Change {
        stream: id.source.name().to_owned(),
        group: id.group.clone(),
        definition: definition.cloned(),
    };
    let json = serde_json::to_vec(&change).expect("a change can be written as JSON");
    io::append_json(engine, STREAM, TYPE, json).await
}

/// Reads all changes and tells what groups are left. It blocks.
pub(crate) fn read(engine: &Engine) -> Result<BTreeMap<GroupId, Definition>, Failure> {
    let mut groups = BTreeMap::new();
    let mut reader = engine.reader();
    let look = stream::look(engine, STREAM.as_bytes(), &mut reader)?;
    let Look::Present { key, first, last } = look else { return Ok(groups) };
    reader.set_limit(engine.head());
    let mut next = Some(first).filter(|first| *first <= last);
    while let Some(from) = next {
        let page = stream::records(engine, key, (from, last), false, u64::MAX, &mut reader)?;
        next = page.next;
        page.records.iter().for_each(|record| apply(&mut groups, record));
    }
    Ok(groups)
}

fn apply(groups: &mut BTreeMap<GroupId, Definition>, record: &Record) {
    // Anybody may write to the stream, and must not keep the store from starting with it.
    let change: Change = match serde_json::from_slice(&record.data) {
        Ok(change) => change,
        Err(error) => {
            tracing::warn!(revision = record.revision, %error, "a change of groups is not read");
            return;
        }
    };
    let id = GroupId { source: EventSource::named(&change.stream), group: change.group };
    match change.definition {
        Some(definition) => groups.insert(id, definition),
        None => groups.remove(&id),
    };
}
