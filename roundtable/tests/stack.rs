//! The whole stack on real servers: the demo, and a second start that finds everything again.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use roundtable::{
    client::{Client, SignUp},
    demo::{self, Outcome},
    stack::{Given, Stack, StackConfig},
};
use servers::{Durability, Kind, PrivateServers, Wanted};

fn config(folder: &tempfile::TempDir) -> StackConfig {
    let relaxed = Durability::Relaxed;
    // The demo is played more often than three people a minute may sign up from one address.
    let limits = Some("sign-up=off,log-in=off".to_owned());
    StackConfig { durability: relaxed, limits, ..StackConfig::new(folder.path().join("data")) }
}

async fn played(url: &str) -> (String, Outcome) {
    let mut told = Vec::new();
    let outcome = demo::run(url, &mut told, false).await.unwrap();
    (String::from_utf8(told).unwrap(), outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_has_no_failed_step_however_often_it_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(config(&folder)).await.unwrap();
    for _ in 0..2 {
        let (told, outcome) = played(&stack.urls().api).await;
        assert_eq!(outcome.failed, 0, "{told}");
        assert!(outcome.steps > 20, "{told}");
    }
    stack.destroy().await.unwrap();
    assert!(!folder.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_finds_everything_again() {
    let folder = tempfile::tempdir().unwrap();
    let who = SignUp {
        email: "ada@example.org".to_owned(),
        handle: "ada".to_owned(),
        name: "Ada".to_owned(),
        password: "correct horse".to_owned(),
    };
    let stack = Stack::start(config(&folder)).await.unwrap();
    let client = Client::new(&stack.urls().api).unwrap();
    let ada = client.sign_up(&who).await.unwrap();
    stack.stop().await.unwrap();

    let stack = Stack::start(config(&folder)).await.unwrap();
    let client = Client::new(&stack.urls().api).unwrap();
    let session = client.log_in(&who.email, &who.password).await.unwrap();
    assert_eq!(session.user(), ada.id);
    let me: serde_json::Value = session.read("/v1/users/me", Some(ada.position)).await.unwrap();
    assert_eq!(me["name"], "Ada");
    let taken = client.sign_up(&who).await.unwrap_err();
    assert_eq!(taken.slug(), Some("email-taken"));
    stack.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_given_are_used_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("servers");
    let mut servers =
        PrivateServers::start_with(&data, Wanted::ALL, Durability::Relaxed).await.unwrap();
    let given = Given {
        postgres: servers.postgres_url.clone(),
        redis: servers.redis_url.clone(),
        nats: servers.nats_url.clone(),
        ..Given::default()
    };
    let mut stack = Stack::start(StackConfig { given, ..config(&folder) }).await.unwrap();
    assert_eq!(stack.servers().port(Kind::Postgres), None);
    assert_eq!(Some(&stack.urls().nats), servers.nats_url.as_ref());
    let (told, outcome) = played(&stack.urls().api).await;
    assert_eq!(outcome.failed, 0, "{told}");
    stack.destroy().await.unwrap();
    for kind in [Kind::Postgres, Kind::Redis, Kind::Nats] {
        assert!(servers.pid(kind).is_some(), "{kind} still runs");
        servers.restart(kind).await.unwrap();
    }
    servers.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut stack = Stack::start(config(&folder)).await.unwrap();
    let url = stack.urls().api.clone();
    let killed = stack.servers().pid(Kind::Nats).unwrap();
    assert!(Command::new("kill").args(["-KILL", &killed.to_string()]).status().unwrap().success());
    let (told, outcome) = tokio::select! {
        played = played(&url) => played,
        failed = stack.supervise() => panic!("{failed:?}"),
    };
    assert_eq!(outcome.failed, 0, "{told}");
    assert_ne!(stack.servers().pid(Kind::Nats), Some(killed));
    stack.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_not_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(config(&folder)).await.unwrap();
    let second = Stack::start(config(&folder)).await.err().unwrap();
    assert!(format!("{second:#}").contains("in use"), "{second:#}");
    stack.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_every_dependency_once() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(config(&folder)).await.unwrap();
    let client = Client::new(&stack.urls().api).unwrap();
    let get = async |path: &str| {
        let response = client.request(reqwest::Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    // A dependency that answers late counts as away, and on a machine that stalls one may.
    let deadline = Instant::now() + Duration::from_secs(60);
    let (status, body) = loop {
        let (status, body) = get("/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        if body["status"] == "ready" || Instant::now() >= deadline {
            break (status, body);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((status, &body["status"]), (200, &serde_json::json!("ready")), "{body}");
    let names: Vec<&String> = body["dependencies"].as_object().unwrap().keys().collect();
    let all = [
        "event_store",
        "files",
        "media",
        "nats",
        "postgres",
        "postgres_reader",
        "projections",
        "redis",
    ];
    assert_eq!(names, all);
    for path in ["/", "/livez", "/metrics", "/.well-known/jwks.json"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    stack.destroy().await.unwrap();
}
