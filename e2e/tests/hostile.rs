//! Somebody with a valid token tries every route and every command on what is not theirs.
//!
//! What there is to try comes from the documents of the running system, so that a new route cannot
//! escape. Everything private carries a mark that must never come out; and what two people see of
//! all that is theirs must be the same before and after.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::refusal::accepted;
use e2e::routes::{Documents, Named, Route, Values};
use e2e::talk::{Group, Person};
use e2e::up::Up;
use events::Position;
use reqwest::Method;
use roundtable::client::{Error, Socket, key};
use serde_json::{Value, json};

/// Stands in everything that only Ada and Bob may see.
const MARK: &str = "onlyforadaandbob";

/// Routes that need no token: for them Eve is as good as anybody.
const PUBLIC: &[(&str, &str)] = &[
    ("POST", "/v1/users"),
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/refresh"),
    ("GET", "/.well-known/jwks.json"),
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
        let (message, made) = group.say(0, &format!("{MARK} in the group")).await?;
        let (user, conversation) = (bob.user().to_string(), group.conversation.to_string());
        let parameters = BTreeMap::from([
            (("users", "id"), user.clone()),
            (("friend-requests", "user"), user.clone()),
            (("friends", "user"), user.clone()),
            (("conversations", "id"), conversation.clone()),
            (("members", "user"), user.clone()),
            (("bans", "user"), user.clone()),
        ]);
        let fields = BTreeMap::from([
            ("conversation", json!(conversation)),
            ("message", json!(message)),
            ("user", json!(user)),
            ("with", json!(user)),
            ("from", json!(user)),
            ("to", json!(user)),
            ("members", json!([user])),
            ("kind", json!("read")),
        ]);
        let theirs = Named { parameters, fields };
        Ok(Self { up, documents, ada, eve, theirs, made })
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

/// What may differ although Eve did nothing wrong: where the feed ends.
fn is_theirs(path: &str) -> bool {
    !path.starts_with("/v1/feed")
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
        for (status, body) in stage.ask(&stage.eve, &route).await.context(what.clone())? {
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

/// Without what Ada's own write has moved.
fn settled(value: &Value) -> Value {
    let mut value = value.clone();
    if value["name"].is_string()
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
