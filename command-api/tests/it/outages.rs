//! What sockets see while a server is away: all of it, once, in order.

use std::time::Duration;

use serde_json::json;

use crate::client::Person;
use crate::world::World;

async fn talk(world: &World, person: &Person, group: &str, from: u32) -> Vec<String> {
    let mut texts = Vec::new();
    for n in from..from + 20 {
        let text = n.to_string();
        person.say(world, group, &text).await;
        texts.push(text);
    }
    texts
}

#[tokio::test]
async fn a_gateway_that_is_cut_off_from_nats_still_tells_everything() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let group = ada.group(&world, &[&bob]).await;
    let (mut socket, start) = bob.connect(&world, None).await;
    let mut said = talk(&world, &ada, &group, 0).await;
    world.nats.cut();
    said.extend(talk(&world, &ada, &group, 100).await);
    assert_eq!(socket.messages(40).await, said);
    // Somebody comes while it is cut off.
    let (mut late, _) = bob.connect(&world, Some(&start)).await;
    assert_eq!(late.messages(40).await, said);
    world.nats.mend();
    let again = talk(&world, &ada, &group, 200).await;
    assert_eq!(socket.messages(20).await, again);
    assert_eq!(late.messages(20).await, again);
}

#[tokio::test]
async fn sockets_live_on_without_postgres_and_new_ones_come_from_the_log() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let group = ada.group(&world, &[&bob]).await;
    let (mut socket, start) = bob.connect(&world, None).await;
    let mut said = talk(&world, &ada, &group, 0).await;
    assert_eq!(socket.messages(20).await, said);
    world.postgres.cut();
    let more = talk(&world, &ada, &group, 100).await;
    assert_eq!(socket.messages(20).await, more);
    said.extend(more);
    let (mut late, _) = bob.connect(&world, Some(&start)).await;
    assert_eq!(late.messages(40).await, said);

    world.nats.cut();
    let more = talk(&world, &ada, &group, 200).await;
    assert_eq!(socket.messages(20).await, more, "caught up from the log");
    assert_eq!(late.messages(20).await, more);
    world.nats.mend();
    world.postgres.mend();
    let more = talk(&world, &ada, &group, 300).await;
    assert_eq!(socket.messages(20).await, more);
    assert_eq!(late.messages(20).await, more);
}

#[tokio::test]
async fn who_is_new_waits_with_their_first_word_until_there_is_a_key() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let group = ada.group(&world, &[&bob]).await;
    world.postgres.cut();
    // Those whose keys are cached go on; a sign-up needs a new key.
    ada.say(&world, &group, "hi").await;
    let body = json!({"email": "eve@example.org", "handle": "eve", "name": "Eve", "password": "correct horse"});
    let key = world.id();
    let (status, problem) =
        crate::client::request(&world, "POST", "/v1/users", "", key, body.clone()).await;
    assert_eq!(status, 503, "{problem}");
    world.postgres.mend();
    // The vault is asked again after a moment; the same key goes on where it stopped.
    let user = loop {
        let answer =
            crate::client::request(&world, "POST", "/v1/users", "", key, body.clone()).await;
        match answer {
            (status, user) if status == 201 => break user,
            (status, problem) => assert_eq!(status, 503, "{problem}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(user["position"].is_string());
}
