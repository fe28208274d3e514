//! Log-ins on many devices, passwords, and accounts that come from elsewhere.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::process::program;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused, refused_with};
use e2e::talk::{PASSWORD, Person, sign_up};
use e2e::up::Up;
use events::{LoginId, Position};
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Client, Session, key};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

#[tokio::test]
async fn a_person_sees_their_devices_and_ends_one_at_every_node_at_once() -> Result<()> {
    let cluster = Cluster::start().await?;
    let [one, two] = [&cluster.command_apis[0].url, &cluster.command_apis[1].url];
    let ada = Person::new(&cluster.url, "Ada").await?;
    let eve = Person::new(&cluster.url, "Eve").await?;
    let phone = with_device(&cluster.url, &ada.email, json!("Ada's\n phone")).await?;
    let (lost, position) = (login_of(&phone)?, position_of(&phone)?);

    let listed = ada.session.read::<Value>("/v1/sessions", Some(position)).await?;
    let items = listed["items"].as_array().context("items")?;
    ensure!(items.len() == 2, "{listed}");
    let row = items.iter().find(|row| row["id"] == json!(lost)).context("the phone")?;
    ensure!(row["device"] == "Ada's phone" && row["current"] == json!(false), "{row}");
    ensure!(row["created_at"] == row["refreshed_at"], "{row}");
    let own = items.iter().find(|row| row["current"] == json!(true)).context("this device")?;
    ensure!(own["id"] == json!(ada.session.tokens().login_id), "{own}");
    ensure!(!listed.to_string().contains("digest"), "{listed}");

    // Nobody else may see it, or end it: for them it does not exist.
    let hers: Value = eve.session.read("/v1/sessions", Some(position)).await?;
    ensure!(hers["items"].as_array().is_some_and(|items| items.len() == 1), "{hers}");
    let path = format!("/v1/sessions/{lost}");
    refused(keyed(eve.request(one, Method::DELETE, &path)?), 404, "no-such-login").await?;
    let nobodys = format!("/v1/sessions/{}", key());
    refused(keyed(ada.request(one, Method::DELETE, &nobodys)?), 404, "no-such-login").await?;

    // The phone talks at one node, and is ended at the other.
    let token = phone["access_token"].as_str().context("a token")?;
    let mut socket = Raw::open(one, token).await?;
    let revoke = key().to_string();
    let delete = || -> Result<RequestBuilder> {
        Ok(ada.request(two, Method::DELETE, &path)?.header("Idempotency-Key", &revoke))
    };
    let ended = accepted(delete()?, 202).await?;
    let end = socket.end().await?;
    ensure!(end.bye.context("a bye")?["code"] == "login-ended");
    for url in [one, two, &cluster.query_apis[0].url, &cluster.query_apis[1].url] {
        let path = if url == one || url == two { "/v1/users/me" } else { "/v1/friends" };
        let method = if url == one || url == two { Method::PATCH } else { Method::GET };
        let client = Client::new(url)?;
        let request = client.request(method, path).bearer_auth(token).json(&json!({}));
        refused(keyed(request), 401, "login-ended").await?;
    }
    let refresh = json!({ "refresh_token": phone["refresh_token"] });
    let client = Client::new(one)?;
    refused_with(client.request(Method::POST, "/v1/sessions/refresh").json(&refresh), 401).await?;
    let again = accepted(delete()?, 202).await?;
    ensure!(ended == again, "{ended}, and then {again}");
    let after = Some(position_of(&ended)?);
    let left: Value = ada.session.read("/v1/sessions", after).await?;
    ensure!(left["items"].as_array().is_some_and(|items| items.len() == 1), "{left}");
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn all_other_devices_are_ended_over_the_socket_and_only_ones_own() -> Result<()> {
    let up = Up::start().await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let eve = Person::new(&up.url, "Eve").await?;
    let mut others = vec![];
    for _ in 0..3 {
        others.push(ada.session.client().log_in(&ada.email, PASSWORD).await?);
    }
    let mut sockets = vec![];
    for other in &others {
        sockets.push(Raw::open(&up.url, &other.tokens().access_token).await?);
    }
    let mut own = Raw::open(&up.url, ada.token()).await?;
    let command = json!({ "op": "command", "id": key(), "type": "session.revoke_others" });
    own.send(&command).await?;
    let result = own.until("result").await?;
    for socket in &mut sockets {
        ensure!(socket.end().await?.bye.context("a bye")?["code"] == "login-ended");
    }
    for other in &others {
        refused(other.request(Method::GET, "/v1/users/me"), 401, "login-ended").await?;
    }
    let left = listed(&ada.session, &result).await?;
    ensure!(left == [ada.session.tokens().login_id], "{left:?}");
    ensure!(listed(&eve.session, &result).await?.len() == 1, "others stay");
    own.send(&json!({ "op": "ping" })).await?;
    own.until("pong").await?;
    up.end().await
}

#[tokio::test]
async fn a_new_password_takes_the_old_one_and_ends_every_other_login() -> Result<()> {
    let up = Up::start().await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let client = ada.session.client().clone();
    let stolen = client.log_in(&ada.email, PASSWORD).await?;
    let mut socket = Raw::open(&up.url, &stolen.tokens().access_token).await?;
    let change = |session: &Session, old: &str, new: &str| {
        let body = json!({ "old_password": old, "new_password": new });
        keyed(session.request(Method::PUT, "/v1/users/me/password").json(&body))
    };
    let new = "another battery, another staple";
    refused(change(&stolen, "a guess", "what a thief likes"), 403, "wrong-password").await?;
    refused(change(&ada.session, PASSWORD, "short"), 422, "invalid").await?;
    client.log_in(&ada.email, PASSWORD).await.context("nothing has changed")?;

    let body = json!({ "old_password": PASSWORD, "new_password": new });
    let request = ada.session.request(Method::PUT, "/v1/users/me/password").json(&body);
    let request = request.header("Idempotency-Key", key().to_string());
    let repeat = request.try_clone().context("a body of text")?;
    let changed = accepted(request, 202).await?;
    let text = changed.to_string();
    ensure!(!text.contains("argon2") && !text.contains(new), "{text}");
    ensure!(socket.end().await?.bye.context("a bye")?["code"] == "login-ended");
    refused(stolen.request(Method::GET, "/v1/users/me"), 401, "login-ended").await?;
    ensure!(listed(&ada.session, &changed).await?.len() == 1);
    accepted(repeat, 202).await?;

    let old = client.log_in(&ada.email, PASSWORD).await.err().context("the old one is good")?;
    ensure!(old.slug() == Some("wrong-credentials"), "{old}");
    client.log_in(&ada.email, new).await?;
    up.end().await
}

#[tokio::test]
async fn people_from_elsewhere_keep_their_passwords_and_get_better_hashes() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (ada, bob) = (sign_up("Ada"), sign_up("Bob"));
    // The password `abc`, hashed by jBCrypt; and one that no hash of ours has.
    let bcrypt = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
    let taken = Person::new(&cluster.url, "Eve").await?;
    let line = |email: &str, handle: &str, hash: &str| {
        json!({ "email": email, "handle": handle, "name": "A", "password_hash": hash }).to_string()
    };
    let file = [
        line(&ada.email, &ada.handle, bcrypt),
        line(&bob.email, &bob.handle, &bcrypt.replace("$2a$", "$2y$")),
        line("c@example.org", "ccc", "5f4dcc3b5aa765d61d8327deb882cf99"),
        line(&taken.email, "eve_again", bcrypt),
        "no JSON".to_owned(),
    ]
    .join("\n");
    let first = import(&cluster, &file).await?;
    ensure!(first.0.contains("2 imported, 0 there already, 3 refused"), "{first:?}");
    for line in ["line 3: invalid", "line 4: email-taken", "line 5: "] {
        ensure!(first.1.contains(line), "{first:?}");
    }
    ensure!(!first.1.contains(&taken.email) && !first.1.contains("5f4dcc"), "{first:?}");
    let again = import(&cluster, &file).await?;
    ensure!(again.0.contains("0 imported, 2 there already, 3 refused"), "{again:?}");

    let client = Client::new(&cluster.url)?;
    for who in [&ada, &bob] {
        let wrong = client.log_in(&who.email, "abd").await.err().context("a wrong one is good")?;
        ensure!(wrong.slug() == Some("wrong-credentials"), "{wrong}");
        // The first time by bcrypt, the second time by what replaced it.
        let session = client.log_in(&who.email, "abc").await?;
        client.log_in(&who.email, "abc").await?;
        let me: Value = session.read("/v1/users/me", Some(session.tokens().position)).await?;
        ensure!(me["handle"] == json!(who.handle) && !me.to_string().contains("$2"), "{me}");
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_page_elsewhere_cannot_act_with_somebodys_cookie() -> Result<()> {
    let origin = ("ROUNDTABLE_ALLOWED_ORIGINS", "https://chat.example");
    let up = Up::with(&[origin]).await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let cookie = format!("roundtable_access={}", ada.token());
    let client = Client::new(&up.url)?;
    let write = |headers: &[(&str, &str)]| {
        let request = client.request(Method::PATCH, "/v1/users/me").json(&json!({ "name": "X" }));
        let request = keyed(request).header("Cookie", &cookie);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for hostile in [
        &[][..],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
        &[("Origin", "https://chat.example"), ("Sec-Fetch-Site", "same-site")],
        &[("Roundtable-CSRF", "")],
        &[("Roundtable-CSRF", "0")],
        &[("Sec-Fetch-Site", "none")],
    ] {
        refused(write(hostile), 403, "csrf").await?;
    }
    accepted(write(&[("Roundtable-CSRF", "1")]), 202).await?;
    accepted(write(&[("Sec-Fetch-Site", "same-origin")]), 202).await?;

    // The header that a page elsewhere would need is granted to the allowed origin alone.
    for (from, granted) in
        [("https://chat.example", true), ("https://evil.example", false), ("null", false)]
    {
        let preflight = client
            .request(Method::OPTIONS, "/v1/users/me")
            .header("Origin", from)
            .header("Access-Control-Request-Method", "PATCH")
            .header("Access-Control-Request-Headers", "roundtable-csrf");
        let answer = preflight.send().await?;
        let allowed = answer.headers().get("access-control-allow-origin");
        ensure!(allowed.is_some_and(|value| value == from) == granted, "{from}: {answer:?}");
    }
    up.end().await
}

/// What `roundtable import-users` says on its two outputs.
async fn import(cluster: &Cluster, file: &str) -> Result<(String, String)> {
    let mut child = Command::new(program("roundtable")?)
        .args(["import-users", "-"])
        .envs(cluster.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    stdin.write_all(file.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(!output.status.success(), "some lines were refused");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

async fn with_device(url: &str, email: &str, device: Value) -> Result<Value> {
    let body = json!({ "email": email, "password": PASSWORD, "device": device });
    let request = Client::new(url)?.request(Method::POST, "/v1/sessions").json(&body);
    accepted(request, 201).await
}

async fn listed(session: &Session, after: &Value) -> Result<Vec<LoginId>> {
    let page: Value = session.read("/v1/sessions", Some(position_of(after)?)).await?;
    let items = page["items"].as_array().context("items")?;
    items.iter().map(|row| Ok(serde_json::from_value(row["id"].clone())?)).collect()
}

fn login_of(session: &Value) -> Result<LoginId> {
    Ok(serde_json::from_value(session["login_id"].clone())?)
}

fn position_of(answer: &Value) -> Result<Position> {
    Ok(serde_json::from_value(answer["position"].clone())?)
}

fn keyed(request: RequestBuilder) -> RequestBuilder {
    request.header("Idempotency-Key", key().to_string())
}
