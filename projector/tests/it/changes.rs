//! What changes later, in the read models that show it: roles, titles, texts, blocks.

use domain::conversation::Command;
use domain::friendship::{Command as Friends, Friendship};
use domain::login;
use domain::message::Action;
use events::conversation::Role;
use events::login::CloseReason;
use events::{ConversationId, StreamName};
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
        sqlx::query_scalar("select text from message order by ordinal")
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
