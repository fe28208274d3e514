//! Exchanges that are valid, to be spoilt, and ones that are valid in form only.

use bytes::Bytes;
use prost::Message;

use crate::{
    mutate::Random,
    proto::{
        sessions::{AppendRecordsRequest, AppendRequest},
        shared::{self, MetadataEntry, StreamIdentifier},
        streams::*,
    },
    sessions::{ANY, EXISTS, checks, part, record},
};

/// The messages of one call.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) messages: Vec<Bytes>,
}

const READ: &str = "/event_store.client.streams.Streams/Read";
const APPEND: &str = "/event_store.client.streams.Streams/Append";
const BATCH: &str = "/event_store.client.streams.Streams/BatchAppend";
const SESSION: &str = "/kurrentdb.protocol.v2.streams.StreamsService/AppendSession";
const RECORDS: &str = "/kurrentdb.protocol.v2.streams.StreamsService/AppendRecords";

fn call(method: &'static str, messages: &[&dyn Encode]) -> Call {
    Call { method, messages: messages.iter().map(|message| message.encoded()).collect() }
}

trait Encode {
    fn encoded(&self) -> Bytes;
}

impl<M: Message> Encode for M {
    fn encoded(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

fn identifier(stream: &str) -> Option<StreamIdentifier> {
    Some(StreamIdentifier { stream_name: stream.to_owned().into() })
}

fn id(random: &mut Random) -> Option<shared::Uuid> {
    let text = uuid::Uuid::from_u64_pair(random.next(), random.next()).to_string();
    Some(shared::Uuid { value: Some(shared::uuid::Value::String(text)) })
}

fn proposed(random: &mut Random) -> ProposedMessage {
    let entry = |key: &'static str, value: &'static str| MetadataEntry {
        key: key.into(),
        value: value.into(),
    };
    ProposedMessage {
        id: id(random),
        metadata: vec![entry("type", "kind"), entry("content-type", "application/json")],
        custom_metadata: r#"{"$correlationId":"1"}"#.into(),
        data: r#"{"$maxCount":3}"#.into(),
    }
}

fn read(stream: Option<&str>, live: bool, filtered: bool) -> Call {
    use read_req::{filter_options as filter, options as option, *};
    let expression = filter_options::Expression {
        regex: "^(?!never)(a+)+$".to_owned(),
        prefix: vec!["fuzz-".to_owned()],
    };
    let filter = FilterOptions {
        filter: Some(filter::Filter::StreamIdentifier(expression)),
        window: Some(filter::Window::Max(7)),
        checkpoint_interval_multiplier: 1,
    };
    let stream_option = match stream {
        Some(stream) => option::StreamOption::Stream(StreamOptions {
            stream_identifier: identifier(stream),
            revision_option: Some(stream_options::RevisionOption::Revision(1)),
        }),
        None => option::StreamOption::All(AllOptions {
            all_option: Some(all_options::AllOption::Start(())),
        }),
    };
    let options = Options {
        stream_option: Some(stream_option),
        read_direction: 0,
        resolve_links: true,
        count_option: Some(match live {
            true => option::CountOption::Subscription(SubscriptionOptions {}),
            false => option::CountOption::Count(50),
        }),
        filter_option: Some(match filtered {
            true => option::FilterOption::Filter(filter),
            false => option::FilterOption::NoFilter(()),
        }),
        uuid_option: Some(UuidOption { content: Some(uuid_option::Content::Structured(())) }),
        control_option: Some(ControlOption { compatibility: 1 }),
    };
    call(READ, &[&ReadReq { options: Some(options) }])
}

fn append(random: &mut Random, stream: &str, messages: usize) -> Call {
    use append_req::{Content, Options, options::ExpectedStreamRevision};
    let options = Options {
        stream_identifier: identifier(stream),
        expected_stream_revision: Some(ExpectedStreamRevision::Any(())),
    };
    let mut all = vec![AppendReq { content: Some(Content::Options(options)) }];
    all.extend(
        (0..messages)
            .map(|_| AppendReq { content: Some(Content::ProposedMessage(proposed(random))) }),
    );
    Call { method: APPEND, messages: all.iter().map(Encode::encoded).collect() }
}

fn chunk(random: &mut Random, stream: &str, is_final: bool) -> BatchAppendReq {
    use batch_append_req::{Options, options as option};
    BatchAppendReq {
        correlation_id: id(random),
        options: Some(Options {
            stream_identifier: identifier(stream),
            deadline_option: Some(option::DeadlineOption::Deadline(prost_types::Duration {
                seconds: 100,
                nanos: 1,
            })),
            expected_stream_position: Some(option::ExpectedStreamPosition::Any(())),
        }),
        proposed_messages: vec![proposed(random)],
        is_final,
    }
}

/// A call that is valid, on streams that only the fuzzer uses.
pub(crate) fn valid(random: &mut Random) -> Call {
    use delete_req::options::ExpectedStreamRevision as Delete;
    use tombstone_req::options::ExpectedStreamRevision as Tombstone;
    let stream = format!("fuzz-{}", random.below(20));
    let stream = &stream[..];
    match random.below(14) {
        0 => read(Some(stream), false, false),
        1 => read(Some(stream), true, false),
        2 => read(None, false, random.below(2) == 0),
        3 => read(None, true, random.below(2) == 0),
        4 => append(random, &format!("$${stream}"), 1),
        5 | 6 => append(random, stream, 3),
        7 | 8 => {
            let mut open = chunk(random, stream, false);
            let whole = chunk(random, stream, true);
            let end = BatchAppendReq { options: None, is_final: true, ..open.clone() };
            open.proposed_messages.push(proposed(random));
            call(BATCH, &[&open, &whole, &end])
        }
        9 => {
            let options = delete_req::Options {
                stream_identifier: identifier(stream),
                expected_stream_revision: Some(Delete::Any(())),
            };
            let method = "/event_store.client.streams.Streams/Delete";
            call(method, &[&DeleteReq { options: Some(options) }])
        }
        10 if random.below(4) == 0 => {
            let options = tombstone_req::Options {
                stream_identifier: identifier(stream),
                expected_stream_revision: Some(Tombstone::Any(())),
            };
            let method = "/event_store.client.streams.Streams/Tombstone";
            call(method, &[&TombstoneReq { options: Some(options) }])
        }
        11 => call(SESSION, &[&part(stream, ANY, 2), &part("fuzz-other", EXISTS, 1)]),
        12 => {
            let records = vec![record(stream), record("fuzz-other"), record(stream)];
            call(RECORDS, &[&AppendRecordsRequest { records, checks: checks("fuzz-none", -1) }])
        }
        13 => call("/event_store.client.gossip.Gossip/Read", &[&()]),
        _ => {
            let features = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods";
            call(features, &[&()])
        }
    }
}

/// The call of this number among those of an absurd size or shape, each of which could fill the
/// memory of a careless server.
pub(crate) fn absurd(at: usize, random: &mut Random) -> Option<Call> {
    const MANY: usize = 60 << 20;
    // A field of one byte for its number and one for its length, again and again.
    let empties = |number: u8| [number << 3 | 2, 0].repeat(MANY / 2);
    let nested = |number: u8, inside: Vec<u8>| {
        let mut bytes = vec![number << 3 | 2];
        prost::encode_length_delimiter(inside.len(), &mut bytes).expect("a vector grows");
        bytes.extend(inside);
        bytes
    };
    let (method, message) = match at {
        0 => (BATCH, empties(3)),
        1 => (BATCH, nested(3, empties(2))),
        2 => (APPEND, nested(2, empties(2))),
        3 => (RECORDS, empties(1)),
        4 => (RECORDS, empties(2)),
        5 => (RECORDS, nested(1, empties(2))),
        6 => (SESSION, empties(2)),
        7 => (READ, nested(1, nested(7, nested(1, empties(2))))),
        8 => (BATCH, vec![0; MANY]),
        9 => {
            let mut padded = chunk(random, "fuzz-padded", false).encode_to_vec();
            // An unknown field, which is skipped, but lies in the same memory.
            padded.extend(nested(15, vec![0; 8 << 20]));
            return Some(Call { method: BATCH, messages: vec![padded.into(); 200] });
        }
        10 => {
            let chunks = (0..24).map(|_| {
                let mut large = chunk(random, "fuzz-large", true);
                large.proposed_messages[0].data = vec![7; 15 << 20].into();
                large.encoded()
            });
            return Some(Call { method: BATCH, messages: chunks.collect() });
        }
        11 => {
            let chunks = (0..20_000).map(|_| chunk(random, "fuzz-unfinished", false).encoded());
            return Some(Call { method: BATCH, messages: chunks.collect() });
        }
        12 => {
            let empty = AppendRequest::default().encoded();
            return Some(Call { method: SESSION, messages: vec![empty; 1000] });
        }
        13 => {
            let mut endless = append(random, "fuzz-endless", 0);
            endless.messages.extend(std::iter::repeat_n(weightless(random), 300_000));
            return Some(endless);
        }
        14 => return Some(deep(random)),
        _ => return None,
    };
    Some(Call { method, messages: vec![message.into()] })
}

/// An event without a type, metadata or data.
fn weightless(random: &mut Random) -> Bytes {
    let entry = |key: &'static str| MetadataEntry { key: key.into(), value: "".into() };
    let event = ProposedMessage {
        id: id(random),
        metadata: vec![entry("type"), entry("content-type")],
        ..ProposedMessage::default()
    };
    AppendReq { content: Some(append_req::Content::ProposedMessage(event)) }.encoded()
}

/// A value of properties that holds a value that holds a value.
fn deep(random: &mut Random) -> Call {
    let mut value = Vec::new();
    for _ in 0..2_000 + random.below(100) {
        // ListValue is field 6 of a value, and the values are field 1 of it.
        for number in [1, 6] {
            let mut outer = vec![number << 3 | 2];
            prost::encode_length_delimiter(value.len(), &mut outer).expect("a vector grows");
            outer.append(&mut value);
            value = outer;
        }
    }
    let mut entry = vec![1 << 3 | 2, 1, b'x', 2 << 3 | 2];
    prost::encode_length_delimiter(value.len(), &mut entry).expect("a vector grows");
    entry.extend(value);
    let mut record = record("fuzz-deep").encode_to_vec();
    record.push(2 << 3 | 2);
    prost::encode_length_delimiter(entry.len(), &mut record).expect("a vector grows");
    record.extend(entry);
    let mut request = vec![1 << 3 | 2];
    prost::encode_length_delimiter(record.len(), &mut request).expect("a vector grows");
    request.extend(record);
    Call { method: RECORDS, messages: vec![request.into()] }
}
