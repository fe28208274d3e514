//! Webhooks as their receivers see them: signed, in order, again until they are taken, and never to who
//! should not get them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::acts::{done, read, write};
use e2e::operator;
use e2e::process::program;
use e2e::receiver::{Answer, Delivery, Receiver, verify};
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::Up;
use events::Position;
use reqwest::Method;
use roundtable::client::{Socket, key, new_id};
use serde_json::{Value, json};

/// Receivers are on loopback, and impatient.
const SETTINGS: &[(&str, &str)] =
    &[("ROUNDTABLE_WEBHOOK_PRIVATE", "true"), ("ROUNDTABLE_WEBHOOK_RETRY_MS", "50")];

/// A webhook that was made.
struct Hook {
    id: String,
    secret: String,
}

async fn make(by: &Person, url: &str, body: Value) -> Result<Hook> {
    let made = accepted(write(by, url, Method::POST, "/v1/webhooks", Some(body))?, 201).await?;
    let text = |field: &str| made[field].as_str().map(str::to_owned).context(made.to_string());
    Ok(Hook { id: text("id")?, secret: text("secret")? })
}

/// A webhook of a group's messages.
async fn of_messages(group: &Group, url: &str, receiver: &Receiver) -> Result<Hook> {
    let body = json!({
        "conversation": group.conversation, "url": receiver.url, "types": ["message.*"],
    });
    make(&group.people[0], url, body).await
}

/// A webhook as its owner sees it, once it is as wanted.
async fn seen(by: &Person, url: &str, id: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let path = format!("/v1/webhooks/{id}");
        let answer = read(by, url, &path, Position::START)?.send().await?;
        let hook: Value = answer.json().await?;
        if wanted(&hook) {
            return Ok(hook);
        }
        ensure!(tokio::time::Instant::now() < end, "{hook}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn texts(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(Delivery::text).collect()
}

#[tokio::test]
async fn what_happens_is_delivered_signed_and_in_order() -> Result<()> {
    let up = Up::with(SETTINGS).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let other = group.people[1].session.open_group("Elsewhere", &[]).await?.id;
    let ada = &group.people[0];
    let receiver = Receiver::start().await?;
    group.say(1, "before").await?;

    let once = key().to_string();
    let body = json!({
        "conversation": group.conversation, "url": receiver.url, "types": ["message.*"],
    });
    let create = || {
        let request = ada.request(url, Method::POST, "/v1/webhooks");
        anyhow::Ok(request?.header("Idempotency-Key", &once).json(&body))
    };
    let made = accepted(create()?, 201).await?;
    ensure!(accepted(create()?, 201).await? == made, "the same request again is the same webhook");
    let (id, secret) = (made["id"].as_str().context("id")?, made["secret"].as_str().context("s")?);

    for number in 0..20 {
        group.say(1, &format!("number {number}")).await?;
        group.people[1].session.send(other, "not yours").await?;
    }
    let test = format!("/v1/webhooks/{id}/test");
    let at = done(ada, url, Method::POST, &test, None).await?;
    let deliveries = receiver.wait(21).await?;
    let wanted: Vec<_> = (0..20).map(|number| format!("number {number}")).collect();
    ensure!(texts(&deliveries[..20]) == wanted, "{:?}", texts(&deliveries));
    ensure!(deliveries[20].kind() == "webhook.tested", "{:?}", deliveries[20]);

    // What is sent is what sockets and the feed are sent.
    let feed = accepted(read(ada, url, "/v1/feed?limit=100", at)?, 200).await?;
    for delivery in &deliveries {
        let same = feed["items"].as_array().is_some_and(|items| items.contains(&delivery.event));
        ensure!(same, "{}", delivery.body);
        let id = delivery.event["id"].as_str().context("an event has an id")?.replace('-', "");
        ensure!(delivery.id() == format!("msg_{id}"), "{:?}", delivery.headers);
    }
    let verdicts = verify(secret, &deliveries).await?;
    ensure!(verdicts.len() == 21 && verdicts.iter().all(|it| it == "good"), "{verdicts:?}");
    let mut forged = deliveries[0].clone();
    forged.body = forged.body.replace("number 0", "number 9");
    let verdicts = verify(secret, &[forged]).await?;
    ensure!(verdicts[0].starts_with("bad"), "{verdicts:?}");

    let hook = seen(ada, url, id, |hook| hook["delivered_to"].is_string()).await?;
    ensure!(hook["url"] == receiver.url && hook["enabled"] == true, "{hook}");
    ensure!(!hook.to_string().contains("whsec_"), "the secret is told once: {hook}");
    let path = format!("/v1/webhooks/{id}/deliveries?limit=5");
    let page = accepted(read(ada, url, &path, at)?, 200).await?;
    let newest = &page["items"][0];
    ensure!(newest["status"] == 204 && newest["delivered"] == true, "{page}");
    ensure!(newest["attempt"] == 1 && page["next"].is_number(), "{page}");
    up.end().await
}

#[tokio::test]
async fn webhooks_are_made_by_who_runs_a_conversation_and_belong_to_their_owner() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = &group.people[..] else { unreachable!("three people") };
    let eve = &Person::new(url, "Eve").await?;
    let role = format!("/v1/conversations/{}/members/{}/role", group.conversation, cleo.user());
    done(ada, url, Method::PUT, &role, Some(json!({ "role": "admin" }))).await?;
    ada.session.ask_for_friendship(bob.user()).await?;
    bob.session.accept_friendship(ada.user()).await?;
    let direct = ada.session.open_direct(bob.user()).await?.id;

    let post = |by: &Person, body: Value| write(by, url, Method::POST, "/v1/webhooks", Some(body));
    let body =
        |conversation: Value| json!({ "conversation": conversation, "url": "https://e.example/" });
    let here = body(json!(group.conversation));
    for (who, body) in [
        (bob, here.clone()),
        (eve, here.clone()),
        (ada, body(json!(direct))),
        (ada, body(json!(new_id()))),
        (ada, body(Value::Null)),
    ] {
        refused(post(who, body)?, 403, "webhook-not-allowed").await?;
    }
    for wrong in
        ["http://e.example/", "https://127.0.0.1/", "https://[::1]/x", "https://u:p@e.example", "x"]
    {
        let body = json!({ "conversation": group.conversation, "url": wrong });
        refused(post(ada, body)?, 422, "invalid-url").await?;
    }
    let types =
        json!({ "conversation": group.conversation, "url": "https://e.example/", "types": ["*"] });
    refused(post(ada, types)?, 422, "invalid-type").await?;

    let hook = make(ada, url, here).await?;
    let path = format!("/v1/webhooks/{}", hook.id);
    let change = Some(json!({ "url": "https://f.example/" }));
    for who in [bob, eve] {
        for (method, path, body) in [
            (Method::PATCH, path.clone(), change.clone()),
            (Method::DELETE, path.clone(), None),
            (Method::POST, format!("{path}/test"), None),
            (Method::POST, format!("{path}/secret"), Some(json!({}))),
            (Method::POST, format!("{path}/replay"), Some(json!({ "from": "0" }))),
        ] {
            refused(write(who, url, method, &path, body)?, 404, "no-such-webhook").await?;
        }
        refused(read(who, url, &path, group.opened)?, 404, "no-such-webhook").await?;
    }
    // Who runs the conversation as well sees it, but not where it goes, and may stop it.
    let seen = accepted(read(cleo, url, &path, group.opened)?, 200).await?;
    ensure!(seen["url"].is_null() && seen["owner"] == json!(ada.user()), "{seen}");
    refused(write(cleo, url, Method::PATCH, &path, change.clone())?, 403, "not-owner").await?;
    let secret = format!("{path}/secret");
    refused(write(cleo, url, Method::POST, &secret, Some(json!({})))?, 403, "not-owner").await?;
    let off = Some(json!({ "enabled": false }));
    let at = done(cleo, url, Method::PATCH, &path, off).await?;
    let seen = accepted(read(ada, url, &path, at)?, 200).await?;
    ensure!(seen["enabled"] == false && seen["disabled_reason"] == "asked", "{seen}");
    let test = format!("{path}/test");
    refused(write(ada, url, Method::POST, &test, None)?, 409, "webhook-disabled").await?;
    refused(write(ada, url, Method::PATCH, &path, Some(json!({})))?, 422, "invalid").await?;
    let at = done(cleo, url, Method::DELETE, &path, None).await?;
    refused(read(ada, url, &path, at)?, 404, "no-such-webhook").await?;
    up.end().await
}

#[tokio::test]
async fn private_addresses_are_reached_neither_by_name_nor_by_redirect() -> Result<()> {
    let up = Up::with(&[("ROUNDTABLE_WEBHOOK_RETRY_MS", "50")]).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let receiver = Receiver::start().await?;
    let port = receiver.url.rsplit(':').next().context("a port")?;
    let body = json!({
        "conversation": group.conversation, "url": format!("https://localhost:{port}"),
    });
    let hook = make(&group.people[0], url, body).await?;
    group.say(1, "secret").await?;
    let failing = |hook: &Value| hook["failing_since"].is_string();
    seen(&group.people[0], url, &hook.id, failing).await?;
    ensure!(receiver.deliveries().is_empty(), "nothing may come");
    up.end().await?;

    let up = Up::with(SETTINGS).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let (evil, inner) = (Receiver::start().await?, Receiver::start().await?);
    evil.answer(Answer::Status(307, format!("location: {}\r\n", inner.url)));
    let hook = of_messages(&group, url, &evil).await?;
    group.say(1, "secret").await?;
    evil.wait(3).await?;
    seen(&group.people[0], url, &hook.id, failing).await?;
    ensure!(inner.deliveries().is_empty(), "redirects are not followed");
    up.end().await
}

#[tokio::test]
async fn what_is_not_taken_comes_again_with_its_id_and_a_receiver_that_is_gone_disables()
-> Result<()> {
    let mut settings = SETTINGS.to_vec();
    settings.push(("ROUNDTABLE_WEBHOOK_GIVE_UP_SECONDS", "8"));
    let up = Up::with(&settings).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let mut device = Socket::open(url, ada.token(), None).await?;
    let receiver = Receiver::start().await?;
    receiver.answer(Answer::status(500));
    let hook = of_messages(&group, url, &receiver).await?;
    group.say(1, "one").await?;
    group.say(1, "two").await?;
    let tried = receiver.wait(3).await?;
    ensure!(tried.iter().all(|it| it.text() == "one" && it.id() == tried[0].id()), "{tried:?}");
    receiver.answer(Answer::HangUp);
    receiver.wait(4).await?;
    receiver.answer(Answer::status(200));
    let came = receiver.wait_for(|it| it.text() == "two").await?;
    ensure!(came.iter().filter(|it| it.text() == "two").count() == 1, "{:?}", texts(&came));
    let good = verify(&hook.secret, &came).await?;
    ensure!(good.iter().all(|it| it == "good"), "each attempt is signed anew: {good:?}");

    // As long as a receiver wants it.
    receiver.answer(Answer::Status(429, "retry-after: 1\r\n".to_owned()));
    group.say(1, "three").await?;
    let count = receiver.wait_for(|it| it.text() == "three").await?.len();
    receiver.answer(Answer::status(204));
    let came = receiver.wait(count + 1).await?;
    let rest = came[count].at - came[count - 1].at;
    ensure!(rest >= Duration::from_secs(1), "{rest:?}");

    // A receiver that is gone is not tried again; what is enabled goes on with the same event.
    receiver.answer(Answer::status(410));
    group.say(1, "four").await?;
    let told = device.next_of("webhook.disabled", PATIENCE).await?;
    ensure!(told.data("reason") == "gone" && told.data("webhook") == &json!(hook.id), "{told:?}");
    let count = receiver.deliveries().len();
    group.say(1, "five").await?;
    let path = format!("/v1/webhooks/{}", hook.id);
    let seen_disabled = accepted(read(ada, url, &path, told.position)?, 200).await?;
    ensure!(seen_disabled["disabled_reason"] == "gone", "{seen_disabled}");
    receiver.answer(Answer::status(204));
    let on = Some(json!({ "enabled": true }));
    done(ada, url, Method::PATCH, &path, on.clone()).await?;
    let came = receiver.wait(count + 2).await?;
    ensure!(texts(&came[count..]) == ["four", "five"], "{:?}", texts(&came));

    // One that fails for too long is given up; a change of the address is a reason to try at once.
    receiver.answer(Answer::status(503));
    group.say(1, "six").await?;
    let told = device.next_of("webhook.disabled", PATIENCE).await?;
    ensure!(told.data("reason") == "failing", "{told:?}");
    let other = Receiver::start().await?;
    let change = json!({ "url": other.url, "enabled": true });
    done(ada, url, Method::PATCH, &path, Some(change)).await?;
    ensure!(other.wait(1).await?[0].text() == "six");
    let all = accepted(read(ada, url, &format!("{path}/deliveries"), told.position)?, 200).await?;
    let reasons = all["items"].to_string();
    ensure!(reasons.contains("says 500") && reasons.contains("broke off"), "{all}");
    up.end().await
}

#[tokio::test]
async fn a_replay_tells_again_with_the_same_ids_but_not_what_was_deleted_since() -> Result<()> {
    let up = Up::with(SETTINGS).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let (first, _) = group.say(1, "shameful").await?;
    let receiver = Receiver::start().await?;
    let hook = of_messages(&group, url, &receiver).await?;
    for text in ["one", "two"] {
        group.say(1, text).await?;
    }
    let before = receiver.wait(2).await?;
    let path = format!("/v1/conversations/{}/messages/{first}", group.conversation);
    done(&group.people[1], url, Method::DELETE, &path, None).await?;
    receiver.wait(3).await?;

    let path = format!("/v1/webhooks/{}/replay", hook.id);
    let replay = |from: Value| write(ada, url, Method::POST, &path, Some(json!({ "from": from })));
    for wrong in ["1", "99999999999"] {
        refused(replay(json!(wrong))?, 422, "invalid").await?;
    }
    accepted(replay(json!(group.opened))?, 202).await?;
    let again = receiver.wait(7).await?;
    let told: Vec<_> = again[3..].iter().map(|it| (it.kind(), it.text())).collect();
    let wanted = [
        ("message.sent", ""),
        ("message.sent", "one"),
        ("message.sent", "two"),
        ("message.deleted", ""),
    ];
    ensure!(told == wanted, "{told:?}");
    ensure!(again.iter().all(|it| !it.body.contains("shameful")), "{again:?}");
    ensure!(again[4].id() == before[0].id() && again[4].body == before[0].body, "{again:?}");

    // The operator can do the same from a shell.
    let run = async |arguments: &[&str]| {
        let output = tokio::process::Command::new(program("roundtable")?)
            .args(["webhooks"])
            .args(arguments)
            .arg("--data")
            .arg(up.data())
            .envs(up.servers()?)
            .output()
            .await?;
        let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {wrong}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let from = group.opened.to_string();
    run(&["replay", &hook.id, "--from", &from, "--json"]).await?;
    receiver.wait(11).await?;
    let listed = run(&["list", "--json"]).await?;
    ensure!(listed.contains(&hook.id) && !listed.contains("http"), "{listed}");
    up.end().await
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one_for_a_while() -> Result<()> {
    let up = Up::with(SETTINGS).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let receiver = Receiver::start().await?;
    let hook = of_messages(&group, url, &receiver).await?;
    let path = format!("/v1/webhooks/{}/secret", hook.id);
    let rotate = |body| write(ada, url, Method::POST, &path, Some(body));
    refused(rotate(json!({ "overlap_hours": 1000 }))?, 422, "invalid").await?;
    let new = accepted(rotate(json!({}))?, 201).await?;
    let new = new["secret"].as_str().context("a secret")?.to_owned();
    ensure!(new != hook.secret && new.starts_with("whsec_"));
    group.say(1, "both").await?;
    let both = receiver.wait(1).await?;
    for secret in [&new, &hook.secret] {
        ensure!(verify(secret, &both).await? == ["good"]);
    }
    let newest = accepted(rotate(json!({ "overlap_hours": 0 }))?, 201).await?;
    group.say(1, "one").await?;
    let one = receiver.wait(2).await?;
    ensure!(verify(newest["secret"].as_str().context("s")?, &one[1..]).await? == ["good"]);
    for secret in [&new, &hook.secret] {
        ensure!(verify(secret, &one[1..]).await?[0].starts_with("bad"));
    }
    up.end().await
}

#[tokio::test]
async fn who_loses_the_right_to_see_is_told_nothing_any_more() -> Result<()> {
    let up = Up::with(SETTINGS).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = &group.people[..] else { unreachable!("three people") };
    let role = format!("/v1/conversations/{}/members/{}/role", group.conversation, bob.user());
    done(ada, url, Method::PUT, &role, Some(json!({ "role": "admin" }))).await?;
    let receiver = Receiver::start().await?;
    let body = json!({ "conversation": group.conversation, "url": receiver.url });
    let hook = make(bob, url, body).await?;
    cleo.session.send(group.conversation, "for admins").await?;
    receiver.wait_for(|it| it.text() == "for admins").await?;
    let mut device = Socket::open(url, bob.token(), None).await?;
    done(ada, url, Method::PUT, &role, Some(json!({ "role": "member" }))).await?;
    cleo.session.send(group.conversation, "not for Bob's receiver").await?;
    let told = device.next_of("webhook.disabled", PATIENCE).await?;
    ensure!(told.data("reason") == "rights_lost", "{told:?}");
    let came = receiver.deliveries();
    ensure!(came.iter().all(|it| !it.body.contains("not for Bob")), "{came:?}");

    // An admin of the platform is told of everything, as long as they are one.
    let everything = Receiver::start().await?;
    let body = json!({ "url": everything.url, "types": ["message.sent", "conversation.*"] });
    let post = write(cleo, url, Method::POST, "/v1/webhooks", Some(body.clone()))?;
    refused(post, 403, "webhook-not-allowed").await?;
    operator::grant(&up.data(), &cleo.user().to_string(), "admin").await?;
    make(cleo, url, body).await?;
    let elsewhere = ada.session.open_group("Elsewhere", &[]).await?.id;
    ada.session.send(elsewhere, "among ourselves").await?;
    everything.wait_for(|it| it.text() == "among ourselves").await?;
    let mut device = Socket::open(url, cleo.token(), None).await?;
    operator::grant(&up.data(), &ada.user().to_string(), "admin").await?;
    operator::grant(&up.data(), &cleo.user().to_string(), "user").await?;
    ada.session.send(elsewhere, "hush").await?;
    let told = device.next_of("webhook.disabled", PATIENCE).await?;
    ensure!(told.data("reason") == "rights_lost", "{told:?}");
    let came = everything.deliveries();
    ensure!(came.iter().all(|it| it.text() != "hush"), "{came:?}");
    drop(hook);
    up.end().await
}

#[tokio::test]
async fn a_slow_and_an_evil_receiver_hold_up_nobody_else() -> Result<()> {
    let up = Up::with(SETTINGS).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let (mute, endless, good) =
        (Receiver::start().await?, Receiver::start().await?, Receiver::start().await?);
    mute.answer(Answer::Never);
    endless.answer(Answer::Endless);
    let silent = of_messages(&group, url, &mute).await?;
    of_messages(&group, url, &endless).await?;
    of_messages(&group, url, &good).await?;
    for number in 0..10 {
        group.say(1, &number.to_string()).await?;
    }
    good.wait(10).await?;
    // The body of an answer is nobody's business: its status is success.
    endless.wait(10).await?;
    ensure!(mute.deliveries().len() == 1, "the mute one is still waited for");
    seen(ada, url, &silent.id, |hook| hook["failing_since"].is_string()).await?;
    let path = format!("/v1/webhooks/{}/deliveries", silent.id);
    let page = accepted(read(ada, url, &path, Position::START)?, 200).await?;
    let first = page["items"].as_array().and_then(|items| items.last()).context("an attempt")?;
    ensure!(
        first["status"].is_null() && first["reason"] == "the receiver takes too long",
        "{page}"
    );
    up.end().await
}
