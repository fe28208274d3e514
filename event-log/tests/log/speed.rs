//! temporary
use crate::world::{World, by, conversation, user};
use domain::message::{Command, Message};
use domain::conversation::{Command as C, Conversation};
use events::{MessageId, StreamName};
use futures::StreamExt;
use std::time::Instant;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn speed() {
    let world = World::start().await;
    let log = world.log().await;
    let group = StreamName::conversation(conversation(1));
    let open = C::OpenGroup { conversation: conversation(1), by: user(1), title: "Study".to_owned(), members: (2..200).map(user).collect() };
    log.transact::<Conversation>(&group, &open, &by(user(1), 1, "a")).await.unwrap();
    for (total, width) in [(2000_u128, 1), (20000, 16), (20000, 256)] {
        let begin = Instant::now();
        let cpu = cpu();
        futures::stream::iter(0..total).map(|n| { let log = log.clone(); let group = group.clone(); async move {
            tokio::spawn(async move {
            let id = MessageId::new(Uuid::from_u128(n + total * width as u128 * 1000000));
            let member = log.state::<Conversation>(&group).await.unwrap();
            let c = Command::Send { message: id, conversation: conversation(1), by: user(1), text: "hello there, this is a message of usual size, is it not".to_owned(), member: member.state.has_member(user(1)) };
            log.transact_new::<Message>(&StreamName::message(id), &c, &by(user(1), n + total * width as u128, "a5".repeat(32).as_str())).await.unwrap();
            }).await.unwrap()
        }}).buffer_unordered(width).collect::<Vec<_>>().await;
        let e = begin.elapsed();
        eprintln!("{width}: {:.0}/s, {:.0} us wall each, {:.0} us cpu each", total as f64 / e.as_secs_f64(), e.as_micros() as f64 / total as f64, (self::cpu() - cpu) * 1e6 / total as f64);
    }
}

fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<_> = s.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
