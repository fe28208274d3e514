//! Row-level security: what somebody sees who can run any SQL as the role of query-api.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Stage, id};

/// What has no person's data in it, and is the same for everybody.
const PUBLIC: [&str; 2] = ["change_feed_horizon", "projection_checkpoint"];

/// What everybody may know who is signed in.
const ANNOUNCED: [&str; 4] = ["file_avatar", "study_session", "user_profile", "user_search_term"];

/// The vault is made by the event log, at the start of every process that opens one.
const VAULT: &str = include_str!("../../../event-log/src/vault.sql");

const NOW: &str = "2026-01-05 12:00Z";

/// A row about Ada and Bob in every table.
async fn fill(stage: &Stage, ada: Uuid, bob: Uuid) {
    stage.sql(VAULT).await;
    let (talk, message) = (id(), id());
    let p = "'\\x00000000000000070000000000000007'";
    stage
        .sql(&format!(
            "insert into user_profile values ('{ada}', 'ada', 'Ada', null, now(), {p});
             insert into user_account values ('{ada}', 'ada@example.org', 'admin');
             insert into user_search_term values ('ada', '{ada}');
             insert into block values ('{ada}', '{bob}', now(), {p});
             insert into friend_list values ('{ada}', '{bob}', now(), {p}), ('{bob}', '{ada}', now(), {p});
             insert into friend_request values ('{ada}', '{bob}', now(), {p});
             insert into conversation (conversation_id, kind, title, opened_at, position)
               values ('{talk}', 'group', 'Secret', now(), {p});
             insert into member values ('{talk}', '{ada}', 'owner', now(), {p}), ('{talk}', '{bob}', 'member', now(), {p});
             insert into message
               (conversation_id, ordinal, number, message_id, sender_id, text, sent_at, position)
               values ('{talk}', 1, 1, '{message}', '{ada}', 'secret', '{NOW}', {p});
             insert into message_counter values ('{talk}', 1, 1, 1, '{NOW}');
             insert into message_month values ('{talk}', '{NOW}', 1, 1, 1);
             insert into message_edit values ('{message}', 1, '{talk}', '{ada}', 'more', now());
             insert into message_search
               values ('{message}', '{talk}', '{ada}', now(), {p}, 'secret');
             insert into uncounted_message values ('{talk}', 1, '{ada}');
             insert into reaction values ('{message}', '👍', '{bob}', '{talk}', now(), {p}, '{NOW}');
             insert into mention values ('{ada}', {p}, '{message}', '{talk}', '{NOW}');
             insert into pin values ('{talk}', '{message}', '{ada}', now(), {p}, '{NOW}');
             insert into message_floor values ('{talk}', 1, 1);
             insert into read_cursor_floor values ('{talk}', 1, 1);
             insert into read_cursor (conversation_id, user_id) values ('{talk}', '{ada}'), ('{talk}', '{bob}');
             insert into read_cursor_counter values ('{talk}', 1);
             insert into change_feed_member values ('{talk}', '{ada}', {p}, null), ('{talk}', '{bob}', {p}, null);
             insert into change_feed_entry values ({p}, 'conversation:{talk}', null, now()), ({p}, 'user:{ada}', null, now());
             insert into change_feed_frame values ({p}, '{{}}');
             insert into invite (invite_id, conversation_id, made_by, made_at, position) values ('{}', '{talk}', '{ada}', now(), {p});
             insert into conversation_ban values ('{talk}', '{bob}', '{ada}', now(), {p});
             insert into standing (user_id, role, position) values ('{ada}', 'admin', {p}), ('{bob}', 'user', {p});
             insert into erasure (user_id, position, requested_by, requested_at) values ('{bob}', {p}, '{bob}', now());
             insert into event_index (position, event_id, stream, revision, type, category, actor, correlation, causation, recorded_at)
               values ({p}, '{ada}', 'user-1', 0, 'user.onboarded', 'user', '{ada}', '{ada}', '{ada}', now());
             insert into friendship_interval values ('{ada}', '{bob}', 'friend', now(), {p}, null), ('{bob}', '{ada}', 'friend', now(), {p}, null);
             insert into legal_hold values ('user', '{bob}', '1', '{ada}', now(), {p});
             insert into parked_event (projection, position, stream, revision, event_id, error) values ('member', {p}, 'user-1', 0, '{ada}', 'broken');
             insert into report (report_id, reported_by, kind, user_id, reason, text, filed_at, position) values ('{}', '{bob}', 'user', '{ada}', 'spam', 'secret', now(), {p});
             insert into study_session (session_id, conversation_id, tutor_id, title, subject, capacity, starts, status, scheduled_at, position)
               values ('{talk}', '{talk}', '{ada}', 'Maths', 'maths', 4, now(), 'active', now(), {p});
             insert into study_participant values ('{talk}', '{ada}', '{talk}', now(), null, null, {p}), ('{talk}', '{bob}', '{talk}', now(), null, null, {p});
             insert into whiteboard values ('{talk}', '{ada}', '{talk}', '[]', '{ada}', {p}, {p});
             insert into timer values ('grace', 'grace', '{talk}', '{bob}', '{{}}', now(), 'presence', '1'), ('other', 'room', '{talk}', '{bob}', '{{}}', now(), 'log', '1');
             insert into timer_room values ('{talk}', '{talk}');
             insert into call_history (call_id, conversation_id, started_by, media, direct, carrier, status, started_at, position)
               values ('{talk}', '{talk}', '{ada}', 'audio', false, 'peers', 'connected', now(), {p});
             insert into call_person values ('{talk}', '{ada}', '{talk}', 'called', null, {p}), ('{talk}', '{bob}', '{talk}', 'accepted', null, {p});
             insert into call_participant values ('{talk}', '{ada}', '{ada}', '{talk}', true, false, false, false, now(), null, null, {p}), ('{talk}', '{bob}', '{bob}', '{talk}', true, false, false, false, now(), null, null, {p});
             insert into recording (call_id, recording_id, conversation_id, started_by, started_at, position)
               values ('{talk}', '{talk}', '{talk}', '{ada}', now(), {p});
             insert into recording_file (file_id, call_id, recording_id, conversation_id, user_id, milliseconds, stored_at, position)
               values ('{bob}', '{talk}', '{talk}', '{talk}', '{bob}', 7, now(), {p});
             insert into timer_call values ('{talk}', '{talk}', 300);
             insert into file values ('{f}', '{ada}', '{talk}', 'secret.txt', 'text/plain', 1, 'e3b0', null, null, now(), {p});
             insert into file_link values ('{f}', '{ada}', '{talk}', now());
             insert into file_avatar values ('{ada}', '{ada}');
             insert into file_removal (file_id, requested_at, next_at) values ('{ada}', now(), now());
             insert into login values ('{ada}', '{ada}', 'phone', now(), now(), now(), {p}), ('{bob}', '{bob}', 'phone', now(), now(), now(), {p});
             insert into notification_log (notification_id, user_id, about, cause, raised_at, position)
               values ('{ada}', '{ada}', '{{}}', '{ada}', now(), {p}), ('{bob}', '{bob}', '{{}}', '{bob}', now(), {p});
             insert into api_token values ('{ada}', '{ada}', 'bot', '{{}}', now(), null, null, {p});
             insert into webhook (webhook_id, owner_id, conversation_id, url, types, created_at, position)
               values ('{ada}', '{ada}', '{talk}', 'https://secret', '{{}}', now(), {p});
             insert into webhook_lane (webhook_id, position) values ('{ada}', {p});
             insert into webhook_attempt (webhook_id, event_id, event_type, position, attempt, attempted_at, duration_ms, delivered)
               values ('{ada}', '{ada}', 'message.sent', {p}, 1, now(), 7, true);
             insert into vault.person_key (subject, wrapped) values ('{ada}', '\\x00')",
            id(),
            id(),
            f = id(),
        ))
        .await;
}

/// Everything in the database that could be read, with its rows of data for the owner.
async fn relations(stage: &Stage) -> Vec<(String, String)> {
    sqlx::query_as(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v', 'm') and n.nspname in ('public', 'vault')
           and c.relname not like '\\_sqlx%'
         order by 1, 2",
    )
    .fetch_all(&stage.owner)
    .await
    .unwrap()
}

async fn count(connection: &mut PgConnection, schema: &str, table: &str) -> Result<i64, String> {
    sqlx::query_scalar(&format!("select count(*) from {schema}.{table}"))
        .fetch_one(connection)
        .await
        .map_err(|error| error.to_string())
}

async fn look_as(connection: &mut PgConnection, reader: &str) {
    sqlx::query("select set_config('roundtable.reader', $1, false)")
        .bind(reader)
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_reader_sees_no_row_of_others_in_any_table() {
    let stage = Stage::new().await;
    let (ada, bob, eve) = (id(), id(), id());
    fill(&stage, ada, bob).await;
    let mut session = stage.hostile().await;
    let (mut unseen_by_ada, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for (schema, table) in relations(&stage).await {
        if PUBLIC.contains(&table.as_str()) {
            continue;
        }
        for nobody in ["", &eve.to_string()] {
            look_as(&mut session, nobody).await;
            match count(&mut session, &schema, &table).await {
                // Profiles and sessions are public to whoever is signed in.
                Ok(rows) if ANNOUNCED.contains(&table.as_str()) && !nobody.is_empty() => {
                    assert_eq!(rows, 1, "{table}");
                }
                Ok(rows) => assert_eq!(rows, 0, "{schema}.{table} as {nobody:?}"),
                Err(error) => {
                    assert!(error.contains("permission denied"), "{schema}.{table}: {error}");
                    refused.insert(table.clone());
                }
            }
        }
        look_as(&mut session, &ada.to_string()).await;
        if count(&mut session, &schema, &table).await == Ok(0) {
            unseen_by_ada.insert(table);
        }
    }
    // The test would prove nothing of a table that is empty for everybody: `fill` has a row in it.
    assert_eq!(unseen_by_ada, BTreeSet::new());
    for table in [
        "person_key",
        "projection_rebuild",
        "projection_reached",
        "timer_room",
        "timer_call",
        "file_removal",
        "message_floor",
        "read_cursor_floor",
        "notification_follower",
        "notification_delivery",
        "notification_dead",
    ] {
        assert!(refused.contains(table), "{table}: {refused:?}");
    }
}

#[tokio::test]
async fn what_two_people_share_is_all_that_one_sees_of_the_other() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    fill(&stage, ada, bob).await;
    let mut session = stage.hostile().await;
    look_as(&mut session, &bob.to_string()).await;
    assert_eq!(count(&mut session, "public", "friend_list").await, Ok(1));
    assert_eq!(count(&mut session, "public", "block").await, Ok(0), "who is blocked sees no block");
    assert_eq!(count(&mut session, "public", "user_account").await, Ok(0));
    assert_eq!(count(&mut session, "public", "member").await, Ok(2));
    assert_eq!(count(&mut session, "public", "change_feed_member").await, Ok(1));
    assert_eq!(count(&mut session, "public", "change_feed_entry").await, Ok(1));
    for table in ["api_token", "webhook", "webhook_lane", "webhook_attempt"] {
        assert_eq!(count(&mut session, "public", table).await, Ok(0), "{table}");
    }
    // Invitations and bans are for those who run the group, reports for moderators.
    for (table, rows) in [("invite", 0), ("conversation_ban", 0), ("report", 0), ("standing", 1)] {
        assert_eq!(count(&mut session, "public", table).await, Ok(rows), "{table}");
    }
    assert_eq!(count(&mut session, "public", "study_participant").await, Ok(2));
    assert_eq!(count(&mut session, "public", "call_participant").await, Ok(2));
    assert_eq!(count(&mut session, "public", "recording").await, Ok(1));
    assert_eq!(count(&mut session, "public", "recording_file").await, Ok(1));
    assert_eq!(count(&mut session, "public", "timer").await, Ok(1), "of two, the grace");
    for column in ["key", "detail", "set_by"] {
        let query = format!("select {column} from timer");
        assert!(sqlx::query(&query).execute(&mut session).await.is_err(), "{column}");
    }
    // A conversation that Bob left is closed to him, but what he saw of its feed is not.
    stage.sql(&format!("delete from member where user_id = '{bob}'")).await;
    for table in [
        "conversation",
        "member",
        "message",
        "message_edit",
        "message_search",
        "reaction",
        "pin",
        "read_cursor",
        "unread_count",
        "recording",
    ] {
        assert_eq!(count(&mut session, "public", table).await, Ok(0), "{table}");
    }
}

#[tokio::test]
async fn the_reader_cannot_leave_its_role_or_write() {
    let stage = Stage::new().await;
    fill(&stage, id(), id()).await;
    let mut session = stage.hostile().await;
    look_as(&mut session, &id().to_string()).await;
    for statement in [
        "set role roundtable",
        "set session authorization roundtable",
        "alter table message disable row level security",
        "drop policy reader on message",
        "create policy all_mine on message using (true)",
        "insert into member select conversation_id, reader(), 'owner', now(), position from member",
        "insert into friend_list values (reader(), reader(), now(), '\\x00000000000000070000000000000007')",
        "update user_profile set name = 'Eve'",
        "delete from message",
        "truncate message",
        "select * from vault.person_key",
        "select * from message_default",
        "create table mine (a int)",
        "create function reader() returns uuid language sql as 'select null::uuid'",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&mut session).await;
        assert!(refused.is_err(), "{statement}");
    }
    // Asking to be free of the policies is an error, and no way around them.
    sqlx::raw_sql("set row_security = off").execute(&mut session).await.unwrap();
    let refused = count(&mut session, "public", "message").await.unwrap_err();
    assert!(refused.contains("row-level security"), "{refused}");
}

#[tokio::test]
async fn who_reads_is_forgotten_with_the_transaction() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    fill(&stage, ada, bob).await;
    for _ in 0..20 {
        assert_eq!(stage.items(ada, "/v1/conversations").await.len(), 1);
        assert_eq!(stage.items(id(), "/v1/conversations").await.len(), 0);
    }
    assert!(stage.reads.probe().await.is_ok());
    let mut eyes = stage.reads.eyes_of(ada.into()).await.unwrap();
    let own: i64 =
        sqlx::query_scalar("select count(*) from message").fetch_one(&mut *eyes).await.unwrap();
    assert_eq!(own, 1);
    let refused = sqlx::query("insert into member select * from member").execute(&mut *eyes).await;
    assert!(refused.is_err());
}

/// The plan of a query, as the reader's role runs it, where an index costs less than everything.
async fn plan(session: &mut PgConnection, query: &str) -> String {
    sqlx::raw_sql("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off")
        .execute(&mut *session)
        .await
        .unwrap();
    let lines: Vec<String> =
        sqlx::query_scalar(&format!("explain {query}")).fetch_all(session).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn the_policies_leave_indexes_their_use() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    fill(&stage, ada, bob).await;
    let mut session = stage.hostile().await;
    look_as(&mut session, &ada.to_string()).await;
    let suspended = crate::standing::SUSPENDED
        .replace("$1", "'00000000-0000-0000-0000-000000000000'")
        .replace("$2", "51");
    let plan_of = plan(&mut session, &suspended).await;
    assert!(plan_of.contains("standing_suspended"), "{plan_of}");
    let subject = "select session_id from study_session where subject_folded = lower('Maths')
        order by starts, session_id limit 51";
    let plan_of = plan(&mut session, subject).await;
    assert!(plan_of.contains("Index Cond: (subject_folded = "), "{plan_of}");
}

#[tokio::test]
async fn who_is_suspended_now_is_listed_for_moderators() {
    let stage = Stage::new().await;
    let moderator = id();
    let p = "'\\x00000000000000070000000000000007'";
    let mut people: Vec<Uuid> = (0..5).map(|_| id()).collect();
    people.sort();
    for (person, until) in people.iter().zip([
        "now(), null",
        "null, null",
        "now(), now() - interval '1 h'",
        "now(), now() + interval '1 h'",
        "now(), null",
    ]) {
        stage
            .sql(&format!(
                "insert into user_profile (user_id, created_at, position)
                   values ('{person}', now(), {p});
                 insert into standing (user_id, suspended_at, suspended_until, position)
                   values ('{person}', {until}, {p})"
            ))
            .await;
    }
    let appoint = "insert into standing (user_id, role, position)";
    stage.sql(&format!("{appoint} values ('{moderator}', 'moderator', {p})")).await;
    let (_, page) = stage.ask(moderator, "/v1/suspensions?limit=2").await;
    let ids = |page: &serde_json::Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|it| it["user_id"].as_str().unwrap().parse().unwrap()).collect::<Vec<Uuid>>()
    };
    assert_eq!(ids(&page), [people[0], people[3]]);
    let next = format!("/v1/suspensions?after_id={}", page["next"].as_str().unwrap());
    let (_, page) = stage.ask(moderator, &next).await;
    assert_eq!((ids(&page), &page["next"]), (vec![people[4]], &serde_json::Value::Null));
    assert_eq!(stage.problem(people[1], "/v1/suspensions").await.0, 403);
}
