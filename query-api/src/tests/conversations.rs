//! Conversations and their messages.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Stage, at, id};

/// A group as the projector would have it: its members in the order in which they came.
async fn group(stage: &Stage, position: u64, members: &[(Uuid, u64)]) -> Uuid {
    let conversation = id();
    sqlx::query(
        "insert into conversation (conversation_id, kind, title, opened_at, position)
         values ($1, 'group', 'Reading', now(), $2)",
    )
    .bind(conversation)
    .bind(at(position))
    .execute(&stage.owner)
    .await
    .unwrap();
    for (index, (user, joined)) in members.iter().enumerate() {
        sqlx::query(
            "with came as (
               insert into member (conversation_id, user_id, role, joined_at, position)
               values ($1, $2, $3, now(), $4)
             )
             insert into read_cursor (conversation_id, user_id) values ($1, $2)",
        )
        .bind(conversation)
        .bind(user)
        .bind(if index == 0 { "owner" } else { "member" })
        .bind(at(*joined))
        .execute(&stage.owner)
        .await
        .unwrap();
    }
    conversation
}

async fn send(
    stage: &Stage,
    conversation: Uuid,
    ordinal: i64,
    sender: Uuid,
    position: u64,
) -> Uuid {
    let message = id();
    sqlx::query(
        "with sent as (
           insert into message
             (conversation_id, ordinal, number, message_id, sender_id, text, sent_at, position)
           values ($1, $2, $2, $3, $4, 'text ' || $2, now(), $5)
         ),
         numbered as (
           insert into message_counter values ($1, $2, $2, $2, now())
           on conflict (conversation_id) do update set message_count = $2, said_count = $2,
             last_ordinal = $2, last_at = now()
         ),
         month as (
           insert into message_month values ($1, date_trunc('month', now(), 'UTC'), $2, $2, $2)
           on conflict (conversation_id, month) do update set last_ordinal = $2, last_number = $2
         ),
         counted as (
           insert into read_cursor_counter (conversation_id, message_count) values ($1, $2)
           on conflict (conversation_id) do update set message_count = excluded.message_count
         ),
         own as (
           update read_cursor set own_after = own_after + 1, own_last_ordinal = $2
           where conversation_id = $1 and user_id = $4
         )
         update conversation
         set message_count = $2, last_message_position = $5, last_message_at = now()
         where conversation_id = $1",
    )
    .bind(conversation)
    .bind(ordinal)
    .bind(message)
    .bind(sender)
    .bind(at(position))
    .execute(&stage.owner)
    .await
    .unwrap();
    message
}

fn ordinals(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|item| item["ordinal"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn my_conversations_come_by_their_last_activity() {
    let stage = Stage::new().await;
    let (ada, bob, cleo) = (id(), id(), id());
    let quiet = group(&stage, 10, &[(ada, 10), (bob, 10)]).await;
    let busy = group(&stage, 5, &[(ada, 5), (bob, 5), (cleo, 5)]).await;
    group(&stage, 30, &[(bob, 30), (cleo, 30)]).await;
    send(&stage, busy, 1, ada, 11).await;
    send(&stage, busy, 2, bob, 12).await;
    send(&stage, busy, 3, bob, 13).await;

    let mine = stage.items(ada, "/v1/conversations").await;
    let ids: Vec<&str> = mine.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [busy.to_string(), quiet.to_string()]);
    let first = &mine[0];
    assert_eq!((&first["unread"], &first["members_count"]), (&json!(2), &json!(3)));
    assert_eq!((&first["role"], &first["kind"]), (&json!("owner"), &json!("group")));
    assert_eq!((&first["title"], &first["with"]), (&json!("Reading"), &Value::Null));
    let last = &first["last_message"];
    assert_eq!((&last["ordinal"], &last["text"]), (&json!(3), &json!("text 3")));
    assert_eq!((&last["position"], &first["position"]), (&json!("13"), &json!("13")));
    assert_eq!((&mine[1]["last_message"], &mine[1]["unread"]), (&Value::Null, &json!(0)));

    let (_, page) = stage.ask(ada, "/v1/conversations?limit=1").await;
    assert_eq!(page["next"], "13");
    let (_, rest) = stage.ask(ada, "/v1/conversations?limit=1&before=13").await;
    assert_eq!((&rest["items"][0], &rest["next"]), (&mine[1], &Value::Null));
}

#[tokio::test]
async fn a_direct_conversation_says_with_whom() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    let direct = group(&stage, 10, &[(ada, 10), (bob, 10)]).await;
    stage.sql("update conversation set kind = 'direct', title = null").await;
    let (_, seen) = stage.ask(bob, &format!("/v1/conversations/{direct}")).await;
    assert_eq!((&seen["with"], &seen["title"]), (&json!(ada), &Value::Null));
}

#[tokio::test]
async fn a_conversation_shows_its_members_and_how_far_they_are() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    let conversation = group(&stage, 10, &[(ada, 10), (bob, 11)]).await;
    send(&stage, conversation, 1, ada, 12).await;
    sqlx::query(
        "update read_cursor
         set delivered_ordinal = 1, delivered_position = $2, read_ordinal = 1, read_position = $2
         where user_id = $1",
    )
    .bind(bob)
    .bind(at(12))
    .execute(&stage.owner)
    .await
    .unwrap();

    let (status, seen) = stage.ask(ada, &format!("/v1/conversations/{conversation}")).await;
    assert_eq!((status, &seen["id"]), (200, &json!(conversation)));
    let members = seen["members"].as_array().unwrap();
    assert_eq!((&members[0]["user_id"], &members[0]["role"]), (&json!(ada), &json!("owner")));
    assert_eq!(
        (&members[0]["read_ordinal"], &members[0]["read_position"]),
        (&json!(0), &json!("0"))
    );
    assert_eq!((&members[1]["user_id"], &members[1]["read_ordinal"]), (&json!(bob), &json!(1)));
    assert_eq!(members[1]["delivered_position"], "12");
}

#[tokio::test]
async fn messages_come_newest_first_in_pages() {
    let stage = Stage::new().await;
    let (ada, bob) = (id(), id());
    let conversation = group(&stage, 1, &[(ada, 1), (bob, 1)]).await;
    stage.sql("select make_message_partition(now()), make_message_partition(now() - interval '40 days')").await;
    let mut sent = Vec::new();
    for ordinal in 1..=5 {
        sent.push(send(&stage, conversation, ordinal, bob, 10 + ordinal.unsigned_abs()).await);
    }
    // The first ones are of another month, and so of another partition.
    stage.sql("update message set sent_at = sent_at - interval '40 days' where ordinal < 3").await;
    stage
        .sql(
            "update message_month set first_ordinal = 3;
             insert into message_month
             select conversation_id, date_trunc('month', now() - interval '40 days', 'UTC'), 1, 2, 2
             from message_month",
        )
        .await;
    let path = format!("/v1/conversations/{conversation}/messages");

    let (_, newest) = stage.ask(ada, &format!("{path}?limit=2")).await;
    assert_eq!((ordinals(&newest), &newest["next"]), (vec![5, 4], &json!(4)));
    let (_, older) = stage.ask(ada, &format!("{path}?limit=2&before=4")).await;
    assert_eq!((ordinals(&older), &older["next"]), (vec![3, 2], &json!(2)));
    let (_, oldest) = stage.ask(ada, &format!("{path}?limit=2&before=2")).await;
    assert_eq!((ordinals(&oldest), &oldest["next"]), (vec![1], &Value::Null));
    let (_, new) = stage.ask(ada, &format!("{path}?after_id={}", sent[2])).await;
    assert_eq!(ordinals(&new), [5, 4]);
    let (_, between) = stage.ask(ada, &format!("{path}?after_id={}&before=5", sent[2])).await;
    assert_eq!(ordinals(&between), [4]);

    let first = &newest["items"][0];
    assert_eq!((&first["id"], &first["sender_id"]), (&json!(sent[4]), &json!(bob)));
    assert_eq!(
        (&first["conversation_id"], &first["position"]),
        (&json!(conversation), &json!("15"))
    );
    assert!(first.get("status").is_none(), "only own messages have one");

    stage.sql("update message set text = null where ordinal = 5").await;
    let (_, erased) = stage.ask(ada, &format!("{path}?limit=1")).await;
    assert_eq!(erased["items"][0]["text"], Value::Null);
}

#[tokio::test]
async fn my_own_messages_say_what_became_of_them() {
    let stage = Stage::new().await;
    let (ada, bob, late) = (id(), id(), id());
    let conversation = group(&stage, 1, &[(ada, 1), (bob, 1), (late, 13)]).await;
    for (ordinal, position) in [(1, 11), (2, 12), (3, 14)] {
        send(&stage, conversation, ordinal, ada, position).await;
    }
    let cursor = "update read_cursor set delivered_ordinal = 3, read_ordinal = 1 where user_id =";
    stage.sql(&format!("{cursor} '{bob}'")).await;

    let path = format!("/v1/conversations/{conversation}/messages");
    let (_, page) = stage.ask(ada, &path).await;
    let status: Vec<&str> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["status"].as_str().unwrap())
        .collect();
    assert_eq!(status, ["sent", "delivered", "read"], "who came late counts for the newest only");
    let (_, page) = stage.ask(bob, &path).await;
    assert!(page["items"][0].get("status").is_none());
}

#[tokio::test]
async fn a_conversation_of_others_does_not_exist() {
    let stage = Stage::new().await;
    let (ada, bob, eve) = (id(), id(), id());
    let conversation = group(&stage, 1, &[(ada, 1), (bob, 1)]).await;
    let message = send(&stage, conversation, 1, ada, 11).await;
    let unknown = id();
    for path in [
        format!("/v1/conversations/{conversation}"),
        format!("/v1/conversations/{conversation}/messages"),
        format!("/v1/conversations/{conversation}/messages?after_id={message}"),
        format!("/v1/conversations/{unknown}"),
        format!("/v1/conversations/{unknown}/messages"),
    ] {
        let answer = stage.problem(eve, &path).await;
        assert_eq!(answer, (404, "no-such-conversation".to_owned()), "{path}");
    }
    assert_eq!(stage.items(eve, "/v1/conversations").await, [] as [Value; 0]);

    stage.sql(&format!("delete from member where user_id = '{bob}'")).await;
    let path = format!("/v1/conversations/{conversation}/messages");
    assert_eq!(stage.problem(bob, &path).await.0, 404, "who was removed is an outsider");
}

#[tokio::test]
async fn a_bad_question_about_conversations_is_a_precise_problem() {
    let stage = Stage::new().await;
    let ada = id();
    let conversation = group(&stage, 1, &[(ada, 1)]).await;
    let other = group(&stage, 2, &[(ada, 2)]).await;
    let elsewhere = send(&stage, other, 1, ada, 3).await;
    let path = format!("/v1/conversations/{conversation}");
    for (path, status, slug) in [
        ("/v1/conversations?before=x".to_owned(), 400, "invalid-query"),
        ("/v1/conversations?limit=1000".to_owned(), 400, "invalid-query"),
        ("/v1/conversations/x".to_owned(), 400, "invalid-path"),
        (format!("{path}?limit=1"), 400, "invalid-query"),
        (format!("{path}/messages?before=x"), 400, "invalid-query"),
        (format!("{path}/messages?after_id=1"), 400, "invalid-query"),
        (format!("{path}/messages?after_id={elsewhere}"), 404, "no-such-message"),
        (format!("{path}/messages?after_id={}", id()), 404, "no-such-message"),
    ] {
        assert_eq!(stage.problem(ada, &path).await, (status, slug.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn the_ends_of_all_numbers_are_answered() {
    let stage = Stage::new().await;
    let ada = id();
    let talk = group(&stage, 1, &[(ada, 1)]).await;
    let first = send(&stage, talk, 1, ada, 2).await;
    send(&stage, talk, 2, ada, 3).await;
    stage
        .sql(
            "insert into message_month
                select conversation_id, date_trunc('month', sent_at, 'UTC'), min(ordinal),
                  max(ordinal), max(number)
                from message group by 1, 2 on conflict do nothing",
        )
        .await;
    let path = format!("/v1/conversations/{talk}/messages");
    let (max, min) = (i64::MAX, i64::MIN);
    for (query, found) in [
        (format!("since={max}"), 0),
        (format!("since={min}"), 2),
        (format!("since={}", max - 1), 0),
        (format!("before={max}"), 2),
        (format!("before={min}"), 0),
        (format!("before=-1&after_id={first}"), 0),
        (format!("before={max}&after_id={first}"), 1),
    ] {
        let items = stage.items(ada, &format!("{path}?{query}")).await;
        assert_eq!(items.len(), found, "{query}");
    }
    for query in [
        format!("{path}/{first}/replies?since={max}"),
        format!("{path}/{first}/replies?since={min}"),
        format!("{path}/{first}/edits?before={max}"),
        format!("{path}/{first}/edits?before={min}"),
        format!("{path}/{first}/reactions?before={}", u64::MAX),
        format!("/v1/mentions?before={}", u64::MAX),
        "/v1/mentions?before=0".to_owned(),
        format!("/v1/search/messages?q=a%00b&before={}", u64::MAX),
        format!("/v1/feed?after_position={}", u64::MAX),
        "/v1/study-sessions?subject=%00".to_owned(),
    ] {
        assert_eq!(stage.ask(ada, &query).await.0, 200, "{query}");
    }
    for query in ["/v1/search/messages?q=%00", "/v1/invites/%00", "/v1/invites/A%00"] {
        let (status, slug) = stage.problem(ada, query).await;
        assert!((400..500).contains(&status), "{query}: {status} {slug}");
    }
}
