//! Messages that are not kept any more: nothing of them stays, whichever read model is behind.

use chrono::TimeDelta;
use events::conversation::{ConversationKind, Member, Role};
use events::message::MessageKind;
use events::{
    ConversationEvent, ConversationId, DomainEvent, Envelope, EventId, FileId, MessageEvent,
    MessageId, Metadata, Moment, Personal, Position, ReceiptEvent, StreamName, UserId,
};
use projector::projections::{
    ChangeFeed, File, Mention, Message, MessageSearch, Pin, Projection, Reaction, ReadCursor,
    Retention,
};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::world::{World, dump, person};

const RETENTION: Retention =
    Retention { feed: TimeDelta::days(7), messages: Some(TimeDelta::days(60)) };
const GROUP: ConversationId = ConversationId::new(Uuid::from_u128(0xc1));

fn message(number: u128) -> MessageId {
    MessageId::new(Uuid::from_u128(0xd0 + number))
}

fn file(number: u128) -> FileId {
    FileId::new(Uuid::from_u128(0xf0 + number))
}

fn sent(number: u128, sender: UserId) -> MessageEvent {
    MessageEvent::Sent {
        message: message(number),
        conversation: GROUP,
        sender,
        text: Personal::new(sender, format!("word{number}")),
        kind: MessageKind::Text,
        reply_to: None,
        thread: None,
        mentions: vec![person("bob")],
        attachments: vec![file(number)],
    }
}

fn edited(number: u128, by: UserId, mentions: Vec<UserId>) -> MessageEvent {
    let text = Personal::new(by, "other".to_owned());
    MessageEvent::Edited { message: message(number), conversation: GROUP, text, mentions, by }
}

fn reacted(number: u128, by: UserId) -> MessageEvent {
    let emoji = "👍".to_owned();
    MessageEvent::Reacted { message: message(number), conversation: GROUP, emoji, by }
}

fn pinned(number: u128, by: UserId) -> ConversationEvent {
    ConversationEvent::MessagePinned { conversation: GROUP, message: message(number), by }
}

/// A group that said something long ago and something lately; and what is still done to messages of
/// long ago.
fn history() -> Vec<Envelope<DomainEvent>> {
    let (ada, bob, eve) = (person("ada"), person("bob"), person("eve"));
    let member = |user, role| Member { user, role };
    let members = vec![member(ada, Role::Owner), member(bob, Role::Member)];
    let title = Some(Personal::new(ada, "Reading".to_owned()));
    let kind = ConversationKind::Group;
    let opened = ConversationEvent::Opened { conversation: GROUP, kind, title, members };
    let old: Vec<DomainEvent> = vec![
        opened.into(),
        sent(1, ada).into(),
        edited(1, ada, vec![bob]).into(),
        reacted(1, bob).into(),
        pinned(1, ada).into(),
        sent(2, bob).into(),
        sent(3, bob).into(),
        MessageEvent::Deleted { message: message(3), conversation: GROUP, by: bob }.into(),
    ];
    let upto = Position::at(2);
    let read = ReceiptEvent::Read { conversation: GROUP, user: bob, message: message(1), upto };
    let new: Vec<DomainEvent> = vec![
        sent(4, ada).into(),
        read.into(),
        sent(5, bob).into(),
        sent(6, ada).into(),
        // Late, about what was said long ago.
        reacted(2, ada).into(),
        pinned(2, ada).into(),
        edited(2, bob, vec![ada, eve]).into(),
        edited(4, ada, vec![bob, eve]).into(),
        reacted(4, bob).into(),
        pinned(4, bob).into(),
    ];
    #[expect(clippy::disallowed_methods, reason = "a test is an edge")]
    let now = chrono::Utc::now();
    let old = old.into_iter().map(|event| (now - TimeDelta::days(100), event));
    let all = old.chain(new.into_iter().map(|event| (now, event)));
    all.zip(1..).map(|((at, event), position)| envelope(position, at, event)).collect()
}

fn envelope(position: u64, recorded_at: Moment, event: DomainEvent) -> Envelope<DomainEvent> {
    let metadata = Metadata {
        schema_version: 1,
        actor: person("ada"),
        correlation_id: Uuid::nil(),
        causation_id: Uuid::nil(),
        key: Uuid::nil(),
        body_hash: String::new(),
        decided_on: None,
        token: None,
    };
    Envelope {
        id: EventId::new(Uuid::from_u128(0xe000 + u128::from(position))),
        stream: StreamName::recorded("test-1"),
        revision: 0,
        position: Position::at(position),
        recorded_at,
        metadata,
        event,
    }
}

async fn keep<P: Projection>(db: &mut PgConnection, events: &[Envelope<DomainEvent>]) {
    let mut transaction = db.begin().await.unwrap();
    let ops = events.iter().flat_map(P::project).collect();
    P::default().apply(&mut transaction, ops).await.unwrap();
    let reached = "insert into projection_checkpoint (projection, position) values ($1, $2)
        on conflict (projection) do update set position = excluded.position";
    let last = events.last().unwrap().position.to_bytes();
    sqlx::query(reached).bind(P::NAME).bind(last).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn look_after<P: Projection>(db: &mut PgConnection) {
    P::upkeep(db, RETENTION).await.unwrap();
}

/// All that stand on `message`.
async fn keep_the_others(db: &mut PgConnection, events: &[Envelope<DomainEvent>]) {
    keep::<Mention>(db, events).await;
    keep::<Reaction>(db, events).await;
    keep::<Pin>(db, events).await;
    keep::<ReadCursor>(db, events).await;
    keep::<MessageSearch>(db, events).await;
    keep::<File>(db, events).await;
    keep::<ChangeFeed>(db, events).await;
}

async fn look_after_the_others(db: &mut PgConnection) {
    look_after::<Mention>(db).await;
    look_after::<Reaction>(db).await;
    look_after::<Pin>(db).await;
    look_after::<ReadCursor>(db).await;
    look_after::<MessageSearch>(db).await;
    look_after::<File>(db).await;
}

async fn ids(postgres: &PgPool, table: &str) -> Vec<Uuid> {
    let ids = format!("select distinct message_id from {table} order by 1");
    sqlx::query_scalar(&ids).fetch_all(postgres).await.unwrap()
}

/// All rows of all tables, once a history was worked on and looked after in some order.
async fn outcome(
    world: &World,
    work: impl AsyncFnOnce(&mut PgConnection, &[Envelope<DomainEvent>]),
    history: &[Envelope<DomainEvent>],
) -> String {
    let database = world.servers.database().await.unwrap();
    let postgres = PgPool::connect(&database.url).await.unwrap();
    projector::migrate(&postgres).await.unwrap();
    work(&mut postgres.acquire().await.unwrap(), history).await;
    check(&postgres).await;
    dump(&postgres).await
}

/// Of what was said long ago there is nothing; of what was said lately there is everything.
async fn check(postgres: &PgPool) {
    let [four, five, six] = [4, 5, 6].map(|number| message(number).uuid());
    for (table, left) in [
        ("message_search", vec![four, five, six]),
        ("file_link", vec![four, five, six]),
        ("mention", vec![four, six]),
        ("reaction", vec![four]),
        ("pin", vec![four]),
        ("message_edit", vec![four]),
        ("message where kind <> 'system'", vec![four, five, six]),
    ] {
        assert_eq!(ids(postgres, table).await, left, "{table}");
    }
    let unread: Vec<(Uuid, i64)> =
        sqlx::query_as("select user_id, unread from unread_count order by user_id")
            .fetch_all(postgres)
            .await
            .unwrap();
    // Ada has not read 5; Bob neither 4 nor 6.
    assert_eq!(unread, [(person("ada").uuid(), 1), (person("bob").uuid(), 2)]);
    let numbers: Vec<(i64, i64)> = sqlx::query_as(
        "select ordinal, number from message where kind <> 'system' order by ordinal",
    )
    .fetch_all(postgres)
    .await
    .unwrap();
    // The opening and the first pin stand between them.
    assert_eq!(numbers, [(6, 4), (7, 5), (8, 6)]);
    let uncounted: i64 = sqlx::query_scalar("select count(*) from uncounted_message")
        .fetch_one(postgres)
        .await
        .unwrap();
    assert_eq!(uncounted, 0);
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_nowhere_whichever_read_model_is_behind() {
    let world = World::new().await;
    let history = history();
    let live = outcome(
        &world,
        async |db, events| {
            for half in [&events[..8], &events[8..]] {
                keep::<Message>(db, half).await;
                keep_the_others(db, half).await;
            }
            look_after::<Message>(db).await;
            look_after_the_others(db).await;
        },
        &history,
    )
    .await;
    let made_anew = outcome(
        &world,
        async |db, events| {
            look_after::<Message>(db).await;
            keep::<Message>(db, events).await;
            keep_the_others(db, events).await;
            look_after::<Message>(db).await;
            look_after_the_others(db).await;
        },
        &history,
    )
    .await;
    assert_eq!(made_anew, live);
    let behind = outcome(
        &world,
        async |db, events| {
            keep::<Message>(db, events).await;
            look_after::<Message>(db).await;
            keep_the_others(db, events).await;
            look_after_the_others(db).await;
        },
        &history,
    )
    .await;
    assert_eq!(behind, live);
    let ahead = outcome(
        &world,
        async |db, events| {
            keep::<Message>(db, events).await;
            keep_the_others(db, events).await;
            look_after_the_others(db).await;
            look_after::<Message>(db).await;
            look_after_the_others(db).await;
        },
        &history,
    )
    .await;
    assert_eq!(ahead, live);
}

#[tokio::test]
async fn a_reader_holds_up_only_the_drop_and_is_not_held_up_by_the_work_before_it() {
    let world = World::new().await;
    let history = history();
    let mut db = world.postgres.acquire().await.unwrap();
    keep::<Message>(&mut db, &history).await;
    keep_the_others(&mut db, &history).await;
    // The months to come are made before anybody reads.
    Message::upkeep(&mut db, Retention { messages: None, ..RETENTION }).await.unwrap();
    let mut reader = world.postgres.begin().await.unwrap();
    let count = "select count(*) from message where kind <> 'system'";
    let there: i64 = sqlx::query_scalar(count).fetch_one(&mut *reader).await.unwrap();
    assert_eq!(there, 6);
    look_after::<Message>(&mut db).await;
    look_after_the_others(&mut db).await;
    // Nothing of them is found any more, and no version of before; they go when nobody reads.
    for (table, left) in [("message_search", 3), ("message_edit", 1), ("file_link", 3)] {
        assert_eq!(ids(&world.postgres, table).await.len(), left, "{table}");
    }
    reader.rollback().await.unwrap();
    look_after::<Message>(&mut db).await;
    look_after_the_others(&mut db).await;
    check(&world.postgres).await;
    let months: i64 = sqlx::query_scalar(
        "select count(*) from pg_inherits where inhparent = 'message'::regclass
           and inhrelid::regclass::text < 'message_' || to_char(now() - interval '61 days', 'YYYY_MM')
           and inhrelid::regclass::text <> 'message_default'",
    )
    .fetch_one(&world.postgres)
    .await
    .unwrap();
    assert_eq!(months, 0);
    // Once more changes nothing.
    let before = dump(&world.postgres).await;
    look_after::<Message>(&mut db).await;
    look_after_the_others(&mut db).await;
    assert_eq!(dump(&world.postgres).await, before);
}
