//! People: what they say of themselves, and how they find each other.

use anyhow::{Context, Result, ensure};
use e2e::acts::{done, listed, position, write};
use e2e::cluster::Cluster;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PATIENCE, Person};
use e2e::up::Up;
use events::Position;
use reqwest::{Method, RequestBuilder, StatusCode};
use roundtable::client::{Client, key, new_id};
use serde_json::{Value, json};

#[tokio::test]
async fn a_profile_is_told_once_and_shown_to_others_without_what_is_private() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let (ada, bob) = (&Person::new(url, "Ada").await?, &Person::new(url, "Bob").await?);
    let me: Value = ada.session.read("/v1/users/me", Some(ada.session.tokens().position)).await?;
    ensure!(me["onboarded"] == false && me["email"] == json!(ada.email), "{me}");
    ensure!(me["role"] == "user" && me["avatar"].is_null(), "{me}");

    let body = json!({
        "name": "Ada Lovelace", "bio": "Numbers", "native_language": "en-GB",
        "learning_language": "fr", "location": "London", "avatar": {"preset": 3},
    });
    let once = key().to_string();
    let onboard = |body: &Value| -> Result<RequestBuilder> {
        let request = ada.request(url, Method::POST, "/v1/users/me/onboarding")?.json(body);
        Ok(request.header("Idempotency-Key", &once))
    };
    let first = accepted(onboard(&body)?, 202).await?;
    ensure!(accepted(onboard(&body)?, 202).await? == first, "the same key is the same command");
    let mut other = body.clone();
    other["bio"] = json!("Engines");
    refused(onboard(&other)?, 409, "key-reused").await?;

    let me: Value = ada.session.read("/v1/users/me", Some(position(&first)?)).await?;
    ensure!(me["onboarded"] == true, "{me}");
    for (field, value) in body.as_object().context("an object")? {
        ensure!(me[field] == *value, "{field}: {me}");
    }
    let path = format!("/v1/users/{}", ada.user());
    let seen: Value = bob.session.read(&path, Some(position(&first)?)).await?;
    ensure!(seen["avatar"] == json!({"preset": 3}) && seen["location"] == "London", "{seen}");
    for private in ["email", "role", "onboarded", "password_hash"] {
        ensure!(seen.get(private).is_none(), "{private} is nobody else's: {seen}");
    }

    // The same over the socket; an empty text takes a text away, and what is absent stays.
    let mut socket = ada.session.socket(None).await?;
    let change = json!({ "bio": "", "location": "", "learning_language": "it" });
    let result = socket.command("user.change_profile", change).await?;
    let event = socket.next_of("user.profile_changed", PATIENCE).await?;
    ensure!(event.position == position(&result)?, "{event:?}");
    let seen: Value = bob.session.read(&path, Some(position(&result)?)).await?;
    ensure!(seen["bio"] == "" && seen["learning_language"] == "it", "{seen}");
    ensure!(seen["name"] == "Ada Lovelace" && seen["native_language"] == "en-GB", "{seen}");
    let again =
        json!({ "name": "Bob", "bio": "x", "native_language": "es", "learning_language": "en" });
    let twice = key();
    let bobs = bob.session.socket(None).await?;
    let one = bobs.command_with_key(twice, "user.complete_onboarding", again.clone()).await?;
    let two = bobs.command_with_key(twice, "user.complete_onboarding", again).await?;
    ensure!(one["position"] == two["position"], "{one}, and then {two}");
    up.end().await
}

#[tokio::test]
async fn a_wrong_profile_is_refused_by_its_rule_and_changes_nothing() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    let whole =
        json!({ "name": "Ada", "bio": "x", "native_language": "en", "learning_language": "fr" });
    let with = |field: &str, value: Value| {
        let mut body = whole.clone();
        body[field] = value;
        body
    };
    let socket = ada.session.socket(None).await?;
    for (body, slug) in [
        (json!({ "name": " " }), "invalid-name"),
        (json!({ "name": "x".repeat(101) }), "invalid-name"),
        (json!({ "bio": "x".repeat(1001) }), "bio-too-long"),
        (json!({ "native_language": "" }), "invalid-language"),
        (json!({ "learning_language": "e" }), "invalid-language"),
        (json!({ "location": "x".repeat(101) }), "location-too-long"),
        (json!({ "avatar": {"preset": 0} }), "invalid-avatar"),
        (json!({ "avatar": {"preset": 9} }), "invalid-avatar"),
        // Nobody's, or somebody else's: it is not told which.
        (json!({ "avatar": {"file": new_id()} }), "invalid-avatar"),
        (json!({ "avatar": {"preset": 300} }), "wrong-shape"),
        (json!({ "avatar": "fox" }), "wrong-shape"),
        (json!({ "avatar": {"preset": 1, "file": new_id()} }), "wrong-shape"),
        (json!({ "handle": "ada_2" }), "wrong-shape"),
        (json!({ "role": "admin" }), "wrong-shape"),
        (json!({ "onboarded": true }), "wrong-shape"),
    ] {
        let context = || format!("{body}");
        let request = write(ada, url, Method::PATCH, "/v1/users/me", Some(body.clone()))?;
        refused(request, 422, slug).await.with_context(context)?;
        match socket.command("user.change_profile", body.clone()).await {
            Err(error) if error.slug() == Some(slug) => {}
            other => anyhow::bail!("{body} over the socket: {other:?}"),
        }
    }
    for (body, slug) in [
        (with("bio", json!(" ")), "profile-incomplete"),
        (with("name", json!("")), "profile-incomplete"),
        (with("native_language", json!("")), "profile-incomplete"),
        (with("learning_language", json!("en_US")), "invalid-language"),
        (with("learning_language", Value::Null), "wrong-shape"),
        (json!({ "name": "Ada" }), "wrong-shape"),
        (with("user", json!(new_id())), "wrong-shape"),
    ] {
        let path = "/v1/users/me/onboarding";
        let request = write(ada, url, Method::POST, path, Some(body.clone()))?;
        refused(request, 422, slug).await.with_context(|| format!("{body}"))?;
    }
    let last = done(ada, url, Method::PATCH, "/v1/users/me", Some(json!({ "name": "A" }))).await?;
    let me: Value = ada.session.read("/v1/users/me", Some(last)).await?;
    ensure!(me["onboarded"] == false && me["avatar"].is_null(), "{me}");
    ensure!(me["native_language"].is_null(), "{me}");
    for (method, path) in [
        (Method::PATCH, "/v1/users/me"),
        (Method::POST, "/v1/users/me/onboarding"),
        (Method::PUT, "/v1/blocks/0192f3a4-0000-7000-8000-000000000001"),
        (Method::GET, "/v1/blocks"),
        (Method::GET, "/v1/users?q=ada"),
        (Method::GET, "/v1/users/recommended"),
    ] {
        let nobody = Client::new(url)?.request(method, path).json(&whole);
        let nobody = nobody.header("Idempotency-Key", key().to_string());
        refused(nobody, 401, "unauthenticated").await.context(path)?;
    }
    up.end().await
}

#[tokio::test]
async fn the_presets_are_pictures_that_a_browser_may_keep() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = Client::new(&cluster.url)?;
    let presets = accepted(client.request(Method::GET, "/v1/avatars/presets"), 200).await?;
    let presets = presets["items"].as_array().context("a list")?;
    ensure!(presets.len() == 8, "{presets:?}");
    for preset in presets {
        let url = preset["url"].as_str().context("a url")?;
        let fresh = client.request(Method::GET, url).send().await?;
        ensure!(fresh.headers()["content-type"] == "image/svg+xml", "{fresh:?}");
        let tag = fresh.headers()["etag"].clone();
        ensure!(fresh.text().await?.starts_with("<svg "), "{url}");
        // Through the proxy, this is the other node.
        let again = client.request(Method::GET, url).header("If-None-Match", tag).send().await?;
        ensure!(again.status() == StatusCode::NOT_MODIFIED, "{again:?}");
        let number = format!("/v1/avatars/presets/{}.svg", preset["preset"]);
        let head = client.request(Method::GET, &number).send().await?;
        ensure!(head.status() == StatusCode::OK, "{number}");
    }
    refused(client.request(Method::GET, "/v1/avatars/presets/9.svg"), 404, "not-found").await?;
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn people_find_each_other_by_name_and_are_recommended_by_language() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let mut last = Position::START;
    let mut people = vec![];
    for (name, native, learning, place) in [
        ("Zoë Ångström", "en", "es", "Oslo"),
        ("Mutual", "es-MX", "EN", "Lima"),
        ("Speaks", "es", "de", "Lima"),
        ("Learns", "ja", "en-US", "Lima"),
        ("Same", "ko", "es", "Lima"),
        ("Near", "ko", "ja", " OSLO "),
        ("Stranger", "ko", "ja", "Lima"),
    ] {
        let person = Person::new(url, &name.replace([' ', 'ë', 'Å', 'ö'], "")).await?;
        let body = json!({
            "name": name, "bio": "Hi", "native_language": native,
            "learning_language": learning, "location": place,
        });
        last = done(&person, url, Method::POST, "/v1/users/me/onboarding", Some(body)).await?;
        people.push(person);
    }
    let quiet = Person::new(url, "Quiet").await?;
    let languages = json!({ "native_language": "es", "learning_language": "en" });
    last = last.max(done(&quiet, url, Method::PATCH, "/v1/users/me", Some(languages)).await?);
    let [zoe, mutual, speaks, learns, same, near, stranger] = &people[..] else {
        anyhow::bail!("seven people")
    };

    for (q, found) in [("zoe", zoe), ("ÅNGSTR", zoe), ("angstrom", zoe), ("@stranger_", stranger)]
    {
        let path = format!("/v1/users?q={}", q.replace('Å', "%C3%85"));
        ensure!(listed(near, url, &path, last).await? == [found.user()], "{q}");
    }
    let ids = |of: &[&Person]| of.iter().map(|person| person.user()).collect::<Vec<_>>();
    let path = "/v1/users/recommended";
    // Who was told nothing more than a name is not recommended.
    let all = listed(zoe, url, path, last).await?;
    ensure!(all == ids(&[mutual, speaks, learns, same, near]), "{all:?}");
    let two = listed(zoe, url, "/v1/users/recommended?limit=2", last).await?;
    ensure!(two == ids(&[mutual, speaks]), "{two:?}");

    let asked = zoe.session.ask_for_friendship(mutual.user()).await?.position;
    ensure!(listed(zoe, url, path, asked).await? == ids(&[speaks, learns, same, near]), "asked");
    ensure!(!listed(mutual, url, path, asked).await?.contains(&zoe.user()), "was asked");
    let yes = mutual.session.accept_friendship(zoe.user()).await?.position;
    ensure!(!listed(mutual, url, path, yes).await?.contains(&zoe.user()), "friends");
    let block = format!("/v1/blocks/{}", zoe.user());
    let blocked = done(speaks, url, Method::PUT, &block, None).await?;
    ensure!(listed(zoe, url, path, blocked).await? == ids(&[learns, same, near]), "is blocked");
    ensure!(!listed(speaks, url, path, blocked).await?.contains(&zoe.user()), "blocks");
    let moved = json!({ "learning_language": "ko", "location": "Lima" });
    let moved = done(zoe, url, Method::PATCH, "/v1/users/me", Some(moved)).await?;
    let now = listed(zoe, url, path, moved).await?;
    let mut speakers = ids(&[same, near, stranger]);
    speakers.sort();
    let mut first: Vec<_> = now.iter().take(3).copied().collect();
    first.sort();
    ensure!(first == speakers && now[3..] == ids(&[learns]), "{now:?}");
    up.end().await
}
