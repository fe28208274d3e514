//! Reads from every place in both directions, and subscriptions that must see exactly the rest.

use eventstore::{
    Position, ReadAllOptions, ReadStreamOptions, RecordedEvent, StreamPosition,
    SubscribeToAllOptions, SubscribeToStreamOptions, Subscription, SubscriptionEvent,
    SubscriptionFilter,
};

use super::{LINKS, Pair, name};

/// No filter, one by prefixes of streams, one by prefixes of types, one by an expression.
fn filter(number: usize) -> Option<SubscriptionFilter> {
    match number % 4 {
        0 => None,
        1 => Some(SubscriptionFilter::on_stream_name().add_prefix("stream-1").add_prefix("$$")),
        2 => Some(SubscriptionFilter::on_event_type().add_prefix("$s").add_prefix("ki")),
        _ => Some(SubscriptionFilter::on_event_type().exclude_system_events()),
    }
}

fn passes(number: usize, event: &RecordedEvent) -> bool {
    let (stream, kind) = (event.stream_id(), &event.event_type);
    match number % 4 {
        0 => true,
        1 => stream.starts_with("stream-1") || stream.starts_with("$$"),
        2 => kind.starts_with("$s") || kind.starts_with("ki"),
        _ => !kind.starts_with('$'),
    }
}

/// Now a few events, now all.
fn limit(number: usize) -> usize {
    if number.is_multiple_of(3) { usize::MAX >> 1 } else { number % 5 + 1 }
}

impl Pair {
    /// Reads from every place; subscribes at some, which the number chooses.
    pub(super) async fn everywhere(&self, chosen: usize) {
        let log = self.log().await;
        for at in 0..=log.len() {
            self.read_all_at(&log, at, chosen + at).await;
        }
        for stream in 0..3 {
            self.read_stream_everywhere(stream, chosen).await;
            self.follow_stream(stream, chosen).await;
        }
        self.read_links().await;
        for number in chosen..chosen + 4 {
            // From the start, and behind one of the events.
            self.follow_all(&log, None, number).await;
            if !log.is_empty() {
                self.follow_all(&log, Some((chosen / 4 + number) % log.len()), number).await;
            }
        }
    }

    async fn read_all_at(&self, log: &[RecordedEvent], at: usize, number: usize) {
        let from = log
            .get(at)
            .map_or(StreamPosition::End, |event| StreamPosition::Position(event.position));
        let most = limit(number);
        let forwards = ReadAllOptions::default().position(from).forwards().max_count(most);
        for (backwards, options) in [(false, forwards.clone()), (true, forwards.backwards())] {
            for number in [number, number / 4] {
                let options = match filter(number) {
                    Some(filter) => options.clone().filter(filter),
                    None => options.clone(),
                };
                let mut read = self.client.read_all(&options).await.expect("a read");
                let mut found = Vec::new();
                while let Some(event) = read.next().await.expect("an event") {
                    found.push(event.get_original_event().position);
                }
                let wanted = |event: &&RecordedEvent| passes(number, event);
                let place = |event: &RecordedEvent| event.position;
                let expected: Vec<Position> = if backwards {
                    let rest = log[..at].iter().rev().filter(wanted);
                    rest.take(most).map(place).collect()
                } else {
                    let rest = log[at..].iter().filter(wanted);
                    rest.take(most).map(place).collect()
                };
                assert_eq!(
                    found, expected,
                    "from event {at} with filter {number}, backwards {backwards}"
                );
            }
        }
    }

    async fn read_stream_everywhere(&self, stream: u8, chosen: usize) {
        let expected = self.expected(usize::from(stream));
        let last = self.model.streams[usize::from(stream)].ids.len() as u64;
        for from in 0..last + 2 {
            let most = limit(chosen + from as usize);
            let forwards = ReadStreamOptions::default()
                .position(StreamPosition::Position(from))
                .max_count(most);
            let found = self.read(stream, &forwards).await;
            let Ok(expected) = &expected else {
                assert_eq!(found, expected);
                continue;
            };
            let rest = expected.iter().filter(|(revision, _)| *revision >= from);
            assert_eq!(found, Ok(rest.take(most).copied().collect()), "from {from}");
            let found = self.read(stream, &forwards.backwards()).await;
            let rest = expected.iter().rev().filter(|(revision, _)| *revision <= from);
            assert_eq!(found, Ok(rest.take(most).copied().collect()), "back from {from}");
        }
    }

    async fn read_links(&self) {
        let options = ReadStreamOptions::default().resolve_link_tos();
        let expected = self.model.resolved();
        let Ok(mut read) = self.client.read_stream(LINKS, &options).await else {
            assert!(expected.is_empty());
            return;
        };
        let mut found = Vec::new();
        while let Ok(Some(event)) = read.next().await {
            let link = event.link.expect("a link");
            assert_eq!(link.revision, found.len() as u64);
            found.push(event.event.map(|event| event.id.as_u128()));
        }
        assert_eq!(found, expected);
    }

    async fn follow_all(&self, log: &[RecordedEvent], behind: Option<usize>, number: usize) {
        let from =
            behind.map_or(StreamPosition::Start, |at| StreamPosition::Position(log[at].position));
        let options = SubscribeToAllOptions::default().position(from);
        let options = match filter(number) {
            Some(filter) => options.filter(filter),
            None => options,
        };
        let rest = log[behind.map_or(0, |at| at + 1)..].iter();
        let expected: Vec<_> =
            rest.filter(|event| passes(number, event)).map(|event| event.position).collect();
        let found = until_caught_up(self.client.subscribe_to_all(&options).await).await;
        let found: Vec<_> = found.iter().map(|event| event.position).collect();
        assert_eq!(found, expected, "behind {behind:?} with filter {number}");
    }

    async fn follow_stream(&self, stream: u8, chosen: usize) {
        let model = &self.model.streams[usize::from(stream)];
        if model.tombstoned {
            return;
        }
        let behind = chosen as u64 % (model.ids.len() as u64 + 1);
        let options =
            SubscribeToStreamOptions::default().start_from(StreamPosition::Position(behind));
        let subscription = self.client.subscribe_to_stream(name(stream), &options).await;
        let found = until_caught_up(subscription).await;
        let found: Vec<_> =
            found.iter().map(|event| (event.revision, event.id.as_u128())).collect();
        let mut expected = self.expected(usize::from(stream)).unwrap_or_default();
        expected.retain(|(revision, _)| *revision > behind);
        assert_eq!(found, expected, "behind {behind}");
    }
}

/// What a subscription says before it says that there is no more.
async fn until_caught_up(mut subscription: Subscription) -> Vec<RecordedEvent> {
    let mut found = Vec::new();
    loop {
        match subscription.next_subscription_event().await.expect("it goes on") {
            SubscriptionEvent::EventAppeared(event) => {
                found.push(event.link.or(event.event).expect("an event"));
            }
            SubscriptionEvent::CaughtUp(_) => return found,
            _ => {}
        }
    }
}
