//! Transactions over several streams: in order, whole or not at all, once, and read as any event.

use eventstore::{
    AppendToStreamOptions, Client, EventData, ReadAllOptions, ReadStreamOptions, StreamState,
};
use prost::Message;
use prost_types::{Value, value::Kind};
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use crate::{
    proto::{
        session_errors::*,
        sessions::{streams_service_client::StreamsServiceClient, *},
        standard,
    },
    serving::{Served, new_id},
};

pub(crate) const NO_STREAM: i64 = -1;
pub(crate) const ANY: i64 = -2;
pub(crate) const EXISTS: i64 = -4;

/// A store, a client of the second version, and one of the first.
pub(crate) struct Stage {
    _data: tempfile::TempDir,
    _served: Served,
    pub(crate) client: StreamsServiceClient<Channel>,
    pub(crate) first: Client,
}

pub(crate) async fn connect(port: u16) -> StreamsServiceClient<Channel> {
    StreamsServiceClient::connect(format!("http://127.0.0.1:{port}")).await.expect("connected")
}

pub(crate) async fn stage() -> Stage {
    let data = tempfile::tempdir().expect("a folder");
    let config = event_store::Config::new(data.path());
    stage_with(data, config).await
}

pub(crate) async fn stage_with(data: tempfile::TempDir, config: event_store::Config) -> Stage {
    let served = Served::with(config).await.expect("it opens");
    let client = connect(served.port).await;
    let first = Client::new(served.url().parse().expect("a URL")).expect("a client");
    Stage { _data: data, _served: served, client, first }
}

pub(crate) fn record(stream: &str) -> AppendRecord {
    AppendRecord {
        record_id: Some(new_id().to_string()),
        properties: [("source".to_owned(), text("test"))].into(),
        schema: Some(schema(SchemaFormat::Json)),
        data: r#"{"a":1}"#.into(),
        stream: stream.to_owned(),
    }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

pub(crate) fn schema(format: SchemaFormat) -> SchemaInfo {
    SchemaInfo { format: format as i32, name: "kind".to_owned(), id: None }
}

/// The part of a session for one stream, of so many new records.
pub(crate) fn part(stream: &str, expected: i64, count: usize) -> AppendRequest {
    AppendRequest {
        stream: stream.to_owned(),
        records: std::iter::repeat_with(|| record("")).take(count).collect(),
        expected_revision: Some(expected),
    }
}

impl Stage {
    pub(crate) async fn session(
        &mut self,
        parts: &[AppendRequest],
    ) -> Result<AppendSessionResponse, Status> {
        let parts = futures::stream::iter(parts.to_vec());
        self.client.append_session(parts).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn records(
        &mut self,
        records: Vec<AppendRecord>,
        checks: Vec<ConsistencyCheck>,
    ) -> Result<AppendRecordsResponse, Status> {
        let request = AppendRecordsRequest { records, checks };
        self.client.append_records(request).await.map(tonic::Response::into_inner)
    }

    /// The stream of every event, in the order of the log.
    pub(crate) async fn log(&self) -> Vec<String> {
        log(&self.first).await
    }
}

async fn log(client: &Client) -> Vec<String> {
    let mut read = client.read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut streams = Vec::new();
    while let Some(event) = read.next().await.expect("an event") {
        streams.push(event.get_original_event().stream_id().to_owned());
    }
    streams
}

/// The detail of a refusal, which must repeat the status it comes with.
pub(crate) fn detail<M: Message + Default>(status: &Status, code: Code, name: &str) -> M {
    let standard = standard::Status::decode(status.details()).expect("standard details");
    assert_eq!((status.code(), standard.code), (code, code as i32));
    assert_eq!(standard.message, status.message());
    let [any] = &standard.details[..] else { panic!("one detail was expected: {standard:?}") };
    let full = format!("type.googleapis.com/kurrentdb.protocol.v2.streams.errors.{name}");
    assert_eq!(any.type_url, full);
    M::decode(&any.value[..]).expect("the detail")
}

fn assert_conflict(status: &Status, stream: &str, expected: i64, actual: i64) {
    let name = "StreamRevisionConflictErrorDetails";
    let found: StreamRevisionConflictErrorDetails = detail(status, Code::FailedPrecondition, name);
    let told = (&found.stream[..], found.expected_revision, found.actual_revision);
    assert_eq!(told, (stream, expected, actual));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_written_in_its_order_and_read_as_events() {
    let mut stage = stage().await;
    let mut parts = [part("a", NO_STREAM, 2), part("b", ANY, 1), part("c", NO_STREAM, 1)];
    parts[1].records[0].schema = Some(schema(SchemaFormat::Protobuf));
    parts[1].records[0].properties.clear();
    let nested = [("x".to_owned(), text("y"))].into();
    parts[2].records[0].properties = [
        ("number", Kind::NumberValue(3.0)),
        ("half", Kind::NumberValue(0.5)),
        ("yes", Kind::BoolValue(true)),
        ("nothing", Kind::NullValue(0)),
        ("map", Kind::StructValue(prost_types::Struct { fields: nested })),
        ("list", Kind::ListValue(prost_types::ListValue { values: vec![text("z")] })),
    ]
    .map(|(key, kind)| (key.to_owned(), Value { kind: Some(kind) }))
    .into();
    let written = stage.session(&parts).await.expect("written");
    let told: Vec<_> =
        written.output.iter().map(|output| (&output.stream[..], output.stream_revision)).collect();
    assert_eq!(told, [("a", 1), ("b", 0), ("c", 0)]);
    assert_eq!(written.output[2].position, Some(written.position));
    assert_eq!(stage.log().await, ["a", "a", "b", "c"]);
    for (stream, is_json, metadata) in [
        ("a", true, r#"{"$schema.format":"Json","$schema.name":"kind","source":"test"}"#),
        ("b", false, r#"{"$schema.format":"Protobuf","$schema.name":"kind"}"#),
        (
            "c",
            true,
            r#"{"$schema.format":"Json","$schema.name":"kind","half":0.5,"list":["z"],"map":{"x":"y"},"nothing":null,"number":3,"yes":true}"#,
        ),
    ] {
        let options = ReadStreamOptions::default().max_count(1);
        let mut read = stage.first.read_stream(stream, &options).await.expect("a read");
        let event = read.next().await.expect("an event").expect("there");
        let event = event.get_original_event();
        assert_eq!((&event.event_type[..], event.is_json), ("kind", is_json));
        assert_eq!(std::str::from_utf8(&event.custom_metadata), Ok(metadata));
        assert_eq!(&event.data[..], br#"{"a":1}"#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleaved_records_keep_their_order() {
    let mut stage = stage().await;
    let order = ["a", "b", "a", "a", "c", "b", "a"];
    let records = order.map(record).to_vec();
    let written = stage.records(records, vec![]).await.expect("written");
    let told: Vec<_> = written.revisions.iter().map(|r| (&r.stream[..], r.revision)).collect();
    assert_eq!(told, [("a", 3), ("b", 1), ("c", 0)]);
    assert_eq!(stage.log().await, order);
    let written = stage.records(vec![record("b"), record("d")], vec![]).await.expect("written");
    assert_eq!(written.revisions[0].revision, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_in_the_last_stream_writes_nothing() {
    let mut stage = stage().await;
    stage.session(&[part("c", NO_STREAM, 2)]).await.expect("written");
    let parts = [part("a", NO_STREAM, 1), part("b", ANY, 1), part("c", 0, 1)];
    let refused = stage.session(&parts).await.expect_err("a conflict");
    assert_conflict(&refused, "c", 0, 1);
    let same = [part("a", ANY, 1), part("b", ANY, 1), part("a", ANY, 1)];
    let refused = stage.session(&same).await.expect_err("named twice");
    let name = "StreamAlreadyInAppendSessionErrorDetails";
    let twice: StreamAlreadyInAppendSessionErrorDetails = detail(&refused, Code::Aborted, name);
    assert_eq!(twice.stream, "a");
    assert_eq!(stage.log().await, ["c", "c"]);
    let fits = [part("a", NO_STREAM, 1), part("c", 1, 1)];
    stage.session(&fits).await.expect("written");
    assert_eq!(stage.log().await, ["c", "c", "a", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_as_the_first_time_and_half_a_repeat_is_refused() {
    let mut stage = stage().await;
    let parts = [part("a", NO_STREAM, 2), part("b", ANY, 1), part("c", ANY, 3)];
    let first = stage.session(&parts).await.expect("written");
    stage.session(&[part("a", 1, 1), part("c", EXISTS, 1)]).await.expect("written");
    assert_eq!(stage.session(&parts).await.expect("repeated"), first);
    let longer = [parts[0].clone(), parts[1].clone(), part("d", ANY, 1)];
    assert_conflict(&stage.session(&longer).await.expect_err("half a repeat"), "a", -1, 2);
    let records = ["x", "y", "x"].map(record).to_vec();
    let check = checks("x", NO_STREAM);
    let first = stage.records(records.clone(), check.clone()).await.expect("written");
    assert_eq!(stage.records(records.clone(), check.clone()).await.expect("repeated"), first);
    let mixed = [&records[..], &[record("z")]].concat();
    let refused = stage.records(mixed, vec![]).await.expect_err("half a repeat");
    assert_conflict(&refused, "x", ANY, 1);
    assert_eq!(stage.log().await.len(), 11);
}

/// One check.
pub(crate) fn checks(stream: &str, expected_state: i64) -> Vec<ConsistencyCheck> {
    let stream = stream.to_owned();
    let check = consistency_check::StreamStateCheck { stream, expected_state };
    vec![ConsistencyCheck { r#type: Some(consistency_check::Type::StreamState(check)) }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_cut_anywhere_leaves_nothing_of_itself() {
    let data = tempfile::tempdir().expect("a folder");
    let segment = data.path().join("log-0000000000000000");
    let served = Served::without_index(data.path()).await;
    let mut client = connect(served.port).await;
    let alone = futures::stream::iter([part("before", NO_STREAM, 1)]);
    client.append_session(alone).await.expect("written");
    let start = std::fs::metadata(&segment).expect("a segment").len() as usize;
    let parts = [part("a", NO_STREAM, 2), part("b", NO_STREAM, 1), part("before", 0, 1)];
    client.append_session(futures::stream::iter(parts.clone())).await.expect("written");
    served.stop().await;
    let whole = std::fs::read(&segment).expect("a segment");
    for length in (start..=whole.len()).step_by(7).chain([whole.len() - 1, whole.len()]) {
        std::fs::write(&segment, &whole[..length]).expect("cut");
        let served = Served::without_index(data.path()).await;
        let first = Client::new(served.url().parse().expect("a URL")).expect("a client");
        let mut expected = vec!["before"];
        if length == whole.len() {
            expected.extend(["a", "a", "b", "before"]);
        }
        assert_eq!(log(&first).await, expected, "cut to {length} of {}", whole.len());
        // What was lost can be sent again, and what was kept is recognised.
        let mut client = connect(served.port).await;
        client.append_session(futures::stream::iter(parts.clone())).await.expect("written");
        assert_eq!(log(&first).await, ["before", "a", "a", "b", "before"]);
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_and_appends_at_once_do_not_mix() {
    let stage = stage().await;
    let writers = (0..8).map(|writer| {
        let (mut client, first) = (stage.client.clone(), stage.first.clone());
        tokio::spawn(async move {
            for _ in 0..25 {
                let records: Vec<_> = ["x", "y", "x", "z"].map(record).into();
                let ids = records.iter().map(|record| record.record_id.clone());
                let ids: Vec<_> = ids.map(|id| id.expect("an id")).collect();
                let request = AppendRecordsRequest { records, checks: vec![] };
                client.append_records(request).await.expect("written");
                let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
                let event = EventData::binary("kind", vec![writer].into());
                first.append_to_stream("y", &any, event).await.expect("written");
                let at = Uuid::parse_str(&ids[0]).expect("an id");
                let ids = ids.iter().map(|id| Uuid::parse_str(id).expect("an id"));
                let ids: Vec<_> = ids.collect();
                assert_together(&first, at, &ids).await;
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.expect("every transaction stayed whole");
    }
    let log = stage.log().await;
    assert_eq!(log.len(), 8 * 25 * 5);
    assert_eq!(log.iter().filter(|stream| *stream == "y").count(), 8 * 25 * 2);
}

/// The ids follow each other in the log without anything between them.
async fn assert_together(client: &Client, first: Uuid, ids: &[Uuid]) {
    let mut read = client.read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut next = 0;
    while let Some(event) = read.next().await.expect("an event") {
        let id = event.get_original_event().id;
        if id == first || next > 0 {
            assert_eq!(id, ids[next]);
            next += 1;
        }
        if next == ids.len() {
            return;
        }
    }
    panic!("the transaction is not in the log");
}
