//! Deadlines of batched writes: one that is over before the write is handed over refuses it.

use std::time::{Duration, SystemTime};

use futures::{StreamExt, channel::mpsc};
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use crate::{
    proto::{
        shared::{MetadataEntry, StreamIdentifier, Uuid, uuid},
        streams::{
            BatchAppendReq, BatchAppendResp, ProposedMessage,
            batch_append_req::{
                Options,
                options::{DeadlineOption, ExpectedStreamPosition},
            },
            batch_append_resp::Result as Outcome,
            streams_client::StreamsClient,
        },
    },
    serving::{Served, new_id},
};

fn id() -> Option<Uuid> {
    Some(Uuid { value: Some(uuid::Value::String(new_id().to_string())) })
}

fn chunk(deadline: Option<DeadlineOption>) -> BatchAppendReq {
    let entry = |key: &'static str, value: &'static str| MetadataEntry {
        key: key.into(),
        value: value.into(),
    };
    let event = ProposedMessage {
        id: id(),
        metadata: vec![entry("type", "kind"), entry("content-type", "application/json")],
        custom_metadata: "".into(),
        data: "{}".into(),
    };
    BatchAppendReq {
        correlation_id: id(),
        options: Some(Options {
            stream_identifier: Some(StreamIdentifier { stream_name: "a".into() }),
            deadline_option: deadline,
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
        }),
        proposed_messages: vec![event],
        is_final: true,
    }
}

struct Session {
    _data: tempfile::TempDir,
    _served: Served,
    requests: mpsc::UnboundedSender<BatchAppendReq>,
    answers: Streaming<BatchAppendResp>,
}

async fn session() -> Session {
    limited(None).await.expect("a session")
}

/// A session that is given so much time.
async fn limited(timeout: Option<Duration>) -> Result<Session, Status> {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let url = format!("http://127.0.0.1:{}", served.port);
    let mut client = StreamsClient::<Channel>::connect(url).await.expect("connected");
    let (requests, receiver) = mpsc::unbounded();
    let mut request = Request::new(receiver);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let answers = client.batch_append(request).await?.into_inner();
    Ok(Session { _data: data, _served: served, requests, answers })
}

impl Session {
    async fn write(&mut self, chunk: BatchAppendReq) -> Outcome {
        self.try_write(chunk).await.expect("no error")
    }

    async fn try_write(&mut self, chunk: BatchAppendReq) -> Result<Outcome, Status> {
        let correlation = chunk.correlation_id.clone();
        // A session that has ended takes nothing more, and its last answer says why.
        let _ = self.requests.unbounded_send(chunk);
        let answer = self.answers.next().await.expect("an answer")?;
        assert_eq!(answer.correlation_id, correlation);
        Ok(answer.result.expect("an outcome"))
    }
}

fn from_now(seconds: i64, nanos: i32) -> Option<DeadlineOption> {
    Some(DeadlineOption::Deadline(prost_types::Duration { seconds, nanos }))
}

fn at(seconds: i64) -> Option<DeadlineOption> {
    Some(DeadlineOption::Deadline21100(prost_types::Timestamp { seconds, nanos: 0 }))
}

fn since_1970() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a time that fits")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_time_is_over_is_refused_as_such() {
    let mut session = session().await;
    for deadline in [
        from_now(0, 0),
        from_now(-1, 0),
        from_now(0, -1),
        from_now(i64::MIN, i32::MIN),
        at(0),
        at(i64::MIN),
        at(since_1970() - 5),
    ] {
        let Outcome::Error(status) = session.write(chunk(deadline)).await else {
            panic!("{deadline:?} is over");
        };
        assert_eq!(status.code, Code::DeadlineExceeded as i32);
        let detail = status.details.expect("a detail");
        assert_eq!(detail.type_url, "type.googleapis.com/event_store.client.Timeout");
    }
    // The first revision shows that none of them was written.
    let Outcome::Success(written) = session.write(chunk(None)).await else { panic!("written") };
    let revision = written.current_revision_option.expect("a revision");
    assert_eq!(format!("{revision:?}"), "CurrentRevision(0)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_in_the_future_or_beyond_all_measure_is_none() {
    let mut session = session().await;
    for deadline in [
        None,
        from_now(100, 0),
        // What the Rust client sends: when it means, not how long.
        from_now(since_1970() + 10, 500),
        // What the Python client sends when it has none.
        from_now(315_576_000_000, 0),
        from_now(i64::MAX, i32::MAX),
        at(since_1970() + 100),
        at(i64::MAX),
    ] {
        let outcome = session.write(chunk(deadline)).await;
        assert!(matches!(outcome, Outcome::Success(_)), "{deadline:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_its_time_is_up_and_keeps_what_it_wrote() {
    let (mut session, outcome) = written_in_time().await;
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
    let ended = session.answers.next().await.expect("an end that is told");
    assert_eq!(ended.expect_err("an end").code(), Code::DeadlineExceeded);
}

/// A session with little time left, and what became of a write in it. Opening it and writing must
/// fit into its time, so a machine that is too slow for that is given more.
async fn written_in_time() -> (Session, Outcome) {
    let mut timeout = Duration::from_millis(500);
    loop {
        let tried = async {
            let mut session = limited(Some(timeout)).await?;
            let outcome = session.try_write(chunk(None)).await?;
            Ok::<_, Status>((session, outcome))
        };
        match tried.await {
            Ok(written) => return written,
            // The latter is what the client says when it gives up by itself.
            Err(late) if matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled) => {
                timeout *= 2;
                assert!(timeout <= Duration::from_secs(32), "{late}");
            }
            Err(other) => panic!("a success was expected, not {other}"),
        }
    }
}
