//! Who gets in.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use service::tickets::Rights;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::client::{Client, socket};
use crate::world::World;

/// What the first frame is answered with.
async fn told(world: &World, frame: &str) -> Value {
    let mut socket = socket(world).await;
    socket.send(Message::text(frame)).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            _ => continue,
        }
    }
}

async fn refused(world: &World, ticket: &str) -> Value {
    let frame = json!({ "type": "join", "ticket": ticket }).to_string();
    told(world, &frame).await["problem"].clone()
}

#[tokio::test]
async fn only_a_ticket_for_this_node_gets_in_and_only_once() {
    let world = World::start().await;
    assert_eq!(refused(&world, "nonsense").await, "ticket-malformed");
    let elsewhere =
        world.ticket_with(1, Rights::PARTICIPANT, |ticket| ticket.node = "another".to_owned());
    assert_eq!(refused(&world, &elsewhere).await, "ticket-node");
    assert_eq!(told(&world, "{}").await["problem"], "malformed-frame");
    assert_eq!(told(&world, "[1").await["problem"], "malformed-frame");
    assert_eq!(told(&world, r#"{"type":"leave"}"#).await["problem"], "malformed-frame");
    let ticket = world.ticket(1);
    let frame = json!({ "type": "join", "ticket": ticket }).to_string();
    assert_eq!(told(&world, &frame).await["type"], "joined");
    assert_eq!(refused(&world, &ticket).await, "ticket-used");
}

#[tokio::test]
async fn rights_are_what_the_ticket_says() {
    let world = World::start().await;
    let none = world.ticket_with(1, Rights::default(), |_| {});
    let mut socket = socket(&world).await;
    let join = json!({ "type": "join", "ticket": none });
    socket.send(Message::text(join.to_string())).await.unwrap();
    let peer = crate::peer::Peer::new(None).await;
    let (offer, ..) = peer.offer(&[]).await;
    for frame in [
        json!({ "type": "publish", "id": 1, "sdp": offer }),
        json!({ "type": "subscribe", "id": 1 }),
    ] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
        loop {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
            let told: Value = serde_json::from_str(&text).unwrap();
            if told["type"] == "error" {
                assert_eq!(told["problem"], "ticket-rights");
                break;
            }
        }
    }
}

#[tokio::test]
async fn bad_frames_are_refused_and_the_call_goes_on() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    for (frame, problem) in [
        (json!({ "type": "publish", "sdp": "v=0\r\n", "id": 1 }), "sdp"),
        (json!({ "type": "publish", "sdp": "", "id": 1 }), "sdp"),
        (json!({ "type": "answer", "serial": 7, "sdp": "v=0", "id": 1 }), "sdp"),
        (json!({ "type": "prefer", "track": 1, "id": 1 }), "not-in-the-room"),
        (json!({ "type": "restart", "id": 1 }), "not-in-the-room"),
        (json!({ "type": "mute", "track": 99, "muted": true, "id": 1 }), "no-such-track"),
        (json!({ "type": "dance" }), "malformed-frame"),
        (json!({ "type": "subscribe", "surprise": 1 }), "malformed-frame"),
        (json!(5), "malformed-frame"),
    ] {
        ada.tell(frame.clone()).await;
        assert_eq!(ada.next_frame().await["problem"], problem, "{frame}");
    }
    ada.publish(&[]).await;
}

#[tokio::test]
async fn another_device_is_another_participant_and_the_same_one_goes_on() {
    let world = World::start().await;
    let first = Client::join(&world, 1).await;
    let frame = json!({ "type": "join", "ticket": world.ticket(1), "resume": true }).to_string();
    let again = told(&world, &frame).await;
    assert_eq!(again["participant"], first.joined["participant"]);
    assert_eq!(again["resumed"], true);
    let device =
        world.ticket_with(1, Rights::PARTICIPANT, |t| t.device = Uuid::from_u128(rand::random()));
    let frame = json!({ "type": "join", "ticket": device }).to_string();
    assert_ne!(told(&world, &frame).await["participant"], first.joined["participant"]);
}
