//! Parked events: they are tried again, or skipped, in the order of the log.

use domain::parked::{Action, Command, Parked};
use domain::user;
use events::user::PlatformRole;
use events::{EventId, Position, StreamName, UserId};
use projector::rebuild::{Job, Slot};
use serde_json::json;
use uuid::Uuid;

use crate::world::{World, dump, eventually, person};

/// Something in the way of a sign-up, as no event of ours would leave it.
async fn stand_in_the_way(world: &World, who: UserId) {
    sqlx::query("insert into user_profile (user_id, created_at, position) values ($1, now(), $2)")
        .bind(who.uuid())
        .bind(Position::START.to_bytes())
        .execute(&world.postgres)
        .await
        .unwrap();
}

async fn decide(world: &World, event: Uuid, action: Action) {
    let event = EventId::new(event);
    let (projection, by) = ("user_profile".to_owned(), person("ada"));
    let by_role = PlatformRole::Admin;
    let command = Command { event, projection, by, by_role, action };
    world.act::<Parked>(&StreamName::parked(event), by, command).await;
    world.settle().await;
}

/// What is parked of `user_profile`: which, how often it was tried again, and why.
async fn parked(world: &World) -> Vec<(Uuid, i64, i32, String)> {
    sqlx::query_as(
        "select event_id, revision, retries, error from parked_event
         where projection = 'user_profile' order by revision",
    )
    .fetch_all(&world.postgres)
    .await
    .unwrap()
}

async fn rename(world: &World, who: UserId, name: &str) {
    let profile = user::Profile { name: Some(name.to_owned()), ..user::Profile::default() };
    let command = user::Command::ChangeProfile(profile);
    world.act::<user::User>(&StreamName::user(who), who, command).await;
}

async fn name_of(world: &World, who: UserId) -> Option<String> {
    sqlx::query_scalar("select name from user_profile where user_id = $1")
        .bind(who.uuid())
        .fetch_one(&world.postgres)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_tried_again_takes_the_later_events_of_its_stream_along() {
    let world = World::new().await;
    let bob = person("bob");
    stand_in_the_way(&world, bob).await;
    world.sign_up("bob").await;
    rename(&world, bob, "Robert").await;
    let _projector = world.start().await;
    let _other = world.start().await;
    world.settle().await;
    let before = parked(&world).await;
    assert_eq!(before.len(), 2, "{before:?}");

    decide(&world, before[0].0, Action::Retry).await;
    let after = parked(&world).await;
    let tried: Vec<_> = after.iter().map(|it| (it.1, it.2)).collect();
    assert_eq!(tried, [(0, 1), (1, 0)], "it fails again, and stays");

    sqlx::query("delete from user_profile where user_id = $1")
        .bind(bob.uuid())
        .execute(&world.postgres)
        .await
        .unwrap();
    // Whichever of the stream is named, it begins with the first.
    decide(&world, before[1].0, Action::Retry).await;
    assert_eq!(parked(&world).await, vec![]);
    assert_eq!(name_of(&world, bob).await.as_deref(), Some("Robert"));
    rename(&world, bob, "Bobby").await;
    world.settle().await;
    assert_eq!(name_of(&world, bob).await.as_deref(), Some("Bobby"), "the next ones go their way");
    decide(&world, before[0].0, Action::Retry).await;
    assert_eq!(name_of(&world, bob).await.as_deref(), Some("Bobby"), "what is not parked stays");
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}

#[tokio::test]
async fn what_is_skipped_is_done_without_also_in_a_rebuild() {
    let world = World::new().await;
    let _projector = world.start().await;
    let (ada, eve) = (world.sign_up("ada").await, world.sign_up("eve").await);
    let metadata = json!({
        "schema_version": 1,
        "actor": ada,
        "$correlationId": Uuid::nil(),
        "$causationId": Uuid::nil(),
        "key": Uuid::nil(),
        "body_hash": "",
    });
    let stream = format!("user-{eve}");
    world.append_raw(&stream, "user.profile_changed", &json!({"nonsense": 1}), &metadata).await;
    world.settle().await;
    world.append_raw(&stream, "user.onboarded", &json!({ "user": eve }), &metadata).await;
    world.settle().await;
    let before = parked(&world).await;
    assert_eq!(before.iter().map(|it| it.1).collect::<Vec<_>>(), [1, 2]);
    let reason = "a test left it there".to_owned();
    decide(&world, before[0].0, Action::Skip { reason }).await;
    assert_eq!(parked(&world).await, vec![]);
    let onboarded = || async {
        sqlx::query_scalar::<_, bool>("select onboarded from user_profile where user_id = $1")
            .bind(eve.uuid())
            .fetch_one(&world.postgres)
            .await
            .unwrap()
    };
    eventually("the later event has its effect", onboarded).await;
    let options = world.database.url.parse().unwrap();
    let mut job =
        Job::open(options, world.log.clone(), &["user_profile"], Slot::Next).await.unwrap();
    job.build().await.unwrap();
    let mut differences = vec![];
    job.compare(&mut |difference| differences.push(difference)).await.unwrap();
    assert_eq!(differences, vec![]);
    job.switch().await.unwrap();
    assert_eq!(parked(&world).await, vec![]);
}
