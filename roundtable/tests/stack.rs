//! The whole stack on real servers: the demo, and a second start that finds everything again.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use roundtable::{
    client::{Client, SignUp},
    demo::{self, Outcome},
    stack::{Stack, StackConfig},
};
use servers::Durability;

fn config(folder: &tempfile::TempDir) -> StackConfig {
    let relaxed = Durability::Relaxed;
    StackConfig { durability: relaxed, ..StackConfig::new(folder.path().join("data")) }
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
    let (status, body) = get("/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["status"]), (200, &serde_json::json!("ready")), "{body}");
    let names: Vec<&String> = body["dependencies"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["event_store", "nats", "postgres", "postgres_reader", "redis"]);
    for path in ["/", "/livez", "/metrics", "/.well-known/jwks.json"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    stack.destroy().await.unwrap();
}
