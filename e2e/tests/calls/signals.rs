//! What devices in a call tell each other to find a way.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::phone::Phone;
use e2e::talk::Person;
use events::{CallId, Position};
use roundtable::client::new_id;
use serde_json::{Value, json};
use servers::Kind;
use tokio::time::sleep;

use crate::{about, friends};

#[tokio::test]
async fn signals_come_to_one_device_at_any_node_in_order_and_through_a_reconnect() -> Result<()> {
    let cluster = Cluster::start().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let (ada, ben, room) = friends(&cluster.url, ["Ada", "Ben"]).await?;
    let eve = Person::new(&cluster.url, "Eve").await?;
    let mut at_ada = Phone::of(&ada, &nodes[0]).await?;
    let mut phone = Phone::of(&ben, &nodes[1]).await?;
    let mut laptop = Phone::another(&ben, &nodes[0]).await?;
    let mut stranger = Phone::of(&eve, &nodes[1]).await?;
    let call = at_ada.calls(room, json!({})).await?;
    let not_yet = json!({ "op": "signal", "id": new_id(), "call": call, "data": {},
        "to": phone.participant() });
    at_ada.send(&not_yet).await?;
    let error = at_ada.hears("an error", |frame| frame["id"] == not_yet["id"]).await?;
    ensure!(ends_with(&error, "peer-not-in-call"), "{error}");
    phone.event("call.started").await?;
    phone.done("call.accept", about(call)).await?;
    at_ada.event("call.accepted").await?;

    // Offered before the other one is ready: it waits, in order.
    let (to_phone, to_ada) = (phone.participant(), at_ada.participant());
    for number in 0..20 {
        at_ada.signal(call, &to_phone, json!({ "candidate": number })).await?;
    }
    phone.listens(call, None).await?;
    laptop.listens(call, None).await?;
    let mut last = Value::Null;
    for number in 0..20 {
        let signal = phone.signalled().await?;
        ensure!(signal["data"] == json!({ "candidate": number }), "{signal}");
        ensure!(signal["from"] == to_ada && signal["call"] == json!(call), "{signal}");
        last = signal["seq"].clone();
    }
    // Live, both ways, from node to node.
    at_ada.listens(call, None).await?;
    for number in 0..5 {
        phone.signal(call, &to_ada, json!({ "answer": number, "sdp": "v=0\r\n" })).await?;
        let signal = at_ada.signalled().await?;
        ensure!(signal["data"]["answer"] == number && signal["from"] == to_phone, "{signal}");
    }

    // While Redis stands still, what is said is held; it comes in order, and once.
    cluster.servers.pause(Kind::Redis).await;
    for number in 5..10 {
        phone.signal(call, &to_ada, json!({ "answer": number })).await?;
    }
    sleep(Duration::from_millis(1500)).await;
    cluster.servers.resume(Kind::Redis).await;
    for number in 5..10 {
        let signal = at_ada.signalled().await?;
        ensure!(signal["data"] == json!({ "answer": number }), "{signal}");
    }

    // What is said while the device reconnects, to another node, comes when it is back, once.
    let session = phone.cut().await;
    for number in 20..25 {
        at_ada.signal(call, &to_phone, json!({ "candidate": number })).await?;
    }
    let mut phone = Phone::back(session, &nodes[0]).await?;
    phone.listens(call, Some(&last)).await?;
    at_ada.signal(call, &to_phone, json!({ "candidate": 25 })).await?;
    for number in 20..26 {
        let signal = phone.signalled().await?;
        ensure!(signal["data"] == json!({ "candidate": number }), "{signal}");
    }

    // Only those in the call, only to those in it, and not too much.
    signal_refused(&mut stranger, call, &to_ada, json!({}), "no-such-call").await?;
    signal_refused(&mut laptop, call, &to_ada, json!({}), "not-in-call").await?;
    let elsewhere = json!({ "user": eve.user(), "device": new_id() });
    signal_refused(&mut at_ada, call, &elsewhere, json!({}), "peer-not-in-call").await?;
    let large = json!("x".repeat(33 * 1024));
    signal_refused(&mut at_ada, call, &to_phone, large, "signal-too-large").await?;
    for _ in 0..400 {
        at_ada.signal(call, &to_phone, json!({})).await?;
    }
    let error = at_ada.hears("an end of it", |frame| frame["op"] == "error").await?;
    ensure!(ends_with(&error, "too-many-signals"), "{error}");

    // Nothing of it came to another device, or is in the log.
    at_ada.done("call.leave", about(call)).await?;
    let ended = laptop.event("call.ended").await?;
    ensure!(!laptop.has_heard(|frame| frame["op"] == "signal"), "the laptop heard a signal");
    let end: Position = serde_json::from_value(ended["position"].clone())?;
    let feed: Value = ada.session.read("/v1/feed?limit=100", Some(end)).await?;
    ensure!(!feed.to_string().contains("candidate"), "{feed}");
    cluster.stop().await;
    Ok(())
}

async fn signal_refused(
    who: &mut Phone,
    call: CallId,
    to: &Value,
    data: Value,
    slug: &str,
) -> Result<()> {
    let id = new_id();
    let frame = json!({ "op": "signal", "id": id, "call": call, "to": to, "data": data });
    who.send(&frame).await?;
    let error = who.hears(slug, |frame| frame["id"] == json!(id)).await?;
    ensure!(ends_with(&error, slug), "{error}");
    Ok(())
}

fn ends_with(error: &Value, slug: &str) -> bool {
    error["type"].as_str().is_some_and(|kind| kind.ends_with(&format!("/{slug}")))
}
