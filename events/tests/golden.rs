//! Golden fixtures: what was ever written can be read for ever, and is written as it was.
//!
//! `fixtures/v{schema version}/{event type}.json` is a list of data, as it lies in the log but for
//! `$personal`, which is how the seam hands it over. Fixtures are never changed or deleted. A new
//! event type, or a new version of one, gets a new file, and its value in [`today`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use events::frame::{erase, frame_about};
use events::{
    Category, DecodeError, DomainEvent, Envelope, EventId, Metadata, Moment, Position, StreamName,
    UserId, upcast,
};
use serde_json::{Value, json};
use uuid::Uuid;

#[path = "golden/today.rs"]
mod today;

/// Every event type that this build knows, with a category that it is in: serde tells them when it
/// is asked for one that does not exist.
fn known_types() -> BTreeMap<String, Category> {
    let mut types = BTreeMap::new();
    for category in Category::ALL {
        let Err(DecodeError::Shape(told)) = DomainEvent::from_data(category, "?", 1, json!({}))
        else {
            panic!("no category has an event type `?`")
        };
        let (_, expected) = told.split_once("expected").unwrap();
        types.extend(expected.split('`').skip(1).step_by(2).map(|it| (it.to_owned(), category)));
    }
    types
}

/// The fixtures by event type and version.
fn fixtures() -> BTreeMap<(String, u16), Vec<Value>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = BTreeMap::new();
    for folder in root.read_dir().unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let version = name.strip_prefix('v').and_then(|number| number.parse().ok()).unwrap();
        for file in folder.read_dir().unwrap() {
            let file = file.unwrap().path();
            let event_type = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let data = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            found.insert((event_type, version), data);
        }
    }
    found
}

#[test]
fn everything_ever_written_is_an_event_of_today() {
    let types = known_types();
    for ((event_type, version), items) in fixtures() {
        let category = types[&event_type];
        assert!(!items.is_empty(), "{event_type} v{version}");
        for data in items {
            let event = DomainEvent::from_data(category, &event_type, version, data.clone())
                .unwrap_or_else(|error| panic!("{event_type} v{version}: {error}: {data}"));
            assert_eq!(event.event_type(), event_type);
            if version == upcast::current_version(&event_type) {
                assert_eq!(event.to_data(), data, "{event_type} comes back as it was");
            }
        }
    }
}

#[test]
fn every_event_type_is_written_as_its_newest_fixture() {
    let fixtures = fixtures();
    let mut missing = known_types();
    for event in today::all() {
        let event_type = event.event_type().to_owned();
        let version = upcast::current_version(&event_type);
        let fixture = fixtures.get(&(event_type.clone(), version));
        let fixture = fixture.unwrap_or_else(|| panic!("no fixture v{version} of {event_type}"));
        assert_eq!(event.to_data(), fixture[0], "{event_type}");
        missing.remove(&event_type);
    }
    assert!(missing.is_empty(), "types without a value in `today`: {missing:?}");
}

#[test]
fn a_frame_that_is_erased_later_is_as_if_its_person_had_been_erased_before() {
    let mut about = 0;
    for event in today::all() {
        let mut data = event.to_data();
        erase_personal(&mut data);
        let category = known_types()[event.event_type()];
        let erased = DomainEvent::from_data(category, event.event_type(), 1, data).unwrap();
        let (mut whole, subject) = frame_about(&recorded(event));
        if subject.is_some() {
            about += 1;
            erase(&mut whole);
        }
        assert_eq!(whole, frame_about(&recorded(erased)).0);
    }
    assert!(about > 10, "{about} events are personal");
}

fn erase_personal(value: &mut Value) {
    match value {
        Value::Object(fields) => match fields.remove("$personal") {
            Some(open) => *value = json!({ "$erased": { "subject": open["subject"] } }),
            None => fields.values_mut().for_each(erase_personal),
        },
        Value::Array(items) => items.iter_mut().for_each(erase_personal),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn recorded(event: DomainEvent) -> Envelope<DomainEvent> {
    let id = Uuid::from_u128(7);
    Envelope {
        id: EventId::new(id),
        stream: StreamName::recorded("test-1"),
        revision: 0,
        position: Position::at(7),
        recorded_at: Moment::from_timestamp(0, 0).unwrap(),
        metadata: Metadata {
            schema_version: 1,
            actor: UserId::new(id),
            correlation_id: id,
            causation_id: id,
            key: id,
            body_hash: String::new(),
            decided_on: None,
            token: None,
        },
        event,
    }
}
