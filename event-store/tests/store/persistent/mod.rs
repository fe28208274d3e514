//! Persistent subscriptions, seen from official clients: the same tests for each of them.

mod delivery;
mod durable;
mod managing;
mod parking;
mod spreading;

use tempfile::TempDir;

use crate::{
    client::{
        Client, EventData, NakAction, PersistentSubscription, PersistentSubscriptionEvent,
        PersistentSubscriptionInfo, PersistentSubscriptionOptions, ReadStreamOptions,
        RecordedEvent, ResolvedEvent, Result, StreamPosition,
        SubscribeToPersistentSubscriptionOptions,
    },
    serving::Served,
};

/// A store, and a client of it.
struct Stage {
    _data: TempDir,
    served: Served,
    client: Client,
}

async fn stage() -> Stage {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let client = client(&served.url());
    Stage { _data: data, served, client }
}

fn client(url: &str) -> Client {
    Client::new(url.parse().expect("a URL")).expect("a client")
}

/// The defaults, but from the start, with a checkpoint after each event.
fn from_start() -> PersistentSubscriptionOptions {
    PersistentSubscriptionOptions::default()
        .start_from(StreamPosition::Start)
        .checkpoint_lower_bound(1)
        .checkpoint_upper_bound(1)
}

/// What was delivered: the revision, and how often it was delivered before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Delivered(u64, usize);

async fn append(client: &Client, stream: &str, count: u64) {
    let events: Vec<_> =
        (0..count).map(|number| EventData::json("kind", &number).expect("JSON")).collect();
    client.append_to_stream(stream, &Default::default(), events).await.expect("written");
}

async fn subscribe(client: &Client, stream: &str, buffer_size: usize) -> PersistentSubscription {
    let options = SubscribeToPersistentSubscriptionOptions::default().buffer_size(buffer_size);
    let subscription = client.subscribe_to_persistent_subscription(stream, "group", &options).await;
    let mut subscription = subscription.expect("a subscription");
    confirmed(&mut subscription, stream).await;
    subscription
}

async fn confirmed(subscription: &mut PersistentSubscription, stream: &str) {
    match subscription.next_subscription_event().await.expect("a confirmation") {
        PersistentSubscriptionEvent::Confirmed(id) => assert_eq!(id, format!("{stream}::group")),
        other => panic!("a confirmation was expected, not {other:?}"),
    }
}

async fn next(subscription: &mut PersistentSubscription) -> (ResolvedEvent, usize) {
    match subscription.next_subscription_event().await.expect("the subscription goes on") {
        PersistentSubscriptionEvent::EventAppeared { event, retry_count } => (event, retry_count),
        other => panic!("an event was expected, not {other:?}"),
    }
}

/// Finishes the event. The clients' own ways differ in what they take.
async fn ack(subscription: &mut PersistentSubscription, event: &ResolvedEvent) -> Result<()> {
    subscription.ack_ids(vec![event.get_original_event().id]).await
}

async fn nack(
    subscription: &mut PersistentSubscription,
    event: &ResolvedEvent,
    action: NakAction,
    reason: &str,
) -> Result<()> {
    subscription.nack_ids(vec![event.get_original_event().id], action, reason).await
}

/// Expects these, and acknowledges each.
async fn assert_done(
    subscription: &mut PersistentSubscription,
    expected: impl IntoIterator<Item = Delivered>,
) {
    for expected in expected {
        let (event, retries) = next(subscription).await;
        assert_eq!(Delivered(event.get_original_event().revision, retries), expected);
        ack(subscription, &event).await.expect("said");
    }
}

fn fresh(revisions: std::ops::Range<u64>) -> impl Iterator<Item = Delivered> {
    revisions.map(|revision| Delivered(revision, 0))
}

impl Stage {
    async fn create(&self, stream: &str, options: &PersistentSubscriptionOptions) {
        let created = self.client.create_persistent_subscription(stream, "group", options).await;
        created.expect("a group");
    }

    async fn info(&self, stream: &str) -> PersistentSubscriptionInfo<u64> {
        let info = self
            .client
            .get_persistent_subscription_info(stream, "group", &Default::default())
            .await;
        info.expect("there is a group")
    }

    /// Waits until what is told of the group is as it should be.
    async fn until(
        &self,
        stream: &str,
        is_so: impl Fn(&PersistentSubscriptionInfo<u64>) -> bool,
    ) -> PersistentSubscriptionInfo<u64> {
        loop {
            let info = self.info(stream).await;
            if is_so(&info) {
                return info;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn until_checkpoint(&self, stream: &str, revision: u64) {
        let at = |info: &PersistentSubscriptionInfo<u64>| {
            info.stats.last_checkpointed_event_revision == Some(revision)
        };
        self.until(stream, at).await;
    }

    async fn read(&self, stream: &str) -> Vec<RecordedEvent> {
        let read = self.client.read_stream(stream, &ReadStreamOptions::default()).await;
        let mut read = read.expect("a read");
        let mut events = Vec::new();
        while let Some(event) = read.next().await.expect("an event") {
            events.push(event.link.or(event.event).expect("an event"));
        }
        events
    }
}
