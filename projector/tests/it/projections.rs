//! The projections against Postgres: what they keep, and that nothing is kept twice or lost.

use std::time::Duration;

use domain::conversation::Command;
use domain::receipt::Kind;
use events::{ConversationId, Position, UserId};
use projector::Settings;
use projector::invalidation::Invalidations;
use redis::AsyncCommands;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{PATIENCE, World, dump, eventually, person};

/// Some of everything.
pub(crate) async fn live_a_little(world: &World) -> ConversationId {
    let (ada, bob, eve) =
        (world.sign_up("ada").await, world.sign_up("bob").await, world.sign_up("eve").await);
    world.ask(ada, bob).await;
    world.accept(bob, ada).await;
    world.ask(eve, ada).await;
    world.ask(bob, eve).await;
    world.accept(eve, bob).await;
    world.unfriend(bob, eve).await;
    let group = world.group(ada, &[bob]).await;
    let first = world.send(ada, group, "One").await;
    world.send(bob, group, "Two").await;
    world.receipt(bob, group, first, Kind::Delivered).await;
    world.receipt(bob, group, first, Kind::Read).await;
    world.conversation(group, ada, Command::Add { by: ada, user: eve }).await;
    let last = world.send(eve, group, "Three\0").await;
    world.receipt(ada, group, last, Kind::Read).await;
    world.conversation(group, ada, Command::Ban { by: ada, user: eve }).await;
    world.send(bob, group, "Four").await;
    group
}

async fn unread(world: &World, conversation: ConversationId, user: UserId) -> i64 {
    sqlx::query_scalar(
        "select unread from unread_count where conversation_id = $1 and user_id = $2",
    )
    .bind(conversation.uuid())
    .bind(user.uuid())
    .fetch_one(&world.postgres)
    .await
    .unwrap()
}

#[tokio::test]
async fn messages_are_numbered_in_the_order_of_the_log() {
    let world = World::new().await;
    let _projector = world.start().await;
    let group = live_a_little(&world).await;
    world.settle().await;
    let rows: Vec<(i64, Option<String>, Uuid)> = sqlx::query_as(
        "select number, text, sender_id from message where kind <> 'system' order by ordinal",
    )
    .fetch_all(&world.postgres)
    .await
    .unwrap();
    let row = |ordinal, text: &str, sender| (ordinal, Some(text.to_owned()), person(sender).uuid());
    assert_eq!(
        rows,
        [
            row(1, "One", "ada"),
            row(2, "Two", "bob"),
            row(3, "Three\u{FFFD}", "eve"),
            row(4, "Four", "bob")
        ]
    );
    let count: i64 =
        sqlx::query_scalar("select message_count from conversation where conversation_id = $1")
            .bind(group.uuid())
            .fetch_one(&world.postgres)
            .await
            .unwrap();
    assert_eq!(count, 4);
}

#[tokio::test]
async fn unread_counts_are_exact() {
    let world = World::new().await;
    let _projector = world.start().await;
    let (ada, bob, eve) = (person("ada"), person("bob"), person("eve"));
    let group = world.group(ada, &[bob]).await;
    let one = world.send(ada, group, "1").await;
    world.send(bob, group, "2").await;
    let three = world.send(ada, group, "3").await;
    world.settle().await;
    assert_eq!([unread(&world, group, ada).await, unread(&world, group, bob).await], [1, 2]);

    world.receipt(bob, group, one, Kind::Read).await;
    world.settle().await;
    assert_eq!(unread(&world, group, bob).await, 1, "one's own message between is not unread");

    world.receipt(bob, group, three, Kind::Delivered).await;
    world.settle().await;
    assert_eq!(unread(&world, group, bob).await, 1, "received is not read");

    world.conversation(group, ada, Command::Add { by: ada, user: eve }).await;
    world.send(eve, group, "4").await;
    world.send(ada, group, "5").await;
    world.settle().await;
    assert_eq!(unread(&world, group, eve).await, 1, "what was said before is not unread");

    world.receipt(bob, group, three, Kind::Read).await;
    world.settle().await;
    assert_eq!(unread(&world, group, bob).await, 2);
}

#[tokio::test]
async fn a_rebuilt_read_model_equals_the_live_one() {
    let world = World::new().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    // More than a batch, so that the live one and the rebuilt one cut it differently.
    let group = world.group(person("ada"), &[person("bob")]).await;
    for number in 0..700 {
        let by = if number % 3 == 0 { "ada" } else { "bob" };
        let sent = world.send(person(by), group, &format!("Message {number}")).await;
        if number % 50 == 7 {
            world.receipt(person("ada"), group, sent, Kind::Read).await;
        }
    }
    world.settle().await;
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}

#[tokio::test]
async fn redelivered_events_change_nothing() {
    let world = World::new().await;
    let _projector = world.start().await;
    let nats = world.nats().await;
    let mut events = nats.subscribe(world.names().events()).await.unwrap();
    nats.flush().await.unwrap();
    live_a_little(&world).await;
    let head = world.settle().await;
    let before = dump(&world.postgres).await;
    let (mut messages, mut last) = (vec![], Position::START);
    while last < head {
        let next = tokio::time::timeout(PATIENCE, futures::StreamExt::next(&mut events));
        let message = next.await.expect("it comes to the head of the log").unwrap();
        let headers = message.headers.as_ref().unwrap();
        last = headers.get("Roundtable-Position").unwrap().as_str().parse().unwrap();
        messages.push(message);
    }
    assert!(messages.len() > 15, "{}", messages.len());
    // Without the header that fences, the stream takes them again, and so does every subscriber.
    for message in messages.iter().rev().chain(&messages) {
        let mut headers = async_nats::HeaderMap::new();
        for name in ["Roundtable-Position", "Roundtable-Previous", "Roundtable-Relay"] {
            let value = message.headers.as_ref().unwrap().get(name).unwrap();
            headers.insert(name, value.clone());
        }
        let (subject, payload) = (message.subject.clone(), message.payload.clone());
        nats.publish_with_headers(subject, headers, payload).await.unwrap();
    }
    nats.flush().await.unwrap();
    let (bob, group) = (person("bob"), world.group(person("ada"), &[]).await);
    world.conversation(group, person("ada"), Command::Add { by: person("ada"), user: bob }).await;
    world.settle().await;
    let mine = format!("where conversation_id <> '{group}'");
    let messages: i64 = sqlx::query_scalar(&format!("select count(*) from message {mine}"))
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    // Four messages; the opening, a coming and a ban.
    assert_eq!(messages, 7);
    let after = dump(&world.postgres).await;
    for line in before.lines() {
        assert!(after.contains(line), "{line}");
    }
}

#[tokio::test]
async fn of_two_projectors_one_works_and_the_other_takes_over() {
    let world = World::new().await;
    let first = world.start().await;
    let second = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    let locks = || async {
        sqlx::query_scalar::<_, i64>(
            "select count(*) from pg_locks where locktype = 'advisory' and classid = 1920233578
               and database = (select oid from pg_database where datname = current_database())",
        )
        .fetch_one(&world.postgres)
        .await
        .unwrap()
    };
    assert_eq!(locks().await, i64::try_from(projector::PROJECTIONS.len()).unwrap());
    drop(first);
    let (message, _) = world.send(person("ada"), world.group(person("ada"), &[]).await, "On").await;
    world.settle().await;
    assert_eq!(locks().await, i64::try_from(projector::PROJECTIONS.len()).unwrap());
    let found: i64 = sqlx::query_scalar("select count(*) from message where message_id = $1")
        .bind(message.uuid())
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!(found, 1);
    drop(second);
}

#[tokio::test]
async fn a_runner_that_finds_another_checkpoint_stops_and_reads_it_again() {
    let world = World::new().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    let before = dump(&world.postgres).await;
    // Working on all events again changes nothing in a list of what is.
    sqlx::query("update projection_checkpoint set position = $1 where projection = $2")
        .bind(Position::START.to_bytes())
        .bind("friend_list")
        .execute(&world.postgres)
        .await
        .unwrap();
    world.append_raw("orders-1", "order.placed", &json!({}), &json!({})).await;
    world.settle().await;
    assert_eq!(dump(&world.postgres).await, before);
}

#[tokio::test]
async fn a_projection_whose_connection_breaks_goes_on() {
    let world = World::new().await;
    let _projector = world.start().await;
    live_a_little(&world).await;
    world.settle().await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where application_name like 'projector %' and datname = current_database()",
    )
    .execute(&world.postgres)
    .await
    .unwrap();
    world.sign_up("zoe").await;
    world.settle().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_parked_and_stops_nobody() {
    let world = World::new().await;
    let _projector = world.start().await;
    let ada = world.sign_up("ada").await;
    let metadata = json!({
        "schema_version": 1,
        "actor": ada,
        "$correlationId": Uuid::nil(),
        "$causationId": Uuid::nil(),
        "key": Uuid::nil(),
        "body_hash": "",
    });
    let stream = format!("user-{}", person("eve"));
    world.append_raw(&stream, "user.signed_up", &json!({"nonsense": 1}), &metadata).await;
    let good = json!({ "user": person("eve") });
    world.append_raw(&stream, "user.profile_changed", &good, &metadata).await;
    world.append_raw("orders-1", "order.placed", &json!({"n": 1}), &json!({})).await;
    world.sign_up("bob").await;
    world.settle().await;
    let parked: Vec<(String, String, i64)> = sqlx::query_as(
        "select projection, stream, revision from parked_event order by projection, revision",
    )
    .fetch_all(&world.postgres)
    .await
    .unwrap();
    let row = |name: &str, revision| (name.to_owned(), stream.clone(), revision);
    let expected = [
        row("change_feed", 0),
        row("change_feed", 1),
        row("erasure", 0),
        row("event_index", 0),
        row("event_index", 1),
        row("file", 0),
        row("file", 1),
        row("notification_log", 0),
        row("notification_log", 1),
        row("standing", 0),
        row("standing", 1),
        row("user_profile", 0),
        row("user_profile", 1),
    ];
    assert_eq!(parked, expected, "only where it matters, and what follows in its stream");
    let profiles: i64 = sqlx::query_scalar("select count(*) from user_profile")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!(profiles, 2);
}

#[tokio::test]
async fn an_event_that_postgres_refuses_is_parked_alone() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    // Something in the way of the next sign-up, as no event of ours would leave it.
    sqlx::query("insert into user_profile values ($1, null, null, null, now(), $2)")
        .bind(person("bob").uuid())
        .bind(Position::START.to_bytes())
        .execute(&world.postgres)
        .await
        .unwrap();
    world.sign_up("bob").await;
    world.sign_up("eve").await;
    let _projector = world.start().await;
    world.settle().await;
    let parked: Vec<String> = sqlx::query_scalar("select stream from parked_event")
        .fetch_all(&world.postgres)
        .await
        .unwrap();
    assert_eq!(parked, [format!("user-{}", person("bob"))]);
    let profiles: Vec<Uuid> =
        sqlx::query_scalar("select user_id from user_profile where name is not null order by 1")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(profiles, [ada.uuid(), person("eve").uuid()]);
}

#[tokio::test]
async fn projections_go_on_without_nats_and_redis() {
    let world = World::new().await;
    let settings = Settings {
        nats_url: "nats://127.0.0.1:1".to_owned(),
        redis_url: "redis://127.0.0.1:1".to_owned(),
        ..world.settings()
    };
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    projector::start(settings, world.log.clone(), shutdown).await.unwrap();
    live_a_little(&world).await;
    world.settle().await;
}

#[tokio::test]
async fn with_the_vault_away_projections_wait() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let shutdown = CancellationToken::new();
    let log = world.log_without_vault().await;
    projector::start(world.settings(), log, shutdown.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rows: i64 = sqlx::query_scalar("select count(*) from user_profile")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!(rows, 0, "nothing sealed is projected");
    shutdown.cancel();
    let _projector = world.start().await;
    world.settle().await;
    let name: String = sqlx::query_scalar("select name from user_profile")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!(name, "ADA");
}

#[tokio::test]
async fn a_commit_leaves_its_floor_in_the_cache() {
    let world = World::new().await;
    let mut redis = world.redis().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let key = world.names().key(&format!("friends:{ada}"));
    let _: () = redis.set(&key, "old").await.unwrap();
    let _projector = world.start().await;
    world.ask(ada, bob).await;
    let accepted = world.accept(bob, ada).await;
    world.settle().await;
    let floor = || {
        let (mut redis, key) = (redis.clone(), format!("{key}:floor"));
        async move { redis.get::<_, Option<String>>(key).await.unwrap() }
    };
    eventually("the floor is there", || async { floor().await.is_some() }).await;
    assert!(floor().await.unwrap() >= hex::encode(accepted.to_bytes()));
    assert_eq!(redis.get::<_, Option<String>>(&key).await.unwrap(), None, "the old is gone");
}

#[tokio::test]
async fn what_is_stale_at_the_end_is_still_said_and_redis_away_delays_no_end() {
    let world = World::new().await;
    let client = redis::Client::open(world.servers.redis_url.as_str()).unwrap();
    let invalidations = Invalidations::default();
    // More than go at once.
    let keys: Vec<String> = (0..1000).map(|number| format!("friends:{number}")).collect();
    invalidations.mark(keys.clone(), Position::at(7));
    let last = CancellationToken::new();
    last.cancel();
    // The first connection to Redis may take long on a busy machine.
    invalidations.run_until(client.clone(), world.names(), last, PATIENCE).await;
    let floors: Vec<String> =
        keys.iter().map(|key| world.names().key(&format!("{key}:floor"))).collect();
    let mut redis = world.redis().await;
    let there: u64 = redis.exists(&floors).await.unwrap();
    assert_eq!(there, 1000);

    // Whatever was committed before the end was also said before it.
    let shutdown = CancellationToken::new();
    let projector =
        projector::start(world.settings(), world.log.clone(), shutdown.clone()).await.unwrap();
    let (ada, bob) = (person("ada"), person("bob"));
    world.ask(ada, bob).await;
    world.accept(bob, ada).await;
    world.settle().await;
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, projector.ended()).await.unwrap();
    let floor = world.names().key(&format!("friends:{ada}:floor"));
    assert!(redis.exists::<_, bool>(&floor).await.unwrap());

    let settings = Settings { redis_url: "redis://127.0.0.1:1".to_owned(), ..world.settings() };
    let shutdown = CancellationToken::new();
    let projector = projector::start(settings, world.log.clone(), shutdown.clone()).await.unwrap();
    world.unfriend(ada, bob).await;
    world.settle().await;
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, projector.ended()).await.unwrap();
}

#[tokio::test]
async fn the_feed_forgets_what_is_old_and_says_so() {
    let world = World::new().await;
    {
        let _projector = world.start().await;
        live_a_little(&world).await;
        world.settle().await;
    }
    let ages = "update change_feed_entry set recorded_at = now() - interval '8 days'
                where position <= (select position from change_feed_entry
                  order by position offset 9 limit 1)";
    let old = sqlx::query(ages).execute(&world.postgres).await.unwrap().rows_affected();
    let all: i64 = sqlx::query_scalar("select count(*) from change_feed")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    let _projector = world.start().await;
    let left = || async {
        sqlx::query_scalar::<_, i64>("select count(*) from change_feed")
            .fetch_one(&world.postgres)
            .await
            .unwrap()
    };
    let expected = all - i64::try_from(old).unwrap();
    eventually("the old entries are gone", || async { left().await == expected }).await;
    let horizon: i64 = sqlx::query_scalar(
        "select count(*) from change_feed_horizon
         where position > $1 and position < all (select position from change_feed)",
    )
    .bind(Position::START.to_bytes())
    .fetch_one(&world.postgres)
    .await
    .unwrap();
    assert_eq!(horizon, 1, "all that is left is after the horizon");
}

#[tokio::test]
async fn whoever_waits_for_a_projection_that_nothing_concerns_need_not_wait_for_its_pace() {
    let world = World::new().await;
    let day = Duration::from_secs(24 * 3600);
    let shutdown = CancellationToken::new();
    let _ended = shutdown.clone().drop_guard();
    let settings = Settings { idle_pace: day, ..world.settings() };
    projector::start(settings, world.log.clone(), shutdown).await.unwrap();
    world.sign_up("ada").await;
    let reached = |position: Position| {
        let postgres = world.postgres.clone();
        async move {
            sqlx::query_scalar::<_, bool>(
                "select position >= $1 from projection_checkpoint where projection = 'whiteboard'",
            )
            .bind(position.to_bytes())
            .fetch_optional(&postgres)
            .await
            .unwrap()
            .unwrap_or(false)
        }
    };
    for number in 0..50 {
        let position = world.ask(person(&format!("a{number}")), person("bob")).await;
        if number == 0 {
            // The first is within the pace; from now on nothing but who waits moves it.
            eventually("friend_request has it", || async {
                sqlx::query_scalar::<_, i64>("select count(*) from friend_request")
                    .fetch_one(&world.postgres)
                    .await
                    .unwrap()
                    == 1
            })
            .await;
        }
        let told = format!("{position} whiteboard");
        // As query-api says it; again and again, as its listener may not be there yet.
        eventually("it moves at once", || async {
            sqlx::query("select pg_notify('roundtable_awaited', $1)")
                .bind(&told)
                .execute(&world.postgres)
                .await
                .unwrap();
            reached(position).await
        })
        .await;
    }
    let idle: bool = sqlx::query_scalar(
        "select position < $1 from projection_checkpoint where projection = 'call_history'",
    )
    .bind(world.log.head().await.unwrap().to_bytes())
    .fetch_one(&world.postgres)
    .await
    .unwrap();
    assert!(idle, "nobody waited for this one");
}
