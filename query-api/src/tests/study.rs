//! Study sessions, who is in them, and their whiteboards.

use uuid::Uuid;

use super::{Stage, at, id};

const ALL: [&str; 3] = ["study_session", "member", "whiteboard"];

/// A session of a tutor that begins so many hours from now, with these people in it and its room.
async fn session(
    stage: &Stage,
    (tutor, subject, status): (Uuid, &str, &str),
    hours: i32,
    people: &[Uuid],
) -> Uuid {
    let session = id();
    let guests = people.iter().filter(|user| **user != tutor).count();
    sqlx::query(
        "insert into study_session (session_id, conversation_id, tutor_id, title, subject,
           capacity, starts, status, scheduled_at, position, participants, guests)
         values ($1, $1, $2, 'Session', $3, 4, date_trunc('hour', now()) + $4 * interval '1 hour',
           $5, now(), $6, $7, $8)",
    )
    .bind(session)
    .bind(tutor)
    .bind(subject)
    .bind(hours)
    .bind(status)
    .bind(at(7))
    .bind(i32::try_from(people.len()).unwrap())
    .bind(i32::try_from(guests).unwrap())
    .execute(&stage.owner)
    .await
    .unwrap();
    for (index, user) in people.iter().enumerate() {
        let position = at(10 + u64::try_from(index).unwrap());
        sqlx::query(
            "with came as (
               insert into member (conversation_id, user_id, role, joined_at, position)
               values ($1, $2, 'member', now(), $3)
             )
             insert into study_participant
               (session_id, user_id, conversation_id, joined_at, position)
             values ($1, $2, $1, now(), $3)",
        )
        .bind(session)
        .bind(user)
        .bind(position)
        .execute(&stage.owner)
        .await
        .unwrap();
    }
    session
}

async fn ids(stage: &Stage, reader: Uuid, query: &str) -> Vec<String> {
    let items = stage.items(reader, &format!("/v1/study-sessions?{query}")).await;
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn sessions_are_listed_for_everybody_in_the_order_of_their_beginning() {
    let stage = Stage::new().await;
    stage.reached(&ALL, 9).await;
    let (ada, bob, eve) = (id(), id(), id());
    let second = session(&stage, (ada, "Maths", "scheduled"), 2, &[]).await;
    let first = session(&stage, (bob, "maths", "active"), -200, &[eve]).await;
    let third = session(&stage, (ada, "Music", "scheduled"), 3, &[]).await;
    let over = session(&stage, (bob, "Maths", "completed"), -4, &[]).await;
    session(&stage, (bob, "Maths", "scheduled"), -100, &[]).await;
    let text = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect::<Vec<_>>();

    assert_eq!(ids(&stage, eve, "").await, text(&[first, second, third]));
    assert_eq!(ids(&stage, eve, "subject=MATHS").await, text(&[first, second]));
    assert_eq!(ids(&stage, eve, "subject=%00").await, text(&[]));
    assert_eq!(ids(&stage, eve, &format!("tutor={ada}")).await, text(&[second, third]));
    assert_eq!(ids(&stage, eve, "which=mine").await, text(&[first]));
    assert_eq!(ids(&stage, ada, "which=mine").await, text(&[third, second]));
    assert_eq!(ids(&stage, ada, "which=all&limit=3").await, text(&[third, second, over]));

    // Page by page the same, each once.
    let mut paged = vec![];
    let mut next = String::new();
    loop {
        let (status, page) = stage.ask(eve, &format!("/v1/study-sessions?limit=1{next}")).await;
        assert_eq!(status, 200, "{page}");
        paged.push(page["items"][0]["id"].as_str().unwrap().to_owned());
        match page["next"].as_str() {
            Some(id) => next = format!("&after_id={id}"),
            None => break,
        }
    }
    assert_eq!(paged, text(&[first, second, third]));
    let unknown = format!("/v1/study-sessions?after_id={}", id());
    assert_eq!(stage.problem(eve, &unknown).await, (404, "no-such-study-session".to_owned()));
    for wrong in ["which=other", "limit=0", "tutor=ada", "surplus=1"] {
        let path = format!("/v1/study-sessions?{wrong}");
        assert_eq!(stage.problem(eve, &path).await.1, "invalid-query", "{wrong}");
    }
}

#[tokio::test]
async fn who_is_in_a_session_and_who_is_away_is_told_to_its_people() {
    let stage = Stage::new().await;
    stage.reached(&ALL, 9).await;
    let (ada, bob, eve) = (id(), id(), id());
    let one = session(&stage, (ada, "maths", "active"), 0, &[ada, bob]).await;
    sqlx::query(
        "insert into timer (key, kind, subject, person, due_at, source, set_by)
         values ('1', 'grace', $1, $2, now(), 'presence', '1'),
           ('2', 'room', $1, $3, now(), 'log', '1')",
    )
    .bind(one)
    .bind(bob)
    .bind(ada)
    .execute(&stage.owner)
    .await
    .unwrap();
    let path = format!("/v1/study-sessions/{one}");
    let (_, seen) = stage.ask(bob, &path).await;
    let states: Vec<_> = seen["participants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["user_id"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [(&*ada.to_string(), "present"), (&*bob.to_string(), "away")]);
    assert_eq!((&seen["seats_left"], &seen["participants_count"]), (&2.into(), &2.into()));
    let (status, seen) = stage.ask(eve, &path).await;
    assert_eq!((status, &seen["participants"]), (200, &serde_json::Value::Null));
    assert_eq!(seen["participants_count"], 2);
    let none = format!("/v1/study-sessions/{}", id());
    assert_eq!(stage.problem(eve, &none).await, (404, "no-such-study-session".to_owned()));
}

#[tokio::test]
async fn a_whiteboard_comes_in_parts_that_fit_and_only_to_its_people() {
    let stage = Stage::new().await;
    stage.reached(&ALL, 99).await;
    let (ada, eve) = (id(), id());
    let one = session(&stage, (ada, "maths", "active"), 0, &[ada]).await;
    // 80 elements of 60 kB are more than fit into two answers.
    for number in 0..80_u64 {
        sqlx::query("insert into whiteboard values ($1, $2, $1, repeat('x', 60000), $3, $4, $4)")
            .bind(one)
            .bind(id())
            .bind(ada)
            .bind(at(100 + number))
            .execute(&stage.owner)
            .await
            .unwrap();
    }
    let path = format!("/v1/study-sessions/{one}/whiteboard");
    let (mut places, mut parts, mut next) = (vec![], 0, String::new());
    loop {
        let (status, part) = stage.ask(ada, &format!("{path}{next}")).await;
        assert_eq!((status, &part["position"]), (200, &"99".into()));
        parts += 1;
        for item in part["items"].as_array().unwrap() {
            places.push(item["position"].as_str().unwrap().parse::<u64>().unwrap());
        }
        match part["next"].as_str() {
            Some(id) => next = format!("?after_id={id}"),
            None => break,
        }
    }
    assert_eq!(places, (100..180).collect::<Vec<_>>());
    assert_eq!(parts, 3);
    let gone = format!("{path}?after_id={}", id());
    assert_eq!(stage.problem(ada, &gone).await, (409, "whiteboard-changed".to_owned()));
    assert_eq!(stage.problem(eve, &path).await, (403, "not-in-session".to_owned()));
    let none = format!("/v1/study-sessions/{}/whiteboard", id());
    assert_eq!(stage.problem(ada, &none).await, (404, "no-such-study-session".to_owned()));
}
