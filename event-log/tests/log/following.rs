//! States that are kept current by the log, whoever writes it.

use std::time::{Duration, Instant};

use domain::conversation::{Command, Conversation};
use domain::friendship::{Command as Friends, Friendship};
use event_log::EventLog;
use events::StreamName;

use crate::world::{World, by, conversation, user};

async fn change(log: &EventLog, key: u128, command: Command) {
    let stream = StreamName::conversation(conversation(1));
    log.transact::<Conversation>(&stream, &command, &by(user(1), key, "a")).await.unwrap();
}

fn open() -> Command {
    Command::OpenGroup {
        conversation: conversation(1),
        by: user(1),
        title: "Study".to_owned(),
        members: vec![user(2)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_on_one_node_is_seen_by_another() {
    let world = World::start().await;
    let (here, there) = (world.log().await, world.log().await);
    let stream = StreamName::conversation(conversation(1));
    change(&here, 1, open()).await;
    let state = there.state::<Conversation>(&stream).await.unwrap().state;
    assert!(state.has_member(user(2)));
    // What it knew a moment ago may be old by now, on a machine that stood still.
    let asked = Instant::now();
    while !there.is_current().await {
        assert!(asked.elapsed() < Duration::from_secs(60), "the follower comes to the head");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    change(&here, 2, Command::Ban { by: user(1), user: user(2) }).await;
    let banned = Instant::now();
    loop {
        let asked = banned.elapsed();
        let loaded = there.state::<Conversation>(&stream).await.unwrap();
        if !loaded.state.has_member(user(2)) {
            break;
        }
        assert!(asked < Duration::from_secs(1), "a state is never a second old");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_sees_what_it_wrote_itself_at_once() {
    let world = World::start().await;
    let log = world.log().await;
    let stream = StreamName::conversation(conversation(1));
    assert!(log.state::<Conversation>(&stream).await.unwrap().revision.is_none());
    change(&log, 1, open()).await;
    for round in 0..20 {
        change(&log, 10 + round * 2, Command::Ban { by: user(1), user: user(2) }).await;
        let loaded = log.state::<Conversation>(&stream).await.unwrap();
        assert!(!loaded.state.has_member(user(2)));
        change(&log, 11 + round * 2, Command::Unban { by: user(1), user: user(2) }).await;
        let next = log.state::<Conversation>(&stream).await.unwrap();
        assert_eq!(next.revision, loaded.revision.map(|revision| revision + 1));
        assert!(next.first.is_some() && next.first < next.last);
    }
}

/// Many streams, changed and read on two nodes at once: in the end both see the same.
#[tokio::test(flavor = "multi_thread")]
async fn no_state_stays_behind_whatever_happens_at_the_same_time() {
    let world = World::start().await;
    let logs = [world.log().await, world.log().await];
    let mut tasks = Vec::new();
    for (node, log) in logs.iter().enumerate() {
        for reader in [false, true] {
            let log = log.clone();
            tasks.push(tokio::spawn(async move {
                for round in 0..200_u128 {
                    let other = user(100 + round % 5);
                    let stream = StreamName::friendship(user(1), other);
                    if reader {
                        log.state::<Friendship>(&stream).await.unwrap();
                        continue;
                    }
                    let command = match round / 5 % 2 {
                        0 => Friends::Request { by: user(1), to: other },
                        _ => Friends::Cancel { by: user(1), to: other },
                    };
                    let context = by(user(1), round * 2 + node as u128, "a");
                    log.transact::<Friendship>(&stream, &command, &context).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let fresh = world.log().await;
    for number in 100..105 {
        let stream = StreamName::friendship(user(1), user(number));
        let truth = fresh.load::<Friendship>(&stream).await.unwrap();
        for log in &logs {
            let seen = log.state::<Friendship>(&stream).await.unwrap();
            assert_eq!((seen.revision, seen.last), (truth.revision, truth.last));
            assert_eq!(seen.state, truth.state);
        }
    }
}
