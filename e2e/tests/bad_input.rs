//! What is wrong in a request or a frame is refused precisely, and nothing else suffers.

use anyhow::{Context, Result, ensure};
use e2e::raw::Raw;
use e2e::refusal::{accepted, is_problem, refused, refused_with};
use e2e::talk::{Group, Person, sign_up};
use e2e::up::Up;
use events::MessageId;
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Client, key, new_id};
use serde_json::{Value, json};

#[tokio::test]
async fn a_wrong_body_is_refused_precisely_and_changes_nothing() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let path = format!("/v1/conversations/{}/messages", group.conversation);
    let send = |body: &str| -> Result<RequestBuilder> {
        let request = ada.request(&up.url, Method::POST, &path)?;
        let request = request.header("Idempotency-Key", key().to_string());
        Ok(request.header("Content-Type", "application/json").body(body.to_owned()))
    };

    refused(send("{\"text\": \"half")?, 400, "malformed").await?;
    refused(send("")?, 400, "malformed").await?;
    for (body, field) in [
        (r#"{"text": "x", "colour": "red"}"#, "colour"),
        // Who sends is said by the token, and by nothing else.
        (r#"{"text": "x", "sender_id": "0192f3a4-0000-7000-8000-000000000001"}"#, "sender_id"),
        (r#"{"text": 7}"#, "text"),
        (r#"{"text": "x", "id": "seven"}"#, "id"),
    ] {
        let problem = refused(send(body)?, 422, "wrong-shape").await.context(body)?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(field), "{body}: the field is not named: {problem}");
    }
    refused_with(send("[]")?, 422).await?;
    refused(send("{}")?, 422, "invalid-text").await?;
    refused_with(send(r#"{"text": "  "}"#)?, 422).await?;
    let oversize = json!({ "text": "x".repeat(70 * 1024) }).to_string();
    refused(send(&oversize)?, 413, "too-large").await?;
    let plain = ada.request(&up.url, Method::POST, &path)?.body("{\"text\": \"x\"}");
    let plain = plain.header("Idempotency-Key", key().to_string());
    refused_with(plain.header("Content-Type", "text/plain"), 415).await?;

    for (path, status, slug) in [
        ("/v1/conversations?limit=many", 400, "invalid-query"),
        ("/v1/conversations?after=noon", 400, "invalid-query"),
        ("/v1/conversations?colour=red", 400, "invalid-query"),
        ("/v1/conversations/seven", 400, "invalid-path"),
        ("/v1/nothing", 404, "not-found"),
    ] {
        refused(ada.request(&up.url, Method::GET, path)?, status, slug).await.context(path)?;
    }

    let (id, position) = group.say(0, "the only one").await?;
    let history = ada.session.messages(group.conversation, Some(position)).await?;
    let ids: Vec<_> = history.said().map(|message| message.id).collect();
    ensure!(ids == [id], "something that was refused is there: {ids:?}");
    up.end().await
}

#[tokio::test]
async fn a_sign_up_is_checked_and_its_answer_holds_no_secret() -> Result<()> {
    let up = Up::start().await?;
    let client = Client::new(&up.url)?;
    let who = sign_up("Ada");
    let post = |body: &Value| {
        let request = client.request(Method::POST, "/v1/users").json(body);
        request.header("Idempotency-Key", key().to_string())
    };
    let good = json!({
        "email": who.email, "handle": who.handle, "name": who.name, "password": who.password,
    });
    for (field, value) in [
        ("email", json!("no address")),
        ("email", json!(["a@example.org"])),
        ("handle", json!("with space")),
        ("handle", json!("")),
        ("name", json!(" ")),
        ("password", json!("short")),
        ("role", json!("admin")),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value.clone();
        refused_with(post(&wrong), 422).await.with_context(|| format!("{field}: {value}"))?;
    }
    let answer = accepted(post(&good), 201).await?;
    let mut fields: Vec<_> =
        answer.as_object().context("an object")?.keys().map(String::as_str).collect();
    fields.sort_unstable();
    ensure!(fields == ["id", "position"], "a sign-up answers with {fields:?}");

    let log_in = |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        let request = client.request(Method::POST, "/v1/sessions").json(&body);
        request.header("Idempotency-Key", key().to_string())
    };
    // A stranger and a wrong password are answered alike.
    let wrong = refused_with(log_in(&who.email, "wrong horse battery staple"), 401).await?;
    let nobody = refused_with(log_in("nobody@example.org", &who.password), 401).await?;
    ensure!(wrong == nobody, "{wrong} and {nobody} tell who has an account");

    let ada = client.log_in(&who.email, &who.password).await?;
    for path in ["/v1/users/me".to_owned(), "/v1/feed?after_position=0".to_owned()] {
        let seen: Value = ada.read(&path, Some(ada.tokens().position)).await?;
        let text = seen.to_string();
        ensure!(!text.contains("argon2") && !text.contains("hash"), "{path}: {text}");
        ensure!(!text.contains("digest"), "{path}: {text}");
    }
    up.end().await
}

#[tokio::test]
async fn an_idempotency_key_is_required_and_stands_for_one_request() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let path = format!("/v1/conversations/{}/messages", group.conversation);
    let send = |who: &Person, key: &str, text: &str| -> Result<RequestBuilder> {
        let request = who.request(&up.url, Method::POST, &path)?.json(&json!({ "text": text }));
        Ok(request.header("Idempotency-Key", key))
    };

    let without = ada.request(&up.url, Method::POST, &path)?.json(&json!({ "text": "x" }));
    refused(without, 400, "idempotency-key").await?;
    refused(send(ada, "seven", "x")?, 400, "idempotency-key").await?;

    let first_key = key().to_string();
    let first = accepted(send(ada, &first_key, "once")?, 201).await?;
    for _ in 0..2 {
        let again = accepted(send(ada, &first_key, "once")?, 201).await?;
        ensure!(again["id"] == first["id"] && again["position"] == first["position"], "{again}");
    }
    refused(send(ada, &first_key, "something else")?, 409, "key-reused").await?;
    // A key belongs to one person.
    let bobs = accepted(send(bob, &first_key, "once")?, 201).await?;
    ensure!(bobs["id"] != first["id"], "two people have one message");

    // On a socket the id of a command is its key; the same one over REST is the same request.
    let mut socket = Raw::open(&up.url, ada.token()).await?;
    let (id, message) = (key(), MessageId::new(new_id()));
    let command = json!({
        "op": "command", "id": id, "type": "message.send",
        "conversation": group.conversation, "message": message, "text": "live",
    });
    socket.send(&command).await?;
    let result = socket.until("result").await?;
    socket.send(&command).await?;
    let again = socket.until("result").await?;
    ensure!(result["position"] == again["position"], "{result}, and then {again}");
    let mut other = command.clone();
    other["text"] = json!("other");
    socket.send(&other).await?;
    let error = socket.until("error").await?;
    ensure!(error["status"] == 409 && error["id"] == json!(id), "{error}");

    let last = serde_json::from_value(result["position"].clone())?;
    let history = ada.session.messages(group.conversation, Some(last)).await?;
    let said = history.said().count();
    ensure!(said == 3, "{said} messages instead of 3");
    up.end().await
}

#[tokio::test]
async fn somebody_elses_conversation_does_not_exist() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let eve = Person::new(&up.url, "Eve").await?;
    let bob = group.people[1].user();
    let (message, position) = group.say(0, "between us").await?;

    let text = json!({ "text": "let me in" });
    let read = json!({ "kind": "read", "message": message });
    for id in [group.conversation.to_string(), new_id().to_string()] {
        let base = format!("/v1/conversations/{id}");
        let eve_user = eve.user();
        for (method, path, body) in [
            (Method::GET, base.clone(), None),
            (Method::GET, format!("{base}/messages"), None),
            (Method::POST, format!("{base}/messages"), Some(&text)),
            (Method::PUT, format!("{base}/receipts"), Some(&read)),
            (Method::PUT, format!("{base}/members/{eve_user}"), None),
            (Method::DELETE, format!("{base}/members/{bob}"), None),
            (Method::PUT, format!("{base}/bans/{bob}"), None),
            (Method::DELETE, format!("{base}/bans/{bob}"), None),
        ] {
            let mut request = eve.request(&up.url, method.clone(), &path)?;
            request = request.header("Idempotency-Key", key().to_string());
            request = request.header("Roundtable-After", position.to_string());
            if let Some(body) = body {
                request = request.json(body);
            }
            let refusal = refused(request, 404, "no-such-conversation").await;
            refusal.with_context(|| format!("{method} {path}"))?;
        }
    }

    let mut socket = Raw::open(&up.url, eve.token()).await?;
    let conversation = group.conversation;
    for (kind, mut fields) in [
        ("message.send", json!({ "text": "let me in" })),
        ("message.read", json!({ "message": message })),
        ("message.delivered", json!({ "message": message })),
        ("conversation.add_member", json!({ "user": eve.user() })),
        ("conversation.remove_member", json!({ "user": bob })),
        ("conversation.ban", json!({ "user": bob })),
    ] {
        fields["op"] = json!("command");
        fields["id"] = json!(key());
        fields["type"] = json!(kind);
        fields["conversation"] = json!(conversation);
        socket.send(&fields).await?;
        let error = socket.until("error").await.context(kind)?;
        is_problem(&error)?;
        ensure!(error["status"] == 404 && error["id"] == fields["id"], "{kind}: {error}");
    }
    // The first that she hears of it is that she came in.
    group.say(1, "still between us").await?;
    let path = format!("/v1/conversations/{conversation}/members/{}", eve.user());
    let _: Value = group.people[0].session.write(Method::PUT, &path, None).await?;
    let first = socket.frame_in_order().await?;
    ensure!(first["type"] == "conversation.member_added", "{first}");
    let (hello, _) = group.say(0, "welcome").await?;
    let second = socket.frame_in_order().await?;
    ensure!(second["data"]["message"] == json!(hello), "{second}");
    up.end().await
}
