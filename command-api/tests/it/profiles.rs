//! Pictures of people: whose files they may be.

use domain::file::{Command, File, Upload};
use event_log::Context;
use events::file::Pixels;
use events::{ConversationId, FileId, StreamName, UserId};
use serde_json::json;

use crate::client::{Person, slug};
use crate::world::World;

/// Does something to a file as its owner, as if its bytes were in the storage.
async fn act(world: &World, owner: UserId, file: FileId, command: Command) {
    #[expect(clippy::disallowed_methods, reason = "a test is an edge")]
    let now = chrono::Utc::now();
    let context = Context {
        actor: owner,
        key: world.id(),
        body_hash: String::new(),
        correlation: world.id(),
        causation: world.id(),
        now,
        decided_on: None,
        token: None,
    };
    world.log.transact::<File>(&StreamName::file(file), &command, &context).await.unwrap();
}

async fn upload(world: &World, by: &Person, conversation: Option<ConversationId>) -> FileId {
    let (owner, file) = (by.id.parse().unwrap(), FileId::new(world.id()));
    let upload = Upload {
        file,
        owner,
        conversation,
        member: true,
        name: "me.png".to_owned(),
        media_type: "image/png".to_owned(),
        bytes: 67,
        digest: "00".repeat(32),
        pixels: Some(Pixels { width: 1, height: 1 }),
    };
    act(world, owner, file, Command::Upload(upload)).await;
    file
}

#[tokio::test]
async fn a_picture_is_one_that_the_person_uploaded_as_an_avatar_and_has_not_removed() {
    let world = World::new().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let wear = async |who: &Person, file: FileId| {
        let body = json!({"avatar": {"file": file}});
        let (status, answer) = who.write(&world, "PATCH", "/v1/users/me", body).await;
        match status.as_u16() {
            202 => "worn".to_owned(),
            _ => slug(&answer),
        }
    };
    let unknown = FileId::new(world.id());
    assert_eq!(wear(&ada, unknown).await, "invalid-avatar");
    let hers = upload(&world, &ada, None).await;
    assert_eq!(wear(&bob, hers).await, "invalid-avatar");
    assert_eq!(wear(&ada, hers).await, "worn");
    let attached = upload(&world, &ada, Some(ConversationId::new(world.id()))).await;
    assert_eq!(wear(&ada, attached).await, "invalid-avatar", "that one is for a conversation");
    let removed = upload(&world, &ada, None).await;
    let by = ada.id.parse().unwrap();
    act(&world, by, removed, Command::Remove { by, moderator: false }).await;
    assert_eq!(wear(&ada, removed).await, "invalid-avatar");
}
