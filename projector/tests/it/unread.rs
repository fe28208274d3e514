//! Unread counts against a recount from the log, after storms of everything that may change them.

use std::collections::{BTreeMap, BTreeSet};

use domain::conversation::Command;
use domain::message::Action;
use domain::receipt::Kind;
use event_log::Opened;
use events::{
    ConversationEvent, ConversationId, DomainEvent, MessageEvent, MessageId, Position,
    ReceiptEvent, UserId,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::world::{World, person};

const PEOPLE: [&str; 5] = ["ada", "ben", "cleo", "dora", "eve"];

/// What a storm is made of, and what was made so far.
struct Storm {
    world: World,
    random: StdRng,
    rooms: Vec<Room>,
}

/// A conversation of the storm. Its first member owns it and stays.
struct Room {
    id: ConversationId,
    inside: BTreeSet<UserId>,
    said: Vec<(MessageId, Position, UserId)>,
}

impl Storm {
    async fn new(seed: u64) -> Self {
        let world = World::new().await;
        let [ada, ben, ..] = PEOPLE.map(person);
        let mut rooms = Vec::new();
        for owner in [ada, ben] {
            let id = world.group(owner, &[]).await;
            rooms.push(Room { id, inside: BTreeSet::from([owner]), said: Vec::new() });
        }
        Self { world, random: StdRng::seed_from_u64(seed), rooms }
    }

    async fn step(&mut self) {
        let Self { world, random, rooms } = self;
        let index = random.random_range(0..rooms.len());
        let owner = person(PEOPLE[index]);
        let room = &mut rooms[index];
        let by = *room.inside.iter().collect::<Vec<_>>().choose(random).copied().unwrap();
        let other = person(PEOPLE.choose(random).unwrap());
        let some = room.said.choose(random).copied();
        match (random.random_range(0..20), some) {
            (0..8, _) | (_, None) => {
                let (message, position) = world.send(by, room.id, "Hello").await;
                room.said.push((message, position, by));
            }
            (8..12, Some((message, upto, _))) => {
                world.receipt(by, room.id, (message, upto), Kind::Read).await;
            }
            (12, Some((message, upto, _))) => {
                world.receipt(by, room.id, (message, upto), Kind::Delivered).await;
            }
            (13, Some((message, _, sender))) => {
                let edit = Action::Edit { text: "Hi".to_owned(), mentions: vec![] };
                world.message(sender, room.id, message, edit).await;
            }
            (14 | 15, Some((message, _, _))) => {
                world.message(by, room.id, message, Action::Delete).await;
                room.said.retain(|(known, ..)| *known != message);
            }
            (16 | 17, _) if room.inside.insert(other) => {
                world.conversation(room.id, owner, Command::Add { by: owner, user: other }).await;
            }
            (18, _) if other != owner && room.inside.remove(&other) => {
                let remove = Command::Remove { by: owner, user: other };
                world.conversation(room.id, owner, remove).await;
            }
            _ => {
                let title = format!("Reading {}", random.random::<u32>());
                world.conversation(room.id, owner, Command::Rename { by: owner, title }).await;
            }
        }
    }

    /// Of each member: what the read model says is unread.
    async fn counted(&self) -> BTreeMap<(ConversationId, UserId), i64> {
        let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
            "select conversation_id, user_id, unread
             from unread_count join member using (conversation_id, user_id)",
        )
        .fetch_all(&self.world.postgres)
        .await
        .unwrap();
        rows.into_iter().map(|(room, user, unread)| ((room.into(), user.into()), unread)).collect()
    }

    /// Of each member: the messages of others after they came and after what they read, that were
    /// not deleted, one by one in the log.
    async fn recounted(&self) -> BTreeMap<(ConversationId, UserId), i64> {
        let mut said: BTreeMap<MessageId, (ConversationId, Position, UserId)> = BTreeMap::new();
        let mut since: BTreeMap<(ConversationId, UserId), Position> = BTreeMap::new();
        let mut read: BTreeMap<(ConversationId, UserId), Position> = BTreeMap::new();
        for event in self.world.log.read_all(Position::START, 100_000).await.unwrap() {
            let Opened::Ours(event) = self.world.log.open(&event).await.unwrap() else { continue };
            match event.event {
                DomainEvent::Conversation(ConversationEvent::Opened {
                    conversation,
                    members,
                    ..
                }) => {
                    let came = members.iter().map(|it| ((conversation, it.user), event.position));
                    since.extend(came);
                }
                DomainEvent::Conversation(ConversationEvent::MemberAdded {
                    conversation,
                    user,
                    ..
                }) => {
                    since.insert((conversation, user), event.position);
                }
                DomainEvent::Conversation(ConversationEvent::MemberRemoved {
                    conversation,
                    user,
                    ..
                }) => {
                    since.remove(&(conversation, user));
                }
                DomainEvent::Message(MessageEvent::Sent {
                    message, conversation, sender, ..
                }) => {
                    said.insert(message, (conversation, event.position, sender));
                }
                DomainEvent::Message(MessageEvent::Deleted { message, .. }) => {
                    said.remove(&message);
                }
                DomainEvent::Receipt(ReceiptEvent::Read { conversation, user, upto, .. }) => {
                    let cursor = read.entry((conversation, user)).or_insert(upto);
                    *cursor = upto.max(*cursor);
                }
                _ => {}
            }
        }
        let unread = |(room, user): &(ConversationId, UserId), since: &Position| {
            let from = read.get(&(*room, *user)).map_or(*since, |read| *read.max(since));
            let of_others = said.values().filter(|(place, position, sender)| {
                place == room && sender != user && *position > from
            });
            i64::try_from(of_others.count()).unwrap()
        };
        since.iter().map(|(who, since)| (*who, unread(who, since))).collect()
    }
}

#[tokio::test]
async fn unread_counts_equal_a_recount_from_the_log_after_any_storm() {
    for seed in 0..4 {
        let mut storm = Storm::new(seed).await;
        // One projector sees it as it comes, in small batches, and is replaced now and then.
        let mut projector = storm.world.start().await;
        for step in 0..240 {
            storm.step().await;
            if step % 80 == 79 {
                drop(projector);
                projector = storm.world.start().await;
                storm.world.settle().await;
                let (counted, recounted) = (storm.counted().await, storm.recounted().await);
                assert_eq!(counted, recounted, "storm {seed}, after {step}");
                assert!(counted.values().any(|unread| *unread > 0), "nothing is unread: {seed}");
            }
        }
        // Another makes it again from the whole log, in large ones.
        let seen = crate::world::dump(&storm.world.postgres).await;
        assert_eq!(storm.world.rebuilt().await, seen, "storm {seed}");
        drop(projector);
    }
}
