//! Somebody with a valid token tries every route and every command on what is not theirs.
//!
//! What there is to try comes from the documents of the running system, so that a new route cannot
//! escape. Everything private carries a mark that must never come out; and what two people see of
//! all that is theirs must be the same before and after.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use e2e::files::uploaded;
use e2e::refusal::accepted;
use e2e::routes::{Documents, Named, Route, Values};
use e2e::talk::{Group, PASSWORD, PATIENCE, Person};
use e2e::up::Up;
use events::{FileId, Position, ReportId, StudySessionId};
use reqwest::Method;
use roundtable::client::{Created, Error, Socket, key, new_id};
use serde_json::{Value, json};

/// Stands in everything that only Ada and Bob may see.
const MARK: &str = "onlyforadaandbob";

/// Routes that need no token: for them Eve is as good as anybody.
const PUBLIC: &[(&str, &str)] = &[
    ("POST", "/v1/users"),
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/refresh"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/v1/avatars/presets"),
    ("GET", "/v1/avatars/presets/{file}"),
    // The first frame of the socket carries the ticket.
    ("GET", "/v1/sfu"),
    // Whoever knows the URL of a session of WHIP or WHEP, which is given to its owner only.
    ("PATCH", "/v1/whip/{call}/{session}"),
    ("DELETE", "/v1/whip/{call}/{session}"),
    ("PATCH", "/v1/whep/{call}/{session}"),
    ("DELETE", "/v1/whep/{call}/{session}"),
];

/// Two people, what they have, and one who is after it.
struct Stage {
    up: Up,
    documents: Documents,
    ada: Person,
    eve: Person,
    /// Names what is Ada's and Bob's.
    theirs: Named,
    /// Everything of it stands in the log up to here.
    made: Position,
    /// Bob sits in a study session, and stays there.
    _bob: Socket,
}

impl Stage {
    async fn new() -> Result<Self> {
        let up = Up::start().await?;
        let documents = Documents::of(&up.url).await?;
        let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
        let eve = Person::new(&up.url, "Eve").await?;
        let (ada, bob) = (group.people[0].clone(), &group.people[1]);
        ada.session.ask_for_friendship(bob.user()).await?;
        bob.session.accept_friendship(ada.user()).await?;
        let direct = ada.session.open_direct(bob.user()).await?;
        ada.session.send(direct.id, &format!("{MARK} in private")).await?;
        let (message, _) = group.say(0, &format!("{MARK} in the group")).await?;
        let (user, conversation) = (bob.user().to_string(), group.conversation.to_string());
        let here = bob.session.socket(None).await?;
        let belongings =
            Belongings::made(&up.url, &ada, bob, &conversation, &json!(message)).await?;
        let (_, made) = group.say(1, &format!("{MARK} at last")).await?;
        let notification = notification(bob).await?;
        let Belongings { file, study, element, report, invite, login, call, token, webhook } =
            belongings;
        let parameters = BTreeMap::from([
            (("presets", "file"), "fox.svg".to_owned()),
            (("blocks", "user"), user.clone()),
            (("users", "id"), user.clone()),
            (("friend-requests", "user"), user.clone()),
            (("friends", "user"), user.clone()),
            (("conversations", "id"), conversation.clone()),
            (("members", "user"), user.clone()),
            (("bans", "user"), user.clone()),
            (("invites", "invite"), invite.clone()),
            // Whoever has the code may come in; Eve has to guess it.
            (("invites", "code"), "A".repeat(43)),
            (("messages", "message"), message.to_string()),
            (("reactions", "emoji"), "%F0%9F%91%8D".to_owned()),
            (("pins", "message"), message.to_string()),
            (("files", "file"), file.clone()),
            (("thumbnails", "size"), "64".to_owned()),
            (("reports", "id"), report.clone()),
            (("sessions", "login"), login.clone()),
            (("notifications", "id"), notification.clone()),
            (("push-subscriptions", "id"), new_id().to_string()),
            (("study-sessions", "id"), study.clone()),
            (("participants", "user"), user.clone()),
            (("whiteboard", "element"), element.clone()),
            (("calls", "id"), call.clone()),
            (("recordings", "recording"), new_id().to_string()),
            (("api-tokens", "id"), token.clone()),
            (("webhooks", "id"), webhook.clone()),
            (("parked-events", "id"), new_id().to_string()),
            (("streams", "stream"), format!("conversation-{conversation}")),
            (("whip", "call"), call.clone()),
            (("whip", "session"), new_id().to_string()),
            (("whep", "call"), call.clone()),
            (("whep", "session"), new_id().to_string()),
        ]);
        let fields = BTreeMap::from([
            ("conversation", json!(conversation)),
            ("message", json!(message)),
            ("reply_to", json!(message)),
            ("thread", json!(message)),
            ("user", json!(user)),
            ("users", json!(user)),
            ("with", json!(user)),
            ("from", json!(user)),
            ("to", json!(user)),
            ("sender", json!(user)),
            ("members", json!([user])),
            ("mentions", json!([user])),
            ("kind", json!("read")),
            ("emoji", json!("\u{1f44d}")),
            ("file", json!(file)),
            ("attachments", json!([file])),
            ("session", json!(study)),
            ("element", json!(element)),
            ("call", json!(call)),
            ("recording", json!(new_id())),
            ("report", json!(report)),
            ("invite", json!(invite)),
            ("login", json!(login)),
            ("notification", json!(notification)),
            ("token", json!(token)),
            ("webhook", json!(webhook)),
            ("q", json!(MARK)),
            ("of", json!(format!("message:{message}"))),
            ("held", json!({ "conversation": conversation })),
            ("event", json!(new_id())),
        ]);
        let theirs = Named { parameters, fields };
        Ok(Self { up, documents, ada, eve, theirs, made, _bob: here })
    }

    /// A request of somebody on a route, for each body that it takes.
    async fn ask(&self, who: &Person, route: &Route) -> Result<Vec<(u16, String)>> {
        let path = self.documents.path(route, &self.theirs)?;
        let mut bodies: Vec<Option<Value>> =
            self.documents.bodies(route, &self.theirs)?.into_iter().map(Some).collect();
        if bodies.is_empty() {
            bodies.push(None);
        }
        let mut answers = vec![];
        for body in bodies {
            let mut request = who.request(&self.up.url, route.method.clone(), &path)?;
            if route.method != Method::GET {
                request = request.header("Idempotency-Key", key().to_string());
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.send().await?;
            answers.push((answer.status().as_u16(), answer.text().await?));
        }
        Ok(answers)
    }

    /// All that somebody can read of what is Ada's and Bob's, at a position or later.
    async fn seen_by(&self, who: &Person, after: Position) -> Result<BTreeMap<String, Value>> {
        let mut seen = BTreeMap::new();
        for route in self.documents.routes()? {
            if route.method == Method::GET && !is_public(&route) {
                let path = self.documents.path(&route, &self.theirs)?;
                let request = who.request(&self.up.url, Method::GET, &path)?;
                let request = request.header("Roundtable-After", after.to_string());
                let body = request.send().await?.text().await?;
                seen.insert(path, serde_json::from_str(&body).unwrap_or(Value::String(body)));
            }
        }
        Ok(seen)
    }
}

fn is_public(route: &Route) -> bool {
    PUBLIC.contains(&(route.method.as_str(), route.path.as_str()))
}

/// What belongs to Ada and Bob, besides what they say.
struct Belongings {
    file: String,
    study: String,
    element: String,
    report: String,
    invite: String,
    login: String,
    call: String,
    token: String,
    webhook: String,
}

impl Belongings {
    async fn made(
        url: &str,
        ada: &Person,
        bob: &Person,
        conversation: &str,
        message: &Value,
    ) -> Result<Self> {
        let id = conversation.parse().context("an id")?;
        let file: Created<FileId> =
            uploaded(url, ada, id, &format!("{MARK}.txt"), MARK.as_bytes()).await?;
        // With room for these two only: a study session is open to whoever finds a seat.
        let plan = json!({
            "title": "Bernoulli numbers", "subject": "Maths", "capacity": 2,
            "starts": e2e::now() + TimeDelta::minutes(5),
        });
        let study: Created<StudySessionId> =
            ada.session.write(Method::POST, "/v1/study-sessions", Some(&plan)).await?;
        let path = |rest: &str| format!("/v1/study-sessions/{}{rest}", study.id);
        let _: Value = bob.session.write(Method::POST, &path("/join"), None).await?;
        let element = new_id().to_string();
        let drawn = json!({ "shape": json!({ "text": MARK }).to_string() });
        let place = path(&format!("/whiteboard/{element}"));
        let _: Value = bob.session.write(Method::PUT, &place, Some(&drawn)).await?;
        let filed = json!({
            "subject": { "kind": "message", "message": message, "conversation": conversation },
            "reason": "spam", "text": MARK,
        });
        let report: Created<ReportId> =
            bob.session.write(Method::POST, "/v1/reports", Some(&filed)).await?;
        let invites = format!("/v1/conversations/{conversation}/invites");
        let invite: Value = ada.session.write(Method::POST, &invites, Some(&json!({}))).await?;
        let react = format!("/v1/conversations/{conversation}/messages/{}", text(message)?);
        let react = format!("{react}/reactions/%F0%9F%91%8D");
        let _: Value = bob.session.write(Method::PUT, &react, None).await?;
        let pin = format!("/v1/conversations/{conversation}/pins/{}", text(message)?);
        let _: Value = ada.session.write(Method::PUT, &pin, None).await?;
        // Bob's socket stays open, so that the call goes on while Eve is at it.
        let calls = json!({ "conversation": conversation, "media": "video", "ring": [] });
        let call: Value = bob.session.write(Method::POST, "/v1/calls", Some(&calls)).await?;
        let token = json!({ "name": MARK, "scopes": ["messages:read"] });
        let token: Value = ada.session.write(Method::POST, "/v1/api-tokens", Some(&token)).await?;
        let hook =
            json!({ "conversation": conversation, "url": format!("https://{MARK}.invalid/") });
        let hook: Value = ada.session.write(Method::POST, "/v1/webhooks", Some(&hook)).await?;
        Ok(Self {
            file: file.id.to_string(),
            study: study.id.to_string(),
            element,
            report: report.id.to_string(),
            invite: text(&invite["id"])?,
            login: ada.session.tokens().login_id.to_string(),
            call: text(&call["id"])?,
            token: text(&token["id"])?,
            webhook: text(&hook["id"])?,
        })
    }
}

/// What somebody was told first; it comes a moment after its cause.
async fn notification(who: &Person) -> Result<String> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told: Value = who.session.read("/v1/notifications", None).await?;
        if let Some(id) = told["items"][0]["id"].as_str() {
            return Ok(id.to_owned());
        }
        ensure!(tokio::time::Instant::now() < deadline, "nothing was told: {told}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} is no text"))
}

/// What may differ although Eve did nothing wrong: where the feed ends, whom she is recommended to,
/// the study sessions that she offers to everybody, the version of presence, which is the time, and
/// what Ada is told, which comes a moment after its cause, and how far her webhook was told.
fn is_theirs(path: &str) -> bool {
    let everybodys = [
        "/v1/feed",
        "/v1/presence",
        "/v1/notifications",
        "/v1/notifications/unread",
        "/v1/users/recommended",
        "/v1/study-sessions",
    ];
    let path = path.split('?').next().unwrap_or_default();
    !everybodys.contains(&path) && !path.starts_with("/v1/webhooks")
}

#[tokio::test]
async fn nobody_reads_or_changes_what_is_not_theirs_on_any_route() -> Result<()> {
    let stage = Stage::new().await?;
    let before = stage.seen_by(&stage.ada, stage.made).await?;
    ensure!(before.values().any(|value| value.to_string().contains(MARK)), "nothing is private");
    for route in stage.documents.routes()? {
        let what = format!("{} {}", route.method, route.path);
        if is_public(&route) {
            continue;
        }
        // With a log-in for each route: some of them end it.
        let mut eve = stage.eve.clone();
        eve.session = eve.session.client().log_in(&eve.email, PASSWORD).await?;
        for (status, body) in stage.ask(&eve, &route).await.context(what.clone())? {
            ensure!(!body.contains(MARK), "{what} told Eve what is private: {status} {body}");
            ensure!(status < 500, "{what} failed for Eve: {status} {body}");
            ensure!(status != 401, "{what} does not know Eve's token: {body}");
        }
    }
    unchanged(&stage, &before).await
}

#[tokio::test]
async fn nobody_changes_what_is_not_theirs_by_any_command() -> Result<()> {
    let stage = Stage::new().await?;
    let before = stage.seen_by(&stage.ada, stage.made).await?;
    for command in stage.documents.commands()? {
        // Each on a socket of its own: some end it.
        let eve = Person::new(&stage.up.url, "Eve").await?;
        let socket = Socket::open(&stage.up.url, eve.token(), None).await?;
        let fields = stage.documents.fields(&command, &stage.theirs)?;
        match socket.command(&command.name, fields).await {
            Ok(_) => {}
            Err(Error::Problem(refusal)) => {
                let name = &command.name;
                ensure!((400..500).contains(&refusal.status), "{name}: {refusal}");
            }
            Err(other) => return Err(other).context(command.name),
        }
    }
    unchanged(&stage, &before).await
}

#[tokio::test]
async fn without_a_token_no_route_says_anything() -> Result<()> {
    let stage = Stage::new().await?;
    for route in stage.documents.routes()? {
        if is_public(&route) {
            continue;
        }
        let path = stage.documents.path(&route, &stage.theirs)?;
        let bodies = stage.documents.bodies(&route, &stage.theirs)?;
        let url = format!("{}{path}", stage.up.url);
        let request = reqwest::Client::new().request(route.method.clone(), url);
        let request = request.header("Idempotency-Key", key().to_string());
        let request = match bodies.first() {
            Some(body) => request.json(body),
            None => request,
        };
        let status = request.send().await?.status().as_u16();
        ensure!(status == 401, "{} {} answers {status}", route.method, route.path);
    }
    stage.up.end().await
}

/// Ada sees all that is hers and Bob's as it was.
async fn unchanged(stage: &Stage, before: &BTreeMap<String, Value>) -> Result<()> {
    // A write of her own: what it is shown after shows everything before it.
    let me = stage.ada.request(&stage.up.url, Method::PATCH, "/v1/users/me")?;
    let me = me.header("Idempotency-Key", key().to_string()).json(&json!({ "name": "Ada" }));
    let last = serde_json::from_value(accepted(me, 202).await?["position"].clone())?;
    let after = stage.seen_by(&stage.ada, last).await?;
    for (path, was) in before.iter().filter(|(path, _)| is_theirs(path)) {
        let is = &after[path];
        ensure!(settled(was) == settled(is), "{path} was {was} and is {is}");
    }
    Ok(())
}

/// Without what Ada's own write has moved: her profile, and how far a page has read.
fn settled(value: &Value) -> Value {
    let mut value = value.clone();
    if (value["name"].is_string() || value["items"].is_array())
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("position");
        fields.remove("name");
    }
    value
}

#[test]
fn what_stands_for_a_parameter_is_found_by_what_is_before_it() {
    let parameters = BTreeMap::from([(("users", "id"), "1".to_owned())]);
    let named = Named { parameters, ..Named::default() };
    assert_eq!(named.parameter("users", "id").as_deref(), Some("1"));
    assert_eq!(named.parameter("files", "id"), None);
}
