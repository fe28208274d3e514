//! What every client must be able to do, written once for both of them.

/// Makes the suite for a client: its crate, its name of an exact revision, the option's name, and
/// how the name of an event's stream is reached.
macro_rules! client_suite {
    ($client:ident, $state:ident :: $exact:ident, $with:ident, $($stream_id:tt)+) => {
        mod client_suite {
            use $client::{
                AppendToStreamOptions, Client, CurrentRevision, DeleteStreamOptions, Error,
                EventData, ReadAllOptions, ReadStreamOptions, RecordedEvent, StreamPosition,
                TombstoneStreamOptions, WriteResult, $state as State,
            };
            use uuid::Uuid;

            use crate::serving::{Served, new_id};

            struct Stage {
                _data: tempfile::TempDir,
                _served: Served,
                client: Client,
            }

            async fn stage() -> Stage {
                let data = tempfile::tempdir().expect("a folder");
                let served = Served::start(data.path()).await;
                let client =
                    Client::new(served.url().parse().expect("a URL")).expect("a client");
                Stage { _data: data, _served: served, client }
            }

            fn event(number: u64) -> EventData {
                EventData::json("tested", &serde_json::json!({ "number": number }))
                    .expect("JSON")
                    .id(new_id())
            }

            fn events(count: u64) -> Vec<EventData> {
                (0..count).map(event).collect()
            }

            fn expecting(state: State) -> AppendToStreamOptions {
                AppendToStreamOptions::default().$with(state)
            }

            impl Stage {
                async fn append(
                    &self,
                    stream: &str,
                    state: State,
                    events: Vec<EventData>,
                ) -> Result<WriteResult, Error> {
                    self.client.append_to_stream(stream, &expecting(state), events).await
                }

                async fn read(
                    &self,
                    stream: &str,
                    options: &ReadStreamOptions,
                ) -> Result<Vec<RecordedEvent>, Error> {
                    let mut events = Vec::new();
                    let mut read = self.client.read_stream(stream, options).await?;
                    while let Some(event) = read.next().await? {
                        events.push(event.link.or(event.event).expect("an event"));
                    }
                    Ok(events)
                }

                async fn revisions(&self, stream: &str) -> Vec<u64> {
                    let read = self.read(stream, &ReadStreamOptions::default()).await;
                    read.expect("the stream is there").iter().map(|e| e.revision).collect()
                }

                async fn all(&self, options: &ReadAllOptions) -> Vec<RecordedEvent> {
                    let mut events = Vec::new();
                    let mut read = self.client.read_all(options).await.expect("a read");
                    while let Some(event) = read.next().await.expect("an event") {
                        events.push(event.link.or(event.event).expect("an event"));
                    }
                    events
                }
            }

            #[track_caller]
            fn assert_wrong(result: Result<WriteResult, Error>, actual: CurrentRevision) {
                match result {
                    Err(Error::WrongExpectedVersion { current, .. }) => {
                        assert_eq!(current, actual)
                    }
                    other => panic!("a wrong version was expected, not {other:?}"),
                }
            }

            /// Deletions tell a wrong version as an error that the clients have no name for.
            #[track_caller]
            fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>) {
                match result {
                    Err(Error::Grpc { code, message }) => {
                        assert_eq!(format!("{code:?}"), "FailedPrecondition");
                        assert!(message.contains("WrongExpectedVersion"), "{message}");
                    }
                    other => panic!("a wrong version was expected, not {other:?}"),
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_expected_revision_is_accepted_when_it_is_true() {
                let stage = stage().await;
                let first = stage.append("a", State::NoStream, events(2)).await.expect("new");
                assert_eq!(first.next_expected_version, 1);
                assert_eq!(first.position.commit, first.position.prepare);
                let second = stage.append("a", State::$exact(1), events(1)).await;
                assert_eq!(second.expect("exact").next_expected_version, 2);
                let third = stage.append("a", State::StreamExists, events(1)).await;
                assert_eq!(third.expect("exists").next_expected_version, 3);
                let fourth = stage.append("a", State::Any, events(1)).await.expect("any");
                assert_eq!(fourth.next_expected_version, 4);
                assert!(fourth.position > first.position);
                assert_eq!(stage.revisions("a").await, [0, 1, 2, 3, 4]);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_wrong_expected_revision_is_told_the_current_one() {
                let stage = stage().await;
                let missing = CurrentRevision::NoStream;
                assert_wrong(stage.append("a", State::StreamExists, events(1)).await, missing);
                let missing = CurrentRevision::NoStream;
                assert_wrong(stage.append("a", State::$exact(0), events(1)).await, missing);
                stage.append("a", State::NoStream, events(3)).await.expect("new");
                for state in [
                    State::NoStream,
                    State::$exact(0),
                    State::$exact(1),
                    State::$exact(3),
                    State::$exact(99),
                ] {
                    let current = CurrentRevision::Current(2);
                    assert_wrong(stage.append("a", state, events(1)).await, current);
                }
                assert_eq!(stage.revisions("a").await, [0, 1, 2]);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_repeated_append_is_answered_as_the_first_time() {
                let stage = stage().await;
                for (stream, state) in [
                    ("a", State::NoStream),
                    ("b", State::Any),
                    ("c", State::$exact(1)),
                    ("d", State::StreamExists),
                ] {
                    if matches!(state, State::$exact(_) | State::StreamExists) {
                        stage.append(stream, State::NoStream, events(2)).await.expect("new");
                    }
                    let proposed = events(3);
                    let first = stage.append(stream, state, proposed.clone()).await;
                    let first = first.expect("the first time");
                    stage.append(stream, State::Any, events(2)).await.expect("more");
                    let before = stage.revisions(stream).await;
                    let again = stage.append(stream, state, proposed.clone()).await;
                    let again = again.expect("the second time");
                    assert_eq!(again.next_expected_version, first.next_expected_version);
                    assert_eq!(again.position, first.position);
                    let mut longer = proposed;
                    longer.push(event(9));
                    let longer = stage.append(stream, state, longer).await;
                    assert!(matches!(longer, Err(Error::WrongExpectedVersion { .. })));
                    assert_eq!(stage.revisions(stream).await, before);
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_was_appended_is_read_as_it_was() {
                let stage = stage().await;
                let id = new_id();
                let binary = EventData::binary("bytes", vec![0, 159, 146, 150].into())
                    .id(id)
                    .metadata_as_json(&serde_json::json!({ "who": "me" }))
                    .expect("JSON");
                let text = EventData::json("text", &serde_json::json!({ "a": "ü" })).expect("JSON");
                let written = stage.append("grüße-1", State::NoStream, vec![binary, text]).await;
                let written = written.expect("new");
                let read = stage.read("grüße-1", &ReadStreamOptions::default()).await;
                let read = read.expect("there");
                assert_eq!(read[0].id, id);
                assert_eq!(read[0].$($stream_id)+, "grüße-1");
                assert_eq!(read[0].event_type, "bytes");
                assert_eq!(&read[0].data[..], [0, 159, 146, 150]);
                assert_eq!(&read[0].custom_metadata[..], br#"{"who":"me"}"#);
                assert!(!read[0].is_json);
                assert!(read[1].is_json);
                assert_eq!(read[1].position, written.position);
                assert!(read[0].position < read[1].position);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_stream_is_read_from_anywhere_in_both_directions() {
                let stage = stage().await;
                stage.append("a", State::NoStream, events(600)).await.expect("new");
                let numbers = async |options: ReadStreamOptions| -> Vec<u64> {
                    let read = stage.read("a", &options).await.expect("there");
                    read.iter().map(|event| event.revision).collect()
                };
                let at = |revision| {
                    ReadStreamOptions::default().position(StreamPosition::Position(revision))
                };
                assert_eq!(numbers(ReadStreamOptions::default()).await, Vec::from_iter(0..600));
                assert_eq!(numbers(at(598)).await, [598, 599]);
                assert_eq!(numbers(at(3).max_count(2)).await, [3, 4]);
                assert!(numbers(at(600)).await.is_empty());
                assert_eq!(numbers(at(2).backwards()).await, [2, 1, 0]);
                let end = ReadStreamOptions::default().position(StreamPosition::End).backwards();
                assert_eq!(numbers(end.clone()).await, Vec::from_iter((0..600).rev()));
                assert_eq!(numbers(end.max_count(2)).await, [599, 598]);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_log_is_read_from_anywhere_in_both_directions() {
                let stage = stage().await;
                for number in 0..300 {
                    let stream = format!("s-{}", number % 7);
                    stage.append(&stream, State::Any, events(2)).await.expect("written");
                }
                let all = stage.all(&ReadAllOptions::default()).await;
                assert_eq!(all.len(), 600);
                assert!(all.is_sorted_by(|a, b| a.position < b.position));
                let ids = |events: &[RecordedEvent]| -> Vec<Uuid> {
                    events.iter().map(|event| event.id).collect()
                };
                let end = ReadAllOptions::default().position(StreamPosition::End).backwards();
                let mut backwards = stage.all(&end).await;
                backwards.reverse();
                assert_eq!(ids(&backwards), ids(&all));
                let middle = all[321].position;
                let from = ReadAllOptions::default().position(StreamPosition::Position(middle));
                let forwards = stage.all(&from.clone().max_count(5)).await;
                assert_eq!(ids(&forwards), ids(&all[321..326]));
                let backwards = stage.all(&from.backwards().max_count(2)).await;
                assert_eq!(ids(&backwards), [all[320].id, all[319].id]);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_missing_stream_is_not_found() {
                let stage = stage().await;
                let read = stage.read("nothing", &ReadStreamOptions::default()).await;
                assert!(matches!(read, Err(Error::ResourceNotFound)), "{read:?}");
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn batch_append_writes_and_tells_what_was_wrong() {
                let stage = stage().await;
                let batch = stage.client.batch_append(&Default::default()).await.expect("batch");
                let writes = (0..200).map(|number| {
                    let stream = format!("b-{number}");
                    let batch = &batch;
                    async move {
                        let written = batch.append_to_stream(stream, State::NoStream, events(2));
                        written.await.expect("written").current_revision()
                    }
                });
                let written = futures::future::join_all(writes).await;
                assert!(written.iter().all(|revision| *revision == Some(1)));
                let wrong = batch.append_to_stream("b-1", State::NoStream, events(1)).await;
                match wrong {
                    Err(Error::Grpc { message, .. }) => assert!(message.contains("WrongExpected")),
                    other => panic!("an error was expected, not {other:?}"),
                }
                assert_eq!(stage.all(&ReadAllOptions::default()).await.len(), 400);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn metadata_hides_events_from_stream_reads_only() {
                let stage = stage().await;
                stage.append("a", State::NoStream, events(5)).await.expect("new");
                let metadata = |json: serde_json::Value| {
                    vec![EventData::json("$metadata", &json).expect("JSON")]
                };
                let rules = metadata(serde_json::json!({ "$maxCount": 2 }));
                stage.append("$$a", State::NoStream, rules).await.expect("metadata");
                assert_eq!(stage.revisions("a").await, [3, 4]);
                stage.append("a", State::$exact(4), events(1)).await.expect("more");
                assert_eq!(stage.revisions("a").await, [4, 5]);
                let end = ReadStreamOptions::default().position(StreamPosition::End).backwards();
                assert_eq!(stage.read("a", &end).await.expect("there").len(), 2);
                let rules = metadata(serde_json::json!({ "$tb": 3 }));
                stage.append("$$a", State::$exact(0), rules).await.expect("metadata");
                assert_eq!(stage.revisions("a").await, [3, 4, 5]);
                let rules = metadata(serde_json::json!({ "$maxAge": 3600 }));
                stage.append("$$a", State::Any, rules).await.expect("metadata");
                assert_eq!(stage.revisions("a").await, [0, 1, 2, 3, 4, 5]);
                assert_eq!(stage.all(&ReadAllOptions::default()).await.len(), 9);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_deleted_stream_is_not_found_and_can_be_revived() {
                let stage = stage().await;
                let delete = async |stream: &str, state| {
                    let options = DeleteStreamOptions::default().$with(state);
                    stage.client.delete_stream(stream, &options).await
                };
                assert_refused(delete("never", State::Any).await);
                assert_refused(delete("never", State::NoStream).await);
                for state in [State::NoStream, State::Any, State::$exact(2)] {
                    let stream = format!("revived-{state:?}");
                    stage.append(&stream, State::NoStream, events(3)).await.expect("new");
                    assert_refused(delete(&stream, State::$exact(7)).await);
                    let position = delete(&stream, State::$exact(2)).await;
                    assert!(position.expect("deleted").is_some());
                    let read = stage.read(&stream, &ReadStreamOptions::default()).await;
                    assert!(matches!(read, Err(Error::ResourceNotFound)));
                    delete(&stream, State::Any).await.expect("deleted again");
                    let again = delete(&stream, State::StreamExists).await;
                    assert!(matches!(again, Err(Error::ResourceDeleted)), "{again:?}");
                    let exists = stage.append(&stream, State::StreamExists, events(1)).await;
                    assert!(matches!(exists, Err(Error::ResourceDeleted)), "{exists:?}");
                    let revived = stage.append(&stream, state, events(2)).await.expect("revived");
                    assert_eq!(revived.next_expected_version, 4);
                    assert_eq!(stage.revisions(&stream).await, [3, 4]);
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_tombstone_ends_a_stream_for_ever() {
                let stage = stage().await;
                let tombstone = async |stream: &str, state| {
                    let options = TombstoneStreamOptions::default().$with(state);
                    stage.client.tombstone_stream(stream, &options).await
                };
                stage.append("a", State::NoStream, events(3)).await.expect("new");
                assert_refused(tombstone("a", State::$exact(1)).await);
                tombstone("a", State::$exact(2)).await.expect("ended");
                tombstone("never", State::Any).await.expect("ended before it began");
                for stream in ["a", "never"] {
                    let read = stage.read(stream, &ReadStreamOptions::default()).await;
                    assert!(matches!(read, Err(Error::ResourceDeleted)), "{read:?}");
                    let metadata = format!("$${stream}");
                    let read = stage.read(&metadata, &ReadStreamOptions::default()).await;
                    assert!(matches!(read, Err(Error::ResourceDeleted)), "{read:?}");
                    let append = stage.append(stream, State::Any, events(1)).await;
                    assert!(matches!(append, Err(Error::ResourceDeleted)), "{append:?}");
                    let again = tombstone(stream, State::Any).await;
                    assert!(matches!(again, Err(Error::ResourceDeleted)), "{again:?}");
                    let written = stage.append(&metadata, State::Any, events(1)).await;
                    written.expect("metadata of a deleted stream can be written");
                }
                let types: Vec<_> = stage.all(&ReadAllOptions::default()).await;
                assert_eq!(types.iter().filter(|e| e.event_type == "$streamDeleted").count(), 2);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn links_are_followed_when_asked() {
                let stage = stage().await;
                stage.append("target", State::NoStream, events(3)).await.expect("new");
                let link = |to: &'static str| EventData::binary("$>", to.into());
                let links = vec![link("1@target"), link("9@target"), link("0@nothing")];
                stage.append("links", State::NoStream, links).await.expect("new");
                let options = ReadStreamOptions::default().resolve_link_tos();
                let mut read = stage.client.read_stream("links", &options).await.expect("read");
                let first = read.next().await.expect("read").expect("there");
                assert_eq!(first.event.as_ref().expect("resolved").revision, 1);
                assert_eq!(first.event.expect("resolved").$($stream_id)+, "target");
                assert_eq!(first.link.expect("a link").revision, 0);
                for _ in 0..2 {
                    let broken = read.next().await.expect("read").expect("there");
                    assert!(broken.event.is_none() && broken.link.is_some());
                }
            }
        }
    };
}

pub(crate) use client_suite;
