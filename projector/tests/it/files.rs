//! Files: their rows, and what becomes of their bytes.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{file, message, user};
use events::file::Pixels;
use events::user::Avatar;
use events::{ConversationId, FileId, MessageId, StreamName, UserId};
use files::Storage;
use projector::removals::Removals;
use uuid::Uuid;

use crate::world::{World, eventually, person};

const DIGEST: &str = "e3b0c44298fc1c14";

/// Puts bytes where an upload of a file would, and answers with how many files lie there.
fn put(world: &World, file: FileId, names: &[&str]) {
    let id = file.uuid().simple().to_string();
    let folder = world.data.path().join("files/files").join(&id[30..]).join(id.as_str());
    std::fs::create_dir_all(&folder).unwrap();
    for name in names {
        std::fs::write(folder.join(name), "bytes").unwrap();
    }
}

fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

fn stored(world: &World) -> usize {
    count(&world.data.path().join("files"))
}

fn removals(world: &World) -> Removals {
    let settings = world.settings();
    let storage = Storage::open(&settings.files.url, settings.files.cloud).unwrap();
    Removals::new(world.postgres.clone(), storage)
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

async fn upload(world: &World, owner: UserId, number: u128, to: Option<ConversationId>) -> FileId {
    let id = FileId::new(Uuid::from_u128(number));
    let command = file::Command::Upload(file::Upload {
        file: id,
        owner,
        conversation: to,
        member: true,
        name: "engine.png".to_owned(),
        media_type: "image/png".to_owned(),
        bytes: 7,
        digest: DIGEST.to_owned(),
        pixels: Some(Pixels { width: 2, height: 3 }),
    });
    world.act::<file::File>(&StreamName::file(id), owner, command).await;
    put(world, id, &[DIGEST, "e3b0c44298fc1c14.320", "e3b0c44298fc1c14.64"]);
    id
}

async fn remove(world: &World, owner: UserId, id: FileId) {
    let command = file::Command::Remove { by: owner, moderator: false };
    world.act::<file::File>(&StreamName::file(id), owner, command).await;
}

async fn send(world: &World, by: UserId, to: ConversationId, file: FileId) -> MessageId {
    let draft = message::Draft {
        attachments: vec![file],
        own_files: vec![file],
        ..message::Draft::default()
    };
    let id = MessageId::new(Uuid::from_u128(0xE000));
    world.message(by, to, id, message::Action::Send(draft)).await.0
}

async fn wear(world: &World, who: UserId, avatar: Avatar) {
    let profile =
        user::Profile { avatar: Some(avatar), owns_avatar: true, ..user::Profile::default() };
    let command = user::Command::ChangeProfile(profile);
    world.act::<user::User>(&StreamName::user(who), who, command).await;
}

/// Whether somebody sees a file, with the rights of query-api.
async fn sees(world: &World, reader: UserId, file: FileId) -> bool {
    let mut transaction = world.postgres.begin().await.unwrap();
    sqlx::query("set local role roundtable_reader").execute(&mut *transaction).await.unwrap();
    sqlx::query("select set_config('roundtable.reader', $1, true)")
        .bind(reader.to_string())
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query_scalar("select exists (select from file where file_id = $1)")
        .bind(file.uuid())
        .fetch_one(&mut *transaction)
        .await
        .unwrap()
}

#[tokio::test]
async fn who_sees_a_file_follows_from_messages_members_and_pictures() {
    let world = World::new().await;
    let _projector = world.start().await;
    let (ada, bob, eve) =
        (world.sign_up("ada").await, world.sign_up("bob").await, world.sign_up("eve").await);
    let group = world.group(ada, &[bob]).await;
    let attached = upload(&world, ada, 0xF1, Some(group)).await;
    let worn = upload(&world, ada, 0xF2, None).await;
    let see = async |file| {
        world.settle().await;
        [
            sees(&world, ada, file).await,
            sees(&world, bob, file).await,
            sees(&world, eve, file).await,
        ]
    };
    assert_eq!(see(attached).await, [true, false, false]);
    let message = send(&world, ada, group, attached).await;
    assert_eq!(see(attached).await, [true, true, false]);
    let out = domain::conversation::Command::Remove { by: ada, user: bob };
    world.conversation(group, ada, out).await;
    assert_eq!(see(attached).await, [true, false, false]);
    let back = domain::conversation::Command::Add { by: ada, user: bob };
    world.conversation(group, ada, back).await;
    assert_eq!(see(attached).await, [true, true, false]);
    world.message(ada, group, message, message::Action::Delete).await;
    assert_eq!(see(attached).await, [true, false, false]);

    assert_eq!(see(worn).await, [true, false, false]);
    wear(&world, ada, Avatar::File(worn)).await;
    assert_eq!(see(worn).await, [true, true, true]);
    wear(&world, ada, Avatar::Preset(2)).await;
    assert_eq!(see(worn).await, [true, false, false]);
    remove(&world, ada, worn).await;
    assert_eq!(see(worn).await, [false, false, false]);
}

#[tokio::test]
async fn the_bytes_of_a_removed_file_go_once_and_no_replay_asks_again() {
    let world = World::new().await;
    let projector = world.start().await;
    let ada = person("ada");
    let gone = upload(&world, ada, 0xF1, None).await;
    upload(&world, ada, 0xF2, None).await;
    remove(&world, ada, gone).await;
    let is_done = "select exists (select from file_removal where done_at is not null)";
    let done = || async {
        sqlx::query_scalar::<_, bool>(is_done).fetch_one(&world.postgres).await.unwrap()
    };
    eventually("the removal is done", done).await;
    assert_eq!(stored(&world), 3);
    world.settle().await;
    drop(projector);
    // What is done is done: bytes that lie there by some other way are no longer its concern.
    put(&world, gone, &["something"]);
    for statement in [
        "delete from projection_checkpoint where projection in ('file', 'file_removal')",
        "delete from file",
    ] {
        sqlx::query(statement).execute(&world.postgres).await.unwrap();
    }
    let _again = world.start().await;
    world.settle().await;
    assert_eq!(removals(&world).round().await.unwrap(), 0);
    assert_eq!(stored(&world), 4);
    let rows: Vec<(Uuid, i32, bool)> =
        sqlx::query_as("select file_id, attempts, done_at is not null from file_removal")
            .fetch_all(&world.postgres)
            .await
            .unwrap();
    assert_eq!(rows, [(gone.uuid(), 1, true)]);
}

#[tokio::test]
async fn a_removal_that_failed_is_tried_again_later_and_by_one_at_a_time() {
    let world = World::new().await;
    let file = Uuid::from_u128(0xF1);
    sqlx::query(
        "insert into file_removal (file_id, requested_at, next_at) values ($1, now(), now())",
    )
    .bind(file)
    .execute(&world.postgres)
    .await
    .unwrap();
    // A bucket on a server that refuses every connection.
    let options = [
        ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let away = Storage::open("s3://bucket", options).unwrap();
    let failing = Removals::new(world.postgres.clone(), away);
    let other = removals(&world);
    // While one has it, another one passes over it.
    let mut claim = world.postgres.begin().await.unwrap();
    sqlx::query("select from file_removal for update").execute(&mut *claim).await.unwrap();
    assert_eq!(other.round().await.unwrap(), 0);
    claim.rollback().await.unwrap();
    assert_eq!(failing.round().await.unwrap(), 1);
    let (attempts, later): (i32, bool) =
        sqlx::query_as("select attempts, next_at > now() and done_at is null from file_removal")
            .fetch_one(&world.postgres)
            .await
            .unwrap();
    assert_eq!((attempts, later), (1, true));
    let due = "update file_removal set next_at = now()";
    sqlx::query(due).execute(&world.postgres).await.unwrap();
    assert_eq!(other.round().await.unwrap(), 1);
    assert_eq!(other.round().await.unwrap(), 0);
}

#[tokio::test]
async fn while_the_storage_is_asked_no_transaction_is_open_and_nobody_else_asks() {
    let world = World::new().await;
    sqlx::query(
        "insert into file_removal (file_id, requested_at, next_at) values ($1, now(), now())",
    )
    .bind(Uuid::from_u128(0xF1))
    .execute(&world.postgres)
    .await
    .unwrap();
    // A bucket on a server that takes every connection and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let options = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let storage = Storage::open("s3://bucket", options).unwrap();
    let waiting = Removals::new(world.postgres.clone(), storage);
    let asks = tokio::spawn(async move { waiting.round().await });
    let asked = tokio::time::timeout(crate::world::PATIENCE, silent.accept()).await.unwrap();
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and state like 'idle in transaction%'",
    )
    .fetch_one(&world.postgres)
    .await
    .unwrap();
    assert_eq!(open, 0);
    assert_eq!(removals(&world).round().await.unwrap(), 0, "it is claimed");
    asks.abort();
    drop(asked);
    // Whoever claimed it is gone: it is done when the claim has run out.
    let due = "update file_removal set next_at = now() where next_at > now()";
    assert_eq!(sqlx::query(due).execute(&world.postgres).await.unwrap().rows_affected(), 1);
    assert_eq!(removals(&world).round().await.unwrap(), 1);
    assert_eq!(removals(&world).round().await.unwrap(), 0);
}

#[tokio::test]
async fn what_belongs_to_no_file_is_swept_and_the_log_decides_what_that_is() {
    let world = World::new().await;
    let ada = person("ada");
    // No projector runs: the read model knows of no file at all.
    let known = upload(&world, ada, 0xF1, None).await;
    put(&world, known, &["0000"]);
    put(&world, FileId::new(Uuid::from_u128(0xF2)), &[DIGEST]);
    let incoming = world.data.path().join("files/incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    std::fs::write(incoming.join("whole"), "bytes").unwrap();
    std::fs::write(incoming.join("half#1"), "bytes").unwrap();
    assert_eq!(stored(&world), 3 + 1 + 1 + 2);
    let (past, future) = (now() - TimeDelta::days(1), now() + TimeDelta::minutes(1));
    let removals = removals(&world);
    assert_eq!(removals.sweep(&world.log, past).await.unwrap(), 0, "it is too young");
    assert_eq!(removals.sweep(&world.log, future).await.unwrap(), 4);
    assert_eq!(stored(&world), 3);
    remove(&world, ada, known).await;
    assert_eq!(removals.sweep(&world.log, future).await.unwrap(), 3);
}
