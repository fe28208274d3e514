//! The change feed.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Stage, at, id};
use crate::change_feed::PAGE;

async fn frame(stage: &Stage, position: u64, audiences: &[String]) {
    for audience in audiences {
        sqlx::query(
            "insert into change_feed_entry (position, audience, frame, recorded_at)
             values ($1, $2, $3, now())",
        )
        .bind(at(position))
        .bind(audience)
        .bind(json!({ "op": "event", "position": position.to_string() }).to_string())
        .execute(&stage.owner)
        .await
        .unwrap();
    }
}

async fn member(stage: &Stage, conversation: Uuid, user: Uuid, from: u64, until: Option<u64>) {
    sqlx::query(
        "insert into change_feed_member (conversation_id, user_id, from_position, until_position)
         values ($1, $2, $3, $4)",
    )
    .bind(conversation)
    .bind(user)
    .bind(at(from))
    .bind(until.map(at))
    .execute(&stage.owner)
    .await
    .unwrap();
}

fn positions(feed: &Value) -> Vec<u64> {
    let position = |item: &Value| item["position"].as_str().unwrap().parse().unwrap();
    feed["items"].as_array().unwrap().iter().map(position).collect()
}

#[tokio::test]
async fn the_feed_is_what_the_reader_was_allowed_to_see_and_each_frame_once() {
    let stage = Stage::new().await;
    let (ada, bob, left, now_in) = (id(), id(), id(), id());
    let of_user = |user: Uuid| format!("user:{user}");
    let of = |conversation: Uuid| format!("conversation:{conversation}");
    member(&stage, left, ada, 2, Some(5)).await;
    member(&stage, now_in, ada, 6, None).await;
    member(&stage, now_in, bob, 1, None).await;
    frame(&stage, 1, &[of(left)]).await;
    frame(&stage, 2, &[of(left), of_user(ada)]).await;
    frame(&stage, 3, &[of_user(bob)]).await;
    frame(&stage, 4, &[of(now_in)]).await;
    frame(&stage, 5, &[of(left), of_user(ada)]).await;
    frame(&stage, 6, &[of(left), of(now_in), of_user(bob)]).await;
    frame(&stage, 7, &[of(left)]).await;
    frame(&stage, 8, &[of(now_in)]).await;
    stage.reached(&["change_feed"], 9).await;

    let (status, feed) = stage.ask(ada, "/v1/feed").await;
    assert_eq!(status, 200, "{feed}");
    assert_eq!(positions(&feed), [2, 5, 6, 8]);
    assert_eq!((&feed["next"], &feed["horizon"]), (&json!("9"), &json!("0")));

    let (_, first) = stage.ask(ada, "/v1/feed?limit=2").await;
    assert_eq!((positions(&first), &first["next"]), (vec![2, 5], &json!("5")));
    let (_, rest) = stage.ask(ada, "/v1/feed?limit=2&after_position=5").await;
    assert_eq!((positions(&rest), &rest["next"]), (vec![6, 8], &json!("8")));
    let (_, nothing) = stage.ask(ada, "/v1/feed?limit=2&after_position=8").await;
    assert_eq!((positions(&nothing), &nothing["next"]), (vec![], &json!("9")));
    assert_eq!(positions(&stage.ask(bob, "/v1/feed").await.1), [3, 4, 6, 8]);
    assert_eq!(positions(&stage.ask(id(), "/v1/feed").await.1), [] as [u64; 0]);
}

#[tokio::test]
async fn a_frame_that_is_kept_once_for_many_is_found() {
    let stage = Stage::new().await;
    let ada = id();
    stage
        .sql(&format!(
            "insert into change_feed_entry values
               ('\\x00000000000000070000000000000007', 'user:{ada}', null, now());
             insert into change_feed_frame values
               ('\\x00000000000000070000000000000007', '{{\"position\":\"7\"}}')"
        ))
        .await;
    assert_eq!(positions(&stage.ask(ada, "/v1/feed").await.1), [7]);
}

#[tokio::test]
async fn from_before_the_horizon_there_is_nothing_to_resume() {
    let stage = Stage::new().await;
    let ada = id();
    frame(&stage, 12, &[format!("user:{ada}")]).await;
    sqlx::query("update change_feed_horizon set position = $1")
        .bind(at(10))
        .execute(&stage.owner)
        .await
        .unwrap();
    let gone = stage.problem(ada, "/v1/feed?after_position=9").await;
    assert_eq!(gone, (410, "feed-horizon".to_owned()));
    for path in ["/v1/feed?after_position=10", "/v1/feed"] {
        let (status, feed) = stage.ask(ada, path).await;
        assert_eq!((status, positions(&feed), &feed["horizon"]), (200, vec![12], &json!("10")));
    }
    let wrong = stage.problem(ada, "/v1/feed?after_position=x").await;
    assert_eq!(wrong, (400, "invalid-query".to_owned()));
}

#[tokio::test]
async fn a_page_of_a_long_feed_is_found_by_indexes_alone() {
    let stage = Stage::new().await;
    let ada = id();
    for number in 0..40 {
        let conversation = Uuid::from_u128(number);
        if number % 2 == 0 {
            member(&stage, conversation, ada, 1, None).await;
        }
    }
    stage
        .sql(
            "insert into change_feed_entry (position, audience, frame, recorded_at)
             select decode(lpad(to_hex(n), 16, '0') || lpad(to_hex(n), 16, '0'), 'hex'),
               'conversation:' || lpad(to_hex(n % 40), 32, '0')::uuid, '{}', now()
             from generate_series(2, 100000) n;
             analyze change_feed_entry",
        )
        .await;
    let mut eyes = stage.reads.eyes_of(ada.into()).await.unwrap();
    let jit: String =
        sqlx::query_scalar("select current_setting('jit')").fetch_one(&mut *eyes).await.unwrap();
    assert_eq!(jit, "off", "compiling takes longer than reading");
    // Whether the planner knows how short a page is, or not.
    for mode in ["force_custom_plan", "force_generic_plan"] {
        sqlx::query(&format!("set local plan_cache_mode = {mode}"))
            .execute(&mut *eyes)
            .await
            .unwrap();
        let plan: Vec<String> = sqlx::query_scalar(&format!("explain (analyze) {PAGE}"))
            .bind(ada)
            .bind(at(0))
            .bind(100_i64)
            .fetch_all(&mut *eyes)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan on change_feed_entry"), "{mode}: {plan}");
        assert!(plan.contains("rows=100 "), "{mode}: {plan}");
    }
}
