//! The dispatcher's state, step by step: what was published is a map, what was sent is a list.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::gateway::queue::Bounds;

fn user(n: u128) -> UserId {
    Uuid::from_u128(n).into()
}

fn conversation(n: u128) -> ConversationId {
    Uuid::from_u128(1000 + n).into()
}

fn login(n: u128) -> LoginId {
    Uuid::from_u128(2000 + n).into()
}

fn at(position: u64) -> Position {
    Position::at(position)
}

/// What is on its way from the relay: the frames of each audience.
#[derive(Default)]
struct Nats(HashMap<(Audience, Position), Utf8Bytes>);

/// A gateway with two-letter frames: what counts is which, where and when.
struct World {
    fanout: Fanout,
    nats: Nats,
    outboxes: HashMap<SocketId, Arc<Outbox>>,
    tick: Tick,
}

impl World {
    fn at(last: u64) -> Self {
        let tick = Tick { previous: at(last), to: at(last), frames: vec![] };
        Self {
            fanout: Fanout::new(at(last)),
            nats: Nats::default(),
            outboxes: HashMap::new(),
            tick,
        }
    }

    fn register(&mut self, socket: u64, of: u128) -> Position {
        let bounds = Bounds { frames: 100, bytes: 10_000 };
        let outbox = Arc::new(Outbox::new(bounds));
        self.outboxes.insert(SocketId(socket), Arc::clone(&outbox));
        let registration = Registration { user: user(of), login: login(of), outbox };
        self.fanout.register(SocketId(socket), registration)
    }

    fn join(&mut self, socket: u64, conversations: &[u128]) -> Option<Position> {
        let conversations = conversations.iter().map(|n| conversation(*n)).collect();
        self.fanout.join(SocketId(socket), conversations, None)
    }

    fn attach(&mut self, socket: u64, of: u128, conversations: &[u128]) {
        self.register(socket, of);
        self.join(socket, conversations);
    }

    /// The relay publishes an event of the next tick.
    fn publish(&mut self, position: u64, audiences: &[Audience], frame: impl Into<Utf8Bytes>) {
        let frame = frame.into();
        for audience in audiences {
            self.nats.0.insert((*audience, at(position)), frame.clone());
            self.tick.frames.push((*audience, at(position)));
        }
        self.tick.to = at(position);
    }

    fn say(&mut self, position: u64, to: u128) {
        let frame = format!(r#"{{"position":"{position}","type":"message.sent"}}"#);
        self.publish(position, &[Audience::Conversation(conversation(to))], frame);
    }

    fn member(&mut self, position: u64, what: &str, who: u128, to: u128) {
        let data = json!({"conversation": conversation(to), "user": user(who), "by": user(1)});
        let frame = json!({"position": at(position), "type": format!("conversation.member_{what}"), "data": data});
        let audiences = [Audience::Conversation(conversation(to)), Audience::User(user(who))];
        self.publish(position, &audiences, frame.to_string());
    }

    fn lose(&mut self, position: u64) {
        self.nats.0.retain(|(_, at), _| *at != Position::at(position));
    }

    /// The relay ends the tick, and begins the next.
    fn end_tick(&mut self) -> Tick {
        let next = Tick { previous: self.tick.to, to: self.tick.to, frames: vec![] };
        std::mem::replace(&mut self.tick, next)
    }

    fn hear(&mut self, tick: &Tick) -> Progress {
        let nats = &mut self.nats.0;
        self.fanout.tick(tick, |audience, position| {
            nats.retain(|(one, at), _| *one != audience || *at >= position);
            nats.remove(&(audience, position))
        })
    }

    fn tick(&mut self) -> Progress {
        let tick = self.end_tick();
        self.hear(&tick)
    }

    /// The positions of the frames that a socket was sent since the last time.
    fn sent(&self, socket: u64) -> Vec<u64> {
        let (frames, _) = self.outboxes[&SocketId(socket)].take();
        let position = |frame: Utf8Bytes| {
            let frame: serde_json::Value = serde_json::from_str(frame.as_str()).unwrap();
            frame["position"].as_str().unwrap().parse().unwrap()
        };
        frames.into_iter().map(position).collect()
    }
}

#[test]
fn a_frame_goes_to_everybody_in_its_audience_and_to_nobody_else() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    world.attach(2, 2, &[1, 2]);
    world.attach(3, 3, &[2]);
    world.say(11, 1);
    world.say(12, 2);
    world.say(13, 9);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!((world.sent(1), world.sent(2), world.sent(3)), (vec![11], vec![11, 12], vec![12]));
    assert_eq!(world.fanout.last(), at(13));
}

#[test]
fn a_lost_frame_is_noticed_and_filled_without_sending_anything_twice() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1, 2]);
    world.say(11, 1);
    world.say(12, 2);
    world.say(13, 1);
    world.lose(12);
    assert_eq!(world.tick(), Progress::Behind);
    assert_eq!(world.sent(1), [11]);
    assert_eq!(world.fanout.last(), at(11));

    let missed = Utf8Bytes::from(r#"{"position":"12"}"#);
    world.fanout.dispatch(at(11), &[Audience::Conversation(conversation(1))], &missed);
    world.fanout.dispatch(at(12), &[Audience::Conversation(conversation(2))], &missed);
    let next = Utf8Bytes::from(r#"{"position":"13"}"#);
    world.fanout.dispatch(at(13), &[Audience::Conversation(conversation(1))], &next);
    world.fanout.advance(at(13));
    assert_eq!(world.sent(1), [12, 13]);

    world.say(14, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!(world.sent(1), [14]);
}

#[test]
fn one_audience_of_an_event_is_enough() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    world.attach(2, 2, &[]);
    world.member(11, "added", 2, 1);
    world.nats.0.remove(&(Audience::Conversation(conversation(1)), at(11)));
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!((world.sent(1), world.sent(2)), (vec![11], vec![11]));
}

#[test]
fn a_lost_tick_is_noticed_by_the_next_one_also_by_an_idle_one() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    world.say(11, 1);
    drop(world.end_tick());
    assert_eq!(world.tick(), Progress::Behind, "an idle tick beyond what we know");
    world.say(12, 1);
    assert_eq!(world.tick(), Progress::Behind);
    assert_eq!(world.sent(1), [0; 0]);
    assert_eq!(world.fanout.last(), at(10));
}

#[test]
fn ticks_that_come_again_change_nothing_and_their_frames_do_not_pile_up() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    world.say(11, 1);
    let tick = world.end_tick();
    assert_eq!(world.hear(&tick), Progress::UpToDate);
    assert_eq!(world.sent(1), [11]);

    // The next relay sends the last events again, in other ticks.
    let audience = Audience::Conversation(conversation(1));
    let again = Utf8Bytes::from(r#"{"position":"11"}"#);
    world.nats.0.insert((audience, at(11)), again.clone());
    assert_eq!(world.hear(&tick), Progress::UpToDate);
    world.nats.0.insert((audience, at(11)), again);
    world.nats.0.insert((audience, at(12)), r#"{"position":"12"}"#.into());
    let takeover =
        Tick { previous: at(5), to: at(12), frames: vec![(audience, at(11)), (audience, at(12))] };
    assert_eq!(world.hear(&takeover), Progress::UpToDate);
    assert_eq!(world.sent(1), [12]);
    assert!(world.nats.0.is_empty());
}

#[test]
fn who_is_added_gets_what_comes_after_and_nothing_from_before() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    world.attach(2, 2, &[]);
    world.fanout.take_effects();
    world.say(11, 1);
    world.member(12, "added", 2, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!((world.sent(1), world.sent(2)), (vec![11, 12], vec![12]));
    assert_eq!(world.fanout.take_effects(), [], "the audience was there already");
    world.say(13, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!((world.sent(1), world.sent(2)), (vec![13], vec![13]));
}

#[test]
fn a_new_audience_is_subscribed_and_what_it_missed_until_then_is_noticed() {
    let mut world = World::at(10);
    world.attach(2, 2, &[]);
    assert_eq!(world.fanout.take_effects(), [Effect::Subscribe(Audience::User(user(2)))]);
    world.member(11, "added", 2, 1);
    world.say(12, 1);
    // Nobody here was in the conversation, so there was no subscription for its frames.
    let audience = Audience::Conversation(conversation(1));
    world.nats.0.retain(|(one, _), _| *one != audience);
    assert_eq!(world.tick(), Progress::Behind);
    assert_eq!(world.sent(2), [11]);
    assert_eq!(world.fanout.take_effects(), [Effect::Subscribe(audience)]);
    assert_eq!(world.fanout.last(), at(11));
}

#[test]
fn who_is_removed_sees_that_and_nothing_after() {
    for what in ["removed", "banned"] {
        let mut world = World::at(10);
        world.attach(1, 1, &[1]);
        world.attach(2, 2, &[1]);
        world.say(11, 1);
        world.member(12, what, 2, 1);
        world.say(13, 1);
        assert_eq!(world.tick(), Progress::UpToDate);
        assert_eq!((world.sent(1), world.sent(2)), (vec![11, 12, 13], vec![11, 12]));
    }
}

#[test]
fn the_last_one_to_leave_ends_the_subscription() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    world.attach(2, 1, &[1]);
    world.fanout.take_effects();
    world.fanout.leave(SocketId(1));
    assert_eq!(world.fanout.take_effects(), []);
    world.fanout.leave(SocketId(2));
    let effects = world.fanout.take_effects();
    let gone = [Audience::User(user(1)), Audience::Conversation(conversation(1))];
    assert_eq!(effects, gone.map(Effect::Unsubscribe));
    world.fanout.leave(SocketId(2));
    assert_eq!(world.join(2, &[1]), None);
}

#[test]
fn a_socket_that_attaches_gets_nothing_before_it_joins_and_everything_after() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1]);
    assert_eq!(world.register(2, 2), at(10));
    world.say(11, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!(world.join(2, &[1]), Some(at(11)), "what is up to there comes from the feed");
    world.say(12, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!(world.sent(2), [12]);
}

#[test]
fn changes_between_registering_and_joining_count() {
    let mut world = World::at(10);
    world.attach(1, 1, &[1, 2, 3]);
    world.register(2, 2);
    world.member(11, "added", 2, 1);
    world.member(12, "removed", 2, 2);
    world.member(13, "added", 2, 3);
    world.member(14, "removed", 2, 3);
    assert_eq!(world.tick(), Progress::UpToDate);
    // As of position 10, the person was in conversation 2 only.
    assert_eq!(world.join(2, &[2]), Some(at(14)));
    world.say(15, 1);
    world.say(16, 2);
    world.say(17, 3);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!(world.sent(2), [15]);
}

#[test]
fn a_client_that_is_ahead_of_this_node_sees_nothing_again() {
    let mut world = World::at(10);
    world.register(1, 1);
    let conversations = [conversation(1)].into();
    assert_eq!(world.fanout.join(SocketId(1), conversations, Some(at(12))), Some(at(12)));
    world.say(11, 1);
    world.say(12, 1);
    world.say(13, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!(world.sent(1), [13]);
}

#[test]
fn everybody_who_is_in_a_conversation_from_its_start_hears_of_it_and_is_in() {
    let mut world = World::at(10);
    world.attach(1, 1, &[]);
    world.attach(2, 2, &[]);
    let members = [1, 2].map(|n| json!({"user": user(n), "role": "member"}));
    let data = json!({"conversation": conversation(1), "kind": "group", "members": members});
    let frame = json!({"position": "11", "type": "conversation.opened", "data": data});
    let audiences = [1, 2].map(|n| Audience::User(user(n)));
    world.publish(11, &audiences, frame.to_string());
    assert_eq!(world.tick(), Progress::UpToDate);
    world.say(12, 1);
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!((world.sent(1), world.sent(2)), (vec![11, 12], vec![11, 12]));
}

#[test]
fn the_end_of_a_log_in_ends_its_sockets_only_and_those_that_attach_too() {
    let mut world = World::at(10);
    world.attach(1, 1, &[]);
    world.register(2, 1);
    world.attach(3, 1, &[]);
    world.fanout.sockets.get_mut(&SocketId(3)).unwrap().login = login(9);
    let data = json!({"login": login(1), "user": user(1), "reason": "logged_out"});
    let frame = json!({"position": "11", "type": "login.closed", "data": data});
    world.publish(11, &[Audience::User(user(1))], frame.to_string());
    assert_eq!(world.tick(), Progress::UpToDate);
    assert_eq!(world.sent(1), [11], "it is told why before it ends");
    let code = |socket| world.outboxes[&SocketId(socket)].ended().map(|bye| bye.code);
    assert_eq!((code(1), code(2), code(3)), (Some("login-ended"), Some("login-ended"), None));
}

#[test]
fn a_socket_that_is_too_slow_does_not_hold_up_the_others() {
    let mut world = World::at(0);
    world.attach(1, 1, &[1]);
    world.attach(2, 2, &[1]);
    let mut received = 0;
    for position in 1..=150 {
        world.say(position, 1);
        assert_eq!(world.tick(), Progress::UpToDate);
        received += world.sent(1).len();
    }
    assert_eq!(received, 150);
    let slow = world.outboxes[&SocketId(2)].ended().expect("it was ended");
    assert_eq!((slow.code, slow.resume), ("slow-consumer", true));
}
