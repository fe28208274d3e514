//! Notifications as their people see them: told live, listed, counted and read, and only their own.

use anyhow::{Context, Result, ensure};
use e2e::acts::{done, position, read, write};
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PATIENCE, Person};
use e2e::up::Up;
use events::Position;
use reqwest::Method;
use roundtable::client::{Event, Socket, key, new_id};
use serde_json::{Value, json};

async fn listed(by: &Person, url: &str, after: Position) -> Result<Value> {
    accepted(read(by, url, "/v1/notifications", after)?, 200).await
}

async fn unread(by: &Person, url: &str, after: Position) -> Result<Value> {
    let answer = accepted(read(by, url, "/v1/notifications/unread", after)?, 200).await?;
    Ok(answer["unread"].clone())
}

fn kinds(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item["about"]["kind"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What somebody without a socket is told, once it is as much as this.
async fn told(by: &Person, url: &str, many: usize) -> Result<Value> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let page = listed(by, url, Position::START).await?;
        if kinds(&page).len() >= many {
            return Ok(page);
        }
        ensure!(tokio::time::Instant::now() < end, "{} is told of {page}", by.name);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn raised(device: &mut Socket) -> Result<Event> {
    Ok(device.next_of("notification.raised", PATIENCE).await?)
}

#[tokio::test]
async fn a_notification_is_told_live_listed_counted_and_read_once() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let (ada, bob) = (&Person::new(url, "Ada").await?, &Person::new(url, "Bob").await?);
    let mut device = Socket::open(url, bob.token(), None).await?;
    let mut other = Socket::open(url, bob.token(), None).await?;
    let mut adas = Socket::open(url, ada.token(), None).await?;

    ada.session.ask_for_friendship(bob.user()).await?;
    let event = raised(&mut device).await?;
    ensure!(raised(&mut other).await?.position == event.position, "every device is told");
    ensure!(event.data("user") == &json!(bob.user()), "{event:?}");
    let about = json!({ "kind": "friend_request", "from": ada.user() });
    ensure!(event.data("about") == &about, "{event:?}");
    let id = event.data("notification").as_str().context("an id")?.to_owned();

    let page = listed(bob, url, event.position).await?;
    ensure!(page["unread"] == 1 && page["next"].is_null(), "{page}");
    let item = &page["items"][0];
    ensure!(item["id"] == json!(id) && item["about"] == about, "{page}");
    ensure!(item["read_at"].is_null() && item["cause"] == *event.data("cause"), "{page}");
    ensure!(unread(bob, url, event.position).await? == 1, "one is unread");
    ensure!(kinds(&listed(ada, url, event.position).await?).is_empty(), "it is not Ada's");

    // It is Bob's alone, and there is no other.
    let path = format!("/v1/notifications/{id}/read");
    refused(write(ada, url, Method::PUT, &path, None)?, 404, "no-such-notification").await?;
    let nothing = format!("/v1/notifications/{}/read", new_id());
    refused(write(bob, url, Method::PUT, &nothing, None)?, 404, "no-such-notification").await?;
    let nonsense = bob.request(url, Method::PUT, "/v1/notifications/one/read")?;
    ensure!(nonsense.send().await?.status().is_client_error(), "no id");

    let once = key().to_string();
    let has_read =
        || anyhow::Ok(bob.request(url, Method::PUT, &path)?.header("Idempotency-Key", &once));
    let first = accepted(has_read()?, 202).await?;
    ensure!(accepted(has_read()?, 202).await? == first, "the same key is the same reading");
    let at = position(&first)?;
    ensure!(position(&accepted(write(bob, url, Method::PUT, &path, None)?, 202).await?)? == at);
    let page = listed(bob, url, at).await?;
    ensure!(page["unread"] == 0 && page["items"][0]["read_at"].is_string(), "{page}");
    let heard = other.next_of("notification.read", PATIENCE).await?;
    ensure!(heard.position == at && heard.data("notification") == &json!(id), "{heard:?}");

    // The answer is told to whoever asked; what Ada hears of first is her own.
    bob.session.accept_friendship(ada.user()).await?;
    let event = raised(&mut adas).await?;
    let about = json!({ "kind": "friend_accepted", "by": bob.user() });
    ensure!(event.data("about") == &about && event.data("user") == &json!(ada.user()));
    let fields = json!({ "notification": event.data("notification") });
    let at = position(&adas.command("notification.read", fields).await?)?;
    ensure!(unread(ada, url, at).await? == 0);
    up.end().await
}

#[tokio::test]
async fn all_are_read_at_once_and_those_to_come_are_not() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let bob = &Person::new(url, "Bob").await?;
    for name in ["Ada", "Cleo", "Dora"] {
        Person::new(url, name).await?.session.ask_for_friendship(bob.user()).await?;
    }
    let page = told(bob, url, 3).await?;
    ensure!(page["unread"] == 3, "{page}");
    // The pages, by key.
    let first =
        accepted(read(bob, url, "/v1/notifications?limit=2", Position::START)?, 200).await?;
    let next = first["next"].as_str().context("a second page")?;
    let rest = format!("/v1/notifications?limit=2&before_position={next}");
    let rest = accepted(read(bob, url, &rest, Position::START)?, 200).await?;
    let items = |page: &Value| page["items"].as_array().cloned().unwrap_or_default();
    let both: Vec<Value> = [items(&first), items(&rest)].concat();
    ensure!(both == items(&page) && rest["next"].is_null(), "{first} {rest}");

    // Up to the second: the newest stays unread.
    let second = json!({ "upto": page["items"][1]["position"] });
    let once = key().to_string();
    let some = || {
        let request = bob.request(url, Method::PUT, "/v1/notifications/read")?;
        anyhow::Ok(request.header("Idempotency-Key", &once).json(&second))
    };
    let answer = accepted(some()?, 202).await?;
    ensure!(accepted(some()?, 202).await? == answer, "the same key is the same reading");
    let at = position(&answer)?;
    let page = listed(bob, url, at).await?;
    ensure!(page["unread"] == 1 && page["items"][0]["read_at"].is_null(), "{page}");

    let all = |upto: Value| {
        let body = Some(json!({ "upto": upto }));
        write(bob, url, Method::PUT, "/v1/notifications/read", body)
    };
    refused(all(json!("18446744073709551615"))?, 422, "invalid").await?;
    for wrong in [json!("x"), json!(-1), json!(null)] {
        ensure!(all(wrong)?.send().await?.status() == 422);
    }
    let newest = page["items"][0]["position"].clone();
    let socket = Socket::open(url, bob.token(), None).await?;
    let read = socket.command("notification.read_all", json!({ "upto": newest })).await?;
    ensure!(unread(bob, url, position(&read)?).await? == 0);
    // What comes later is unread.
    let eve = Person::new(url, "Eve").await?;
    eve.session.ask_for_friendship(bob.user()).await?;
    let page = told(bob, url, 4).await?;
    ensure!(page["unread"] == 1 && page["items"][0]["about"]["from"] == json!(eve.user()));
    up.end().await
}

#[tokio::test]
async fn who_is_mentioned_added_or_written_to_is_told_and_nobody_of_whom_they_block() -> Result<()>
{
    let up = Up::start().await?;
    let url = up.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    let bob = &Person::new(url, "Bob").await?;
    let cleo = &Person::new(url, "Cleo").await?;
    let group = ada.session.open_group("Maths", &[bob.user(), cleo.user()]).await?;
    for one in [bob, cleo] {
        let page = told(one, url, 1).await?;
        let about = json!({ "kind": "added_to_group", "conversation": group.id, "by": ada.user() });
        ensure!(page["items"][0]["about"] == about, "{page}");
    }
    let blocks = format!("/v1/blocks/{}", ada.user());
    done(cleo, url, Method::PUT, &blocks, None).await?;

    let say = async |by: &Person, text: &str, mentions: &[&Person]| {
        let mentions: Vec<_> = mentions.iter().map(|person| person.user()).collect();
        let path = format!("/v1/conversations/{}/messages", group.id);
        let body = Some(json!({ "text": text, "mentions": mentions }));
        accepted(write(by, url, Method::POST, &path, body)?, 201).await
    };
    // Ada mentions herself too, which is nothing to be told of.
    let sent = say(ada, "Bob and Cleo, look", &[bob, cleo, ada]).await?;
    let page = told(bob, url, 2).await?;
    let about = json!({
        "kind": "mention", "message": sent["id"], "conversation": group.id, "from": ada.user(),
    });
    ensure!(page["items"][0]["about"] == about, "{page}");
    // What is not a mention in a group tells nobody anything.
    say(ada, "Anybody?", &[]).await?;
    say(bob, "Cleo?", &[cleo]).await?;
    let page = told(cleo, url, 2).await?;
    ensure!(kinds(&page) == ["mention", "added_to_group"], "{page}");
    ensure!(page["items"][0]["about"]["from"] == json!(bob.user()), "nothing of Ada: {page}");

    // A direct message to somebody who is not there.
    ada.session.ask_for_friendship(bob.user()).await?;
    told(bob, url, 3).await?;
    bob.session.accept_friendship(ada.user()).await?;
    let open = Some(json!({ "kind": "direct", "with": bob.user() }));
    let open = write(ada, url, Method::POST, "/v1/conversations", open)?;
    let direct = accepted(open, 201).await?["id"].clone();
    let path = format!("/v1/conversations/{}/messages", direct.as_str().context("an id")?);
    let body = Some(json!({ "text": "Nobody but you" }));
    let sent = accepted(write(ada, url, Method::POST, &path, body)?, 201).await?;
    let page = told(bob, url, 4).await?;
    let about = json!({
        "kind": "message", "message": sent["id"], "conversation": direct, "from": ada.user(),
    });
    ensure!(page["items"][0]["about"] == about, "{page}");
    ensure!(!page.to_string().contains("Nobody but you"), "no words are in it");
    ensure!(kinds(&told(ada, url, 1).await?) == ["friend_accepted"], "Ada wrote it herself");
    up.end().await
}

#[tokio::test]
async fn a_browser_subscribes_once_and_its_keys_are_shown_to_nobody() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    let mut device = Raw::open(url, ada.token()).await?;
    let path = "/v1/push-subscriptions";
    let server = ada.request(url, Method::GET, &format!("{path}/key"))?;
    let server = accepted(server, 200).await?;
    ensure!(server["key"].as_str().is_some_and(|key| key.len() == 87), "{server}");

    let (p256dh, auth) = (server["key"].as_str().context("a key")?, "BTBZMqHH6r4Tts7J_aSIgg");
    let body = |endpoint: &str, auth: &str| {
        Some(json!({ "endpoint": endpoint, "keys": { "p256dh": p256dh, "auth": auth } }))
    };
    let endpoint = "https://push.example.org/a-secret-address";
    for wrong in [
        body("http://push.example.org/a", auth),
        body("https://", auth),
        body(endpoint, "short"),
        body(&format!("https://x/{}", "a".repeat(3000)), auth),
    ] {
        refused(write(ada, url, Method::PUT, path, wrong)?, 422, "invalid-subscription").await?;
    }
    let once = accepted(write(ada, url, Method::PUT, path, body(endpoint, auth))?, 201).await?;
    let again = accepted(write(ada, url, Method::PUT, path, body(endpoint, auth))?, 201).await?;
    ensure!(once == again, "the same browser is the same subscription: {once} {again}");
    let id = once["id"].as_str().context("an id")?;
    let gone = format!("{path}/{id}");
    let first = done(ada, url, Method::DELETE, &gone, None).await?;
    ensure!(done(ada, url, Method::DELETE, &gone, None).await? == first, "it is gone already");
    loop {
        let frame = device.frame().await?;
        let text = frame.to_string();
        ensure!(!text.contains("a-secret-address") && !text.contains(auth), "{frame}");
        if frame["type"] == "user.push_unsubscribed" {
            return up.end().await;
        }
    }
}
