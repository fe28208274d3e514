//! A socket survives what is wrong on it where it can, and is closed with a reason where it cannot.

use anyhow::{Context, Result, ensure};
use e2e::raw::Raw;
use e2e::refusal::is_problem;
use e2e::talk::Group;
use e2e::up::Up;
use roundtable::client::key;
use serde_json::{Value, json};

/// Frames that are larger are not read.
const MAX_FRAME: usize = 64 * 1024;

#[tokio::test]
async fn a_socket_survives_bad_frames_and_still_works() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let mut socket = Raw::open(&up.url, ada.token()).await?;
    let conversation = group.conversation;
    let id = key();
    let send = |more: Value| {
        let mut command = json!({
            "op": "command", "id": id, "type": "message.send",
            "conversation": conversation, "text": "x",
        });
        for (field, value) in more.as_object().expect("fields") {
            command[field] = value.clone();
        }
        command.to_string()
    };
    for (frame, names) in [
        ("{".to_owned(), ""),
        ("[]".to_owned(), ""),
        ("7".to_owned(), ""),
        (json!({ "op": "dance" }).to_string(), ""),
        (json!({ "id": id }).to_string(), ""),
        (json!({ "op": "command", "type": "message.send" }).to_string(), "id"),
        (json!({ "op": "command", "id": "seven", "type": "message.send" }).to_string(), "id"),
        (send(json!({ "type": "message.explode" })), ""),
        (send(json!({ "colour": "red" })), "colour"),
        (send(json!({ "sender": group.people[1].user() })), "sender"),
        (send(json!({ "text": 7 })), "text"),
        (send(json!({ "text": null })), "text"),
        (send(json!({ "conversation": "seven" })), "conversation"),
        (send(json!({ "text": "" })), ""),
        (json!({ "op": "auth", "token": ada.token() }).to_string(), ""),
    ] {
        socket.send_text(frame.clone()).await?;
        let error = socket.until("error").await.with_context(|| frame.clone())?;
        is_problem(&error).with_context(|| frame.clone())?;
        let detail = error["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(names), "{frame}: `{names}` is not named: {error}");
        if frame.contains(&id.to_string()) && frame.contains("command") {
            ensure!(error["id"] == json!(id), "{frame}: the error does not say whose: {error}");
        }
        // Still there, and counting anew: only many bad frames in a row end a socket.
        socket.send(&json!({ "op": "ping" })).await?;
        socket.until("pong").await?;
    }
    let sent = key();
    let mut command: Value = serde_json::from_str(&send(json!({ "text": "hello" })))?;
    command["id"] = json!(sent);
    socket.send(&command).await?;
    let mut seen = vec![];
    while seen.len() < 2 {
        let frame = socket.frame_in_order().await?;
        ensure!(matches!(frame["op"].as_str(), Some("result" | "event")), "{frame}");
        seen.push(frame);
    }
    ensure!(seen[0]["position"] == seen[1]["position"], "{seen:?}");
    ensure!(seen.iter().any(|frame| frame["id"] == json!(sent)), "{seen:?}");
    ensure!(seen.iter().any(|frame| frame["data"]["text"] == "hello"), "{seen:?}");
    up.end().await
}

#[tokio::test]
async fn a_socket_that_sends_nothing_but_nonsense_or_too_much_is_closed_with_a_reason() -> Result<()>
{
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];

    let mut socket = Raw::open(&up.url, ada.token()).await?;
    for _ in 0..10 {
        socket.send_text("nonsense").await?;
    }
    let end = socket.end().await?;
    let code = end.bye.as_ref().map(|bye| bye["code"].clone());
    ensure!(code == Some(json!("bad-frames")) && end.code == Some(1008), "{end:?}");

    let mut socket = Raw::open(&up.url, ada.token()).await?;
    let text = "x".repeat(MAX_FRAME);
    socket
        .send(&json!({ "op": "command", "id": key(), "type": "message.send", "text": text }))
        .await?;
    let end = socket.end().await?;
    let code = end.bye.as_ref().map(|bye| bye["code"].clone());
    ensure!(code == Some(json!("too-large")) && end.code == Some(1009), "{end:?}");
    // A gateway that lives through all this serves the next one.
    let mut socket = Raw::open(&up.url, ada.token()).await?;
    socket.send(&json!({ "op": "ping" })).await?;
    socket.until("pong").await?;
    up.end().await
}

#[tokio::test]
async fn a_socket_that_does_not_say_who_it_is_gets_nothing() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let send = json!({
        "op": "command", "id": key(), "type": "message.send",
        "conversation": group.conversation, "text": "who am I",
    });
    let (mut socket, hello) = Raw::connect(&up.url).await?;
    ensure!(hello["version"] == 1 && hello["max_frame_bytes"] == MAX_FRAME, "{hello}");
    socket.send(&send).await?;
    no_entry(&mut socket).await.context("a command before auth")?;

    let forged = forge(group.people[0].token())?;
    for token in [forged.as_str(), "", "seven", "a.b.c"] {
        let (mut socket, _) = Raw::connect(&up.url).await?;
        socket.send(&json!({ "op": "auth", "token": token })).await?;
        no_entry(&mut socket).await.with_context(|| format!("the token {token:?}"))?;
    }
    let (_, position) = group.say(0, "nobody else spoke").await?;
    let session = &group.people[0].session;
    let history = session.messages(group.conversation, Some(position)).await?;
    let said = history.said().count();
    ensure!(said == 1, "{said} messages");
    up.end().await
}

/// An error frame or a bye that says 401, never a `ready` or an event.
async fn no_entry(socket: &mut Raw) -> Result<()> {
    let frame = socket.frame().await?;
    match frame["op"].as_str() {
        Some("error") => {
            is_problem(&frame)?;
            ensure!(frame["status"] == 401, "{frame}");
        }
        Some("bye") => ensure!(frame["code"] == "unauthenticated", "{frame}"),
        _ => anyhow::bail!("{frame}"),
    }
    Ok(())
}

/// Another signature under the same claims.
fn forge(token: &str) -> Result<String> {
    let (claims, signature) = token.rsplit_once('.').context("a token has three parts")?;
    let flipped: String = signature.chars().rev().collect();
    Ok(format!("{claims}.{flipped}"))
}
