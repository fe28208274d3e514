//! Files: who sees them, and what they come with.

use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use uuid::Uuid;

use super::{Stage, id};

const P: &str = "'\\x00000000000000070000000000000007'";

/// Ada's file, sent to a conversation that Bob is in; Eve is not.
struct Sent {
    ada: Uuid,
    bob: Uuid,
    eve: Uuid,
    talk: Uuid,
    file: Uuid,
    message: Uuid,
}

impl Sent {
    async fn on(stage: &Stage) -> Self {
        let it = Self { ada: id(), bob: id(), eve: id(), talk: id(), file: id(), message: id() };
        let Self { ada, bob, talk, file, message, .. } = &it;
        stage
            .sql(&format!(
                "insert into member values
                   ('{talk}', '{ada}', 'owner', now(), {P}), ('{talk}', '{bob}', 'member', now(), {P});
                 insert into file values ('{file}', '{ada}', '{talk}', 'a b.txt', 'text/plain', 10,
                   'e3b0', null, null, '2026-01-02T03:04:05Z', {P});
                 insert into file_link values ('{file}', '{message}', '{talk}', now())"
            ))
            .await;
        it
    }

    async fn sees(&self, stage: &Stage, who: Uuid) -> bool {
        let path = format!("/v1/files/{}", self.file);
        let (status, body) = stage.ask(who, &path).await;
        assert!(matches!(status, 200 | 404), "{body}");
        // Nobody learns of the bytes what they may not know of the file.
        for part in ["content", "thumbnails/64"] {
            let (_, slug) = stage.problem(who, &format!("{path}/{part}")).await;
            assert!(status == 200 || slug == "no-such-file", "{part}: {slug}");
        }
        status == 200
    }
}

#[tokio::test]
async fn a_file_is_seen_by_whoever_may_read_a_message_with_it() {
    let stage = Stage::new().await;
    let sent = Sent::on(&stage).await;
    let Sent { ada, bob, eve, talk, message, file } = sent;
    let see = async || {
        [sent.sees(&stage, ada).await, sent.sees(&stage, bob).await, sent.sees(&stage, eve).await]
    };
    assert_eq!(see().await, [true, true, false]);
    // Bob leaves, and comes back.
    stage.sql(&format!("delete from member where user_id = '{bob}'")).await;
    assert_eq!(see().await, [true, false, false]);
    let back = format!("insert into member values ('{talk}', '{bob}', 'member', now(), {P})");
    stage.sql(&back).await;
    // The message is deleted: the file stays its owner's.
    stage.sql(&format!("delete from file_link where message_id = '{message}'")).await;
    assert_eq!(see().await, [true, false, false]);
    // It was sent elsewhere as well, to where Eve is: the policy goes by each message.
    let other = id();
    stage
        .sql(&format!(
            "insert into member values ('{other}', '{eve}', 'member', now(), {P});
             insert into file_link values ('{file}', '{}', '{other}', now())",
            id()
        ))
        .await;
    assert_eq!(see().await, [true, false, true]);
}

#[tokio::test]
async fn a_picture_of_somebody_is_seen_by_everybody_signed_in() {
    let stage = Stage::new().await;
    let sent = Sent::on(&stage).await;
    let (ada, eve, file) = (sent.ada, sent.eve, sent.file);
    stage.sql(&format!("insert into file_avatar values ('{ada}', '{file}')")).await;
    assert!(sent.sees(&stage, eve).await);
    // What it was called is for its owner, and for those to whom it was sent.
    let path = format!("/v1/files/{file}");
    for (who, name) in [(ada, json!("a b.txt")), (sent.bob, json!("a b.txt")), (eve, json!(null))] {
        assert_eq!(stage.ask(who, &path).await.1["name"], name);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"e3b0\""));
        let (_, _, answer) = stage.ask_with(who, &format!("{path}/content"), headers).await;
        let disposition = answer[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert_eq!(disposition.contains("a%20b.txt"), !name.is_null(), "{disposition}");
    }
    stage.sql(&format!("insert into block values ('{ada}', '{eve}', now(), {P})")).await;
    assert!(!sent.sees(&stage, eve).await, "for whom Ada does not exist");
    stage.sql("delete from block").await;
    assert!(sent.sees(&stage, eve).await);
    stage.sql(&format!("update file_avatar set file_id = '{}'", id())).await;
    assert!(!sent.sees(&stage, eve).await);
}

#[tokio::test]
async fn the_owner_sees_their_files_in_pages_and_nobody_elses() {
    let stage = Stage::new().await;
    let sent = Sent::on(&stage).await;
    let (ada, bob) = (sent.ada, sent.bob);
    for _ in 0..4 {
        stage
            .sql(&format!(
                "insert into file values ('{}', '{ada}', null, null, 'image/png', 5, 'e3b0', 4, 3,
                   now(), {P})",
                id()
            ))
            .await;
    }
    let (mut seen, mut next) = (vec![], String::new());
    loop {
        let (status, page) = stage.ask(ada, &format!("/v1/files?limit=2{next}")).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(id) => next = format!("&after_id={id}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    let text = seen.iter().find(|file| file["id"] == *sent.file.to_string()).unwrap();
    assert_eq!(text["name"], "a b.txt");
    assert_eq!(text["uploaded_at"], "2026-01-02T03:04:05Z");
    assert_eq!(text["conversation_id"], *sent.talk.to_string());
    assert_eq!(text["thumbnails"], serde_json::json!([]));
    let picture = seen.iter().find(|file| file["media_type"] == "image/png").unwrap();
    assert_eq!(picture["thumbnails"], serde_json::json!([320, 64]));
    assert!(picture["name"].is_null() && picture["conversation_id"].is_null());
    assert_eq!(stage.items(bob, "/v1/files").await.len(), 0, "what he sees is not his");
}

#[tokio::test]
async fn what_is_known_already_is_not_read_and_a_wrong_question_is_a_precise_problem() {
    let stage = Stage::new().await;
    let sent = Sent::on(&stage).await;
    let path = format!("/v1/files/{}/content", sent.file);
    let mut headers = HeaderMap::new();
    headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"e3b0\""));
    let (status, _, answer) = stage.ask_with(sent.bob, &path, headers).await;
    assert_eq!(status, 304);
    assert_eq!(answer[header::ETAG], "\"e3b0\"");
    assert_eq!(answer[header::CACHE_CONTROL], "private, max-age=300");
    assert_eq!(answer[header::VARY], "authorization, cookie");
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, HeaderValue::from_static("bytes=10-"));
    let (status, body, answer) = stage.ask_with(sent.bob, &path, headers).await;
    assert_eq!((status, &answer[header::CONTENT_RANGE]), (416, &"bytes */10".parse().unwrap()));
    assert!(body["type"].as_str().unwrap().ends_with("range-beyond-end"));
    for (path, status, slug) in [
        // Its bytes are gone: it was removed a moment ago.
        (path, 404, "no-such-file"),
        (format!("/v1/files/{}/thumbnails/64", sent.file), 404, "no-such-thumbnail"),
        (format!("/v1/files/{}/thumbnails/x", sent.file), 400, "invalid-path"),
        ("/v1/files/x".to_owned(), 400, "invalid-path"),
        (format!("/v1/files/{}", id()), 404, "no-such-file"),
        (format!("/v1/files/{}?x=1", sent.file), 400, "invalid-query"),
    ] {
        let answered = stage.problem(sent.bob, &path).await;
        assert_eq!(answered, (status, slug.to_owned()), "{path}");
    }
}
