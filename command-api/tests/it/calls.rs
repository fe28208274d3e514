//! Calls: onto the SFU and from node to node, tickets, and no device in two calls.

use domain::call::Call;
use events::call::Participant;
use events::{CallEvent, CallId, DomainEvent, StreamName};
use futures::future::join_all;
use serde_json::{Value, json};
use service::clock;
use service::sfu_registry::{BEAT, Node};
use service::tickets::TicketError;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::{Person, slug, text};
use crate::world::World;

/// A node says that it lives, until the guard is dropped.
async fn node(world: &World, id: &str) -> DropGuard {
    let (sfu, id) = (world.sfu.clone(), id.to_owned());
    let announced = |id: String| {
        let url = format!("http://{id}.example");
        Node { id, url, load: 0.0, draining: false, seen: clock::now() }
    };
    sfu.announce(&announced(id.clone())).await.unwrap();
    let ends = CancellationToken::new();
    let ended = ends.clone();
    tokio::spawn(ended.run_until_cancelled_owned(async move {
        loop {
            tokio::time::sleep(BEAT).await;
            sfu.announce(&announced(id.clone())).await.unwrap();
        }
    }));
    ends.drop_guard()
}

async fn ticket(world: &World, who: &Person, call: &str) -> Value {
    who.must(world, "POST", &format!("/v1/calls/{call}/ticket"), Value::Null).await
}

async fn refused(world: &World, who: &Person, path: &str) -> String {
    let (_, problem) = who.write(world, "POST", path, json!({})).await;
    slug(&problem)
}

async fn moves(world: &World, call: &str) -> Vec<(String, Option<String>)> {
    let stream = StreamName::call(call.parse().unwrap());
    let mut moves = vec![];
    for recorded in world.log.read_stream(&stream, 0).await.unwrap() {
        if let event_log::Opened::Ours(envelope) = world.log.open(&recorded).await.unwrap()
            && let DomainEvent::Call(CallEvent::Moved { node, from, .. }) = envelope.event
        {
            moves.push((node, from));
        }
    }
    moves
}

#[tokio::test]
async fn a_call_grows_onto_a_node_and_moves_once_when_that_is_gone() {
    let world = World::new().await;
    let first = node(&world, "sfu-1").await;
    let [ada, ben, cleo, dora] = ["ada", "ben", "cleo", "dora"];
    let ada = world.person(ada).await;
    let (ben, cleo, dora) = tokio::join!(world.person(ben), world.person(cleo), world.person(dora));
    let room = ada.group(&world, &[&ben, &cleo, &dora]).await;
    let body = json!({"conversation": room, "media": "video", "grows": true, "ring": []});
    let call = text(&ada.must(&world, "POST", "/v1/calls", body).await["id"]);
    let path = |step: &str| format!("/v1/calls/{call}/{step}");
    let second = ben.must(&world, "POST", &path("join"), json!({})).await;
    assert_eq!(
        (&second["joined"]["carrier"], moves(&world, &call).await.len()),
        (&json!("peers"), 0)
    );
    assert_eq!(second["joined"]["offers_to"].as_array().unwrap().len(), 1);
    assert_eq!(refused(&world, &ben, &path("ticket")).await, "not-on-sfu");
    let third = cleo.must(&world, "POST", &path("join"), json!({})).await;
    assert_eq!(
        (&third["joined"]["carrier"], &third["joined"]["node"]),
        (&json!("sfu"), &json!("sfu-1"))
    );
    assert_eq!(third["joined"]["offers_to"], json!([]));

    // A ticket says who, which device, where, and what; it is good at that node only.
    assert_eq!(refused(&world, &dora, &path("ticket")).await, "not-in-call");
    let given = ticket(&world, &ben, &call).await;
    assert_eq!((&given["node"], &given["url"]), (&json!("sfu-1"), &json!("http://sfu-1.example")));
    let shown = text(&given["ticket"]);
    let good = world.tickets.verify(&shown, "sfu-1", clock::now()).unwrap();
    assert_eq!((good.user.to_string(), good.call.to_string()), (ben.id.clone(), call.clone()));
    assert!(good.rights.publish && good.rights.subscribe && !good.rights.record);
    assert_eq!(good.device.to_string(), participant(&ben).device.to_string());
    let elsewhere = world.tickets.verify(&shown, "sfu-2", clock::now());
    assert_eq!(elsewhere.unwrap_err(), TicketError::Node);
    let callers = text(&ticket(&world, &ada, &call).await["ticket"]);
    let callers = world.tickets.verify(&callers, "sfu-1", clock::now()).unwrap();
    assert!(callers.rights.record, "who called may record");

    // The node dies: all who ask are told the same other one, and it is recorded once.
    drop(first);
    world.sfu.withdraw("sfu-1").await.unwrap();
    assert_eq!(refused(&world, &ben, &path("ticket")).await, "no-sfu-node");
    let _second = node(&world, "sfu-2").await;
    let asked = [&ada, &ben, &cleo, &ada, &ben, &cleo].map(|who| ticket(&world, who, &call));
    for told in join_all(asked).await {
        assert_eq!(told["node"], "sfu-2", "{told}");
    }
    let from = Some("sfu-1".to_owned());
    let known = [("sfu-1".to_owned(), None), ("sfu-2".to_owned(), from)];
    assert_eq!(moves(&world, &call).await, known);

    // Other calls are there from the beginning, or go there when they are asked to.
    ada.must(&world, "POST", &path("end"), Value::Null).await;
    let body = json!({"conversation": room, "media": "audio", "carrier": "sfu", "ring": []});
    let other = text(&ada.must(&world, "POST", "/v1/calls", body).await["id"]);
    assert_eq!(ticket(&world, &ada, &other).await["node"], "sfu-2");
    ada.must(&world, "POST", &format!("/v1/calls/{other}/end"), Value::Null).await;
    let body = json!({"conversation": room, "media": "audio", "ring": []});
    let asked = text(&ada.must(&world, "POST", "/v1/calls", body).await["id"]);
    ada.must(&world, "POST", &format!("/v1/calls/{asked}/move"), Value::Null).await;
    assert_eq!(moves(&world, &asked).await, [("sfu-2".to_owned(), None)]);
}

/// The device of somebody: the log-in that their token names.
fn participant(who: &Person) -> Participant {
    use base64::Engine;
    let claims = who.token.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let user = who.id.parse().unwrap();
    Participant { user, device: text(&claims["sid"]).parse().unwrap() }
}

#[tokio::test]
async fn a_device_that_goes_into_two_calls_at_once_is_in_one_at_the_most() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let (ben, cleo) = tokio::join!(world.person("ben"), world.person("cleo"));
    let people = [&ada, &ben, &cleo];
    let _sockets = join_all(people.map(|one| one.connect(&world, None))).await;
    let mut calls = vec![];
    for owner in [&ada, &cleo] {
        let room = owner.group(&world, &[&ben]).await;
        let body = json!({"conversation": room, "media": "audio", "ring": []});
        calls.push(text(&owner.must(&world, "POST", "/v1/calls", body).await["id"]));
    }
    let device = participant(&ben);
    let join = async |call: &String| {
        let (status, answer) =
            ben.write(&world, "POST", &format!("/v1/calls/{call}/join"), json!({})).await;
        (status.as_u16(), answer)
    };
    for _ in 0..15 {
        let (one, other) = tokio::join!(join(&calls[0]), join(&calls[1]));
        let mut inside = vec![];
        for call in &calls {
            let id: CallId = call.parse().unwrap();
            let known = world.log.load::<Call>(&StreamName::call(id)).await.unwrap();
            if known.state.has(device) {
                inside.push(call);
            }
        }
        assert!(inside.len() <= 1, "{one:?} {other:?}");
        let accepted = [&one, &other].iter().filter(|(status, _)| *status == 202).count();
        assert_eq!(accepted, inside.len(), "{one:?} {other:?}");
        for (status, answer) in [one, other] {
            assert!(status == 202 || slug(&answer) == "in-another-call", "{status} {answer}");
        }
        for call in inside {
            ben.must(&world, "POST", &format!("/v1/calls/{call}/leave"), Value::Null).await;
        }
    }
}
