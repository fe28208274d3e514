//! Writes over REST.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{request, slug, text};
use crate::world::World;

#[tokio::test]
async fn a_sign_up_is_done_once_and_a_name_is_one_persons() {
    let world = World::new().await;
    let key = world.id();
    let body = |email: &str, handle: &str| json!({"email": email, "handle": handle, "name": "Ada", "password": "correct horse"});
    let sign_up =
        async |key, body: Value| request(&world, "POST", "/v1/users", "", key, body).await;

    let (status, first) = sign_up(key, body("Ada@Example.org ", "Ada")).await;
    assert_eq!(status, 201, "{first}");
    let (status, again) = sign_up(key, body("ada@example.org", "ada")).await;
    assert_eq!((status.as_u16(), &again), (201, &first), "the same request is the same person");
    let (status, problem) = sign_up(key, body("ada@example.org", "other")).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "key-reused"));
    let mut other = body("ada@example.org", "ada");
    other["password"] = json!("another horse");
    let (status, problem) = sign_up(key, other).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "key-reused"));

    let (status, problem) = sign_up(world.id(), body("ada@example.org", "other")).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "email-taken"));
    let (status, problem) = sign_up(world.id(), body("bob@example.org", "ada")).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "handle-taken"));
    let key = world.id();
    let (status, problem) = sign_up(key, body("eve@example.org", "ada")).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "handle-taken"));
    // The address was given back, so another try, with any key, may have it.
    assert_eq!(sign_up(world.id(), body("bob@example.org", "bob")).await.0, 201);
    assert_eq!(sign_up(key, body("eve@example.org", "eve")).await.0, 201);

    for (wrong, expected) in [
        (body("ada", "ada2"), 422),
        (body("x@example.org", "a!"), 422),
        (json!({"email": "x@example.org"}), 422),
        (Value::Null, 415),
    ] {
        let (status, problem) = sign_up(world.id(), wrong.clone()).await;
        assert_eq!(status.as_u16(), expected, "{wrong}: {problem}");
    }
}

#[tokio::test]
async fn a_refresh_token_is_used_once_and_its_reuse_ends_the_log_in() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let refresh = async |key, token: &str| {
        let body = json!({"refresh_token": token});
        request(&world, "POST", "/v1/sessions/refresh", "", key, body).await
    };
    let write = async |token: &str| {
        request(&world, "PATCH", "/v1/users/me", token, world.id(), json!({"name": "A"})).await
    };
    assert_eq!(write(&ada.token).await.0, 202);

    let key = world.id();
    let (status, second) = refresh(key, &ada.refresh).await;
    assert_eq!(status, 200, "{second}");
    let (status, again) = refresh(key, &ada.refresh).await;
    assert_eq!(status, 200, "{again}");
    assert_eq!(again["refresh_token"], second["refresh_token"], "the answer was lost");
    let (status, third) = refresh(world.id(), &text(&second["refresh_token"])).await;
    assert_eq!(status, 200, "{third}");
    let token = text(&third["access_token"]);
    assert_eq!(write(&token).await.0, 202);

    let (status, problem) = refresh(world.id(), &ada.refresh).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "refresh-reused"));
    let (status, problem) = write(&token).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "login-ended"));
    let (status, problem) = refresh(world.id(), &text(&third["refresh_token"])).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "login-ended"));
    let (status, problem) = refresh(world.id(), "nonsense").await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "refresh-invalid"));
}

#[tokio::test]
async fn an_old_refresh_request_cannot_be_replayed() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let refresh = async |key, token: &str| {
        let body = json!({"refresh_token": token});
        request(&world, "POST", "/v1/sessions/refresh", "", key, body).await
    };
    let key = world.id();
    let (_, second) = refresh(key, &ada.refresh).await;
    let (status, _) = refresh(world.id(), &text(&second["refresh_token"])).await;
    assert_eq!(status, 200);
    let (status, problem) = refresh(key, &ada.refresh).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "refresh-reused"));
}

#[tokio::test]
async fn logging_in_tells_nothing_and_logging_out_is_at_once() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    for body in [
        json!({"email": "ada@example.org", "password": "wrong horse"}),
        json!({"email": "nobody@example.org", "password": "correct horse"}),
        json!({"email": "nonsense", "password": "correct horse"}),
    ] {
        let (status, problem) = request(&world, "POST", "/v1/sessions", "", world.id(), body).await;
        assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "wrong-credentials"));
    }
    let key = world.id();
    let body = json!({"email": "ADA@example.org", "password": "correct horse"});
    let (_, one) = request(&world, "POST", "/v1/sessions", "", key, body.clone()).await;
    let (_, two) = request(&world, "POST", "/v1/sessions", "", key, body).await;
    assert_eq!(
        (&one["login_id"], &one["refresh_token"]),
        (&two["login_id"], &two["refresh_token"])
    );

    let (status, _) = ada.write(&world, "DELETE", "/v1/sessions/current", Value::Null).await;
    assert_eq!(status, 202);
    let (status, problem) = ada.write(&world, "PATCH", "/v1/users/me", json!({"name": "A"})).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (401, "login-ended"));
    let other = text(&one["access_token"]);
    let (status, _) =
        request(&world, "PATCH", "/v1/users/me", &other, world.id(), json!({"bio": "x"})).await;
    assert_eq!(status, 202, "other devices stay logged in");
}

#[tokio::test]
async fn friends_talk_and_strangers_find_nothing() {
    let world = World::new().await;
    let (ada, bob, eve) =
        tokio::join!(world.person("ada"), world.person("bob"), world.person("eve"));
    let direct = json!({"kind": "direct", "with": bob.id});
    let (status, problem) = ada.write(&world, "POST", "/v1/conversations", direct.clone()).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (403, "not-friends"));
    let nobody = json!({"to": world.id()});
    let (status, problem) = ada.write(&world, "POST", "/v1/friend-requests", nobody).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (404, "no-such-user"));
    ada.must(&world, "POST", "/v1/friend-requests", json!({"to": bob.id})).await;
    let accept = format!("/v1/friend-requests/{}/accept", ada.id);
    bob.must(&world, "POST", &accept, Value::Null).await;
    let opened = ada.must(&world, "POST", "/v1/conversations", direct).await;
    let same = json!({"kind": "direct", "with": ada.id});
    assert_eq!(bob.must(&world, "POST", "/v1/conversations", same).await["id"], opened["id"]);

    let path = format!("/v1/conversations/{}/messages", text(&opened["id"]));
    let key = world.id();
    let send = async |key, body: Value| request(&world, "POST", &path, &ada.token, key, body).await;
    let (status, sent) = send(key, json!({"text": "hi"})).await;
    assert_eq!(status, 201, "{sent}");
    assert_eq!(send(key, json!({"text": "hi"})).await, (status, sent.clone()));
    let (status, problem) = send(key, json!({"text": "ho"})).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "key-reused"));
    let (status, problem) = send(world.id(), json!({"id": sent["id"], "text": "ho"})).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "message-exists"));
    let (status, problem) = send(world.id(), json!({"text": " "})).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (422, "invalid-text"));
    let (status, problem) = eve.write(&world, "POST", &path, json!({"text": "hi"})).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (404, "no-such-conversation"));

    let receipts = format!("/v1/conversations/{}/receipts", text(&opened["id"]));
    let read = json!({"kind": "read", "message": sent["id"]});
    let first = bob.must(&world, "PUT", &receipts, read.clone()).await;
    assert_eq!(bob.must(&world, "PUT", &receipts, read.clone()).await, first, "nothing new");
    let (status, problem) = eve.write(&world, "PUT", &receipts, read).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (404, "no-such-conversation"));
    let unknown = json!({"kind": "read", "message": world.id()});
    let (status, problem) = bob.write(&world, "PUT", &receipts, unknown).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (404, "no-such-message"));
}

#[tokio::test]
async fn a_group_is_its_owners_to_decide_about() {
    let world = World::new().await;
    let (ada, bob, eve) =
        tokio::join!(world.person("ada"), world.person("bob"), world.person("eve"));
    let group = ada.group(&world, &[&bob]).await;
    let member = |who: &str| format!("/v1/conversations/{group}/members/{who}");
    let ban = format!("/v1/conversations/{group}/bans/{}", eve.id);
    let (status, problem) = bob.write(&world, "PUT", &member(&eve.id), Value::Null).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (403, "role-forbids"));
    ada.must(&world, "PUT", &member(&eve.id), Value::Null).await;
    eve.say(&world, &group, "hello").await;
    ada.must(&world, "PUT", &ban, Value::Null).await;
    let messages = format!("/v1/conversations/{group}/messages");
    let (status, _) = eve.write(&world, "POST", &messages, json!({"text": "still here?"})).await;
    assert_eq!(status, 404);
    let (status, problem) = ada.write(&world, "PUT", &member(&eve.id), Value::Null).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (403, "banned"));
    ada.must(&world, "DELETE", &ban, Value::Null).await;
    ada.must(&world, "PUT", &member(&eve.id), Value::Null).await;
    eve.must(&world, "DELETE", &member(&eve.id), Value::Null).await;
    let (status, problem) = ada.write(&world, "DELETE", &member(&ada.id), Value::Null).await;
    assert_eq!((status.as_u16(), slug(&problem).as_str()), (409, "owner-stays"));
}

#[tokio::test]
async fn readiness_tells_what_is_away() {
    let world = World::new().await;
    let ready = async || {
        let answer = reqwest::get(format!("{}/readyz", world.url)).await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    while ready().await.1["status"] != "ready" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.postgres.cut();
    let (status, body) = ready().await;
    assert_eq!((status, &body["status"]), (200, &json!("degraded")), "{body}");
    assert_eq!(body["dependencies"]["postgres"]["status"], "down");
    world.postgres.mend();
}
