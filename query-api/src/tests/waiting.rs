//! Reading what one has just written.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::{Stage, at, id};
use crate::checkpoints::Times;

#[tokio::test]
async fn a_read_waits_until_its_read_model_is_there() {
    // Nothing but the notification wakes it: the table is not read again.
    let times = Times { patience: Duration::from_secs(60), reread: Duration::from_secs(3600) };
    let stage = Stage::with_times(times).await;
    let ada = id();
    stage.reached(&["friend_list"], 5).await;
    // A list shows what its people are called as well.
    stage.reached(&["user_profile", "block"], 7).await;
    // From now on somebody listens.
    assert_eq!(stage.ask(id(), "/v1/friends?after=5").await.0, 200);
    let read = stage.ask(ada, "/v1/friends?after=7");
    let write = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::query(
            "insert into friend_list (user_id, friend_id, since, position)
             values ($1, $2, now(), $3)",
        )
        .bind(ada)
        .bind(id())
        .bind(at(7))
        .execute(&stage.owner)
        .await
        .unwrap();
        stage.reached(&["friend_request"], 99).await;
        stage.reached(&["friend_list"], 7).await;
    };
    let ((status, body), ()) = tokio::join!(read, write);
    assert_eq!(status, 200, "woken by the notification: {body}");
    assert_eq!(body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_read_models_of_an_answer_have_to_be_there() {
    let stage = Stage::new().await;
    stage.reached(&["conversation", "member", "message"], 7).await;
    let read = stage.ask(id(), "/v1/conversations?after=7");
    let write = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.reached(&["read_cursor"], 8).await;
    };
    let started = Instant::now();
    let ((status, _), ()) = tokio::join!(read, write);
    assert_eq!(status, 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_read_does_not_wait_for_ever_and_says_when_to_come_back() {
    let stage = Stage::with_times(Times::default()).await;
    stage.reached(&["user_profile"], 5).await;
    let started = Instant::now();
    let mut headers = HeaderMap::new();
    headers.insert("roundtable-after", HeaderValue::from_static("6"));
    let (status, problem, headers) = stage.ask_with(id(), "/v1/users/me", headers).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(problem["type"].as_str().unwrap().ends_with("/read-model-behind"), "{problem}");
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_lost_notification_delays_and_does_not_fail_a_read() {
    let stage = Stage::new().await;
    stage.reached(&["friend_list"], 5).await;
    let read = stage.ask(id(), "/v1/friends?after=7");
    let write = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::query("update projection_checkpoint set position = $1")
            .bind(at(7))
            .execute(&stage.owner)
            .await
            .unwrap();
    };
    let ((status, _), ()) = tokio::join!(read, write);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn listening_goes_on_after_its_connection_was_cut() {
    let stage = Stage::new().await;
    stage.reached(&["friend_list"], 5).await;
    assert_eq!(stage.ask(id(), "/v1/friends?after=5").await.0, 200);
    let cut: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()
           and usename = 'roundtable_reader'",
    )
    .fetch_one(&stage.owner)
    .await
    .unwrap();
    assert!(cut > 0);
    stage.reached(&["friend_list"], 7).await;
    let (status, body) = stage.ask(id(), "/v1/friends?after=7").await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_read_that_waits_says_so_to_those_who_can_go_on() {
    let stage = Stage::new().await;
    stage.reached(&["friend_list"], 5).await;
    let mut heard = sqlx::postgres::PgListener::connect_with(&stage.owner).await.unwrap();
    heard.listen("roundtable_awaited").await.unwrap();
    let read = stage.ask(id(), "/v1/friends?after=7");
    let write = async {
        // Whatever else the read waits for is said too.
        while heard.recv().await.unwrap().payload() != "7 friend_list" {}
        stage.reached(&["friend_list"], 7).await;
    };
    let ((status, body), ()) = tokio::join!(read, write);
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn a_wrong_position_is_named() {
    let stage = Stage::new().await;
    let mut headers = HeaderMap::new();
    headers.insert("roundtable-after", HeaderValue::from_static("soon"));
    let (status, problem, _) = stage.ask_with(id(), "/v1/friends", headers).await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("Roundtable-After"), "{problem}");
    let (status, problem) = stage.ask(id(), "/v1/friends?after=soon").await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().starts_with("after:"), "{problem}");
    assert_eq!(stage.ask(id(), "/v1/friends?after=0").await.1["next"], Value::Null);
}
