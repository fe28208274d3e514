//! Signing up, logging in, staying logged in, and logging out.

use anyhow::{Context, Result, ensure};
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PASSWORD, Person, sign_up};
use e2e::up::Up;
use events::Position;
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Client, SignUp, key};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_person_signs_up_logs_in_and_is_known() -> Result<()> {
    let up = Up::start().await?;
    let client = Client::new(&up.url)?;
    let who = sign_up("Ada");
    let (id, key) = (key(), key());
    let answer = accepted(post_user(&client, &who, id), 201).await?;
    // The same request again is the same person.
    let again = accepted(post_user(&client, &who, id), 201).await?;
    ensure!(answer == again, "{answer}, and then {again}");

    let opened = accepted(post_session(&client, &who.email, key), 201).await?;
    // An address is the same in capital letters.
    let ada = client.log_in(&who.email.to_uppercase(), PASSWORD).await?;
    ensure!(opened["user_id"] == answer["id"] && json!(ada.user()) == answer["id"], "{opened}");
    ensure!(json!(ada.tokens().login_id) != opened["login_id"], "each log-in is another");

    let at = position(&answer)?;
    let me: Value = ada.read("/v1/users/me", Some(at)).await?;
    ensure!(me["name"] == "Ada" && me["handle"] == json!(who.handle), "{me}");
    let bob = Person::new(&up.url, "Bob").await?;
    let path = format!("/v1/users?handle={}", who.handle.to_uppercase());
    let found: Value = bob.session.read(&path, Some(at)).await?;
    ensure!(found["items"][0]["id"] == answer["id"], "{found}");
    ensure!(!found.to_string().contains(&who.email), "an address is nobody else's: {found}");

    let change = json!({ "name": "Ada L.", "bio": "notes" });
    let done: Value = ada.write(Method::PATCH, "/v1/users/me", Some(&change)).await?;
    let path = format!("/v1/users/{}", ada.user());
    let seen: Value = bob.session.read(&path, Some(position(&done)?)).await?;
    ensure!(seen["name"] == "Ada L." && seen["bio"] == "notes", "{seen}");
    up.end().await
}

#[tokio::test]
async fn an_address_and_a_handle_belong_to_one_person() -> Result<()> {
    let up = Up::start().await?;
    let client = Client::new(&up.url)?;
    let first = sign_up("Ada");
    accepted(post_user(&client, &first, key()), 201).await?;

    let mut other = sign_up("Adele");
    other.email = first.email.to_uppercase();
    refused(post_user(&client, &other, key()), 409, "email-taken").await?;
    let mut other = sign_up("Adele");
    other.handle = first.handle.to_uppercase();
    refused(post_user(&client, &other, key()), 409, "handle-taken").await?;
    // Who met a taken handle takes another, with the address they came with.
    other.handle = sign_up("Adele").handle;
    accepted(post_user(&client, &other, key()), 201).await?;

    // Of many at once, one gets the handle.
    let wanted = sign_up("Many").handle;
    let all = (0..8).map(|_| SignUp { handle: wanted.clone(), ..sign_up("Many") });
    let answers = join_all(all.map(|who| post_user(&client, &who, key()).send())).await;
    let mut statuses = vec![];
    for answer in answers {
        statuses.push(answer?.status().as_u16());
    }
    statuses.sort_unstable();
    ensure!(statuses == [201, 409, 409, 409, 409, 409, 409, 409], "{statuses:?}");
    up.end().await
}

#[tokio::test]
async fn half_a_sign_up_is_finished_by_the_same_key() -> Result<()> {
    let mut up = Up::start().await?;
    let client = Client::new(&up.url)?;
    let people: Vec<_> = (0..12).map(|_| (sign_up("Half"), key())).collect();
    let begun = join_all(people.iter().map(|(who, key)| post_user(&client, who, *key).send()));
    // As soon as one of them is through, everything is killed: the others are anywhere.
    let first = client.log_in("nobody@example.org", PASSWORD);
    tokio::select! {
        _ = begun => {}
        _ = first => {}
    }
    up.crash_and_restart().await?;
    for (who, key) in &people {
        let answer = accepted(post_user(&client, who, *key), 201).await?;
        let again = accepted(post_user(&client, who, *key), 201).await?;
        ensure!(answer == again, "{answer}, and then {again}");
        let session = client.log_in(&who.email, PASSWORD).await?;
        ensure!(json!(session.user()) == answer["id"], "{answer}");
        let me: Value = session.read("/v1/users/me", Some(position(&answer)?)).await?;
        ensure!(me["handle"] == json!(who.handle), "{me}");
    }
    up.end().await
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_login_and_its_sockets() -> Result<()> {
    let up = Up::start().await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let elsewhere = ada.session.client().log_in(&ada.email, PASSWORD).await?;
    let old = ada.session.tokens().refresh_token.clone();

    let once = key();
    let second = accepted(refresh(&ada, &old, once), 200).await?;
    // The answer may have been lost: the same request gets the same tokens, and is no reuse.
    let again = accepted(refresh(&ada, &old, once), 200).await?;
    ensure!(second["refresh_token"] == again["refresh_token"], "{second}, and then {again}");
    let third = text(&second, "refresh_token")?;
    ensure!(third != old, "a refresh token is good once");
    let third = accepted(refresh(&ada, &third, key()), 200).await?;
    let access = text(&third, "access_token")?;
    let mut socket = Raw::open(&up.url, &access).await?;
    let mut other_socket = Raw::open(&up.url, &elsewhere.tokens().access_token).await?;

    refused(refresh(&ada, &old, key()), 401, "refresh-reused").await?;
    let end = socket.end().await?;
    let bye = end.bye.context("a bye")?;
    ensure!(bye["code"] == "login-ended" && bye["resume"] == json!(false), "{bye}");
    refused(me(&ada, &access), 401, "login-ended").await?;
    let newest = text(&third, "refresh_token")?;
    refused_any(refresh(&ada, &newest, key()), 401).await?;
    // Another log-in of the same person goes on.
    accepted(me(&ada, &elsewhere.tokens().access_token), 200).await?;
    other_socket.send(&json!({ "op": "ping" })).await?;
    other_socket.until("pong").await?;
    up.end().await
}

#[tokio::test]
async fn a_log_out_takes_effect_at_once_everywhere() -> Result<()> {
    let up = Up::start().await?;
    for over_the_socket in [false, true] {
        let ada = Person::new(&up.url, "Ada").await?;
        let mut socket = Raw::open(&up.url, ada.token()).await?;
        if over_the_socket {
            let close = json!({ "op": "command", "id": key(), "type": "session.close" });
            socket.send(&close).await?;
        } else {
            let path = "/v1/sessions/current";
            let _: Value = ada.session.write(Method::DELETE, path, None).await?;
            refused(me(&ada, ada.token()), 401, "login-ended").await?;
        }
        let end = socket.end().await?;
        let bye = end.bye.context("a bye")?;
        ensure!(bye["code"] == "login-ended" && bye["resume"] == json!(false), "{bye}");
        refused(me(&ada, ada.token()), 401, "login-ended").await?;
        let friend = json!({ "to": ada.user() });
        let write = ada.request(&up.url, Method::POST, "/v1/friend-requests")?.json(&friend);
        let write = write.header("Idempotency-Key", key().to_string());
        refused(write, 401, "login-ended").await?;
        let (mut socket, _) = Raw::connect(&up.url).await?;
        socket.send(&json!({ "op": "auth", "token": ada.token() })).await?;
        let frame = socket.frame().await?;
        ensure!(matches!(frame["op"].as_str(), Some("error" | "bye")), "{frame}");
        let old = ada.session.tokens().refresh_token.clone();
        refused_any(refresh(&ada, &old, key()), 401).await?;
    }
    up.end().await
}

fn post_user(client: &Client, who: &SignUp, key: Uuid) -> RequestBuilder {
    let body = json!({
        "email": who.email, "handle": who.handle, "name": who.name, "password": who.password,
    });
    let request = client.request(Method::POST, "/v1/users").json(&body);
    request.header("Idempotency-Key", key.to_string())
}

fn post_session(client: &Client, email: &str, key: Uuid) -> RequestBuilder {
    let body = json!({ "email": email, "password": PASSWORD });
    let request = client.request(Method::POST, "/v1/sessions").json(&body);
    request.header("Idempotency-Key", key.to_string())
}

fn refresh(person: &Person, token: &str, key: Uuid) -> RequestBuilder {
    let request = person.session.client().request(Method::POST, "/v1/sessions/refresh");
    let request = request.json(&json!({ "refresh_token": token }));
    request.header("Idempotency-Key", key.to_string())
}

fn me(person: &Person, token: &str) -> RequestBuilder {
    let request = person.session.client().request(Method::GET, "/v1/users/me").bearer_auth(token);
    request.header("Roundtable-After", person.session.tokens().position.to_string())
}

async fn refused_any(request: RequestBuilder, status: u16) -> Result<()> {
    e2e::refusal::refused_with(request, status).await.map(drop)
}

fn position(answer: &Value) -> Result<Position> {
    Ok(serde_json::from_value(answer["position"].clone())?)
}

fn text(answer: &Value, field: &str) -> Result<String> {
    answer[field].as_str().map(ToOwned::to_owned).with_context(|| format!("{field} in {answer}"))
}
