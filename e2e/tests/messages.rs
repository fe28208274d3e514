//! What people do to messages, live for everybody and there for the newcomer; and finding them.

use anyhow::{Result, ensure};
use e2e::acts::{done, position, read, write};
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::Up;
use events::Position;
use reqwest::{Method, RequestBuilder};
use roundtable::client::key;
use serde_json::{Value, json};

const THUMB: &str = "%F0%9F%91%8D";

/// A page of something, read after a position.
async fn items(by: &Person, url: &str, path: &str, after: Position) -> Result<Vec<Value>> {
    let page = accepted(read(by, url, path, after)?, 200).await?;
    Ok(page["items"].as_array().cloned().unwrap_or_default())
}

/// Sends a message with more than a text; its id and place.
async fn said(by: &Person, url: &str, room: &str, body: Value) -> Result<(String, Position)> {
    let sent = write(by, url, Method::POST, &format!("{room}/messages"), Some(body))?;
    let sent = accepted(sent, 201).await?;
    Ok((sent["id"].as_str().unwrap_or_default().to_owned(), position(&sent)?))
}

#[tokio::test]
async fn what_is_done_to_messages_is_live_for_everybody_and_there_for_the_newcomer() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = &group.people[..] else { anyhow::bail!("three people") };
    let (dora, eve) = (&Person::new(url, "Dora").await?, &Person::new(url, "Eve").await?);
    let room = format!("/v1/conversations/{}", group.conversation);
    let mut at_cleo = cleo.session.socket(None).await?;

    let body = json!({ "text": "Who reads Bernulli?", "mentions": [bob.user()] });
    let (first, _) = said(ada, url, &room, body).await?;
    let body = json!({ "text": "I do", "thread": first, "reply_to": first });
    let (reply, _) = said(bob, url, &room, body).await?;
    let (gone, _) = said(ada, url, &room, json!({ "text": "A slip" })).await?;
    let message = format!("{room}/messages/{first}");
    let thumb = format!("{message}/reactions/{THUMB}");
    done(bob, url, Method::PUT, &thumb, None).await?;
    done(cleo, url, Method::PUT, &thumb, None).await?;
    let edit = json!({ "text": "Who reads Bernoulli?", "mentions": [bob.user()] });
    done(ada, url, Method::PATCH, &message, Some(edit)).await?;
    done(ada, url, Method::PUT, &format!("{room}/pins/{first}"), None).await?;
    let deleted = format!("{room}/messages/{gone}");
    done(ada, url, Method::DELETE, &deleted, None).await?;

    // Everybody hears all of it, in the order in which it was done.
    for (kind, about) in [
        ("message.sent", &first),
        ("message.sent", &reply),
        ("message.sent", &gone),
        ("message.reacted", &first),
        ("message.reacted", &first),
        ("message.edited", &first),
        ("conversation.message_pinned", &first),
        ("message.deleted", &gone),
    ] {
        let mut event = at_cleo.next_event(PATIENCE).await?;
        // What she is told of comes a while after its cause.
        while event.kind.starts_with("notification.") {
            event = at_cleo.next_event(PATIENCE).await?;
        }
        ensure!(event.kind == kind && *event.data("message") == json!(about), "{kind}: {event:?}");
    }

    // Nobody else may: not another member, and for a stranger there is nothing.
    let edit = |by: &Person| write(by, url, Method::PATCH, &message, Some(json!({ "text": "No" })));
    refused(edit(bob)?, 403, "not-sender").await?;
    refused(edit(eve)?, 404, "no-such-conversation").await?;
    refused(write(eve, url, Method::PUT, &thumb, None)?, 404, "no-such-conversation").await?;
    refused(
        write(ada, url, Method::PUT, &format!("{deleted}/reactions/{THUMB}"), None)?,
        410,
        "message-deleted",
    )
    .await?;
    // The same command twice is one.
    let again = key().to_string();
    let unreact = || -> Result<RequestBuilder> {
        Ok(cleo.request(url, Method::DELETE, &thumb)?.header("Idempotency-Key", &again))
    };
    let once = accepted(unreact()?, 202).await?;
    ensure!(once == accepted(unreact()?, 202).await?, "another answer");

    // Dora comes later, and finds all of it as it is now.
    let member = format!("{room}/members/{}", dora.user());
    let after = done(ada, url, Method::PUT, &member, None).await?;
    let history = items(dora, url, &format!("{room}/messages"), after).await?;
    let find = |id: &str| history.iter().find(|item| item["id"] == id).cloned().unwrap_or_default();
    let (first_seen, gone_seen) = (find(&first), find(&gone));
    ensure!(first_seen["text"] == "Who reads Bernoulli?", "{first_seen}");
    ensure!(
        first_seen["edited_at"].is_string() && first_seen["replies_count"] == 1,
        "{first_seen}"
    );
    let one = json!([{ "emoji": "\u{1f44d}", "count": 1, "mine": false }]);
    ensure!(first_seen["reactions"] == one, "{first_seen}");
    ensure!(gone_seen["text"].is_null() && gone_seen["deleted_at"].is_string(), "{gone_seen}");
    ensure!(find(&reply)["thread"] == json!(first), "{history:?}");
    let replies = items(dora, url, &format!("{message}/replies"), after).await?;
    ensure!(replies.len() == 1 && replies[0]["id"] == json!(reply), "{replies:?}");
    let pins = items(dora, url, &format!("{room}/pins"), after).await?;
    ensure!(pins.len() == 1 && pins[0]["message"]["id"] == json!(first), "{pins:?}");
    let mentions = items(bob, url, "/v1/mentions", after).await?;
    ensure!(mentions.iter().any(|it| it["message"]["id"] == json!(first)), "{mentions:?}");
    // What it said before is for its sender and those who run the group.
    let edits = format!("{message}/edits");
    let versions = items(ada, url, &edits, after).await?;
    ensure!(versions.len() == 1 && versions[0]["text"] == "Who reads Bernulli?", "{versions:?}");
    refused(read(dora, url, &edits, after)?, 403, "role-forbids").await?;
    up.end().await
}

#[tokio::test]
async fn messages_are_found_in_every_script_by_those_who_may_read_them_and_nobody_else()
-> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let [ada, bob] = &group.people[..] else { anyhow::bail!("two people") };
    let eve = &Person::new(url, "Eve").await?;
    let room = format!("/v1/conversations/{}", group.conversation);
    let mut ids = vec![];
    for text in [
        "Le théâtre de l'Odéon",
        "我们明天学习微积分",
        "明日は図書館で勉強します",
        "내일 도서관에서 공부해요",
        "Theatre tickets",
    ] {
        ids.push(said(ada, url, &room, json!({ "text": text })).await?);
    }
    let after = ids.last().map_or(Position::START, |(_, at)| *at);
    let found = async |by: &Person, q: &str, after: Position| -> Result<Vec<Value>> {
        let request = by.request(url, Method::GET, "/v1/search/messages")?.query(&[("q", q)]);
        let page = accepted(request.header("Roundtable-After", after.to_string()), 200).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().map(|item| item["id"].clone()).collect())
    };
    let ids: Vec<Value> = ids.iter().map(|(id, _)| json!(id)).collect();
    for (q, expected) in [
        // Beginnings of words, whatever the accents and the case; the newest first.
        ("thea", vec![&ids[4], &ids[0]]),
        ("THÉÂTRE odeon", vec![&ids[0]]),
        ("微积", vec![&ids[1]]),
        ("図書館", vec![&ids[2]]),
        ("도서관", vec![&ids[3]]),
        ("eatre", vec![]),
    ] {
        let items = found(bob, q, after).await?;
        ensure!(items.iter().collect::<Vec<_>>() == expected, "{q}: {items:?}");
        ensure!(found(eve, q, after).await?.is_empty(), "Eve finds {q}");
    }
    let path = format!("/v1/search/messages?q=thea&conversation={}", group.conversation);
    refused(read(eve, url, &path, after)?, 404, "no-such-conversation").await?;

    // What was deleted is not found any more, and who left finds nothing.
    let last = ids[4].as_str().unwrap_or_default();
    let after = done(ada, url, Method::DELETE, &format!("{room}/messages/{last}"), None).await?;
    ensure!(found(bob, "thea", after).await? == [ids[0].clone()], "the deleted one is found");
    let leave = format!("{room}/members/{}", bob.user());
    let after = done(bob, url, Method::DELETE, &leave, None).await?;
    ensure!(found(bob, "thea", after).await?.is_empty(), "who left finds what was said");
    up.end().await
}
