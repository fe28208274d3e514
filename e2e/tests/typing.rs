//! Who types, as those see it who are in the conversation.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::raw::Raw;
use e2e::talk::{Group, Person};
use e2e::up::Up;
use events::ConversationId;
use reqwest::Method;
use roundtable::client::key;
use serde_json::{Value, json};

fn typing(conversation: ConversationId, state: &str) -> Value {
    json!({ "op": "typing", "conversation": conversation, "state": state })
}

/// The next frame about typing or an error; events and presence before it are passed over.
async fn heard(socket: &mut Raw) -> Result<Value> {
    loop {
        let frame = socket.frame().await?;
        if frame["op"] == "typing" || frame["op"] == "error" {
            return Ok(frame);
        }
    }
}

/// Says something over REST and reads until it comes: what was sent before has come by then, or
/// never comes. Returns the `op` of everything that came before it, but presence.
async fn until_said(group: &Group, sockets: &mut [&mut Raw], text: &str) -> Result<Vec<String>> {
    group.say(0, text).await?;
    let mut before = Vec::new();
    for socket in sockets {
        loop {
            let frame = socket.frame().await?;
            if frame["data"]["text"] == text {
                break;
            }
            let op = frame["op"].as_str().unwrap_or_default();
            if !op.starts_with("presence") {
                before.push(op.to_owned());
            }
        }
    }
    Ok(before)
}

async fn writes(person: &Person, url: &str, method: Method, path: &str) -> Result<()> {
    let request = person.request(url, method, path)?.header("Idempotency-Key", key().to_string());
    let answer = request.send().await?;
    ensure!(answer.status().is_success(), "{path}: {}", answer.text().await?);
    Ok(())
}

#[tokio::test]
async fn everybody_in_the_conversation_at_any_node_sees_who_types_but_the_device_itself()
-> Result<()> {
    let cluster = Cluster::start().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let mut device = Raw::open(&nodes[0], ada.token()).await?;
    let mut other_device = Raw::open(&nodes[0], ada.token()).await?;
    let mut here = Raw::open(&nodes[0], bob.token()).await?;
    let mut there = Raw::open(&nodes[1], group.people[2].token()).await?;

    device.send(&typing(group.conversation, "start")).await?;
    for socket in [&mut other_device, &mut here, &mut there] {
        let frame = heard(socket).await?;
        let wanted = json!({ "op": "typing", "conversation": group.conversation,
            "user": ada.user(), "state": "start", "expires_ms": 5000 });
        ensure!(frame == wanted, "{frame}");
    }
    device.send(&typing(group.conversation, "stop")).await?;
    for socket in [&mut other_device, &mut here, &mut there] {
        let frame = heard(socket).await?;
        ensure!(frame["state"] == "stop" && frame["user"] == json!(ada.user()), "{frame}");
    }
    // Who stops without having begun is not worth a word, and nothing of it came to the device.
    device.send(&typing(group.conversation, "stop")).await?;
    let all = &mut [&mut device, &mut other_device, &mut here, &mut there];
    let before = until_said(&group, all, "that was all").await?;
    ensure!(!before.contains(&"typing".to_owned()), "{before:?}");

    // It is in no history: who comes later, or resumes, hears nothing of it.
    let mut later = Raw::connect(&nodes[1]).await?.0;
    let auth = json!({ "op": "auth", "token": bob.token(), "after": group.opened });
    later.send(&auth).await?;
    loop {
        let frame = later.frame().await?;
        ensure!(frame["op"] == "event" || frame["op"] == "ready", "{frame}");
        if frame["op"] == "ready" {
            break;
        }
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_socket_that_ends_stops_typing_and_a_flood_is_let_through_in_drops() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let mut ada = Raw::open(&up.url, group.people[0].token()).await?;
    let mut bob = Raw::open(&up.url, group.people[1].token()).await?;
    ada.send(&typing(group.conversation, "start")).await?;
    ensure!(heard(&mut bob).await?["state"] == "start");
    ada.cut();
    let frame = heard(&mut bob).await?;
    ensure!(frame["state"] == "stop" && frame["user"] == json!(group.people[0].user()), "{frame}");

    let mut ada = Raw::open(&up.url, group.people[0].token()).await?;
    for _ in 0..500 {
        ada.send(&typing(group.conversation, "start")).await?;
    }
    let before = until_said(&group, &mut [&mut ada, &mut bob], "after the flood").await?;
    let typed = before.iter().filter(|op| *op == "typing").count();
    // Five at once and one a second after: nobody's test takes a minute for 500 frames.
    ensure!((1..60).contains(&typed), "{typed} came through");
    ensure!(!before.contains(&"error".to_owned()), "a flood of answers: {before:?}");
    up.end().await
}

#[tokio::test]
async fn strangers_and_the_removed_type_for_nobody() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let (owner, bob) = (&group.people[0], &group.people[1]);
    let eve = Person::new(&up.url, "Eve").await?;
    let mut listening = Raw::open(&up.url, owner.token()).await?;

    let mut stranger = Raw::open(&up.url, eve.token()).await?;
    stranger.send(&typing(group.conversation, "start")).await?;
    let refused = heard(&mut stranger).await?;
    ensure!(refused["status"] == 404 && refused["id"] == Value::Null, "{refused}");
    let nowhere = ConversationId::new(key());
    stranger.send(&typing(nowhere, "start")).await?;
    ensure!(heard(&mut stranger).await? == refused, "it tells which conversations there are");
    for bad in [
        json!({ "op": "typing" }),
        json!({ "op": "typing", "conversation": "x", "state": "start" }),
        json!({ "op": "typing", "conversation": group.conversation, "state": "dance" }),
        json!({ "op": "typing", "conversation": group.conversation, "state": "start",
                "user": owner.user() }),
    ] {
        stranger.send(&bad).await?;
        ensure!(heard(&mut stranger).await?["status"] == 422, "{bad}");
    }
    // Before a socket says who it is, nobody types.
    let (mut unknown, _) = Raw::connect(&up.url).await?;
    unknown.send(&typing(group.conversation, "start")).await?;
    ensure!(heard(&mut unknown).await?["status"] == 401);

    // Who was removed while typing is not in it any more, though the socket was there before.
    let mut removed = Raw::open(&up.url, bob.token()).await?;
    let member = format!("/v1/conversations/{}/members/{}", group.conversation, bob.user());
    writes(owner, &up.url, Method::DELETE, &member).await?;
    removed.send(&typing(group.conversation, "start")).await?;
    ensure!(heard(&mut removed).await?["status"] == 404);

    let before = until_said(&group, &mut [&mut listening], "nobody typed").await?;
    ensure!(!before.contains(&"typing".to_owned()), "{before:?}");
    let quiet = removed.frame_within(Duration::from_millis(1)).await?;
    ensure!(quiet.is_none_or(|frame| frame["op"] != "typing"));
    up.end().await
}
