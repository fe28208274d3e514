//! Transactions that are refused for what they hold: too much, or nothing that has a meaning.

use prost_types::{Value, value::Kind};
use tonic::Code;

use crate::{
    proto::{
        session_errors::{
            AppendRecordSizeExceededErrorDetails, AppendTransactionSizeExceededErrorDetails,
        },
        sessions::{AppendRecord, ConsistencyCheck, SchemaFormat, SchemaInfo},
    },
    sessions::{ANY, NO_STREAM, checks, detail, part, record, schema, stage, stage_with},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_and_the_next_is_taken() {
    let data = tempfile::tempdir().expect("a folder");
    let config = event_store::Config {
        max_event_bytes: 1000,
        max_append_bytes: 3000,
        ..event_store::Config::new(data.path())
    };
    let mut stage = stage_with(data, config).await;
    let mut large = record("a");
    large.data = vec![b' '; 1000].into();
    let refused = stage.records(vec![record("b"), large.clone()], vec![]).await.expect_err("large");
    let name = "AppendRecordSizeExceededErrorDetails";
    let found: AppendRecordSizeExceededErrorDetails = detail(&refused, Code::InvalidArgument, name);
    assert_eq!((&found.stream[..], Some(found.record_id)), ("a", large.record_id));
    // The type counts two bytes for a character, and the metadata counts as it is stored.
    let metadata = r#"{"$schema.format":"Json","$schema.name":"kind","source":"test"}"#;
    assert_eq!((found.size, found.max_size), (1000 + 8 + metadata.len() as i32, 1000));
    let mut parts = ["a", "b", "c", "d"].map(|stream| part(stream, ANY, 1));
    for part in &mut parts {
        part.records[0].data = vec![b' '; 900].into();
    }
    let refused = stage.session(&parts).await.expect_err("large");
    let name = "AppendTransactionSizeExceededErrorDetails";
    let found: AppendTransactionSizeExceededErrorDetails = detail(&refused, Code::Aborted, name);
    assert!(found.size > 3000 && found.max_size == 3000);
    assert!(stage.log().await.is_empty());
    stage.session(&parts[..3]).await.expect("written");
    assert_eq!(stage.log().await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_in_words() {
    let mut stage = stage().await;
    let bad: [fn(&mut AppendRecord); 9] = [
        |record| record.record_id = Some("seven".to_owned()),
        |record| record.schema = None,
        |record| {
            record.schema = Some(SchemaInfo { name: String::new(), ..schema(SchemaFormat::Json) })
        },
        |record| record.schema = Some(schema(SchemaFormat::Unspecified)),
        |record| record.schema = Some(SchemaInfo { format: 77, ..schema(SchemaFormat::Json) }),
        |record| record.stream = String::new(),
        |record| record.stream = "$all".to_owned(),
        |record| drop(record.properties.insert("x".to_owned(), Value { kind: None })),
        |record| {
            let nan = Value { kind: Some(Kind::NumberValue(f64::NAN)) };
            record.properties.insert("x".to_owned(), nan);
        },
    ];
    for (at, spoil) in bad.iter().enumerate() {
        let mut spoilt = record("b");
        spoil(&mut spoilt);
        let refused = stage.records(vec![record("a"), spoilt], vec![]).await.expect_err("bad");
        assert_eq!(refused.code(), Code::InvalidArgument, "{at}: {refused:?}");
        assert!(!refused.message().is_empty());
    }
    for state in [-3, -7, i64::MIN] {
        let refused = stage.records(vec![record("a")], checks("b", state)).await.expect_err("bad");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = stage.session(&[part("a", state, 1)]).await.expect_err("bad");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let untyped = vec![ConsistencyCheck { r#type: None }];
    let refused = stage.records(vec![record("a")], untyped).await.expect_err("no type");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = stage.session(&[part("a", ANY, 0)]).await.expect_err("no records");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(stage.session(&[]).await.expect_err("empty").code(), Code::FailedPrecondition);
    let empty = stage.records(vec![], checks("a", NO_STREAM)).await.expect_err("empty");
    assert_eq!(empty.code(), Code::FailedPrecondition);
    assert!(stage.log().await.is_empty());
    let unnamed = AppendRecord { record_id: None, ..record("a") };
    stage.records(vec![unnamed.clone(), unnamed], vec![]).await.expect("the server names them");
    assert_eq!(stage.log().await, ["a", "a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_records_are_taken_and_a_message_of_countless_parts_is_not() {
    let mut stage = stage().await;
    let empty = AppendRecord {
        schema: Some(SchemaInfo { name: "k".to_owned(), ..schema(SchemaFormat::Bytes) }),
        stream: "many".to_owned(),
        ..AppendRecord::default()
    };
    let many = vec![empty.clone(); 50_000];
    let written = stage.records(many, vec![]).await.expect("written");
    assert_eq!(written.revisions[0].revision, 49_999);
    let countless = vec![ConsistencyCheck { r#type: None }; 1 << 20];
    let refused = stage.records(vec![empty.clone()], countless).await.expect_err("countless");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("fields"), "{refused:?}");
    let checks = vec![checks("none", NO_STREAM).remove(0); 1 << 13];
    let refused = stage.records(vec![empty], checks).await.expect_err("too many checks");
    assert!(refused.message().contains("checks"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_name_can_be_deleted_and_the_log_opens_again() {
    use eventstore::{AppendToStreamOptions, Client, DeleteStreamOptions, EventData};

    let data = tempfile::tempdir().expect("a folder");
    let name = "n".repeat(usize::from(u16::MAX) - 2);
    let write = async |client: &Client, name: &str| {
        let event = EventData::binary("kind", vec![1].into());
        client.append_to_stream(name, &AppendToStreamOptions::default(), event).await
    };
    for _ in 0..3 {
        let served = crate::serving::Served::start(data.path()).await;
        let client = Client::new(served.url().parse().expect("a URL")).expect("a client");
        write(&client, &name).await.expect("written");
        client
            .delete_stream(name.as_str(), &DeleteStreamOptions::default())
            .await
            .expect("deleted");
        write(&client, "another").await.expect("written");
        write(&client, &format!("{name}n")).await.expect_err("one more is too long");
        served.stop().await;
    }
}
