//! The relay against NATS: everything once, in order, whoever dies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber, jetstream};
use chrono::TimeDelta;
use events::{Audience, ConversationId, Position};
use futures::StreamExt;
use projector::relay::{Gate, Relay};
use projector::subjects::Subjects;
use serde::Deserialize;
use servers::{Durability, Kind, PrivateServers, Wanted};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::world::{PATIENCE, Ticks, World, eventually, person};

/// A tick, as gateways read it.
#[derive(Debug, Deserialize)]
struct Tick {
    previous: Position,
    to: Position,
    frames: Vec<(Audience, Position)>,
}

/// Everything live, as one connection gets it.
struct Live {
    names: Subjects,
    messages: Subscriber,
}

impl Live {
    async fn watch(nats: &Client, namespace: &str) -> Self {
        let messages = nats.subscribe(format!("{namespace}.live.>")).await.unwrap();
        nats.flush().await.unwrap();
        Self { names: Subjects::new(namespace), messages }
    }

    /// Takes what a gateway would show, by its rules, up to a position: the frames that ticks
    /// name, each once. Fails if the chain of ticks has a gap that a frame was lost in.
    async fn up_to(&mut self, from: Position, end: Position) -> Vec<(Position, String)> {
        let mut shown = Vec::new();
        let mut waiting: HashMap<String, Vec<(Position, Message)>> = HashMap::new();
        let mut last = from;
        while last < end {
            let next = timeout(PATIENCE, self.messages.next());
            let message = next.await.expect("ticks come").unwrap();
            if message.subject.as_str() != self.names.tick() {
                let headers = message.headers.as_ref().unwrap();
                let position = headers.get("Roundtable-Position").unwrap().as_str();
                let position = position.parse().unwrap();
                waiting.entry(message.subject.to_string()).or_default().push((position, message));
                continue;
            }
            let tick: Tick = serde_json::from_slice(&message.payload).unwrap();
            assert!(tick.previous <= tick.to);
            if tick.to <= last {
                continue;
            }
            assert!(tick.previous <= last, "a gap: {tick:?} after {last}");
            for (audience, position) in tick.frames.iter().filter(|frame| frame.1 > last) {
                let subject = self.names.audience(*audience);
                let frames = &waiting[&subject];
                let (_, frame) =
                    frames.iter().rfind(|frame| frame.0 == *position).expect("a frame is lost");
                shown.push((*position, String::from_utf8(frame.payload.to_vec()).unwrap()));
            }
            last = tick.to;
        }
        shown
    }
}

fn relay(world: &World, nats: &Client) -> Relay {
    let relay = Relay::new(world.log.clone(), nats.clone(), world.names());
    // A test may stand still for longer than a takeover reaches back, and gateways read such a gap
    // from the log, which is not what is shown here.
    relay.showing_again(TimeDelta::hours(1))
}

async fn start(world: &World) -> JoinHandle<()> {
    tokio::spawn(relay(world, &world.nats().await).run())
}

/// The positions in `EVENTS`, with those before them, in the order of the stream.
async fn stored(world: &World, nats: &Client) -> Vec<(Position, Position)> {
    let context = jetstream::new(nats.clone());
    let stream = context.get_stream(world.names().stream()).await.unwrap();
    let state = stream.cached_info().state.clone();
    let mut stored = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let position = |name| message.headers.get(name).unwrap().as_str().parse().unwrap();
        stored.push((position("Roundtable-Previous"), position("Roundtable-Position")));
    }
    stored
}

/// The same, as the log says it.
async fn logged(world: &World) -> Vec<(Position, Position)> {
    let mut previous = Position::START;
    let events = world.log.read_all(Position::START, 100_000).await.unwrap();
    let pair = |position| (std::mem::replace(&mut previous, position), position);
    events.iter().map(|event| event.position).map(pair).collect()
}

async fn all_stored(world: &World, nats: &Client) {
    let count = logged(world).await.len() as u64;
    eventually("all events are in the stream", || async {
        let stream = jetstream::new(nats.clone()).get_stream(world.names().stream()).await;
        stream.is_ok_and(|stream| stream.cached_info().state.messages >= count)
    })
    .await;
    assert_eq!(stored(world, nats).await, logged(world).await);
}

async fn talk(world: &World, conversation: ConversationId, messages: usize) -> Position {
    let mut last = Position::START;
    for number in 0..messages {
        last = world.send(person("ada"), conversation, &format!("Message {number}")).await.1;
    }
    last
}

#[tokio::test]
async fn the_stream_has_the_order_of_the_log_and_the_ticks_have_no_gap() {
    let world = World::new().await;
    let nats = world.nats().await;
    let mut live = Live::watch(&nats, &world.namespace).await;
    // Some events before the relay is there, some while it is.
    world.sign_up("ada").await;
    let group = world.group(person("ada"), &[person("bob")]).await;
    let _relay = start(&world).await;
    world
        .append_raw("orders-1", "order.placed", &serde_json::json!({}), &serde_json::json!({}))
        .await;
    let last = talk(&world, group, 300).await;
    let shown = live.up_to(Position::START, last).await;
    assert_eq!(shown.len(), 1 + 2 + 300, "the sign-up, the opening for both, the messages");
    assert!(shown.is_sorted_by_key(|frame| frame.0));
    assert!(shown[302].1.contains("\"text\":\"Message 299\""), "{}", shown[302].1);
    all_stored(&world, &nats).await;
}

#[tokio::test]
async fn many_relays_publish_everything_once() {
    let world = World::new().await;
    let nats = world.nats().await;
    let mut live = Live::watch(&nats, &world.namespace).await;
    let relays = [start(&world).await, start(&world).await, start(&world).await];
    let group = world.group(person("ada"), &[]).await;
    for relay in relays {
        talk(&world, group, 50).await;
        relay.abort();
    }
    let _last = start(&world).await;
    let last = talk(&world, group, 1).await;
    let shown = live.up_to(Position::START, last).await;
    assert_eq!(shown.len(), 1 + 3 * 50 + 1);
    all_stored(&world, &nats).await;
}

#[tokio::test]
async fn what_a_relay_stored_and_did_not_show_is_shown_by_the_next() {
    let world = World::new().await;
    let nats = world.nats().await;
    let mut live = Live::watch(&nats, &world.namespace).await;
    let gate = Arc::new(Gate::default());
    let dying = relay(&world, &world.nats().await).held_at(gate.clone());
    let dying = tokio::spawn(dying.run());
    let group = world.group(person("ada"), &[]).await;
    timeout(PATIENCE, gate.reached.notified()).await.unwrap();
    gate.open.notify_one();
    // The next one stands by before the first one dies.
    let next = start(&world).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    talk(&world, group, 1).await;
    timeout(PATIENCE, gate.reached.notified()).await.unwrap();
    dying.abort();
    let began = Instant::now();
    let end = world.log.head().await.unwrap();
    let shown = live.up_to(Position::START, end).await;
    assert_eq!(shown.len(), 2);
    assert!(shown[1].1.contains("Message 0"));
    println!("takeover after {:?}", began.elapsed());
    all_stored(&world, &nats).await;
    next.abort();
}

#[tokio::test]
async fn a_standby_takes_over_within_a_second_or_so() {
    let world = World::new().await;
    let nats = world.nats().await;
    let leading = start(&world).await;
    let group = world.group(person("ada"), &[]).await;
    let mut live = Live::watch(&nats, &world.namespace).await;
    let from = talk(&world, group, 1).await;
    eventually("somebody leads", || async {
        nats.request(world.names().leader(), "".into()).await.is_ok()
    })
    .await;
    let _standby = start(&world).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    leading.abort();
    let last = talk(&world, group, 1).await;
    let ticks = Ticks::start();
    let shown = live.up_to(from, last).await;
    let took = ticks.count();
    println!("takeover after {took} hundredths of a second");
    assert!(shown.iter().any(|frame| frame.0 == last));
    assert!(took < 300, "{took} hundredths of a second");
}

#[tokio::test]
async fn nothing_is_lost_when_nats_restarts() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { postgres: false, redis: false, nats: true };
    let mut servers =
        PrivateServers::start_with(folder.path(), wanted, Durability::Relaxed).await.unwrap();
    let url = servers.nats_url.clone().unwrap();
    let connect = || async { service::nats::options(&url).connect(&url).await.unwrap() };
    let _relays = [
        tokio::spawn(relay(&world, &connect().await).run()),
        tokio::spawn(relay(&world, &connect().await).run()),
    ];
    let group = world.group(person("ada"), &[]).await;
    talk(&world, group, 20).await;
    let nats = connect().await;
    all_stored(&world, &nats).await;
    servers.kill(Kind::Nats).await;
    talk(&world, group, 20).await;
    servers.restart(Kind::Nats).await.unwrap();
    talk(&world, group, 20).await;
    all_stored(&world, &connect().await).await;
}

#[tokio::test]
async fn a_stream_that_was_wiped_is_filled_again() {
    let world = World::new().await;
    let nats = world.nats().await;
    let _relay = start(&world).await;
    let group = world.group(person("ada"), &[]).await;
    talk(&world, group, 20).await;
    all_stored(&world, &nats).await;
    jetstream::new(nats.clone()).delete_stream(world.names().stream()).await.unwrap();
    talk(&world, group, 1).await;
    all_stored(&world, &nats).await;
}

#[tokio::test]
async fn with_the_vault_away_frames_are_sealed() {
    let world = World::new().await;
    let nats = world.nats().await;
    let mut live = Live::watch(&nats, &world.namespace).await;
    let log = world.log_without_vault().await;
    let _relay = tokio::spawn(Relay::new(log, world.nats().await, world.names()).run());
    world.sign_up("ada").await;
    let group = world.group(person("ada"), &[]).await;
    let last = talk(&world, group, 3).await;
    let shown = live.up_to(Position::START, last).await;
    assert_eq!(shown.len(), 5);
    for (_, frame) in &shown {
        assert!(frame.contains("\"sealed\":true"), "{frame}");
    }
}

#[tokio::test]
async fn an_idle_relay_shows_an_event_at_once() {
    let world = World::new().await;
    let nats = world.nats().await;
    let _relay = start(&world).await;
    let group = world.group(person("ada"), &[]).await;
    let subject = world.names().audience(Audience::Conversation(group));
    let mut frames = nats.subscribe(subject).await.unwrap();
    nats.flush().await.unwrap();
    let ticks = Ticks::start();
    let mut took = Vec::new();
    for number in 0..50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        world.send(person("ada"), group, &format!("{number}")).await;
        let appended = ticks.count();
        timeout(PATIENCE, frames.next()).await.unwrap().unwrap();
        took.push(ticks.count() - appended);
    }
    took.sort_unstable();
    let (median, worst) = (took[25], took[49]);
    println!("appended to shown: median {median}, worst {worst} hundredths of a second");
    assert!(median < 10, "{median} hundredths of a second");
}
