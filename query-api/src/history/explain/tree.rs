//! From events that name what caused them to a tree.

use std::collections::{BTreeMap, HashMap, HashSet};

use events::{Category, StreamName};
use uuid::Uuid;

use super::{Step, StepKind, projections};
use crate::history::entry::Entry;

/// The events as a tree, in the order in which they are told: each after what led to it, what began
/// first, first. What no event here led to hangs on the request that did.
pub(super) fn steps(mut events: Vec<Entry>, focus: &[Uuid]) -> Vec<Step> {
    events.sort_by_key(|entry| entry.position);
    events.dedup_by_key(|entry| entry.position);
    let ids: HashSet<Uuid> = events.iter().map(|entry| entry.id.uuid()).collect();
    let mut led_to: HashMap<Uuid, Vec<Entry>> = HashMap::new();
    let mut requests: BTreeMap<_, Uuid> = BTreeMap::new();
    let mut seen = HashSet::new();
    for entry in events {
        // Foreign events, and what cannot be read, name no cause.
        let cause = entry.causation.unwrap_or_else(|| entry.id.uuid());
        if !ids.contains(&cause) && seen.insert(cause) {
            requests.insert(entry.position, cause);
        }
        led_to.entry(cause).or_default().push(entry);
    }
    let mut steps = vec![];
    for request in requests.into_values() {
        steps.push(Step {
            depth: 0,
            kind: StepKind::Request,
            id: request,
            parent: None,
            focus: false,
            event: None,
            projections: vec![],
            frames: vec![],
        });
        grow(request, 1, &mut led_to, focus, &mut steps);
    }
    // Events that claim to have caused each other, or themselves: told, and not for ever.
    for (cause, left) in led_to.drain().collect::<BTreeMap<_, _>>() {
        steps.extend(left.into_iter().map(|entry| step(entry, 0, Some(cause), focus)));
    }
    steps
}

/// Depth first, without recursion: a chain may be long.
fn grow(
    root: Uuid,
    depth: u16,
    led_to: &mut HashMap<Uuid, Vec<Entry>>,
    focus: &[Uuid],
    steps: &mut Vec<Step>,
) {
    let mut open = vec![(root, depth, led_to.remove(&root).unwrap_or_default().into_iter())];
    while let Some((cause, depth, rest)) = open.last_mut() {
        let (cause, depth) = (*cause, *depth);
        match rest.next() {
            Some(entry) => {
                let id = entry.id.uuid();
                steps.push(step(entry, depth, Some(cause), focus));
                if let Some(more) = led_to.remove(&id) {
                    open.push((id, depth.saturating_add(1), more.into_iter()));
                }
            }
            None => {
                open.pop();
            }
        }
    }
}

fn step(entry: Entry, depth: u16, parent: Option<Uuid>, focus: &[Uuid]) -> Step {
    let id = entry.id.uuid();
    let category: Option<Category> = StreamName::recorded(entry.stream.clone()).category();
    Step {
        depth,
        kind: StepKind::Event,
        id,
        parent,
        focus: focus.contains(&id),
        projections: category.map_or(vec![], |category| projections(category).to_vec()),
        frames: entry.audiences.iter().map(|audience| audience.subject()).collect(),
        event: Some(entry),
    }
}

#[cfg(test)]
mod tests {
    use events::{EventId, Moment, Position};
    use serde_json::Value;

    use super::*;

    fn entry(position: u64, id: u128, causation: u128) -> Entry {
        Entry {
            position: Position::at(position),
            recorded_at: Moment::UNIX_EPOCH,
            stream: "message-1".to_owned(),
            revision: 0,
            event_type: "message.sent".to_owned(),
            category: Some("message".to_owned()),
            id: EventId::new(Uuid::from_u128(id)),
            actor: None,
            token: None,
            person: None,
            conversation: None,
            correlation: None,
            causation: Some(Uuid::from_u128(causation)),
            audiences: vec![],
            data: Value::Null,
            unreadable: None,
        }
    }

    #[test]
    fn every_event_stands_below_what_led_to_it() {
        let events = vec![entry(4, 14, 12), entry(1, 11, 90), entry(2, 12, 11), entry(3, 13, 11)];
        let told: Vec<(u16, u128)> = steps(events, &[Uuid::from_u128(14)])
            .iter()
            .map(|step| (step.depth, step.id.as_u128()))
            .collect();
        assert_eq!(told, vec![(0, 90), (1, 11), (2, 12), (3, 14), (2, 13)]);
    }

    #[test]
    fn events_that_caused_each_other_are_told_once() {
        let told = steps(vec![entry(1, 11, 12), entry(2, 12, 11)], &[]);
        assert_eq!(told.len(), 2);
    }
}
