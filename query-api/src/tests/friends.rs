//! Friends and friend requests, and their cache.

use redis::AsyncCommands;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Stage, Ticks, at, id};

async fn befriend(stage: &Stage, user: Uuid, friend: Uuid, position: u64) {
    sqlx::query(
        "insert into friend_list (user_id, friend_id, since, position)
         values ($1, $2, now(), $3), ($2, $1, now(), $3)",
    )
    .bind(user)
    .bind(friend)
    .bind(at(position))
    .execute(&stage.owner)
    .await
    .unwrap();
}

async fn request(stage: &Stage, from: Uuid, to: Uuid) {
    sqlx::query(
        "insert into friend_request (from_id, to_id, requested_at, position)
         values ($1, $2, now(), $3)",
    )
    .bind(from)
    .bind(to)
    .bind(at(1))
    .execute(&stage.owner)
    .await
    .unwrap();
}

fn ids(items: &[Value], field: &str) -> Vec<Uuid> {
    items.iter().map(|item| item[field].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn friends_come_in_pages_from_postgres_and_from_the_cache_alike() {
    let mut stage = Stage::new().await;
    let ada = id();
    let mut friends: Vec<Uuid> = (0..5).map(|_| id()).collect();
    friends.sort();
    for friend in &friends {
        befriend(&stage, ada, *friend, 3).await;
    }
    befriend(&stage, id(), id(), 3).await;
    stage.reached(&["friend_list", "user_profile", "block"], 3).await;

    for round in ["from Postgres", "from the cache"] {
        let mut path = "/v1/friends?limit=2".to_owned();
        let mut seen = Vec::new();
        loop {
            let (status, page) = stage.ask(ada, &path).await;
            assert_eq!(status, 200, "{page}");
            seen.extend(ids(page["items"].as_array().unwrap(), "user_id"));
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/friends?limit=2&after_id={next}"),
                None => break,
            }
        }
        assert_eq!(seen, friends, "{round}");
        let seconds: i64 = stage.redis.ttl(format!("friends:{ada}")).await.unwrap();
        assert!((500..=600).contains(&seconds), "{round}: {seconds}");
    }
}

#[tokio::test]
async fn a_cached_list_shows_what_people_are_called_now() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    befriend(&stage, ada, bob, 3).await;
    request(&stage, id(), ada).await;
    stage.reached(&["friend_list", "friend_request"], 3).await;
    stage
        .sql(&format!(
            "insert into user_profile (user_id, handle, name, avatar, created_at, position) values
             ('{bob}', 'bob', 'Bob', '{{\"preset\": 2}}', now(), '\\x00000000000000050000000000000005')"
        ))
        .await;
    for (name, round) in [("Bob", "from Postgres"), ("Robert", "from the cache")] {
        stage
            .sql(&format!("update user_profile set name = '{name}' where user_id = '{bob}'"))
            .await;
        let friends = stage.items(ada, "/v1/friends").await;
        let person = json!({"id": bob, "handle": "bob", "name": name, "avatar": {"preset": 2}});
        assert_eq!(friends[0]["person"], person, "{round}");
        let requests = stage.items(ada, "/v1/friend-requests?direction=incoming").await;
        assert_eq!(requests[0]["person"]["id"], requests[0]["from"]);
        assert_eq!(requests[0]["person"]["name"], Value::Null, "of whom nothing is known yet");
    }
}

#[tokio::test]
async fn what_the_cache_holds_is_used_only_if_it_is_new_enough() {
    let mut stage = Stage::new().await;
    let (ada, bob, cleo) = (id(), id(), id());
    befriend(&stage, ada, bob, 3).await;
    stage.reached(&["friend_list", "user_profile", "block"], 3).await;
    assert_eq!(stage.items(ada, "/v1/friends").await.len(), 1);

    // A commit whose invalidation has not come yet.
    befriend(&stage, ada, cleo, 4).await;
    stage.reached(&["friend_list", "user_profile", "block"], 4).await;
    assert_eq!(stage.items(ada, "/v1/friends").await.len(), 1, "the cache answered");
    assert_eq!(stage.items(ada, "/v1/friends?after=4").await.len(), 2, "the cache was too old");
    assert_eq!(stage.items(ada, "/v1/friends").await.len(), 2, "and was filled anew");

    stage.invalidate(&format!("friends:{ada}"), 4).await;
    assert_eq!(stage.items(ada, "/v1/friends").await.len(), 2);
}

#[tokio::test]
async fn an_older_list_does_not_come_back_after_an_invalidation() {
    let mut stage = Stage::new().await;
    let ada = id();
    befriend(&stage, ada, id(), 3).await;
    stage.reached(&["friend_list", "user_profile", "block"], 3).await;
    let key = format!("friends:{ada}");

    // The next commit is announced to the cache; this reader still sees the moment before.
    stage.invalidate(&key, 4).await;
    assert_eq!(stage.items(ada, "/v1/friends").await.len(), 1);
    assert!(!stage.redis.exists::<_, bool>(&key).await.unwrap(), "refused by the mark");

    stage.reached(&["friend_list", "user_profile", "block"], 4).await;
    assert_eq!(stage.items(ada, "/v1/friends").await.len(), 1);
    let kept: String = stage.redis.get(&key).await.unwrap();
    assert!(kept.starts_with(&format!(r#"{{"position":"{}""#, hex::encode(at(4)))), "{kept}");

    // A slower reader with an older moment does not replace it.
    let reads = &stage.reads;
    let empty: [Value; 0] = [];
    let list = crate::cache::List::Friends;
    reads.cache.fill(list, ada.into(), events::Position::at(3), &empty).await;
    assert_eq!(stage.redis.get::<_, String>(&key).await.unwrap(), kept);
}

#[tokio::test]
async fn without_redis_friends_come_from_postgres_and_soon() {
    // Refuses at once; and takes connections but never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("redis://{}", silent.local_addr().unwrap());
    for url in ["redis://127.0.0.1:1", silent_url.as_str()] {
        let stage = Stage::with_redis(Some(url)).await;
        let ada = id();
        befriend(&stage, ada, id(), 3).await;
        stage.reached(&["friend_list", "user_profile", "block"], 3).await;
        let ticks = Ticks::start();
        for _ in 0..20 {
            assert_eq!(stage.items(ada, "/v1/friends?after=3").await.len(), 1);
        }
        assert!(ticks.count() < 300, "{url}: {} hundredths of a second", ticks.count());
        assert!(stage.reads.cache.probe().await.is_err());
    }
}

#[tokio::test]
async fn requests_are_listed_by_direction_to_their_two_people() {
    let mut stage = Stage::new().await;
    let (ada, bob, cleo) = (id(), id(), id());
    request(&stage, ada, bob).await;
    request(&stage, cleo, ada).await;
    request(&stage, cleo, bob).await;
    stage.reached(&["friend_request"], 1).await;

    for round in ["from Postgres", "from the cache"] {
        let outgoing = stage.items(ada, "/v1/friend-requests?direction=outgoing").await;
        assert_eq!((ids(&outgoing, "from"), ids(&outgoing, "to")), (vec![ada], vec![bob]));
        let incoming = stage.items(ada, "/v1/friend-requests?direction=incoming").await;
        assert_eq!(ids(&incoming, "from"), [cleo], "{round}");
        let (_, page) = stage.ask(bob, "/v1/friend-requests?direction=incoming&limit=1").await;
        let next = page["next"].as_str().unwrap();
        let path = format!("/v1/friend-requests?direction=incoming&limit=1&after_id={next}");
        let (_, last) = stage.ask(bob, &path).await;
        assert_eq!(last["items"][0]["from"], Value::from(ada.max(cleo).to_string()));
        assert_eq!(last["next"], Value::Null);
    }
    for list in ["in", "out"] {
        let key = format!("friend_requests:{list}:{ada}");
        let seconds: i64 = stage.redis.ttl(key).await.unwrap();
        assert!((60..=120).contains(&seconds), "{list}: {seconds}");
    }
}

#[tokio::test]
async fn a_bad_question_about_friends_is_a_precise_problem() {
    let stage = Stage::new().await;
    for path in [
        "/v1/friends?limit=0",
        "/v1/friends?limit=101",
        "/v1/friends?limit=-1",
        "/v1/friends?limit=many",
        "/v1/friends?after_id=ada",
        "/v1/friends?before=1",
        "/v1/friends?limit=1&limit=2",
        "/v1/friend-requests",
        "/v1/friend-requests?direction=both",
    ] {
        let answer = stage.problem(id(), path).await;
        assert_eq!(answer, (400, "invalid-query".to_owned()), "{path}");
    }
}
