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

use crate::world::{World, dump, person};

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
