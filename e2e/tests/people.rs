//! People: what they say of themselves, how they find each other, become friends, and block.

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PATIENCE, Person};
use e2e::up::Up;
use events::{Position, UserId};
use futures::future::try_join_all;
use reqwest::{Method, RequestBuilder, StatusCode};
use roundtable::client::{Client, Event, Socket, key, new_id};
use serde_json::{Value, json};

fn position(answer: &Value) -> Result<Position> {
    Ok(serde_json::from_value(answer["position"].clone())?)
}

/// A write with a key of its own.
fn write(
    by: &Person,
    url: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<RequestBuilder> {
    let request = by.request(url, method, path)?.header("Idempotency-Key", key().to_string());
    Ok(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

/// A write that has to be accepted; where it stands in the log.
async fn done(
    by: &Person,
    url: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Position> {
    let answer = accepted(write(by, url, method, path, body)?, 202).await;
    position(&answer.with_context(|| format!("{} and {path}", by.name))?)
}

fn read(by: &Person, url: &str, path: &str, after: Position) -> Result<RequestBuilder> {
    Ok(by.request(url, Method::GET, path)?.header("Roundtable-After", after.to_string()))
}

/// The people of a list.
async fn listed(by: &Person, url: &str, path: &str, after: Position) -> Result<Vec<UserId>> {
    let page = accepted(read(by, url, path, after)?, 200).await.with_context(|| path.to_owned())?;
    let items = page["items"].as_array().context("a list")?;
    let id = |item: &Value| {
        let person = if item["person"].is_object() { &item["person"]["id"] } else { &item["id"] };
        Ok(serde_json::from_value(person.clone())?)
    };
    items.iter().map(id).collect()
}

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

/// What is between Ada and Bob, as both see it, and that the four lists say the same.
async fn agree(
    people: [&Person; 2],
    url: &str,
    after: Position,
    friends: bool,
    request: Option<usize>,
) -> Result<()> {
    for (index, person) in people.into_iter().enumerate() {
        let other = people[1 - index].user();
        let list = |wanted: bool| if wanted { vec![other] } else { vec![] };
        let is = |path, wanted| async move {
            let found = listed(person, url, path, after).await?;
            ensure!(found == list(wanted), "{path} of {}: {found:?}", person.name);
            Ok(())
        };
        is("/v1/friends", friends).await?;
        is("/v1/friend-requests?direction=outgoing", request == Some(index)).await?;
        is("/v1/friend-requests?direction=incoming", request == Some(1 - index)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_friendship_begins_and_ends_in_every_way() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let (ada, bob) = (&Person::new(url, "Ada").await?, &Person::new(url, "Bob").await?);
    let pair = [ada, bob];
    let ask = |by: &Person, to: &Person| {
        write(by, url, Method::POST, "/v1/friend-requests", Some(json!({ "to": to.user() })))
    };
    let answer = |by: &Person, of: &Person, how: &str| {
        write(by, url, Method::POST, &format!("/v1/friend-requests/{}/{how}", of.user()), None)
    };
    let end = |by: &Person, of: &Person, list: &str| {
        write(by, url, Method::DELETE, &format!("/v1/{list}/{}", of.user()), None)
    };
    let yes = async |request: Result<RequestBuilder>| position(&accepted(request?, 202).await?);

    refused(ask(ada, ada)?, 422, "oneself").await?;
    let nobody = json!({ "to": new_id() });
    let request = write(ada, url, Method::POST, "/v1/friend-requests", Some(nobody))?;
    refused(request, 404, "no-such-user").await?;
    refused(answer(bob, ada, "accept")?, 404, "no-request").await?;

    agree(pair, url, yes(ask(ada, bob)).await?, false, Some(0)).await?;
    refused(answer(ada, bob, "accept")?, 404, "no-request").await.context("one's own")?;
    refused(end(bob, ada, "friend-requests")?, 404, "no-request").await.context("another's")?;
    agree(pair, url, yes(answer(bob, ada, "decline")).await?, false, None).await?;
    yes(ask(ada, bob)).await?;
    agree(pair, url, yes(end(ada, bob, "friend-requests")).await?, false, None).await?;
    yes(ask(bob, ada)).await?;
    agree(pair, url, yes(answer(ada, bob, "accept")).await?, true, None).await?;
    refused(answer(ada, bob, "decline")?, 409, "already-friends").await?;
    refused(end(bob, ada, "friend-requests")?, 409, "already-friends").await?;
    agree(pair, url, yes(end(ada, bob, "friends")).await?, false, None).await?;

    // Both ask at the same moment, many times: they are friends each time, and nothing is left over.
    for _ in 0..5 {
        let (one, other) = tokio::try_join!(yes(ask(ada, bob)), yes(ask(bob, ada)))?;
        agree(pair, url, one.max(other), true, None).await?;
        let (one, other) =
            tokio::try_join!(yes(end(ada, bob, "friends")), yes(end(bob, ada, "friends")))?;
        agree(pair, url, one.max(other), false, None).await?;
    }
    up.end().await
}

/// For whom is blocked, whoever blocks them is as somebody who never was.
async fn does_not_exist(
    blocker: &Person,
    for_whom: &Person,
    url: &str,
    after: Position,
) -> Result<()> {
    let answers = async |id: UserId| {
        let mut answers = vec![];
        let asked =
            write(for_whom, url, Method::POST, "/v1/friend-requests", Some(json!({ "to": id })))?;
        answers.push(refused(asked, 404, "no-such-user").await?);
        answers.push(
            refused(read(for_whom, url, &format!("/v1/users/{id}"), after)?, 404, "no-such-user")
                .await?,
        );
        let accept = format!("/v1/friend-requests/{id}/accept");
        answers.push(
            refused(write(for_whom, url, Method::POST, &accept, None)?, 404, "no-request").await?,
        );
        anyhow::Ok(answers)
    };
    let (one, nobody) = (answers(blocker.user()).await?, answers(UserId::new(new_id())).await?);
    ensure!(one == nobody, "{one:?} tells more than {nobody:?}");
    let me = blocker.session.read::<Value>("/v1/users/me", None).await?;
    let handle = me["handle"].as_str().context("a handle")?;
    for path in [format!("/v1/users?handle={handle}"), format!("/v1/users?q={handle}")] {
        ensure!(listed(for_whom, url, &path, after).await?.is_empty(), "{path}");
    }
    for path in ["/v1/friends", "/v1/users/recommended", "/v1/friend-requests?direction=outgoing"] {
        ensure!(!listed(for_whom, url, path, after).await?.contains(&blocker.user()), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_block_ends_what_there_was_and_hides_whoever_blocks_in_every_order() -> Result<()> {
    let up = Up::start().await?;
    let url = up.url.as_str();
    let ada = &Person::new(url, "Ada").await?;
    for before in ["nothing", "asked", "was asked", "friends"] {
        let bob = &Person::new(url, "Bob").await?;
        match before {
            "asked" => drop(ada.session.ask_for_friendship(bob.user()).await?),
            "was asked" => drop(bob.session.ask_for_friendship(ada.user()).await?),
            "friends" => {
                ada.session.ask_for_friendship(bob.user()).await?;
                bob.session.accept_friendship(ada.user()).await?;
            }
            _ => {}
        }
        let group = ada.session.open_group("Both are here", &[bob.user()]).await?;
        let blocks = |of: &Person| format!("/v1/blocks/{}", of.user());
        let mut ears = Raw::open(url, bob.token()).await?;

        let once = key().to_string();
        let block = |url: &str| -> Result<RequestBuilder> {
            Ok(ada.request(url, Method::PUT, &blocks(bob))?.header("Idempotency-Key", &once))
        };
        let first = accepted(block(url)?, 202).await?;
        ensure!(accepted(block(url)?, 202).await? == first, "the same key is the same block");
        let at = position(&first)?;
        agree([ada, bob], url, at, false, None).await.context(before)?;
        does_not_exist(ada, bob, url, at).await.context(before)?;
        ensure!(listed(ada, url, "/v1/blocks", at).await?.contains(&bob.user()), "{before}");
        ensure!(listed(bob, url, "/v1/blocks", at).await?.is_empty(), "who is blocked is not told");
        let request = json!({ "to": bob.user() });
        let request = write(ada, url, Method::POST, "/v1/friend-requests", Some(request))?;
        refused(request, 409, "blocking").await?;
        accepted(read(ada, url, &format!("/v1/users/{}", bob.user()), at)?, 200).await?;
        // Groups go on, with both in them.
        let said = bob.session.send(group.id, "still here").await?;
        let heard = ada.session.messages(group.id, Some(said.position)).await?;
        ensure!(heard.items.iter().any(|message| message.sender_id == bob.user()), "{before}");
        loop {
            let frame = ears.frame().await?;
            ensure!(frame["type"] != "friendship.blocked", "Bob was told: {frame}");
            if frame["position"] == json!(said.position) {
                break;
            }
        }

        // Bob blocks back; each lifts only their own.
        let both = done(bob, url, Method::PUT, &blocks(ada), None).await?;
        let bob_is = format!("/v1/users/{}", bob.user());
        refused(read(ada, url, &bob_is, both)?, 404, "no-such-user").await?;
        let one = done(ada, url, Method::DELETE, &blocks(bob), None).await?;
        does_not_exist(bob, ada, url, one).await.context("the other still blocks")?;
        let none = done(bob, url, Method::DELETE, &blocks(ada), None).await?;
        agree([ada, bob], url, none, false, None)
            .await
            .context("what there was does not return")?;
        let asked = bob.session.ask_for_friendship(ada.user()).await?.position;
        agree([ada, bob], url, asked, false, Some(1)).await?;
        let decline = format!("/v1/friend-requests/{}/decline", bob.user());
        done(ada, url, Method::POST, &decline, None).await?;
    }
    let nobody = format!("/v1/blocks/{}", new_id());
    refused(write(ada, url, Method::PUT, &nobody, None)?, 404, "no-such-user").await?;
    let oneself = format!("/v1/blocks/{}", ada.user());
    refused(write(ada, url, Method::PUT, &oneself, None)?, 422, "oneself").await?;
    refused(ada.request(url, Method::PUT, &oneself)?, 400, "idempotency-key").await?;
    up.end().await
}

/// The next event on a socket that is about a friendship.
async fn next_of_two(device: &mut Socket) -> Result<Event> {
    loop {
        let event = device.next_event(PATIENCE).await?;
        if event.kind.starts_with("friendship.") {
            return Ok(event);
        }
    }
}

/// The next event about a friendship has to be this one.
async fn hears(device: &mut Socket, kind: &str, at: Position) -> Result<()> {
    let event = next_of_two(device).await?;
    ensure!((&*event.kind, event.position) == (kind, at), "not {kind} at {at}: {event:?}");
    Ok(())
}

#[tokio::test]
async fn a_request_and_its_answer_come_to_every_device_at_every_gateway() -> Result<()> {
    let cluster = Cluster::start().await?;
    let [ada, bob, cleo]: [Person; 3] =
        try_join_all(["Ada", "Bob", "Cleo"].map(|name| Person::new(&cluster.url, name)))
            .await?
            .try_into()
            .expect("three people");
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.as_str()).collect();
    let mut devices = vec![];
    for person in [&ada, &bob] {
        for node in &nodes {
            devices.push(Socket::open(node, person.token(), None).await?);
        }
    }
    let mut strangers = Socket::open(nodes[0], cleo.token(), None).await?;

    let asked = ada.session.ask_for_friendship(bob.user()).await?.position;
    try_join_all(devices.iter_mut().map(|device| hears(device, "friendship.requested", asked)))
        .await?;
    // The answer is given on one of the sockets.
    let yes = devices[3].command("friendship.accept", json!({ "from": ada.user() })).await?;
    let yes = position(&yes)?;
    try_join_all(devices.iter_mut().map(|device| hears(device, "friendship.accepted", yes)))
        .await?;
    let end = devices[0].command("friendship.remove", json!({ "user": bob.user() })).await?;
    let end = position(&end)?;
    try_join_all(devices.iter_mut().map(|device| hears(device, "friendship.removed", end))).await?;

    // A device that was away gets what it missed; a block comes to the blocker's devices alone.
    let away = devices.pop().context("four devices")?.cut().await;
    let asked = ada.session.ask_for_friendship(bob.user()).await?.position;
    let mut back = Socket::open(nodes[0], bob.token(), Some(away)).await?;
    hears(&mut back, "friendship.requested", asked).await?;
    let block = devices[2].command("friendship.block", json!({ "user": ada.user() })).await?;
    let block = position(&block)?;
    hears(&mut back, "friendship.blocked", block).await?;
    let lifted = back.command("friendship.unblock", json!({ "user": ada.user() })).await?;
    hears(&mut back, "friendship.unblocked", position(&lifted)?).await?;
    let own = ada.session.ask_for_friendship(cleo.user()).await?.position;
    hears(&mut strangers, "friendship.requested", own).await.context("what is not Cleo's")?;
    for device in &mut devices[..2] {
        hears(device, "friendship.requested", asked).await?;
        hears(device, "friendship.requested", own).await.context("Ada was told of the block")?;
    }
    hears(&mut devices[2], "friendship.requested", asked).await?;
    hears(&mut devices[2], "friendship.blocked", block).await?;
    cluster.stop().await;
    Ok(())
}
