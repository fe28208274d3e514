//! What changes later, in the read models that show it: roles, titles, texts, blocks.

use domain::conversation::Command;
use domain::friendship::{Command as Friends, Friendship};
use domain::login;
use domain::message::Action;
use domain::user::{Command as About, Profile, User};
use events::conversation::Role;
use events::login::CloseReason;
use events::user::{Avatar, PlatformRole};
use events::{ConversationId, StreamName, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, dump, eventually, person};

/// A group that passed on and has another title, messages that were edited and deleted, a block,
/// and a study room.
async fn change_everything(world: &World) -> ConversationId {
    let (ada, bob, eve) =
        (world.sign_up("ada").await, world.sign_up("bob").await, world.sign_up("eve").await);
    world.ask(ada, bob).await;
    world.accept(bob, ada).await;
    world.ask(eve, ada).await;
    let group = world.group(ada, &[bob, eve]).await;
    let rename = Command::Rename { by: ada, title: "Maths".to_owned() };
    let appoint = Command::ChangeRole { by: ada, user: bob, role: Role::Admin };
    let transfer = Command::TransferOwnership { by: ada, to: eve };
    let dismiss = Command::ChangeRole { by: eve, user: bob, role: Role::Member };
    for (by, command) in [(ada, rename), (ada, appoint), (ada, transfer), (eve, dismiss)] {
        world.conversation(group, by, command).await;
    }
    let (edited, _) = world.send(ada, group, "One").await;
    for text in ["Two", "Three"] {
        let edit = Action::Edit { text: text.to_owned(), mentions: vec![bob] };
        world.message(ada, group, edited, edit).await;
    }
    let react = Action::React { emoji: "👍".to_owned() };
    world.message(bob, group, edited, react).await;
    let (deleted, _) = world.send(bob, group, "Four").await;
    world.message(ada, group, deleted, Action::Delete).await;

    for of in [bob, eve] {
        let block = Friends::Block { by: ada, of };
        world.act::<Friendship>(&StreamName::friendship(ada, of), ada, block).await;
    }
    world.log_in(ada, 1).await;
    let over = world.log_in(ada, 2).await;
    let close = login::Command::Close { user: ada, reason: CloseReason::Revoked };
    world.act::<login::Login>(&StreamName::login(over), ada, close).await;
    let room = ConversationId::new(Uuid::from_u128(0xe000));
    let open = Command::OpenStudy { conversation: room, tutor: ada, title: "Engines".to_owned() };
    world.conversation(room, ada, open).await;
    world.conversation(room, bob, Command::Enter { user: bob, admitted: true }).await;
    group
}

#[tokio::test]
async fn read_models_show_what_is_now_whether_live_or_rebuilt() {
    let world = World::new().await;
    let _projector = world.start().await;
    let group = change_everything(&world).await;
    world.settle().await;

    let roles: Vec<(Uuid, String)> =
        sqlx::query_as("select user_id, role from member where conversation_id = $1 order by role")
            .bind(group.uuid())
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    let is = |name: &str, role: &str| (person(name).uuid(), role.to_owned());
    assert_eq!(roles, [is("ada", "admin"), is("bob", "member"), is("eve", "owner")]);

    let titles: Vec<(String, String)> =
        sqlx::query_as("select kind, title from conversation order by kind")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    let is = |kind: &str, title: &str| (kind.to_owned(), title.to_owned());
    assert_eq!(titles, [is("group", "Maths"), is("study", "Engines")]);

    let texts: Vec<Option<String>> =
        sqlx::query_scalar("select text from message where kind <> 'system' order by ordinal")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(texts, [Some("Three".to_owned()), None]);

    let devices: Vec<(String, i64)> =
        sqlx::query_as("select device, extract(epoch from expires_at)::bigint from login")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(devices, [("Phone".to_owned(), 4_000_000_001)]);

    for table in ["friend_list", "friend_request", "parked_event"] {
        let count: i64 = sqlx::query_scalar(&format!("select count(*) from {table}"))
            .fetch_one(&world.postgres)
            .await
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}

/// What the feed tells, as one text.
async fn feed(world: &World) -> String {
    let frames: Vec<String> =
        sqlx::query_scalar("select frame from change_feed order by position, audience")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    frames.join("\n")
}

#[tokio::test]
async fn the_feed_tells_no_more_what_was_deleted_and_what_messages_said_before() {
    let world = World::new().await;
    let projector = world.start().await;
    let (ada, bob) = (person("ada"), person("bob"));
    let group = world.group(ada, &[bob]).await;
    let edit = |text: &str| Action::Edit { text: text.to_owned(), mentions: vec![bob] };
    let (edited, _) = world.send(ada, group, "first\0").await;
    let (gone, _) = world.send(bob, group, "secret").await;
    world.settle().await;
    let before = feed(&world).await;
    assert!(before.contains("first") && before.contains("secret"), "{before}");

    world.message(ada, group, edited, edit("second")).await;
    world.settle().await;
    world.message(ada, group, edited, edit("third")).await;
    world.message(bob, group, gone, edit("worse")).await;
    world.message(bob, group, gone, Action::Delete).await;
    world.settle().await;
    let now = feed(&world).await;
    for text in ["first", "second", "secret", "worse"] {
        assert!(!now.contains(text), "{text}: {now}");
    }
    assert!(now.contains("third"), "{now}");
    for (kind, count) in [("sent", 2), ("edited", 3), ("deleted", 1)] {
        let kind = format!("\"type\":\"message.{kind}\"");
        assert_eq!(now.matches(&kind).count(), count, "{kind}: each frame is still there");
    }
    // In one batch it is no different; nor when all of it is applied again.
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
    drop(projector);
    let again = "delete from projection_checkpoint where projection = 'change_feed'";
    sqlx::query(again).execute(&world.postgres).await.unwrap();
    let _again = world.start().await;
    world.settle().await;
    assert_eq!(feed(&world).await, now);
}

#[tokio::test]
async fn a_log_in_of_long_ago_that_was_renewed_since_outlives_a_replay() {
    use projector::projections::login::{Login, Op};
    use projector::projections::{Projection, Retention};

    let world = World::new().await;
    let mut db = world.postgres.acquire().await.unwrap();
    let at = |text: &str| text.parse::<events::Moment>().unwrap();
    let open = |number: u128, from: &str, until: &str| Op::Insert {
        login: events::LoginId::new(Uuid::from_u128(number)),
        user: person("ada"),
        device: None,
        at: at(from),
        expires: at(until),
        position: events::Position::at(7),
    };
    let renew = Op::Refresh {
        login: events::LoginId::new(Uuid::from_u128(1)),
        at: at("2020-01-30T00:00:00Z"),
        expires: at("2099-01-01T00:00:00Z"),
        position: events::Position::at(9),
    };
    let retention = Retention { feed: chrono::TimeDelta::days(7), messages: None };
    let mut projection = Login;
    for ops in [
        vec![
            open(1, "2020-01-01T00:00:00Z", "2020-01-31T00:00:00Z"),
            open(2, "2020-01-01T00:00:00Z", "2020-01-28T00:00:00Z"),
        ],
        vec![renew],
    ] {
        // As at every start of a replay.
        Login::upkeep(&mut db, retention).await.unwrap();
        projection.apply(&mut db, ops).await.unwrap();
    }
    Login::upkeep(&mut db, retention).await.unwrap();
    let left: Vec<Uuid> =
        sqlx::query_scalar("select login_id from login").fetch_all(&mut *db).await.unwrap();
    assert_eq!(left, [Uuid::from_u128(1)], "it was renewed, and the other one is over");
}

#[tokio::test]
async fn a_month_that_a_failed_batch_would_have_made_is_made_by_the_next_one() {
    let world = World::new().await;
    let _projector = world.start().await;
    let month = "to_regclass('message_' || to_char(now() at time zone 'UTC', 'YYYY_MM'))";
    let is_there = format!("select {month} is not null");
    let made = || async { sqlx::query_scalar(&is_there).fetch_one(&world.postgres).await.unwrap() };
    eventually("the months are made", made).await;
    // This month is not there, and something is in the way of the first row: the opening.
    sqlx::raw_sql(&format!(
        "do $$ begin execute format('drop table %s', {month}); end $$;
         alter table message add constraint no_reading check (text <> 'Reading')"
    ))
    .execute(&world.postgres)
    .await
    .unwrap();
    let ada = person("ada");
    let group = world.group(ada, &[]).await;
    world.settle().await;
    world.send(ada, group, "good").await;
    world.settle().await;
    let of: Vec<String> =
        sqlx::query_scalar("select tableoid::regclass::text from message where text = 'good'")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(of.len(), 1);
    assert_ne!(of, ["message_default"]);
}

async fn about(world: &World, user: UserId, by: UserId, command: About) {
    world.act::<User>(&StreamName::user(user), by, command).await;
}

#[tokio::test]
async fn what_people_change_about_themselves_is_shown_and_found_whether_live_or_rebuilt() {
    let world = World::new().await;
    let _projector = world.start().await;
    let (ada, eve) = (world.sign_up("ada").await, world.sign_up("eve").await);
    let text = |text: &str| Some(text.to_owned());
    let onboard = Profile {
        name: text("Ada King"),
        bio: text("Numbers"),
        native_language: text("en-GB"),
        learning_language: text("FR"),
        location: text(" London "),
        avatar: Some(Avatar::Preset(3)),
        owns_avatar: false,
    };
    about(&world, ada, ada, About::Onboard(onboard)).await;
    let rename = Profile { name: text("Ada Lovelace"), bio: text(""), ..Profile::default() };
    about(&world, ada, ada, About::ChangeProfile(rename)).await;
    let (by, by_role) = (eve, PlatformRole::Admin);
    let role = PlatformRole::Moderator;
    let appoint = About::ChangePlatformRole { by, by_role, role, last_admin: false };
    about(&world, ada, eve, appoint).await;
    #[expect(clippy::disallowed_methods, reason = "a test is an edge")]
    let now = chrono::Utc::now();
    let reason = "spam".to_owned();
    let suspend = About::Suspend { by, by_role, until: None, reason, now };
    about(&world, ada, eve, suspend).await;
    world.settle().await;

    let profile: Value = sqlx::query_scalar(
        "select to_jsonb(p) || to_jsonb(a) from user_profile p join user_account a using (user_id)
         where user_id = $1",
    )
    .bind(ada.uuid())
    .fetch_one(&world.postgres)
    .await
    .unwrap();
    for (column, value) in [
        ("name", json!("Ada Lovelace")),
        ("handle", json!("ada")),
        ("bio", json!("")),
        ("native_language", json!("en-GB")),
        ("native_base", json!("en")),
        ("learning_base", json!("fr")),
        ("place", json!("london")),
        ("avatar", json!({"preset": 3})),
        ("onboarded", json!(true)),
        ("suspended_until", json!("infinity")),
        ("email", json!("ada@example.org")),
        ("role", json!("moderator")),
    ] {
        assert_eq!(profile[column], value, "{column}");
    }
    let terms: Vec<String> =
        sqlx::query_scalar("select term from user_search_term where user_id = $1 order by 1")
            .bind(ada.uuid())
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(terms, ["ada", "ada lovelace", "lovelace"], "nothing of the name before");

    about(&world, ada, eve, About::Reinstate { by, by_role }).await;
    world.settle().await;
    let free: bool =
        sqlx::query_scalar("select suspended_until is null from user_profile where user_id = $1")
            .bind(ada.uuid())
            .fetch_one(&world.postgres)
            .await
            .unwrap();
    assert!(free);
    assert_eq!(world.rebuilt().await, dump(&world.postgres).await);
}
