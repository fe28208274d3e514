//! Erasure and legal holds: who is erased is gone from every store on the disk, and what is held is
//! kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use e2e::acts::{done, read, write};
use e2e::files::uploaded;
use e2e::operator::{grant, run, tried};
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PASSWORD, Person, sign_up};
use e2e::up::Up;
use events::Moment;
use reqwest::Method;
use roundtable::client::Client;
use serde_json::{Value, json};

/// What only Ada wrote. Nothing else in a stack says any of it.
const MARKS: [&str; 5] = ["zyxomma", "quillwort", "xerophage", "flibbertigibbet", "gobemouche"];

#[tokio::test]
async fn who_is_erased_is_gone_from_every_store_and_others_keep_what_is_theirs() -> Result<()> {
    let up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Mia"]).await?;
    let [ada, bob, mia] = std::array::from_fn(|index| &group.people[index]);
    grant(&up.data(), &mia.user().to_string(), "admin").await?;
    let at = writes_everywhere(&up, &group).await?;
    let token = programs(&up, &group).await?;
    let session = plans(&up.url, ada).await?;
    let theirs = group.say(1, "what Bob says stays").await?;
    let page = messages(&up, &group, bob, theirs.1.max(at)).await?;
    ensure!(page.to_string().contains(MARKS[0]), "{page}");
    // The search of this test finds what it looks for, before.
    let found = found_on_disk(&up.data(), &MARKS)?;
    let stands_in =
        |part: &str| found.iter().any(|(file, _)| file.to_string_lossy().contains(part));
    ensure!(stands_in("postgres") && stands_in("files"), "{found:?}");

    let mut socket = Raw::open(&up.url, ada.token()).await?;
    let mut bobs = Raw::open(&up.url, bob.token()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("certificate.json");
    let file = file.to_str().context("a path")?;
    let id = ada.user().to_string();
    let printed = run(&up.data(), &["erase", &id, "--yes", "--certificate", file]).await?;
    ensure!(printed.contains("is erased") && printed.contains("the key is destroyed"), "{printed}");

    // Their sockets end, the others are told, and nothing of it can be read or done any more.
    socket.end().await?;
    while bobs.until("event").await?["type"] != "user.erased" {}
    let me = write(ada, &up.url, Method::GET, "/v1/users/me", None)?;
    ensure!(me.send().await?.status() == 401, "the token is good for nothing");
    let me = Client::new(&up.url)?.request(Method::GET, "/v1/users/me").bearer_auth(token);
    refused(me, 401, "token-invalid").await?;
    let hooks = read(mia, &up.url, "/v1/webhooks", events::Position::START)?;
    ensure!(accepted(hooks, 200).await?["items"] == json!([]), "nobody has it");
    let session = accepted(read(bob, &up.url, &session, events::Position::START)?, 200).await?;
    ensure!(session["status"] == "cancelled" && session["title"].is_null(), "{session}");
    let after = group.say(1, "later").await?.1;
    let page = messages(&up, &group, bob, after).await?;
    ensure!(!page.to_string().contains(MARKS[0]), "{page}");
    ensure!(page.to_string().contains("what Bob says stays"), "{page}");
    // Nor in the past.
    let then = format!("/v1/conversations/{}/messages?as_of={at}", group.conversation);
    for path in ["/v1/feed?limit=100", &then] {
        let shown: Value = accepted(read(bob, &up.url, path, after)?, 200).await?;
        ensure!(MARKS.iter().all(|mark| !shown.to_string().contains(mark)), "{shown}");
        ensure!(shown.to_string().contains(&id), "{path} still says that it was Ada: {shown}");
    }

    // The certificate says so, to admins.
    let erasure = read(mia, &up.url, &format!("/v1/users/{id}/erasure"), after)?;
    let erasure = accepted(erasure, 200).await?;
    let written: Value = serde_json::from_slice(&fs::read(file)?)?;
    ensure!(written["certificate"] == erasure["certificate"], "{erasure}");
    let certificate: Value =
        serde_json::from_str(erasure["certificate"].as_str().context("a text")?)?;
    ensure!(certificate["person"] == json!(ada.user()), "{certificate}");
    ensure!(certificate["ended"]["files"] == 1, "{certificate}");
    let erasure = read(bob, &up.url, &format!("/v1/users/{id}/erasure"), after)?;
    refused(erasure, 403, "admins-only").await?;

    // A repeat shows the same certificate, and one who never was is told so.
    let again = run(&up.data(), &["erase", &id, "--yes", "--certificate", file]).await?;
    ensure!(again.contains("is erased"), "{again}");
    let nobody = tried(&up.data(), &["erase", &uuid::Uuid::nil().to_string(), "--yes"]).await?;
    ensure!(!nobody.status.success());

    // Nothing is left, in whatever file of whatever server.
    let left = found_on_disk(&up.data(), &MARKS)?;
    ensure!(left.is_empty(), "{left:?}");
    up.end().await
}

/// Ada writes her marks wherever she can. Returns how far the log is then.
async fn writes_everywhere(up: &Up, group: &Group) -> Result<events::Position> {
    let (ada, url) = (&group.people[0], &up.url);
    let mut at = group.say(0, &format!("{} in a message", MARKS[0])).await?.1;
    let conversation = format!("/v1/conversations/{}", group.conversation);
    for (method, path, body) in [
        (Method::PATCH, "/v1/users/me", json!({ "bio": MARKS[1], "name": MARKS[2] })),
        (Method::PATCH, conversation.as_str(), json!({ "title": MARKS[3] })),
    ] {
        at = at.max(done(ada, url, method, path, Some(body)).await?);
    }
    let (edited, _) = group.say(0, MARKS[4]).await?;
    let edit = json!({ "text": format!("{} and {}", MARKS[1], MARKS[2]) });
    let path = format!("{conversation}/messages/{edited}");
    at = at.max(done(ada, url, Method::PATCH, &path, Some(edit)).await?);
    let bytes = format!("{} in a file", MARKS[3]);
    let name = format!("{}.txt", MARKS[4]);
    let file = uploaded(url, ada, group.conversation, &name, bytes.as_bytes()).await?;
    Ok(at.max(file.position))
}

/// A study session that somebody is to lead. Returns its path.
async fn plans(url: &str, by: &Person) -> Result<String> {
    let starts: Moment = (SystemTime::now() + Duration::from_secs(3600)).into();
    let plan = json!({ "title": MARKS[0], "subject": "Maths", "starts": starts });
    let planned = write(by, url, Method::POST, "/v1/study-sessions", Some(plan))?;
    let planned = accepted(planned, 201).await?;
    Ok(format!("/v1/study-sessions/{}", planned["id"].as_str().context("an id")?))
}

/// A token and a webhook of Ada. Returns the token.
async fn programs(up: &Up, group: &Group) -> Result<String> {
    let (ada, url) = (&group.people[0], &up.url);
    let body = json!({ "name": MARKS[0], "scopes": ["profile:read"] });
    let token = write(ada, url, Method::POST, "/v1/api-tokens", Some(body))?;
    let token = accepted(token, 201).await?["token"].as_str().context("a token")?.to_owned();
    let me = Client::new(url)?.request(Method::GET, "/v1/users/me").bearer_auth(&token);
    accepted(me, 200).await?;
    // Nobody is there: what is told of the tries may name the address.
    let to = format!("https://{}.invalid/{}", MARKS[1], MARKS[2]);
    let body = json!({ "conversation": group.conversation, "url": to });
    accepted(write(ada, url, Method::POST, "/v1/webhooks", Some(body))?, 201).await?;
    Ok(token)
}

async fn messages(up: &Up, group: &Group, by: &Person, after: events::Position) -> Result<Value> {
    let path = format!("/v1/conversations/{}/messages", group.conversation);
    accepted(read(by, &up.url, &path, after)?, 200).await
}

/// The files in which something stands, in whatever case.
fn found_on_disk(folder: &Path, marks: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                // A server may have removed it meanwhile.
                let bytes = fs::read(entry.path()).unwrap_or_default().to_ascii_lowercase();
                for mark in marks {
                    if memchr::memmem::find(&bytes, mark.as_bytes()).is_some() {
                        found.push((entry.path(), (*mark).to_owned()));
                    }
                }
            }
        }
    }
    Ok(found)
}

#[tokio::test]
async fn one_erases_oneself_with_the_password_and_the_address_is_free_again() -> Result<()> {
    let up = Up::alone().await?;
    let client = Client::new(&up.url)?;
    let who = sign_up("Ada");
    client.sign_up(&who).await?;
    let ada = Person::log_in(&up.url, &who).await?;
    let bob = Person::new(&up.url, "Bob").await?;
    let path = format!("/v1/users/{}/erasure", ada.user());
    let erase = |by: &Person, body: Value| write(by, &up.url, Method::PUT, &path, Some(body));
    refused(erase(&bob, json!({}))?, 403, "admins-only").await?;
    refused(erase(&ada, json!({}))?, 403, "wrong-password").await?;
    refused(erase(&ada, json!({ "password": "guessed" }))?, 403, "wrong-password").await?;
    accepted(erase(&ada, json!({ "password": PASSWORD }))?, 202).await?;
    // The operator waits for what follows; then somebody else may have the names.
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("certificate.json");
    let (id, file) = (ada.user().to_string(), file.to_str().context("a path")?);
    run(&up.data(), &["erase", &id, "--yes", "--certificate", file]).await?;
    client.sign_up(&who).await.context("the address is free")?;
    let other = Person::log_in(&up.url, &who).await?;
    ensure!(other.user() != ada.user(), "it is somebody else");
    up.end().await
}

#[tokio::test]
async fn what_is_held_is_not_erased_before_every_matter_released_it() -> Result<()> {
    let up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Mia"]).await?;
    let [ada, bob, mia] = std::array::from_fn(|index| &group.people[index]);
    grant(&up.data(), &mia.user().to_string(), "admin").await?;
    group.say(0, "evidence").await?;
    let hold = json!({ "held": { "conversation": group.conversation }, "matter": "2026-17" });
    let place = |by: &Person, path, body: &Value| {
        write(by, &up.url, Method::POST, path, Some(body.clone()))
    };
    refused(place(bob, "/v1/holds", &hold)?, 403, "admins-only").await?;
    let blank = json!({ "held": { "user": ada.user() }, "matter": " " });
    refused(place(mia, "/v1/holds", &blank)?, 422, "invalid-matter").await?;
    accepted(place(mia, "/v1/holds", &hold)?, 202).await?;
    let id = ada.user().to_string();
    run(&up.data(), &["hold", "place", "--user", &id, "--matter", "B"]).await?;
    let listed = run(&up.data(), &["hold", "list", "--json"]).await?;
    ensure!(listed.lines().count() == 2, "{listed}");

    let path = format!("/v1/users/{id}/erasure");
    let erase = || write(ada, &up.url, Method::PUT, &path, Some(json!({ "password": PASSWORD })));
    refused(erase()?, 409, "legal-hold").await?;
    accepted(place(mia, "/v1/holds/release", &hold)?, 202).await?;
    refused(erase()?, 409, "legal-hold").await?;
    let output = tried(&up.data(), &["erase", &id, "--yes"]).await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && told.contains("legal hold"), "{told}");
    run(&up.data(), &["hold", "release", "--user", &id, "--matter", "B"]).await?;
    accepted(erase()?, 202).await?;
    up.end().await
}
