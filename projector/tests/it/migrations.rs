//! The tables: that they can be made, and who may read them.

use events::{Position, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use crate::world::{World, person};

#[tokio::test]
async fn migrations_run_at_once_and_again_without_harm() {
    let servers = servers::shared_for_tests().await.unwrap();
    let one = servers.database().await.unwrap();
    let other = servers.database().await.unwrap();
    let pools = [
        PgPool::connect(&one.url).await.unwrap(),
        PgPool::connect(&one.url).await.unwrap(),
        PgPool::connect(&other.url).await.unwrap(),
    ];
    let [a, b, c] = &pools;
    let done = tokio::join!(projector::migrate(a), projector::migrate(b), projector::migrate(c));
    assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok(), "{done:?}");
    projector::migrate(a).await.unwrap();
}

#[tokio::test]
async fn the_text_of_a_position_is_the_same_in_postgres() {
    let world = World::new().await;
    for position in [
        Position::START,
        Position::at(12_345),
        Position { commit: 9, prepare: 7 },
        Position::at(u64::MAX),
    ] {
        let text: String = sqlx::query_scalar("select position_text($1)")
            .bind(position.to_bytes())
            .fetch_one(&world.postgres)
            .await
            .unwrap();
        assert_eq!(text, position.to_string());
    }
}

/// What a person can read of a table, with the rights of query-api.
async fn seen(world: &World, reader: Option<UserId>, table: &str) -> i64 {
    let mut transaction = world.postgres.begin().await.unwrap();
    sqlx::query("set local role roundtable_reader").execute(&mut *transaction).await.unwrap();
    let reader = reader.map_or_else(String::new, |user| user.to_string());
    sqlx::query("select set_config('roundtable.reader', $1, true)")
        .bind(reader)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let count = format!("select count(*) from {table}");
    sqlx::query_scalar(&count).fetch_one(&mut *transaction).await.unwrap()
}

#[tokio::test]
async fn a_reader_sees_only_what_is_theirs() {
    let world = World::new().await;
    let projector = world.start().await;
    let (ada, bob, eve) =
        (world.sign_up("ada").await, world.sign_up("bob").await, world.sign_up("eve").await);
    world.log_in(ada, 1).await;
    world.ask(ada, bob).await;
    world.accept(bob, ada).await;
    world.ask(ada, eve).await;
    let group = world.group(ada, &[bob]).await;
    world.send(ada, group, "Hello").await;
    world.block(ada, person("cleo")).await;
    world.settle().await;
    for (table, of_ada, of_bob, of_eve) in [
        ("user_profile", 3, 3, 3),
        ("user_account", 1, 1, 1),
        ("user_search_term", 3, 3, 3),
        ("block", 1, 0, 0),
        ("friend_list", 1, 1, 0),
        ("friend_request", 1, 0, 1),
        ("login", 1, 0, 0),
        ("conversation", 1, 1, 0),
        ("member", 2, 2, 0),
        ("message", 2, 2, 0),
        ("message_counter", 1, 1, 0),
        ("message_month", 1, 1, 0),
        ("message_search", 1, 1, 0),
        ("read_cursor", 2, 2, 0),
        ("unread_count", 2, 2, 0),
        // Signing up, logging in and refreshing; requests, acceptance, block; the opening; the message.
        ("change_feed", 1 + 2 + 4 + 1 + 1, 1 + 2 + 1 + 1, 1 + 1),
        ("change_feed_member", 1, 1, 0),
    ] {
        assert_eq!(seen(&world, Some(ada), table).await, of_ada, "ada in {table}");
        assert_eq!(seen(&world, Some(bob), table).await, of_bob, "bob in {table}");
        assert_eq!(seen(&world, Some(eve), table).await, of_eve, "eve in {table}");
        assert_eq!(seen(&world, None, table).await, 0, "nobody in {table}");
    }
    drop(projector);
}

#[tokio::test]
async fn a_month_takes_over_what_was_kept_before_it_was_made() {
    let world = World::new().await;
    let insert = "insert into message
        (conversation_id, ordinal, number, message_id, sender_id, text, sent_at, position)
        values ($1, 1, 1, $1, $1, 'x', '2031-05-31 23:59Z', $2)";
    sqlx::query(insert)
        .bind(Uuid::from_u128(1))
        .bind(Position::START.to_bytes())
        .execute(&world.postgres)
        .await
        .unwrap();
    let months = "select make_message_partition(moment::timestamptz)
        from unnest(array['2031-05-01 00:00Z', '2031-06-01 00:00Z', '2031-05-09 12:00+14']) moment";
    sqlx::query(months).execute(&world.postgres).await.unwrap();
    let of: String = sqlx::query_scalar("select tableoid::regclass::text from message")
        .fetch_one(&world.postgres)
        .await
        .unwrap();
    assert_eq!(of, "message_2031_05");
}
