//! The gateway's protocol.

use std::time::{Duration, Instant};

use command_api::Limits;
use serde_json::{Value, json};

use crate::client::{Socket, slug, text};
use crate::world::{PATIENCE, World};

#[tokio::test]
async fn what_one_says_all_hear_once_and_in_order() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let group = ada.group(&world, &[&bob]).await;
    let ((mut one, _), (mut two, _)) =
        tokio::join!(ada.connect(&world, None), bob.connect(&world, None));
    let texts: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    one.send_together(texts.iter().map(|text| {
        let id = world.id();
        json!({"op": "command", "id": id, "type": "message.send", "conversation": group, "text": text})
    }))
    .await;
    let (heard, echoed) = tokio::join!(two.messages(200), one.messages(200));
    assert_eq!(heard, texts, "sends of one socket to one conversation keep their order");
    assert_eq!(echoed, texts);
    let mut results = one.seen.iter().filter(|frame| frame["op"] == "result").count();
    while results < 200 {
        one.until("result").await;
        results += 1;
    }
    let read = two
        .command(&world, "message.read", json!({"conversation": group, "message": world.id()}))
        .await;
    assert_eq!((text(&read["op"]).as_str(), slug(&read).as_str()), ("error", "no-such-message"));
    let sent =
        two.command(&world, "message.send", json!({"conversation": group, "text": "bye"})).await;
    assert_eq!(one.messages(1).await, ["bye"]);
    let read = one
        .command(&world, "message.read", json!({"conversation": group, "message": sent["message"]}))
        .await;
    assert_eq!(read["op"], "result", "{read}");
    let receipt = loop {
        let event = two.event().await;
        if event["type"] == "receipt.read" {
            break event;
        }
    };
    assert_eq!(read["position"], sent["position"], "it is written behind");
    assert_eq!(receipt["data"]["upto"], sent["position"]);
    assert_eq!(receipt["data"]["message"], sent["message"]);
}

#[tokio::test]
async fn who_comes_again_gets_what_was_missed_and_only_that() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let group = ada.group(&world, &[&bob]).await;
    let (mut socket, _) = bob.connect(&world, None).await;
    ada.say(&world, &group, "one").await;
    let first = socket.event().await;
    drop(socket);

    for text in ["two", "three", "four"] {
        ada.say(&world, &group, text).await;
    }
    let (mut socket, ready) = bob.connect(&world, Some(&text(&first["position"]))).await;
    ada.say(&world, &group, "five").await;
    assert_eq!(socket.messages(4).await, ["two", "three", "four", "five"]);
    drop(socket);

    let (mut socket, _) = bob.connect(&world, Some(&ready)).await;
    assert_eq!(socket.messages(1).await, ["five"]);
    let (mut socket, _) = bob.connect(&world, Some("0")).await;
    let everything = socket.messages(5).await;
    assert_eq!(everything, ["one", "two", "three", "four", "five"]);

    let mut socket = Socket::open(&world).await;
    socket.send(json!({"op": "auth", "token": bob.token, "after": "99999999999"})).await;
    let (bye, code) = socket.ends().await;
    assert_eq!(
        (&bye["code"], &bye["resume"], code),
        (&json!("reload"), &json!(false), json!(4002))
    );
}

#[tokio::test]
async fn many_who_attach_while_others_talk_miss_nothing() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let group = ada.group(&world, &[&bob]).await;
    let start = ada.say(&world, &group, "start").await.to_string();
    let texts: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    let (said, so_far) = tokio::sync::watch::channel(0);
    let talk = async {
        for text in &texts {
            ada.say(&world, &group, text).await;
            said.send_modify(|said| *said += 1);
        }
    };
    let listen = async |after: usize| {
        so_far.clone().wait_for(|said| *said >= after).await.unwrap();
        let (mut socket, _) = bob.connect(&world, Some(&start)).await;
        socket.messages(150).await
    };
    let (_, one, two, three, four) =
        tokio::join!(talk, listen(0), listen(20), listen(60), listen(110));
    for heard in [one, two, three, four] {
        assert_eq!(heard, texts);
    }
}

#[tokio::test]
async fn membership_takes_effect_at_its_position() {
    let world = World::new().await;
    let (ada, bob) = tokio::join!(world.person("ada"), world.person("bob"));
    let (mut socket, start) = bob.connect(&world, None).await;
    let group = ada.group(&world, &[]).await;
    ada.say(&world, &group, "before").await;
    let member = format!("/v1/conversations/{group}/members/{}", bob.id);
    ada.must(&world, "PUT", &member, Value::Null).await;
    ada.say(&world, &group, "while").await;
    ada.must(&world, "DELETE", &member, Value::Null).await;
    ada.say(&world, &group, "after").await;
    ada.must(&world, "PUT", &member, Value::Null).await;
    ada.say(&world, &group, "again").await;
    let expected = [
        "conversation.member_added",
        "message.sent",
        "conversation.member_removed",
        "conversation.member_added",
        "message.sent",
    ];
    let (mut resumed, _) = bob.connect(&world, Some(&start)).await;
    for (name, socket) in [("live", &mut socket), ("resumed", &mut resumed)] {
        let mut positions = Vec::new();
        for kind in expected {
            // What is about the person alone may be from before: the gateway was not that far.
            let event = loop {
                let event = socket.event().await;
                if event["stream"].as_str().unwrap().split('-').next() != Some("user")
                    && event["type"] != "login.opened"
                {
                    break event;
                }
            };
            assert_eq!(event["type"], kind, "{name}: {event}");
            positions.push(text(&event["position"]).parse::<u64>().unwrap());
        }
        assert!(positions.is_sorted_by(|one, other| one < other));
    }
}

#[tokio::test]
async fn a_log_out_ends_its_sockets() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let (mut one, _) = ada.connect(&world, None).await;
    let (mut two, _) = ada.connect(&world, None).await;
    let closed = one.command(&world, "session.close", json!({})).await;
    assert_eq!(closed["op"], "result");
    for socket in [&mut one, &mut two] {
        let (bye, code) = socket.ends().await;
        assert_eq!((&bye["code"], &bye["resume"]), (&json!("login-ended"), &json!(false)));
        assert_eq!(code, json!(4001));
    }
    let mut socket = Socket::open(&world).await;
    socket.send(json!({"op": "auth", "token": ada.token})).await;
    assert_eq!(slug(&socket.until("error").await), "login-ended");
    assert_eq!(socket.ends().await.1, json!(1008));
}

#[tokio::test]
async fn bad_frames_are_refused_and_too_many_end_the_socket() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let (mut socket, _) = ada.connect(&world, None).await;
    for n in 0..9 {
        socket.send_text(format!("bad {n}")).await;
        assert_eq!(slug(&socket.until("error").await), "malformed");
    }
    let refused = socket.command(&world, "message.shout", json!({})).await;
    assert_eq!(refused["op"], "error");
    assert_eq!(socket.ends().await.1, json!(1008));

    let (mut socket, _) = ada.connect(&world, None).await;
    for _ in 0..12 {
        socket.send_text("bad".to_owned()).await;
        socket.until("error").await;
        socket.send(json!({"op": "ping"})).await;
        socket.until("pong").await;
    }
    socket.send(json!({"op": "ping", "pad": "x".repeat(70_000)})).await;
    assert_eq!(slug(&socket.until("error").await), "too-large");
    assert_eq!(socket.ends().await.1, json!(1009));

    let mut socket = Socket::open(&world).await;
    let refused = socket.command(&world, "session.close", json!({})).await;
    assert_eq!(slug(&refused), "unauthenticated");
}

#[tokio::test]
async fn the_silent_and_the_undecided_are_let_go() {
    let limits = Limits {
        heartbeat: Duration::from_millis(300),
        greeting: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let ada = world.person("ada").await;
    // The time to say who one is runs while the machine stalls, too.
    let decided = async || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "there was no time to say who one is");
            match ada.try_connect(&world, None).await {
                Ok((socket, _)) => break socket,
                Err(bye) => assert_eq!(bye["code"], "auth-timeout"),
            }
        }
    };
    let mut undecided = Socket::open(&world).await;
    let (bye, code) = undecided.ends().await;
    assert_eq!((&bye["code"], code), (&json!("auth-timeout"), json!(1008)));

    // A client that reads answers pings; one that does not is silent.
    let mut silent = decided().await;
    let deadline = Instant::now() + PATIENCE;
    let bye = loop {
        assert!(Instant::now() < deadline, "it is not let go");
        let pause = Duration::from_millis(1500);
        tokio::time::sleep(pause).await;
        // A server that stood still itself misses nobody then, and is given another chance.
        if let Ok(bye) = tokio::time::timeout(pause, silent.until("bye")).await {
            break bye;
        }
    };
    assert_eq!(bye["code"], "silent");
    let mut alive = decided().await;
    let long = tokio::time::timeout(Duration::from_millis(1500), alive.receive()).await;
    assert!(long.is_err(), "nothing came, and it was not closed: {long:?}");
}

#[tokio::test]
async fn a_slow_client_is_told_to_resume_and_a_full_node_says_so() {
    let limits = Limits { queued_frames: 5, sockets: 2, ..Limits::default() };
    let world = World::with(limits).await;
    let ada = world.person("ada").await;
    let group = ada.group(&world, &[]).await;
    let (mut socket, start) = ada.connect(&world, None).await;
    let texts: Vec<String> = (0..100).map(|n| format!("{n} {}", "x".repeat(7000))).collect();
    socket
        .send_together(texts.iter().map(|text| {
            let id = world.id();
            json!({"op": "command", "id": id, "type": "message.send", "conversation": group, "text": text})
        }))
        .await;
    // All of it is more than five frames at a time now and then, on a machine that is busy.
    let ended = loop {
        let frame = socket.receive().await;
        if frame["op"] == "bye" {
            break frame;
        }
        if frame["data"]["text"] == texts[99] {
            return;
        }
    };
    assert_eq!((&ended["code"], &ended["resume"]), (&json!("slow-consumer"), &json!(true)));
    drop(socket);
    // While the relay is behind, what is live may be too much again before it is ready.
    let mut socket = loop {
        match ada.try_connect(&world, Some(&start)).await {
            Ok((socket, _)) => break socket,
            Err(bye) => {
                assert_eq!((&bye["code"], &bye["resume"]), (&json!("slow-consumer"), &json!(true)));
            }
        }
    };
    socket.messages(1).await;
}

#[tokio::test]
async fn one_person_has_fifty_sockets_at_a_node_and_another_one_when_one_ends() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(ada.connect(&world, None).await.0);
    }
    let mut one_more = Socket::open(&world).await;
    one_more.send(json!({"op": "auth", "token": ada.token})).await;
    let (bye, _) = one_more.ends().await;
    assert_eq!((&bye["code"], &bye["resume"]), (&json!("too-many-sockets"), &json!(false)));
    // Others are not kept out, and neither is she once a place is free.
    let bob = world.person("bob").await;
    bob.connect(&world, None).await;
    drop(sockets.pop());
    loop {
        let mut socket = Socket::open(&world).await;
        socket.send(json!({"op": "auth", "token": ada.token})).await;
        match socket.receive().await {
            ready if ready["op"] == "ready" => break,
            bye => assert_eq!(bye["code"], "too-many-sockets"),
        }
    }
}

#[tokio::test]
async fn a_node_that_ends_sends_its_sockets_elsewhere() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let (mut socket, _) = ada.connect(&world, None).await;
    world.shutdown.cancel();
    let (bye, code) = socket.ends().await;
    assert_eq!(
        (&bye["code"], &bye["resume"], code),
        (&json!("going-away"), &json!(true), json!(1001))
    );
    assert!(bye["retry_after_ms"].is_u64());
}

#[tokio::test]
async fn a_page_of_ours_needs_no_token_and_a_page_of_somebody_else_gets_nothing_by_cookie() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let cookie = format!("roundtable_access={}", ada.token);
    let mut ours = Socket::open_with(&world, &[("cookie", &cookie), ("origin", &world.url)]).await;
    ours.send(json!({"op": "resume"})).await;
    assert_eq!(ours.until("ready").await["user"], ada.id);
    let origin = ("origin", "https://evil.example");
    let mut theirs = Socket::open_with(&world, &[("cookie", &cookie), origin]).await;
    theirs.send(json!({"op": "resume"})).await;
    assert_eq!(slug(&theirs.until("error").await), "unauthenticated");
}
