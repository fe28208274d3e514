//! The platform's moderators: who appoints them, whom they suspend, and what they do about reports.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use e2e::operator::grant;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused, refused_with};
use e2e::talk::{Group, PASSWORD, PATIENCE, Person};
use e2e::up::Up;
use events::Position;
use futures::future::join;
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Error, key};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn the_operator_makes_the_first_admin_and_admins_appoint_the_others() -> Result<()> {
    let up = Up::start().await?;
    let [ada, bob, cleo] = three(&up).await?;
    refused(role(&up, &ada, &ada, "admin")?, 403, "admins-only").await?;
    let me: Value = ada.session.read("/v1/users/me", Some(ada.session.tokens().position)).await?;
    let handle = me["handle"].as_str().context("a handle")?;
    let printed = grant(&up.data(), &format!("@{}", handle.to_uppercase()), "admin").await?;
    ensure!(printed.contains("now"), "{printed}");
    let printed = grant(&up.data(), handle, "admin").await?;
    ensure!(printed.contains("already"), "{printed}");
    ensure!(grant(&up.data(), "nobody_at_all", "admin").await.is_err());
    ensure!(grant(&up.data(), &Uuid::nil().to_string(), "admin").await.is_err());

    let done = accepted(role(&up, &ada, &bob, "moderator")?, 202).await?;
    let standing: Value = bob.session.read("/v1/users/me/standing", Some(position(&done)?)).await?;
    ensure!(standing["role"] == "moderator" && standing["suspended_at"].is_null(), "{standing}");
    refused(role(&up, &bob, &cleo, "moderator")?, 403, "admins-only").await?;
    refused(role(&up, &cleo, &cleo, "moderator")?, 403, "admins-only").await?;
    refused(role(&up, &ada, &ada, "user")?, 409, "last-admin").await?;
    refused(role(&up, &ada, &ada, "king")?, 422, "wrong-shape").await?;

    // Of two admins who dismiss each other, or themselves, at the same moment, one stays.
    accepted(role(&up, &ada, &bob, "admin")?, 202).await?;
    for round in 0..6 {
        let (mine, yours) = if round % 2 == 0 { (&bob, &ada) } else { (&ada, &bob) };
        let (one, other) =
            join(role(&up, &ada, mine, "user")?.send(), role(&up, &bob, yours, "user")?.send())
                .await;
        let told = [one?, other?].map(|answer| answer.status().as_u16());
        let done = told.iter().filter(|status| **status == 202).count();
        ensure!(done == 1, "{round}: {told:?}");
        let (kept, gone) = if is_admin(&up, &ada).await? { (&ada, &bob) } else { (&bob, &ada) };
        ensure!(is_admin(&up, kept).await?, "{round}: nobody is an admin");
        accepted(role(&up, kept, gone, "admin")?, 202).await?;
    }
    up.end().await
}

/// Whether somebody may appoint: giving Eve the role she has changes nothing.
async fn is_admin(up: &Up, who: &Person) -> Result<bool> {
    let nothing = role(up, who, who, "admin")?.send().await?;
    Ok(nothing.status().is_success())
}

#[tokio::test]
async fn who_is_suspended_neither_reads_nor_writes_nor_listens_until_reinstated() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Mia"]).await?;
    let [ada, bob, mia] = std::array::from_fn(|index| &group.people[index]);
    grant(&up.data(), &mia.user().to_string(), "moderator").await?;
    for wrong in
        [json!({ "reason": " " }), json!({ "reason": "x", "until": "2020-01-01T00:00:00Z" })]
    {
        refused_with(suspend(&up, mia, bob, &wrong)?, 422).await?;
    }
    let body = json!({ "reason": "Spam again" });
    refused(suspend(&up, ada, bob, &body)?, 403, "moderators-only").await?;
    refused(suspend(&up, mia, mia, &body)?, 403, "not-below").await?;
    let nobody = format!("/v1/users/{}/suspension", key());
    let nobody = write(&up, mia, Method::PUT, &nobody, Some(&body))?;
    refused(nobody, 404, "no-such-user").await?;

    let mut socket = Raw::open(&up.url, bob.token()).await?;
    let done = accepted(suspend(&up, mia, bob, &body)?, 202).await?;
    let end = socket.end().await?;
    let bye = end.bye.context("a bye")?;
    ensure!(bye["code"] == "suspended" && bye["resume"] == json!(false), "{bye}");

    let at = position(&done)?;
    is_shut_out(&up, &group, bob, at).await?;
    let standing = format!("/v1/users/{}/standing", bob.user());
    let seen: Value = mia.session.read(&standing, Some(at)).await?;
    ensure!(seen["reason"] == "Spam again" && seen["suspended_until"].is_null(), "{seen}");
    ensure!(seen["suspended_by"] == json!(mia.user()), "{seen}");
    let listed: Value = mia.session.read("/v1/suspensions", Some(at)).await?;
    ensure!(listed["items"][0]["user_id"] == json!(bob.user()), "{listed}");
    for path in [&standing, "/v1/suspensions", "/v1/reports"] {
        refused(ada.request(&up.url, Method::GET, path)?, 403, "moderators-only").await?;
    }

    let path = format!("/v1/users/{}/suspension", bob.user());
    refused(write(&up, ada, Method::DELETE, &path, None)?, 403, "moderators-only").await?;
    let done = accepted(write(&up, mia, Method::DELETE, &path, None)?, 202).await?;
    bob.session.send(group.conversation, "I am back").await?;
    bob.session.socket(None).await?;
    bob.session.client().log_in(&bob.email, PASSWORD).await?;
    let seen: Value = bob.session.read("/v1/users/me/standing", Some(position(&done)?)).await?;
    ensure!(seen["suspended_at"].is_null() && seen["reason"].is_null(), "{seen}");

    // A suspension that ends is over by itself, and not before.
    let until = e2e::now() + TimeDelta::seconds(5);
    accepted(suspend(&up, mia, bob, &json!({ "reason": "Enough", "until": until }))?, 202).await?;
    let begun = Instant::now();
    loop {
        let answer = bob.request(&up.url, Method::GET, "/v1/users/me")?.send().await?;
        match answer.status().as_u16() {
            200 => break,
            403 => ensure!(begun.elapsed() < PATIENCE, "it does not end"),
            other => anyhow::bail!("{other}"),
        }
    }
    ensure!(e2e::now() >= until, "it ended too early");
    bob.session.socket(None).await?;
    up.end().await
}

/// Nothing that a client can ask for is answered otherwise.
async fn is_shut_out(up: &Up, group: &Group, bob: &Person, at: Position) -> Result<()> {
    let conversation = format!("/v1/conversations/{}", group.conversation);
    let messages = format!("{conversation}/messages");
    let hello = json!({ "text": "hello" });
    for (method, path, body) in [
        (Method::GET, "/v1/users/me", None),
        (Method::GET, "/v1/users/me/standing", None),
        (Method::GET, "/v1/conversations", None),
        (Method::GET, &messages, None),
        (Method::GET, "/v1/feed", None),
        (Method::POST, &messages, Some(&hello)),
        (Method::PATCH, "/v1/users/me", Some(&json!({ "bio": "x" }))),
        (Method::DELETE, "/v1/sessions/current", None),
    ] {
        let request = write(up, bob, method, path, body)?;
        let request = request.header("Roundtable-After", at.to_string());
        let problem = refused(request, 403, "suspended").await.with_context(|| path.to_owned())?;
        ensure!(problem["detail"] == "Spam again", "{problem}");
    }
    let (mut socket, _) = Raw::connect(&up.url).await?;
    socket.send(&json!({ "op": "auth", "token": bob.token() })).await?;
    let error = socket.frame().await?;
    ensure!(error["type"].as_str().is_some_and(|it| it.ends_with("/suspended")), "{error}");
    let bye = socket.end().await?.bye.context("a bye")?;
    ensure!(bye["code"] == "suspended", "{bye}");

    let client = bob.session.client();
    let log_in = |password: &str| {
        let body = json!({ "email": bob.email, "password": password });
        client.request(Method::POST, "/v1/sessions").json(&body)
    };
    refused(log_in(PASSWORD), 403, "suspended").await?;
    refused(log_in("another password"), 401, "wrong-credentials").await?;
    let token = json!({ "refresh_token": bob.session.tokens().refresh_token });
    let refresh = client.request(Method::POST, "/v1/sessions/refresh").json(&token);
    refused(refresh, 403, "suspended").await.map(drop)
}

#[tokio::test]
async fn a_report_waits_in_the_queue_until_one_moderator_has_decided() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Mia", "Max"]).await?;
    let [ada, bob, mia, max] = std::array::from_fn(|index| &group.people[index]);
    let eve = Person::new(&up.url, "Eve").await?;
    for moderator in [mia, max] {
        grant(&up.data(), &moderator.user().to_string(), "moderator").await?;
    }
    let (message, _) = group.say(1, "Buy this").await?;
    let about = json!({
        "kind": "message", "message": message, "conversation": group.conversation,
    });
    let (once, body) = (key(), json!({ "subject": about, "reason": "spam", "text": "Again" }));
    let report = || file(&up, ada, once, &body);
    let filed = accepted(report()?, 201).await?;
    ensure!(filed == accepted(report()?, 201).await?, "the same command files one report");
    let id = filed["id"].as_str().context("an id")?;

    let bare = |subject: Value, reason: &str| json!({ "subject": subject, "reason": reason });
    let of_ada = json!({ "kind": "user", "user": ada.user() });
    let of_group = json!({ "kind": "conversation", "conversation": group.conversation });
    let nobody = json!({ "kind": "user", "user": key() });
    for (who, body, status, slug) in [
        (&eve, bare(about.clone(), "spam"), 404, "no-such-subject"),
        (&eve, bare(of_group.clone(), "spam"), 404, "no-such-subject"),
        (&eve, bare(nobody, "spam"), 404, "no-such-user"),
        (ada, bare(of_ada.clone(), "spam"), 422, "oneself"),
        (bob, bare(of_ada.clone(), "other"), 422, "report-without-text"),
        (bob, bare(of_ada.clone(), "boredom"), 422, "wrong-shape"),
        (bob, bare(json!({ "kind": "planet" }), "spam"), 422, "wrong-shape"),
    ] {
        refused(file(&up, who, key(), &body)?, status, slug).await?;
    }
    for who in [ada, &eve] {
        let read = who.request(&up.url, Method::GET, &format!("/v1/reports/{id}"))?;
        refused(read, 403, "moderators-only").await?;
        let dismiss = json!({ "verdict": "dismissed" });
        refused(resolve(&up, who, id, &dismiss)?, 403, "moderators-only").await?;
    }

    // Another report comes behind it, and one page after the other shows both, the oldest first.
    let second = accepted(file(&up, bob, key(), &bare(of_ada, "harassment"))?, 201).await?;
    let at = position(&second)?;
    let page: Value = mia.session.read("/v1/reports?limit=1", Some(at)).await?;
    let item = &page["items"][0];
    ensure!(item["id"] == filed["id"] && item["quoted"] == "Buy this", "{page}");
    ensure!(item["user_id"] == json!(bob.user()) && item["verdict"].is_null(), "{page}");
    let next = page["next"].as_str().context("another page")?;
    let page: Value =
        mia.session.read(&format!("/v1/reports?limit=1&after_position={next}"), None).await?;
    ensure!(page["items"][0]["id"] == second["id"] && page["next"].is_null(), "{page}");

    verdicts_that_cannot_be(&up, mia, id, second["id"].as_str().context("an id")?).await?;
    // Of two moderators who decide at the same time one does, and only their verdict is done.
    let mut socket = ada.session.socket(None).await?;
    let remove = json!({ "verdict": "removed", "note": "Advertising" });
    let (one, other) =
        join(resolve(&up, mia, id, &remove)?.send(), resolve(&up, max, id, &remove)?.send()).await;
    let answers = [one?, other?];
    let mut told = [0; 2];
    let mut at = Position::START;
    for (status, answer) in told.iter_mut().zip(answers) {
        *status = answer.status().as_u16();
        let body: Value = answer.json().await?;
        at = at.max(position(&body).unwrap_or(Position::START));
    }
    told.sort_unstable();
    ensure!(told == [202, 409], "{told:?}");
    let deleted = socket.next_of("message.deleted", PATIENCE).await?;
    ensure!(deleted.data("message") == &json!(message), "{:?}", deleted.frame);
    let seen: Value = mia.session.read(&format!("/v1/reports/{id}"), Some(at)).await?;
    ensure!(seen["verdict"] == "removed" && seen["note"] == "Advertising", "{seen}");
    ensure!(seen["quoted"] == "Buy this", "what it said stays for the moderators: {seen}");
    let open: Value = mia.session.read("/v1/reports?state=open", Some(at)).await?;
    ensure!(open["items"].as_array().map(Vec::len) == Some(1), "{open}");
    let done: Value = mia.session.read("/v1/reports?state=resolved", Some(at)).await?;
    ensure!(done["items"][0]["id"] == filed["id"], "{done}");

    suspended_for_what_was_reported(&up, &group).await?;
    up.end().await
}

async fn verdicts_that_cannot_be(up: &Up, mia: &Person, message: &str, user: &str) -> Result<()> {
    for (id, body, status, slug) in [
        (user, json!({ "verdict": "removed" }), 422, "verdict-does-not-fit"),
        (message, json!({ "verdict": "suspended" }), 422, "invalid"),
        (message, json!({ "verdict": "warned", "reason": "x" }), 422, "invalid"),
        (message, json!({ "verdict": "guilty" }), 422, "wrong-shape"),
        (message, json!({ "verdict": "suspended", "reason": " " }), 422, "invalid-reason"),
    ] {
        refused(resolve(up, mia, id, &body)?, status, slug).await?;
    }
    let unknown = key().to_string();
    let dismiss = json!({ "verdict": "dismissed" });
    refused(resolve(up, mia, &unknown, &dismiss)?, 404, "no-such-report").await.map(drop)
}

/// The socket gives the same commands, and a suspension is told to its person.
async fn suspended_for_what_was_reported(up: &Up, group: &Group) -> Result<()> {
    let [ada, bob, mia] = std::array::from_fn(|index| &group.people[index]);
    let (message, _) = group.say(1, "Buy that").await?;
    let socket = ada.session.socket(None).await?;
    let subject = json!({
        "kind": "message", "message": message, "conversation": group.conversation,
    });
    let fields = json!({ "subject": subject, "reason": "spam" });
    let filed = socket.command("report.file", fields).await?;
    let socket = mia.session.socket(None).await?;
    let fields = json!({
        "report": filed["report"], "verdict": "suspended", "reason": "Spam", "note": "Third time",
    });
    let once = key();
    let done = socket.command_with_key(once, "report.resolve", fields.clone()).await?;
    let again = socket.command_with_key(once, "report.resolve", fields).await?;
    ensure!(done["position"] == again["position"], "{again} instead of {done}");
    refused(bob.request(&up.url, Method::GET, "/v1/users/me")?, 403, "suspended").await?;
    let fields = json!({ "report": filed["report"], "verdict": "dismissed" });
    let Err(Error::Problem(refusal)) = socket.command("report.resolve", fields).await else {
        anyhow::bail!("it was resolved already");
    };
    ensure!(refusal.slug() == "report-resolved", "{refusal}");
    let back = socket.command("user.reinstate", json!({ "user": bob.user() })).await?;
    let at = Some(position(&back)?);
    let _: Value = bob.session.read("/v1/users/me", at).await?;
    Ok(())
}

async fn three(up: &Up) -> Result<[Person; 3]> {
    let person = async |name| Person::new(&up.url, name).await;
    Ok([person("Ada").await?, person("Bob").await?, person("Cleo").await?])
}

fn write(
    up: &Up,
    who: &Person,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<RequestBuilder> {
    write_with_key(up, who, key(), method, path, body)
}

fn write_with_key(
    up: &Up,
    who: &Person,
    key: Uuid,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<RequestBuilder> {
    let request = who.request(&up.url, method, path)?;
    let request = request.header("Idempotency-Key", key.to_string());
    Ok(match body {
        Some(body) => request.json(body),
        None => request,
    })
}

fn role(up: &Up, by: &Person, user: &Person, role: &str) -> Result<RequestBuilder> {
    let path = format!("/v1/users/{}/role", user.user());
    write(up, by, Method::PUT, &path, Some(&json!({ "role": role })))
}

fn suspend(up: &Up, by: &Person, user: &Person, body: &Value) -> Result<RequestBuilder> {
    write(up, by, Method::PUT, &format!("/v1/users/{}/suspension", user.user()), Some(body))
}

fn file(up: &Up, by: &Person, key: Uuid, body: &Value) -> Result<RequestBuilder> {
    write_with_key(up, by, key, Method::POST, "/v1/reports", Some(body))
}

fn resolve(up: &Up, by: &Person, report: &str, body: &Value) -> Result<RequestBuilder> {
    write(up, by, Method::PUT, &format!("/v1/reports/{report}/resolution"), Some(body))
}

fn position(answer: &Value) -> Result<Position> {
    serde_json::from_value(answer["position"].clone()).with_context(|| answer.to_string())
}
