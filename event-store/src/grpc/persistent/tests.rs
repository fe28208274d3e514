//! What the Rust clients do not send: said in the protocol itself.

use futures::{StreamExt, stream};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use crate::{
    Config, EventStore,
    grpc::proto::{
        persistent::{
            self as wire, AllOptions, CreateReq, GetInfoReq, GroupOptions, ReadReq, ReadResp,
            ReplayParkedReq, Settings, StreamOptions, SubscriptionInfo,
            group_options::StreamOption,
            persistent_subscriptions_client::PersistentSubscriptionsClient as Client, read_req,
            read_resp,
        },
        shared::{AllStreamPosition, MetadataEntry, StreamIdentifier, uuid as wire_id},
        streams::{
            AppendReq, ProposedMessage, append_req, read_req::UuidOption,
            read_req::uuid_option::Content as UuidContent, streams_client::StreamsClient,
        },
    },
};

struct Stage {
    _data: TempDir,
    _shutdown: tokio_util::sync::DropGuard,
    channel: Channel,
    client: Client<Channel>,
}

async fn stage() -> Stage {
    let data = tempfile::tempdir().expect("a folder");
    let store = EventStore::open(Config::new(data.path())).expect("it opens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let shutdown = CancellationToken::new();
    tokio::spawn(store.serve(listener, shutdown.clone()));
    let channel = Channel::from_shared(url).expect("a URL").connect().await.expect("it listens");
    let client = Client::new(channel.clone());
    Stage { _data: data, _shutdown: shutdown.drop_guard(), channel, client }
}

fn settings() -> Settings {
    Settings {
        max_retry_count: 1_000_000,
        live_buffer_size: 500,
        read_batch_size: 20,
        history_buffer_size: 500,
        ..Settings::default()
    }
}

fn stream_named(name: &'static str) -> StreamIdentifier {
    StreamIdentifier { stream_name: name.into() }
}

fn from_start(name: &'static str) -> StreamOption {
    StreamOption::Stream(StreamOptions {
        stream_identifier: Some(stream_named(name)),
        revision_option: Some(wire::stream_options::RevisionOption::Start(())),
    })
}

fn all_from(position: u64) -> StreamOption {
    let position = AllStreamPosition { commit_position: position, prepare_position: position };
    StreamOption::All(AllOptions {
        all_option: Some(wire::all_options::AllOption::Position(position)),
        filter_option: None,
    })
}

fn options(buffer_size: i32) -> ReadReq {
    let options = read_req::Options {
        group_name: "group".to_owned(),
        buffer_size,
        uuid_option: Some(UuidOption { content: Some(UuidContent::Structured(())) }),
        stream_option: Some(read_req::options::StreamOption::StreamIdentifier(stream_named("a"))),
    };
    ReadReq { content: Some(read_req::Content::Options(options)) }
}

impl Stage {
    async fn create(&mut self, source: StreamOption, settings: Settings) -> Result<(), Status> {
        self.make(GroupOptions {
            stream_identifier: None,
            group_name: "group".to_owned(),
            settings: Some(settings),
            stream_option: Some(source),
        })
        .await
    }

    async fn make(&mut self, options: GroupOptions) -> Result<(), Status> {
        self.client.create(CreateReq { options: Some(options) }).await.map(drop)
    }

    async fn append(&self, bytes: usize) {
        let options = append_req::Options {
            stream_identifier: Some(stream_named("a")),
            expected_stream_revision: Some(append_req::options::ExpectedStreamRevision::Any(())),
        };
        let entry = |key: &'static str, value: &'static str| MetadataEntry {
            key: key.into(),
            value: value.into(),
        };
        let id = crate::grpc::convert::id_to(new_id(), crate::grpc::convert::IdForm::Text);
        let message = ProposedMessage {
            id: Some(id),
            metadata: vec![entry("type", "kind"), entry("content-type", "application/json")],
            custom_metadata: Default::default(),
            data: vec![b'7'; bytes].into(),
        };
        let contents =
            [append_req::Content::Options(options), append_req::Content::ProposedMessage(message)];
        let requests = contents.map(|content| AppendReq { content: Some(content) });
        let mut streams = StreamsClient::new(self.channel.clone());
        streams.append(stream::iter(requests)).await.expect("written");
    }

    async fn info(&mut self) -> SubscriptionInfo {
        let stream_option =
            Some(wire::get_info_req::options::StreamOption::StreamIdentifier(stream_named("a")));
        let options = wire::get_info_req::Options { group_name: "group".to_owned(), stream_option };
        let told = self.client.get_info(GetInfoReq { options: Some(options) }).await;
        told.expect("there is a group").into_inner().subscription_info.expect("information")
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is the edge that makes its events")]
fn new_id() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

async fn event(answers: &mut Streaming<ReadResp>) -> read_resp::ReadEvent {
    loop {
        let answer = answers.next().await.expect("it goes on").expect("an answer");
        if let Some(read_resp::Content::Event(event)) = answer.content {
            return event;
        }
    }
}

/// How the subscription ends, and how many events come before that.
async fn end(mut answers: Streaming<ReadResp>) -> (Status, usize) {
    let mut events = 0;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(_) => events += 1,
            Err(status) => return (status, events),
        }
    }
    panic!("a subscription must not end well");
}

fn exception(status: &Status) -> Option<&str> {
    status.metadata().get("exception").and_then(|value| value.to_str().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_no_more_to_say_still_gets_events() {
    let mut stage = stage().await;
    // Old clients name the stream beside the choice, and count in ticks.
    let old = Settings {
        message_timeout: Some(wire::settings::MessageTimeout::MessageTimeoutTicks(50_000_000)),
        named_consumer_strategy: 1,
        ..settings()
    };
    let made = stage.make(GroupOptions {
        stream_identifier: Some(stream_named("a")),
        group_name: "group".to_owned(),
        settings: Some(old),
        stream_option: None,
    });
    made.await.expect("a group");
    let mut request = Request::new(stream::iter([options(10)]));
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Basic YWRtaW46Y2hhbmdlaXQ=".parse().expect("ASCII"));
    metadata.insert("connection-name", "worker".parse().expect("ASCII"));
    let mut answers = stage.client.read(request).await.expect("subscribed").into_inner();
    for revision in 0..3 {
        stage.append(10).await;
        let event = event(&mut answers).await;
        assert_eq!(event.count, Some(read_resp::read_event::Count::RetryCount(0)));
        let recorded = event.event.expect("an event");
        assert_eq!(recorded.stream_revision, revision);
        let id = recorded.id.and_then(|id| id.value);
        assert!(matches!(id, Some(wire_id::Value::Structured(_))), "{id:?}");
    }
    let info = stage.info().await;
    assert_eq!(info.message_timeout_milliseconds, 5000);
    assert_eq!(info.named_consumer_strategy, "RoundRobin");
    assert_eq!(
        (&info.connections[0].username[..], &info.connections[0].connection_name[..]),
        ("admin", "worker")
    );
    assert!(info.connections[0].from.starts_with("127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strategy_is_known_by_its_name_or_refused() {
    let mut stage = stage().await;
    let unknown = Settings { consumer_strategy: "Loudest".to_owned(), ..settings() };
    let refused = stage.create(from_start("a"), unknown).await.expect_err("no such strategy");
    assert_eq!(refused.code(), Code::Internal);
    assert_eq!(exception(&refused), Some("persistent-subscription-failed"));
    assert!(refused.message().contains("Consumer strategy Loudest does not exist."));
    let name = "PinnedByCorrelation";
    let known = Settings { consumer_strategy: name.to_owned(), ..settings() };
    stage.create(from_start("a"), known).await.expect("a group");
    assert_eq!(stage.info().await.named_consumer_strategy, name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_whole_log_begins_at_a_position_that_there_is() {
    let mut stage = stage().await;
    stage.append(10).await;
    let behind = stage.create(all_from(1 << 40), settings()).await.expect_err("there is no such");
    assert_eq!(exception(&behind), Some("persistent-subscription-failed"));
    let between = stage.create(all_from(30), settings()).await.expect_err("no event is there");
    assert_eq!(between.code(), Code::InvalidArgument);
    // Clients begin in front of everything with a position that no event has.
    stage.create(all_from(1), settings()).await.expect("a group");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_ends_a_subscription() {
    let mut stage = stage().await;
    let missing = stage.client.read(stream::iter([options(1)])).await.expect_err("no such group");
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(exception(&missing), Some("persistent-subscription-does-not-exist"));
    assert_eq!(missing.message(), "Subscription group group on stream a does not exist.");
    assert_eq!(missing.metadata().get("group-name").expect("a name"), "group");
    stage.create(from_start("a"), settings()).await.expect("a group");
    let roomless = stage.client.read(stream::iter([options(0)])).await.expect_err("no room");
    assert_eq!(roomless.code(), Code::InvalidArgument);
    let unknown =
        read_req::Nack { id: Default::default(), ids: vec![], action: 9, reason: String::new() };
    let empty = read_req::Ack { id: Default::default(), ids: vec![Default::default()] };
    for nonsense in [
        options(1).content,
        Some(read_req::Content::Nack(unknown)),
        Some(read_req::Content::Ack(empty)),
        None,
    ] {
        let requests = stream::iter([options(1), ReadReq { content: nonsense }]);
        let answers = stage.client.read(requests).await.expect("subscribed").into_inner();
        assert_eq!(end(answers).await.0.code(), Code::InvalidArgument);
    }
    let replay = ReplayParkedReq {
        options: Some(wire::replay_parked_req::Options {
            group_name: "group".to_owned(),
            stream_option: Some(wire::replay_parked_req::options::StreamOption::StreamIdentifier(
                stream_named("a"),
            )),
            stop_at_option: Some(wire::replay_parked_req::options::StopAtOption::StopAt(-1)),
        }),
    };
    let refused = stage.client.replay_parked(replay).await.expect_err("it would stop before");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_takes_nothing_is_told_that_it_is_too_slow() {
    let mut stage = stage().await;
    let hasty = Settings {
        message_timeout: Some(wire::settings::MessageTimeout::MessageTimeoutMs(1)),
        ..settings()
    };
    stage.create(from_start("a"), hasty).await.expect("a group");
    let requests = stream::iter([options(2)]).chain(stream::pending());
    let answers = stage.client.read(requests).await.expect("subscribed").into_inner();
    // More than fits on the way to a client that does not read.
    stage.append(3 << 20).await;
    while stage.info().await.connections.len() == 1 {
        tokio::task::yield_now().await;
    }
    let (status, events) = end(answers).await;
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("Consumer too slow"));
    assert!(events < 10, "{events} came before");
}
