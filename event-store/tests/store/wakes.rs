//! Thousands who follow a stream each: everyone gets their events, however the writes fall.

use eventstore::{
    Client, EventData, StreamPosition, StreamState, SubscribeToStreamOptions, SubscriptionEvent,
    TombstoneStreamOptions,
};
use futures::{StreamExt, TryStreamExt};
use tonic::{Streaming, transport::Channel};

use crate::{
    proto::{
        shared::StreamIdentifier,
        streams::{
            ReadReq, ReadResp,
            read_req::{
                Options, StreamOptions, SubscriptionOptions, UuidOption,
                options::{CountOption, FilterOption, StreamOption},
                stream_options::RevisionOption,
                uuid_option,
            },
            read_resp::Content,
            streams_client::StreamsClient,
        },
    },
    serving::Served,
};

const FOLLOWERS: usize = 5000;

fn stream(number: usize) -> String {
    format!("stream-{number}")
}

async fn follow(mut client: StreamsClient<Channel>, stream: String) -> Streaming<ReadResp> {
    let options = Options {
        stream_option: Some(StreamOption::Stream(StreamOptions {
            stream_identifier: Some(StreamIdentifier { stream_name: stream.into() }),
            revision_option: Some(RevisionOption::Start(())),
        })),
        read_direction: 0,
        resolve_links: false,
        count_option: Some(CountOption::Subscription(SubscriptionOptions {})),
        filter_option: Some(FilterOption::NoFilter(())),
        uuid_option: Some(UuidOption { content: Some(uuid_option::Content::String(())) }),
        control_option: None,
    };
    client.read(ReadReq { options: Some(options) }).await.expect("a subscription").into_inner()
}

/// Waits for the event of this revision of the stream, which must come next.
async fn assert_gets(follower: &mut Streaming<ReadResp>, stream: &str, revision: u64) {
    loop {
        let answer = follower.try_next().await.expect("it goes on").expect("it has no end");
        match answer.content.expect("a content") {
            Content::Event(event) => {
                let event = event.event.expect("an event");
                let name = event.stream_identifier.expect("a name").stream_name;
                assert_eq!((&name[..], event.stream_revision), (stream.as_bytes(), revision));
                return;
            }
            Content::Confirmation(_) | Content::CaughtUp(_) => {}
            other => panic!("nobody expected {other:?}"),
        }
    }
}

async fn write_to_all(client: &Client) {
    let batch = client.batch_append(&Default::default()).await.expect("a session");
    for number in 0..FOLLOWERS {
        let event = vec![EventData::binary("kind", vec![].into())];
        let written = batch.append_to_stream(stream(number), StreamState::Any, event).await;
        written.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_follow_a_stream_each_and_none_misses_an_event() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let writer = Client::new(served.url().parse().expect("a URL")).expect("a client");
    let url = format!("http://127.0.0.1:{}", served.port);
    let client = StreamsClient::<Channel>::connect(url).await.expect("connected");
    let start = |number| follow(client.clone(), stream(number));
    // Half of them wait already; the others come while the writes go on.
    let early: Vec<_> =
        futures::stream::iter(0..FOLLOWERS / 2).map(start).buffered(64).collect().await;
    let writing = tokio::spawn(async move {
        write_to_all(&writer).await;
        writer
    });
    let late: Vec<_> =
        futures::stream::iter(FOLLOWERS / 2..FOLLOWERS).map(start).buffered(64).collect().await;
    let mut followers = [early, late].into_iter().flatten().collect::<Vec<_>>();
    let writer = writing.await.expect("all were written");
    for (number, follower) in followers.iter_mut().enumerate() {
        assert_gets(follower, &stream(number), 0).await;
    }
    for revision in 1..3 {
        write_to_all(&writer).await;
        for (number, follower) in followers.iter_mut().enumerate() {
            assert_gets(follower, &stream(number), revision).await;
        }
    }
    drop(followers);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_metadata_is_told_of_the_end_of_the_stream() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let client = Client::new(served.url().parse().expect("a URL")).expect("a client");
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut metadata = client.subscribe_to_stream("$$a", &options).await;
    let mut itself = client.subscribe_to_stream("a", &options).await;
    // A subscription begins when it is first asked for something.
    for subscription in [&mut metadata, &mut itself] {
        let first = subscription.next_subscription_event().await.expect("confirmed");
        assert!(matches!(first, SubscriptionEvent::Confirmed(_)), "{first:?}");
    }
    let event = EventData::json("$metadata", &serde_json::json!({ "mine": 1 })).expect("JSON");
    client.append_to_stream("$$a", &Default::default(), event).await.expect("written");
    let told = metadata.next().await.expect("an event");
    assert_eq!(told.get_original_event().event_type, "$metadata");
    let any = TombstoneStreamOptions::default().stream_state(StreamState::Any);
    client.tombstone_stream("a", &any).await.expect("ended");
    let told = itself.next().await.expect("the tombstone");
    assert_eq!(told.get_original_event().event_type, "$streamDeleted");
    for subscription in [&mut metadata, &mut itself] {
        let ended = subscription.next().await;
        assert!(matches!(ended, Err(eventstore::Error::ResourceDeleted)), "{ended:?}");
    }
}
