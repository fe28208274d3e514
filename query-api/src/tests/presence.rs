//! Who is there, and who lets whom know.

use redis::AsyncCommands;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Stage, at, id};
use crate::checkpoints::Times;

async fn befriend(stage: &Stage, one: Uuid, other: Uuid) {
    sqlx::query(
        "insert into friend_list (user_id, friend_id, since, position)
         values ($1, $2, now(), $3), ($2, $1, now(), $3)",
    )
    .bind(one)
    .bind(other)
    .bind(at(1))
    .execute(&stage.owner)
    .await
    .unwrap();
}

async fn meet(stage: &Stage, people: &[Uuid]) {
    sqlx::query(
        "insert into member (conversation_id, user_id, role, joined_at, position)
         select $1, id, 'member', now(), $3 from unnest($2::uuid[]) as person (id)",
    )
    .bind(id())
    .bind(people)
    .bind(at(1))
    .execute(&stage.owner)
    .await
    .unwrap();
}

async fn block(stage: &Stage, by: Uuid, of: Uuid) {
    sqlx::query("insert into block values ($1, $2, now(), $3)")
        .bind(by)
        .bind(of)
        .bind(at(1))
        .execute(&stage.owner)
        .await
        .unwrap();
}

fn path(people: &[Uuid]) -> String {
    let ids: Vec<_> = people.iter().map(Uuid::to_string).collect();
    format!("/v1/presence?users={}", ids.join(","))
}

/// Of whom somebody is told.
async fn sees(stage: &Stage, who: Uuid, people: &[Uuid]) -> Vec<Uuid> {
    let items = stage.items(who, &path(people)).await;
    items.iter().map(|item| item["user_id"].as_str().unwrap().parse().unwrap()).collect()
}

/// The same, as the gateways find out whom to tell of somebody.
async fn is_told(stage: &Stage, of: Uuid) -> Vec<Uuid> {
    sqlx::query_scalar("select other_id from presence_circle(array[$1]::uuid[], 50) order by 1")
        .bind(of)
        .fetch_all(&stage.owner)
        .await
        .unwrap()
}

fn sorted(mut people: Vec<Uuid>) -> Vec<Uuid> {
    people.sort();
    people
}

#[tokio::test]
async fn presence_is_for_friends_and_small_groups_and_never_across_a_block() {
    let stage = Stage::new().await;
    let [ada, bob, cleo, eve, mallory] = [(); 5].map(|()| id());
    befriend(&stage, ada, bob).await;
    meet(&stage, &[ada, bob, cleo, mallory]).await;
    block(&stage, mallory, ada).await;
    let everybody = [ada, bob, cleo, eve, mallory];
    assert_eq!(sees(&stage, ada, &everybody).await, sorted(vec![ada, bob, cleo]));
    assert_eq!(sees(&stage, mallory, &everybody).await, sorted(vec![bob, cleo, mallory]));
    assert_eq!(sees(&stage, cleo, &[ada]).await, [ada]);
    assert_eq!(sees(&stage, eve, &everybody).await, [eve]);
    assert_eq!(is_told(&stage, ada).await, sorted(vec![bob, cleo]));
    assert_eq!(is_told(&stage, mallory).await, sorted(vec![bob, cleo]));
    assert!(is_told(&stage, eve).await.is_empty());

    // With 50 it is small, with 51 it is not.
    let mut crowd: Vec<_> = (0..49).map(|_| id()).collect();
    crowd.push(eve);
    meet(&stage, &crowd).await;
    assert_eq!(is_told(&stage, eve).await.len(), 49);
    assert_eq!(sees(&stage, crowd[0], &[eve]).await, [eve]);
    let mut larger = crowd.clone();
    larger[49] = ada;
    larger.push(id());
    meet(&stage, &larger).await;
    assert_eq!(is_told(&stage, ada).await, sorted(vec![bob, cleo]));
    assert!(sees(&stage, ada, &larger[..1]).await.is_empty());
}

#[tokio::test]
async fn the_answer_is_what_was_told_last_and_unknown_without_redis() {
    let mut stage = Stage::new().await;
    let [ada, bob, cleo, dora] = [(); 4].map(|()| id());
    for friend in [bob, cleo, dora] {
        befriend(&stage, ada, friend).await;
    }
    let of = |user| format!("presence:of:{user}");
    let seen = format!("presence:seen:{cleo}");
    let now = chrono::DateTime::from_timestamp(4_000_000_000, 0).unwrap().timestamp_millis();
    let () = stage.redis.set("presence:swept", now).await.unwrap();
    let told = [("told", "away"), ("v", "77"), ("n:node 1", "online")];
    let () = stage.redis.hset_multiple(of(bob), &told).await.unwrap();
    let told = [("told", "offline"), ("v", "78"), ("p", "1")];
    let () = stage.redis.hset_multiple(of(cleo), &told).await.unwrap();
    let () = stage.redis.set(seen, 1000).await.unwrap();
    let items = stage.items(ada, &path(&[bob, cleo, dora])).await;
    let item = |user: Uuid| {
        let of = |item: &&Value| item["user_id"] == json!(user);
        items.iter().find(of).unwrap_or_else(|| panic!("{items:?}"))
    };
    let expected = json!({"user_id": bob, "online": true, "state": "away", "last_seen": null,
                          "version": 77});
    assert_eq!(item(bob), &expected);
    let expected = json!({"user_id": cleo, "online": false, "state": "offline",
                          "last_seen": "1970-01-01T00:00:01Z", "version": 78});
    assert_eq!(item(cleo), &expected);
    // Who is not known is offline now: older than whatever is told from now on.
    assert_eq!(item(dora)["state"], "offline");
    assert!(item(dora)["version"].as_u64().unwrap() > 1_700_000_000_000_000);

    let away = Stage::with_redis(Some("redis://127.0.0.1:1")).await;
    befriend(&away, ada, bob).await;
    let items = away.items(ada, &path(&[bob])).await;
    let expected = json!({"user_id": bob, "online": null, "state": "unknown", "last_seen": null,
                          "version": 0});
    assert_eq!(items, [expected]);
}

#[tokio::test]
async fn what_is_not_known_is_older_than_everything() {
    let mut stage = Stage::new().await;
    let (bob, prefix) = (id(), format!("presence-test:{}:", id()));
    let script = redis::Script::new(include_str!("../presence.lua"));
    let ask = async |redis: &mut redis::aio::MultiplexedConnection| {
        let mut call = script.key(&prefix);
        let rows: Vec<(String, u64, String)> =
            call.arg(bob.to_string()).invoke_async(redis).await.unwrap();
        rows.into_iter().next().unwrap()
    };
    // Nobody has swept yet: who is not there may still come.
    assert_eq!(ask(&mut stage.redis).await, (String::new(), 0, String::new()));
    let () = stage.redis.set(format!("{prefix}swept"), 1).await.unwrap();
    let (state, version, _) = ask(&mut stage.redis).await;
    assert_eq!(state, "offline");
    assert!(version > 1_700_000_000_000_000);
    let () = stage.redis.del(format!("{prefix}swept")).await.unwrap();
}

#[tokio::test]
async fn what_the_write_before_allowed_or_hid_is_waited_for() {
    let stage = Stage::with_times(Times::default()).await;
    let (ada, bob) = (id(), id());
    stage.reached(&["friend_list", "member"], 5).await;
    let path = format!("{}&after=5", path(&[bob]));
    assert_eq!(stage.problem(ada, &path).await.1, "read-model-behind");
    stage.reached(&["block"], 5).await;
    assert_eq!(stage.ask(ada, &path).await, (200, json!({"items": []})));
    for query in ["", "?users=", "?users=a,b", "?users=1&x=2"] {
        let path = format!("/v1/presence{query}");
        assert_eq!(stage.problem(ada, &path).await.1, "invalid-query", "{query}");
    }
}
