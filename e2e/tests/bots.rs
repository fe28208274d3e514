//! API tokens as programs use them, and as those do who should not have them; and the examples of `docs/`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use e2e::acts::{done, position, read, write};
use e2e::cluster::Cluster;
use e2e::operator::run;
use e2e::raw::Raw;
use e2e::receiver::Receiver;
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::Up;
use events::Position;
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Client, Error, Socket, key, new_id};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
const PYTHON: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../clients/bots/bin/python");

/// A token that was made.
struct Token {
    id: String,
    token: String,
    position: Position,
}

impl Token {
    async fn make(by: &Person, url: &str, scopes: &[&str]) -> Result<Self> {
        Self::with(by, url, json!({ "name": "bot", "scopes": scopes })).await
    }

    async fn with(by: &Person, url: &str, body: Value) -> Result<Self> {
        let request = write(by, url, Method::POST, "/v1/api-tokens", Some(body))?;
        let made = accepted(request, 201).await?;
        let text = |field: &str| made[field].as_str().map(str::to_owned).context(made.to_string());
        Ok(Self { id: text("id")?, token: text("token")?, position: position(&made)? })
    }

    /// A request by it.
    fn asks(&self, url: &str, method: Method, path: &str) -> Result<RequestBuilder> {
        let request = Client::new(url)?.request(method, path).bearer_auth(&self.token);
        Ok(request.header("Idempotency-Key", key().to_string()))
    }

    async fn revoke(&self, by: &Person, url: &str) -> Result<Position> {
        let path = format!("/v1/api-tokens/{}", self.id);
        done(by, url, Method::DELETE, &path, None).await
    }
}

fn slug(error: &Error) -> String {
    match error {
        Error::Problem(refusal) => refusal.slug().to_owned(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn a_token_acts_as_its_owner_as_far_as_its_scopes_go() -> Result<()> {
    let up = Up::alone().await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];

    let once = key().to_string();
    let body = json!({ "name": "Weather", "scopes": ["messages:write", "messages:read"] });
    let make = || {
        let request = ada.request(url, Method::POST, "/v1/api-tokens")?;
        anyhow::Ok(request.header("Idempotency-Key", &once).json(&body))
    };
    let made = accepted(make()?, 201).await?;
    ensure!(accepted(make()?, 201).await? == made, "the same request again is the same token");
    let text = made["token"].as_str().context("a token")?.to_owned();
    ensure!(text.starts_with("rtk_") && text.len() == 84, "{text}");
    let id = made["id"].as_str().context("an id")?.to_owned();
    let token = Token { id, token: text, position: position(&made)? };

    let messages = format!("/v1/conversations/{}/messages", group.conversation);
    let say = json!({ "text": "It rains" });
    let sent = accepted(token.asks(url, Method::POST, &messages)?.json(&say), 201).await?;
    let at = sent["position"].as_str().context("a place")?.to_owned();
    let log = ["events", "list", "--scan", "--type", "message.sent", "--from", &at, "--json"];
    let listed = run(&up.data(), &log).await?;
    let found = listed
        .lines()
        .map(serde_json::from_str::<Value>)
        .find_map(|line| line.ok().filter(|event| event["position"] == json!(at)));
    ensure!(found.context("in the log")?["token"] == json!(token.id), "{listed}");
    let path = format!("{messages}?after={at}");
    let seen = accepted(token.asks(url, Method::GET, &path)?, 200).await?;
    ensure!(seen["items"][0]["text"] == "It rains", "{seen}");
    ensure!(
        seen["items"][0]["sender_id"] == json!(ada.user())
            || seen.to_string().contains(&ada.user().to_string()),
        "{seen}"
    );

    for (method, path, scope) in [
        (Method::GET, "/v1/friends".to_owned(), "friends:read"),
        (Method::GET, "/v1/users/me".to_owned(), "profile:read"),
        (Method::GET, "/v1/feed".to_owned(), "events:read"),
        (Method::GET, format!("/v1/conversations/{}", group.conversation), "conversations:read"),
        (Method::POST, "/v1/conversations".to_owned(), "conversations:write"),
        (Method::GET, "/v1/reports".to_owned(), "moderation"),
    ] {
        let problem = refused(token.asks(url, method, &path)?, 403, "missing-scope").await?;
        ensure!(problem["scope"] == scope, "{path}: {problem}");
    }

    // Who reads conversations reads no messages by that: neither the newest one nor what is pinned.
    let conversation = format!("/v1/conversations/{}", group.conversation);
    let [blind, seeing] = [&["conversations:read"][..], &["conversations:read", "messages:read"]];
    let (blind, seeing) =
        (Token::make(ada, url, blind).await?, Token::make(ada, url, seeing).await?);
    let list = format!("/v1/conversations?after={at}");
    let now = format!("{conversation}?after={at}");
    for path in [list, now, format!("{conversation}?as_of={at}&after={at}")] {
        let shown = accepted(blind.asks(url, Method::GET, &path)?, 200).await?.to_string();
        ensure!(shown.contains(r#""last_message":{"#) && !shown.contains("It rains"), "{shown}");
        let shown = accepted(seeing.asks(url, Method::GET, &path)?, 200).await?.to_string();
        ensure!(shown.contains("It rains"), "{path}: {shown}");
    }
    let pins = format!("{conversation}/pins");
    refused(blind.asks(url, Method::GET, &pins)?, 403, "missing-scope").await?;
    accepted(seeing.asks(url, Method::GET, &pins)?, 200).await?;
    let revoked = blind.revoke(ada, url).await?.max(seeing.revoke(ada, url).await?);

    // It is listed without its secret, and shows on which day it was used.
    let end = tokio::time::Instant::now() + PATIENCE;
    let listed = loop {
        let listed = accepted(read(ada, url, "/v1/api-tokens", revoked)?, 200).await?;
        if listed["items"][0]["last_used_on"].is_string() {
            break listed;
        }
        ensure!(tokio::time::Instant::now() < end, "{listed}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let item = &listed["items"][0];
    ensure!(item["id"] == json!(token.id) && item["name"] == "Weather", "{listed}");
    ensure!(item["scopes"] == json!(["messages:read", "messages:write"]), "{listed}");
    ensure!(!listed.to_string().contains(&token.token[36..76]), "{listed}");
    let bobs = read(&group.people[1], url, "/v1/api-tokens", token.position)?;
    ensure!(accepted(bobs, 200).await?["items"] == json!([]), "it is Ada's alone");

    let at = token.revoke(ada, url).await?;
    refused(token.asks(url, Method::GET, &messages)?, 401, "token-invalid").await?;
    ensure!(token.revoke(ada, url).await? == at, "what is revoked stays revoked");
    let listed = accepted(read(ada, url, "/v1/api-tokens", at)?, 200).await?;
    ensure!(listed["items"] == json!([]), "{listed}");
    up.end().await
}

#[tokio::test]
async fn a_token_never_gives_itself_more_and_nobody_makes_one_up() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let (ada, eve) = (&Person::new(url, "Ada").await?, &Person::new(url, "Eve").await?);
    let every: Vec<&str> = events::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let token = Token::make(ada, url, &every).await?;
    for (method, path) in [
        (Method::POST, "/v1/api-tokens".to_owned()),
        (Method::GET, "/v1/api-tokens".to_owned()),
        (Method::DELETE, format!("/v1/api-tokens/{}", token.id)),
        (Method::GET, "/v1/sessions".to_owned()),
        (Method::DELETE, "/v1/sessions".to_owned()),
        (Method::DELETE, "/v1/sessions/current".to_owned()),
        (Method::PUT, "/v1/users/me/password".to_owned()),
        (Method::PUT, format!("/v1/users/{}/role", eve.user())),
        (Method::PUT, "/v1/push-subscriptions".to_owned()),
    ] {
        refused(token.asks(url, method, &path)?, 403, "person-only").await?;
    }
    let socket = Socket::open(url, &token.token, None).await?;
    let body = json!({ "name": "more", "scopes": ["admin"] });
    for (name, body) in [
        ("token.make", body),
        ("token.revoke", json!({ "token": token.id })),
        ("session.revoke_others", json!({})),
        ("session.close", json!({})),
        ("user.change_password", json!({ "old_password": "a", "new_password": "b" })),
    ] {
        let refused = socket.command(name, body).await.err().context(name)?;
        ensure!(slug(&refused) == "person-only", "{name}: {refused}");
    }

    // In a cookie it is none, nor does it refresh anything.
    let client = Client::new(url)?;
    let cookie = format!("roundtable_access={}; roundtable_refresh={}", token.token, token.token);
    let asked = client.request(Method::GET, "/v1/users/me").header("Cookie", &cookie);
    refused(asked, 401, "token-invalid").await?;
    let refresh = client.request(Method::POST, "/v1/sessions/refresh").header("Cookie", &cookie);
    let refresh = refresh.header("Idempotency-Key", key().to_string());
    let refresh = refresh.header("Roundtable-CSRF", "1");
    ensure!(refresh.send().await?.status().is_client_error(), "it refreshes nothing");

    // Nobody makes one up, and nobody's but one's own is revoked.
    let me = "/v1/users/me";
    let mut forged = token.token.clone();
    let other = if forged.ends_with('0') { "1" } else { "0" };
    forged.replace_range(83.., other);
    let upper = token.token.to_uppercase().replacen("RTK", "rtk", 1);
    for wrong in [forged.as_str(), "rtk_", "rtk_x", &upper, &token.token[..83]] {
        let asked = client.request(Method::GET, me).bearer_auth(wrong);
        refused(asked, 401, "token-invalid").await?;
    }
    let path = format!("/v1/api-tokens/{}", token.id);
    refused(write(eve, url, Method::DELETE, &path, None)?, 404, "no-such-token").await?;
    let nothing = format!("/v1/api-tokens/{}", new_id());
    refused(write(ada, url, Method::DELETE, &nothing, None)?, 404, "no-such-token").await?;
    // A log-in is no token.
    let login = format!("/v1/api-tokens/{}", ada.session.tokens().login_id);
    refused(write(ada, url, Method::DELETE, &login, None)?, 404, "no-such-token").await?;
    accepted(token.asks(url, Method::GET, me)?, 200).await?;

    for (body, kind) in [
        (json!({ "name": " ", "scopes": ["presence"] }), "invalid-name"),
        (json!({ "name": "a".repeat(101), "scopes": ["presence"] }), "invalid-name"),
        (json!({ "name": "a", "scopes": [] }), "no-scope"),
        (json!({ "name": "a", "scopes": ["everything"] }), "wrong-shape"),
        (json!({ "name": "a", "scopes": ["presence"], "user": eve.user() }), "wrong-shape"),
        (
            json!({ "name": "a", "scopes": ["presence"], "expires": "2020-01-01T00:00:00Z" }),
            "invalid-expiry",
        ),
    ] {
        let request = write(ada, url, Method::POST, "/v1/api-tokens", Some(body))?;
        refused(request, 422, kind).await?;
    }
    up.end().await
}

#[tokio::test]
async fn a_socket_by_a_token_hears_what_its_scopes_allow_and_is_nobodys_presence() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let [ada, bob] = &group.people[..] else { unreachable!("two people") };

    let deaf = Token::make(ada, url, &["messages:write"]).await?;
    let (mut raw, _) = Raw::connect(url).await?;
    raw.send(&json!({ "op": "auth", "token": deaf.token })).await?;
    let error = raw.frame().await?;
    ensure!(error["op"] == "error" && error["scope"] == "events:read", "{error}");
    let end = raw.end().await?;
    ensure!(end.bye.is_some_and(|bye| bye["resume"] == false), "it need not come again");
    // A header is judged as the frame is.
    let upgrade = Client::new(url)?.request(Method::GET, "/v1/gateway");
    let upgrade = upgrade
        .bearer_auth(&deaf.token)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let problem = refused(upgrade, 403, "missing-scope").await?;
    ensure!(problem["scope"] == "events:read", "{problem}");

    let listens = Token::make(ada, url, &["events:read", "messages:write"]).await?;
    let mut socket = Socket::open(url, &listens.token, None).await?;
    group.say(1, "Hello, bot").await?;
    let heard = socket.next_of("message.sent", PATIENCE).await?;
    ensure!(heard.data("text") == "Hello, bot", "{heard:?}");
    let body = json!({ "conversation": group.conversation, "text": "Hello, Bob" });
    socket.command("message.send", body).await?;
    let refused = socket.command("friendship.request", json!({ "to": bob.user() })).await;
    let Err(Error::Problem(refusal)) = refused else { anyhow::bail!("{refused:?}") };
    ensure!(refusal.slug() == "missing-scope" && refusal.detail.contains("friends:write"));

    // Nobody is online by what listens for them, unless it may say so.
    let path = format!("/v1/presence?users={}", ada.user());
    let online = async || -> Result<bool> {
        let told = accepted(read(bob, url, &path, Position::START)?, 200).await?;
        Ok(told["items"][0]["online"] == true)
    };
    ensure!(!online().await?, "a bot is not its owner");
    let (mut raw, _) = Raw::connect(url).await?;
    raw.send(&json!({ "op": "auth", "token": listens.token })).await?;
    raw.until("ready").await?;
    raw.send(&json!({ "op": "presence", "state": "online" })).await?;
    let error = raw.until("error").await?;
    ensure!(error["scope"] == "presence", "{error}");
    let there = Token::make(ada, url, &["events:read", "presence"]).await?;
    let present = Socket::open(url, &there.token, None).await?;
    let end = tokio::time::Instant::now() + PATIENCE;
    while !online().await? {
        ensure!(tokio::time::Instant::now() < end, "a token that may be there is there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    present.close().await;

    // Its end is the end of its sockets; others live on.
    let mut other = Socket::open(url, ada.token(), None).await?;
    listens.revoke(ada, url).await?;
    let bye = raw.end().await?.bye.context("a bye")?;
    ensure!(bye["code"] == "login-ended" && bye["resume"] == false, "{bye}");
    other.next_of("login.closed", PATIENCE).await?;
    group.say(1, "Still there?").await?;
    other.next_of("message.sent", PATIENCE).await?;
    up.end().await
}

#[tokio::test]
async fn a_token_expires_by_itself_and_takes_its_sockets_along() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    let expires = e2e::now() + TimeDelta::seconds(10);
    let body = json!({ "name": "short", "scopes": ["events:read"], "expires": expires });
    let token = Token::with(ada, url, body).await?;
    let mut raw = Raw::open(url, &token.token).await?;
    let bye = raw.end().await?.bye.context("a bye")?;
    ensure!(bye["code"] == "login-ended", "{bye}");
    ensure!(e2e::now() >= expires - TimeDelta::milliseconds(500), "not before");
    refused(token.asks(url, Method::GET, "/v1/feed")?, 401, "token-expired").await?;
    up.end().await
}

#[tokio::test]
async fn a_token_has_a_limit_of_its_own_and_is_revoked_on_all_nodes_at_once() -> Result<()> {
    let cluster = Cluster::with(&[("ROUNDTABLE_LIMITS", "all=off,token=5/h")]).await?;
    let url = cluster.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    let token = Token::make(ada, url, &["friends:read"]).await?;
    let other = Token::make(ada, url, &["friends:read", "events:read"]).await?;
    let nodes: Vec<&str> = cluster.query_apis.iter().map(|node| node.url.as_str()).collect();
    for number in 0..5 {
        accepted(token.asks(nodes[number % 2], Method::GET, "/v1/friends")?, 200).await?;
    }
    for node in &nodes {
        refused(token.asks(node, Method::GET, "/v1/friends")?, 429, "rate-limited").await?;
        // Neither its owner nor their other tokens are held up by it.
        accepted(other.asks(node, Method::GET, "/v1/friends")?, 200).await?;
        accepted(ada.request(node, Method::GET, "/v1/friends")?, 200).await?;
    }
    let mut sockets = vec![];
    for node in &cluster.command_apis {
        sockets.push(Raw::open(&node.url, &other.token).await?);
    }
    other.revoke(ada, url).await?;
    for socket in &mut sockets {
        let bye = socket.end().await?.bye.context("a bye")?;
        ensure!(bye["code"] == "login-ended", "{bye}");
    }
    for node in &nodes {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = other.asks(node, Method::GET, "/v1/friends")?.send().await?;
            if answer.status() == 401 {
                break;
            }
            ensure!(tokio::time::Instant::now() < end, "{}", answer.status());
        }
    }
    cluster.stop().await;
    Ok(())
}

/// An example of the documentation that runs.
struct Example {
    _child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut child = Command::new(PYTHON)
            .arg(format!("{EXAMPLES}/{name}"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{PYTHON}: `make test` installs it"))?;
        let said = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        Ok(Self { _child: child, said })
    }

    /// The next line that begins like this.
    async fn says(&mut self, beginning: &str) -> Result<String> {
        let mut before = vec![];
        loop {
            let next = tokio::time::timeout(PATIENCE, self.said.next_line()).await;
            let next = next.with_context(|| format!("no `{beginning}`, but {before:?}"))??;
            match next.with_context(|| format!("it ended after {before:?}"))? {
                line if line.starts_with(beginning) => return Ok(line),
                line => before.push(line),
            }
        }
    }
}

#[tokio::test]
async fn the_bot_of_the_documentation_answers_and_goes_on_where_it_was() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Bot", "Bob"]).await?;
    let token = Token::make(&group.people[0], url, &["events:read", "messages:write"]).await?;
    let folder = tempfile::tempdir()?;
    let remembered = folder.path().join("position").to_string_lossy().into_owned();
    let environment = [
        ("ROUNDTABLE_URL", url),
        ("ROUNDTABLE_TOKEN", token.token.as_str()),
        ("ECHO_BOT_POSITION", remembered.as_str()),
    ];
    let mut device = Socket::open(url, group.people[1].token(), None).await?;
    let answered = async |device: &mut Socket, wanted: &str| {
        loop {
            let event = device.next_of("message.sent", PATIENCE).await?;
            if event.frame["by"] == json!(group.people[0].user()) {
                ensure!(event.data("text") == wanted, "{event:?}");
                return Ok(());
            }
        }
    };
    let mut bot = Example::start("echo_bot.py", &[], &environment)?;
    bot.says("ready").await?;
    group.say(1, "nothing for a bot").await?;
    group.say(1, "!echo hello").await?;
    answered(&mut device, "hello").await?;
    bot.says("result").await?;
    drop(bot);
    // What was asked while it was away is answered, and what was answered is not answered again.
    group.say(1, "!echo are you back?").await?;
    let mut bot = Example::start("echo_bot.py", &[], &environment)?;
    bot.says("result").await?;
    answered(&mut device, "are you back?").await?;
    up.end().await
}

#[tokio::test]
async fn the_receiver_of_the_documentation_believes_what_is_signed() -> Result<()> {
    let settings = [("ROUNDTABLE_WEBHOOK_PRIVATE", "true"), ("ROUNDTABLE_WEBHOOK_RETRY_MS", "50")];
    let up = Up::with(&settings).await?;
    let url = up.url.as_str();
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    // Its address has to be known before its secret is, and the other way round.
    let nobody = Receiver::start().await?;
    let body = json!({ "conversation": group.conversation, "url": nobody.url });
    let made = write(ada, url, Method::POST, "/v1/webhooks", Some(body))?;
    let made = accepted(made, 201).await?;
    let secret = made["secret"].as_str().context("a secret")?;
    let environment = [("WEBHOOK_SECRET", secret)];
    let mut receiver = Example::start("webhook_receiver.py", &["0"], &environment)?;
    let listening = receiver.says("listening").await?;
    let port = listening.rsplit(' ').next().context("a port")?;
    let here = format!("http://127.0.0.1:{port}/");
    let path = format!("/v1/webhooks/{}", made["id"].as_str().context("an id")?);
    done(ada, url, Method::PATCH, &path, Some(json!({ "url": here }))).await?;
    let (_, sent) = group.say(1, "Hello").await?;
    let printed: Value = serde_json::from_str(&receiver.says("{").await?)?;
    ensure!(printed == json!({ "type": "message.sent", "position": sent }), "{printed}");
    let forged = reqwest::Client::new()
        .post(&here)
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", e2e::now().timestamp())
        .header("webhook-signature", "v1,bm90IGEgc2lnbmF0dXJl")
        .body(r#"{"type":"message.sent","position":"1"}"#);
    ensure!(forged.send().await?.status() == 401);
    up.end().await
}
