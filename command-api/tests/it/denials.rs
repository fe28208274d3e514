//! What somebody is not allowed to do becomes a fact, whichever way they came.

use std::time::Instant;

use events::StreamName;
use serde_json::{Value, json};
use service::limits::Policies;

use crate::client::{Person, request, slug, text};
use crate::world::{PATIENCE, World};

/// The denials of a person in the log, once there are so many: command, problem, target.
async fn denials(world: &World, who: &Person, count: usize) -> Vec<(String, String, String)> {
    let stream = StreamName::denial(who.id.parse().unwrap());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let recorded = world.log.read_stream(&stream, 0).await.unwrap();
        if recorded.len() >= count {
            let found = recorded.iter().map(|event| {
                let data: Value = serde_json::from_str(event.data.get()).unwrap();
                assert_eq!(data["user"], who.id);
                let target = data["target"].as_str().unwrap_or_default().to_owned();
                (text(&data["command"]), text(&data["problem"]), target)
            });
            return found.collect();
        }
        assert!(Instant::now() < deadline, "{} of {count} denials", recorded.len());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_denied_command_is_a_fact_over_rest_and_over_the_socket() {
    let world = World::new().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let group = ada.group(&world, &[&bob]).await;

    let path = format!("/v1/conversations/{group}/bans/{}", ada.id);
    let (status, problem) = bob.write(&world, "PUT", &path, json!(null)).await;
    assert_eq!(status, 403, "{problem}");
    let (mut socket, _) = bob.connect(&world, None).await;
    let body = json!({"conversation": group, "user": ada.id});
    let error = socket.command(&world, "conversation.ban", body).await;
    assert_eq!((&error["status"], slug(&error)), (&json!(403), slug(&problem)));
    let denial = ("conversation.ban".to_owned(), slug(&problem), group.clone());
    assert_eq!(denials(&world, &bob, 2).await, [denial.clone(), denial]);

    // What is no denial is none: another's mistakes, and who is nobody.
    let nowhere = format!("/v1/conversations/{}/messages", world.id());
    let (status, _) = ada.write(&world, "POST", &nowhere, json!({"text": "hi"})).await;
    assert_eq!(status, 404);
    let (status, _) = request(&world, "PUT", &path, "", world.id(), json!(null)).await;
    assert_eq!(status, 401);
    let ada_stream = StreamName::denial(ada.id.parse().unwrap());
    assert!(world.log.read_stream(&ada_stream, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn denials_beyond_the_limit_are_answered_and_not_recorded_and_the_last_are_not_lost() {
    let limits: Policies = "all=off,denial=5/h".parse().unwrap();
    let world = World::limited(command_api::Limits::default(), limits).await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let group = ada.group(&world, &[&bob]).await;
    let path = format!("/v1/conversations/{group}/bans/{}", ada.id);
    for _ in 0..12 {
        let (status, problem) = bob.write(&world, "PUT", &path, json!(null)).await;
        assert_eq!(status, 403, "{problem}");
    }
    // After the shutdown all that was answered is recorded, and nothing is added to it.
    world.shutdown.cancel();
    world.app.drained().await;
    assert_eq!(denials(&world, &bob, 5).await.len(), 5);
}

#[tokio::test]
async fn what_an_api_token_lacks_is_a_fact_that_names_the_scope() {
    let world = World::new().await;
    let bob = world.person("bob").await;
    let body = json!({"name": "bot", "scopes": ["messages:read", "events:read"]});
    let (status, made) = bob.write(&world, "POST", "/v1/api-tokens", body).await;
    assert_eq!(status, 201, "{made}");
    let token = text(&made["token"]);
    let group = json!({"title": "Bots", "members": []});
    let path = "/v1/conversations";
    let (status, problem) = request(&world, "POST", path, &token, world.id(), group).await;
    assert_eq!(status, 403, "{problem}");
    assert_eq!(problem["scope"], "conversations:write");

    let stream = StreamName::denial(bob.id.parse().unwrap());
    let denial = ("POST /v1/conversations".to_owned(), "missing-scope".to_owned(), String::new());
    assert_eq!(denials(&world, &bob, 1).await, [denial]);
    let recorded = world.log.read_stream(&stream, 0).await.unwrap();
    let data: Value = serde_json::from_str(recorded[0].data.get()).unwrap();
    assert_eq!(data["scope"], "conversations:write");
}
