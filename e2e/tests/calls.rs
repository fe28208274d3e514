//! Calls as their people have them: ringing, taken, missed, heard of at every device, and moved.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use e2e::acts::position;
use e2e::cluster::Cluster;
use e2e::phone::Phone;
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::Up;
use events::{CallId, ConversationId, Position};
use futures::future::try_join_all;
use reqwest::Method;
use roundtable::client::{Error, key};
use serde_json::{Value, json};

#[path = "calls/signals.rs"]
mod signals;

/// Rings, and waits for lost connections, no longer than a test wants to wait.
const SHORT: &[(&str, &str)] = &[("ROUNDTABLE_CALL_RING", "10"), ("ROUNDTABLE_CALL_GRACE", "6")];

fn about(call: CallId) -> Value {
    json!({ "call": call })
}

fn slug<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    let error = answer.expect_err("it is refused");
    error.slug().unwrap_or_else(|| panic!("it is a problem: {error}")).to_owned()
}

/// Friends who talk directly.
async fn friends(url: &str, names: [&str; 2]) -> Result<(Person, Person, ConversationId)> {
    let people = try_join_all(names.map(|name| Person::new(url, name))).await?;
    let [one, other]: [Person; 2] = people.try_into().expect("two");
    one.session.ask_for_friendship(other.user()).await?;
    other.session.accept_friendship(one.user()).await?;
    let direct = one.session.open_direct(other.user()).await?;
    Ok((one, other, direct.id))
}

/// The causes of the calls of somebody, and what they were to them, the latest first.
async fn history(who: &Phone, query: &str, after: Position) -> Result<Vec<(String, String)>> {
    let page: Value = who.session.read(&format!("/v1/calls{query}"), Some(after)).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = page["items"].as_array().context("a list")?;
    Ok(items.iter().map(|call| (text(&call["cause"]), text(&call["outcome"]))).collect())
}

async fn systems(who: &Phone, room: ConversationId, after: Position) -> Result<Vec<Value>> {
    let path = format!("/v1/conversations/{room}/messages");
    let page: Value = who.session.read(&path, Some(after)).await?;
    let items = page["items"].as_array().context("a list")?;
    Ok(items.iter().map(|item| item["system"].clone()).filter(|it| !it.is_null()).collect())
}

#[tokio::test]
async fn a_call_rings_at_all_devices_is_taken_at_one_and_is_remembered() -> Result<()> {
    let up = Up::start().await?;
    let (ada, ben, room) = friends(&up.url, ["Ada", "Ben"]).await?;
    let eve = Person::new(&up.url, "Eve").await?;
    let mut at_ada = Phone::of(&ada, &up.url).await?;
    let mut phone = Phone::of(&ben, &up.url).await?;
    let mut laptop = Phone::another(&ben, &up.url).await?;
    let mut stranger = Phone::of(&eve, &up.url).await?;

    // Bad input, strangers, repeats.
    let start = json!({ "conversation": room, "media": "video", "camera": false });
    stranger.refused("call.start", start.clone(), "no-such-conversation").await?;
    let wrong = json!({ "conversation": room, "media": "smell" });
    at_ada.refused("call.start", wrong, "wrong-shape").await?;
    let shows = json!({ "conversation": room, "media": "audio", "camera": true });
    at_ada.refused("call.start", shows, "voice-only").await?;
    let post = |body: &Value| ada.session.request(Method::POST, "/v1/calls").json(body);
    refused(post(&start), 400, "idempotency-key").await?;
    let same = key().to_string();
    let keyed = |body: &Value| post(body).header("Idempotency-Key", &same);
    let first = accepted(keyed(&start), 201).await?;
    ensure!(accepted(keyed(&start), 201).await? == first, "it was begun twice");
    let other = json!({ "conversation": room, "media": "audio" });
    refused(keyed(&other), 409, "key-reused").await?;
    let call: CallId = first["id"].as_str().context("an id")?.parse()?;
    let begun = position(&first)?;

    // It rings, and is known to those whom it concerns.
    for device in [&mut phone, &mut laptop] {
        let rings = device.event("call.started").await?;
        ensure!(rings["data"]["ring"] == json!([ben.user()]), "{rings}");
        ensure!(rings["data"]["by"] == at_ada.participant(), "{rings}");
        ensure!(rings["data"]["ring_seconds"] == 45, "{rings}");
    }
    let here = format!("/v1/conversations/{room}/call");
    let now: Value = ben.session.read(&here, Some(begun)).await?;
    ensure!(now["call"]["status"] == "ringing" && now["call"]["outcome"] == "ringing", "{now}");
    ensure!(slug(eve.session.read::<Value>(&here, Some(begun)).await) == "no-such-conversation");
    let path = format!("/v1/calls/{call}");
    ensure!(slug(eve.session.read::<Value>(&path, Some(begun)).await) == "no-such-call");
    for step in ["accept", "join", "decline", "cancel", "leave", "end", "move", "ask_consent"] {
        stranger.refused(&format!("call.{step}"), about(call), "no-such-call").await?;
    }
    let again = at_ada.refused("call.start", start.clone(), "call-in-progress").await?;
    ensure!(again["detail"] == json!(call), "{again}");

    // One device takes it, and the other one stops ringing.
    let answer = phone.done("call.accept", json!({ "call": call, "camera": false })).await?;
    let joined = &answer["joined"];
    ensure!(joined["offers_to"] == json!([at_ada.participant()]), "{answer}");
    ensure!(joined["participants"].as_array().is_some_and(|two| two.len() == 2), "{answer}");
    let caller = at_ada.participant();
    for device in [&mut at_ada, &mut laptop] {
        let taken = device.event("call.accepted").await?;
        ensure!(taken["data"]["participant"] == phone.participant(), "{taken}");
        ensure!(taken["data"]["offers_to"] == json!([caller]), "{taken}");
    }
    laptop.refused("call.accept", about(call), "answered-elsewhere").await?;
    laptop.refused("call.toggle", json!({ "call": call, "screen": true }), "not-in-call").await?;
    at_ada.refused("call.cancel", about(call), "call-answered").await?;
    phone.refused("call.cancel", about(call), "not-caller").await?;

    // What is on is a fact, which a newcomer reads.
    let toggle = json!({ "call": call, "camera": true, "microphone": false });
    let toggled = at_ada.done("call.toggle", toggle).await?;
    let heard = phone.event("call.toggled").await?;
    let on = json!({ "microphone": false, "camera": true, "screen": false });
    ensure!(heard["data"]["toggles"] == on, "{heard}");
    let seen = laptop.sees(call, position(&toggled)?).await?;
    let first = &seen["participants"][0];
    ensure!(first["camera"] == true && first["microphone"] == false, "{seen}");

    // Hanging up is the end for both.
    phone.done("call.leave", about(call)).await?;
    let ended = at_ada.event("call.ended").await?;
    ensure!(ended["data"]["cause"] == "completed" && ended["data"]["by"] == json!(ben.user()));
    phone.refused("call.join", about(call), "call-over").await?;
    let end: Position = serde_json::from_value(ended["position"].clone())?;
    ensure!(history(&at_ada, "", end).await? == [("completed".into(), "called".into())]);
    ensure!(history(&laptop, "", end).await? == [("completed".into(), "accepted".into())]);
    ensure!(history(&laptop, "?outcome=missed", end).await?.is_empty());
    let rows = systems(&laptop, room, end).await?;
    let types: Vec<&str> = rows.iter().filter_map(|row| row["type"].as_str()).collect();
    ensure!(types == ["call_ended", "call_started"] || types == ["call_started", "call_ended"]);
    let now: Value = ben.session.read(&here, Some(end)).await?;
    ensure!(now == json!({ "call": null }), "{now}");
    up.end().await
}

#[tokio::test]
async fn a_call_that_is_not_taken_is_declined_cancelled_missed_or_busy() -> Result<()> {
    let up = Up::with(SHORT).await?;
    let (ada, ben, room) = friends(&up.url, ["Ada", "Ben"]).await?;
    let cleo = Person::new(&up.url, "Cleo").await?;
    cleo.session.ask_for_friendship(ben.user()).await?;
    ben.session.accept_friendship(cleo.user()).await?;
    let other_room = cleo.session.open_direct(ben.user()).await?.id;
    let mut at_ada = Phone::of(&ada, &up.url).await?;
    let mut at_ben = Phone::of(&ben, &up.url).await?;
    let mut at_cleo = Phone::of(&cleo, &up.url).await?;

    let call = at_ada.calls(room, json!({})).await?;
    at_ben.done("call.decline", about(call)).await?;
    let ended = at_ada.event("call.ended").await?;
    ensure!(ended["data"]["cause"] == "declined", "{ended}");

    let call = at_ada.calls(room, json!({})).await?;
    at_ada.done("call.cancel", about(call)).await?;
    let ended = at_ben.hears("the end", |frame| frame["data"]["cause"] == "cancelled").await?;
    ensure!(ended["data"]["missed"] == json!([ben.user()]), "{ended}");

    at_ada.calls(room, json!({ "media": "audio" })).await?;
    let missed = at_ben.event("call.missed").await?;
    ensure!(missed["data"]["users"] == json!([ben.user()]), "{missed}");
    let ended = at_ada.hears("the end", |frame| frame["data"]["cause"] == "missed").await?;
    let end: Position = serde_json::from_value(ended["position"].clone())?;
    let outcomes: Vec<_> = ["missed", "missed", "declined"].map(str::to_owned).into();
    let known = history(&at_ben, "", end).await?;
    ensure!(known.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>() == outcomes);
    // A page after the other, and only what was missed.
    let page: Value = ben.session.read("/v1/calls?outcome=missed&limit=1", Some(end)).await?;
    let next = page["next"].as_str().context("a next page")?;
    let path = format!("/v1/calls?outcome=missed&limit=1&before={}", next.replace('/', "%2F"));
    let page: Value = ben.session.read(&path, Some(end)).await?;
    ensure!(page["items"][0]["cause"] == "cancelled" && page["next"].is_null(), "{page}");
    // And they are told of it, each once.
    for _ in 0..2 {
        let told = at_ben
            .hears("a notification", |frame| {
                frame["type"] == "notification.raised"
                    && frame["data"]["about"]["kind"] == "missed_call"
            })
            .await?;
        ensure!(told["data"]["about"]["from"] == json!(ada.user()), "{told}");
    }

    // Who talks is busy, also at another device; and no device is in two calls.
    let call = at_ada.calls(room, json!({})).await?;
    at_ben.done("call.accept", about(call)).await?;
    let busy = at_cleo.calls(other_room, json!({})).await?;
    let ended = at_cleo.hears("the end", |frame| frame["data"]["cause"] == "busy").await?;
    ensure!(ended["data"]["call"] == json!(busy) && ended["data"]["missed"] == json!([ben.user()]));
    let start = json!({ "conversation": other_room, "media": "audio" });
    at_ben.refused("call.start", start.clone(), "in-another-call").await?;
    let mut tablet = Phone::another(&ben, &up.url).await?;
    tablet.done("call.start", start).await?;
    let rings = at_cleo.hears("the call", |frame| frame["data"]["ring"] == json!([cleo.user()]));
    let other: CallId = serde_json::from_value(rings.await?["data"]["call"].clone())?;
    at_cleo.done("call.accept", about(other)).await?;
    at_ben.refused("call.join", about(other), "in-another-call").await?;
    // Free again, it may go there.
    at_ben.done("call.leave", about(call)).await?;
    at_ben.done("call.join", about(other)).await?;
    up.end().await
}

#[tokio::test]
async fn in_a_mesh_the_newcomer_offers_to_all_and_without_an_sfu_it_stays_one() -> Result<()> {
    // Processes without an SFU among them.
    let up = Cluster::with(&[("ROUNDTABLE_CALL_MESH", "3")]).await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo", "Dora"]).await?;
    let phones = group.people.iter().map(|person| Phone::of(person, &up.url));
    let mut phones = try_join_all(phones).await?;
    let room = group.conversation;
    let dora = phones.pop().expect("four");
    let (mut ada, mut ben, mut cleo, mut dora) = {
        let cleo = phones.pop().expect("three");
        let ben = phones.pop().expect("two");
        (phones.pop().expect("one"), ben, cleo, dora)
    };
    let sfu = json!({ "conversation": room, "media": "video", "carrier": "sfu" });
    ada.refused("call.start", sfu, "no-sfu-node").await?;
    let eve = Person::new(&up.url, "Eve").await?;
    let rings = json!({ "conversation": room, "media": "video", "ring": [eve.user()] });
    ada.refused("call.start", rings, "rings-at-stranger").await?;
    let ring = json!([ben.session.user(), cleo.session.user()]);
    let call = ada.calls(room, json!({ "grows": true, "ring": ring })).await?;

    let order = |answer: &Value| answer["joined"]["offers_to"].clone();
    let answer = ben.done("call.accept", about(call)).await?;
    ensure!(order(&answer) == json!([ada.participant()]), "{answer}");
    // It should grow with the third, and there is no node to grow onto.
    let answer = cleo.done("call.accept", about(call)).await?;
    ensure!(order(&answer) == json!([ada.participant(), ben.participant()]), "{answer}");
    ensure!(answer["joined"]["carrier"] == "peers", "{answer}");
    for device in [&mut ada, &mut ben] {
        let came = device
            .hears("the third", |frame| {
                frame["type"] == "call.accepted" && frame["data"]["inside"] == 3
            })
            .await?;
        ensure!(came["data"]["offers_to"] == order(&answer), "{came}");
    }
    dora.refused("call.join", about(call), "mesh-full").await?;
    ben.refused("call.move", about(call), "no-sfu-node").await?;
    dora.refused("call.move", about(call), "not-in-call").await?;
    let ticket = format!("/v1/calls/{call}/ticket");
    ensure!(slug(ben.posts(&ticket).await) == "not-on-sfu");
    ensure!(slug(dora.posts(&ticket).await) == "not-in-call");
    ensure!(slug(eve.session.write::<Value>(Method::POST, &ticket, None).await) == "no-such-call");

    // Who leaves and comes back is a newcomer; the first one left offers to nobody.
    ada.done("call.leave", about(call)).await?;
    let answer = ada.done("call.join", about(call)).await?;
    ensure!(order(&answer) == json!([ben.participant(), cleo.participant()]), "{answer}");

    // Consent is asked, given and withdrawn before everybody.
    ben.refused("call.consent", json!({ "call": call, "agrees": true }), "consent-not-asked")
        .await?;
    ada.done("call.ask_consent", about(call)).await?;
    ben.event("call.consent_asked").await?;
    ben.done("call.consent", json!({ "call": call, "agrees": true })).await?;
    let withdrawn = ben.done("call.consent", json!({ "call": call, "agrees": false })).await?;
    cleo.event("call.consent_withdrawn").await?;
    let seen = cleo.sees(call, position(&withdrawn)?).await?;
    let agrees: Vec<_> = seen["people"].as_array().context("people")?.iter().collect();
    ensure!(
        agrees
            .iter()
            .any(|one| one["user_id"] == json!(ada.session.user()) && one["agrees"] == true)
    );
    ensure!(
        agrees
            .iter()
            .any(|one| one["user_id"] == json!(ben.session.user()) && one["agrees"] == false)
    );

    // Only who called, or moderates, ends it for all. Who is sent out of the group is out of it.
    ben.refused("call.end", about(call), "may-not-end-call").await?;
    let path = format!("/v1/conversations/{room}/members/{}", cleo.session.user());
    let _: Value = ada.session.write(Method::DELETE, &path, None).await?;
    let left = ben.hears("one is out", |frame| frame["data"]["cause"] == "removed").await?;
    ensure!(left["data"]["participant"] == cleo.participant(), "{left}");
    ada.done("call.end", about(call)).await?;
    ben.event("call.ended").await?;
    up.stop().await;
    Ok(())
}

#[tokio::test]
async fn in_the_one_process_stack_a_call_grows_onto_its_sfu() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo"]).await?;
    let phones = group.people.iter().map(|person| Phone::of(person, &up.url));
    let [mut ada, mut ben, mut cleo]: [Phone; 3] =
        try_join_all(phones).await?.try_into().ok().context("three")?;
    let ring = json!([ben.session.user(), cleo.session.user()]);
    let call = ada.calls(group.conversation, json!({ "grows": true, "ring": ring })).await?;
    ben.done("call.accept", about(call)).await?;
    cleo.done("call.accept", about(call)).await?;
    let moved = ada.event("call.moved").await?;
    let ticket = cleo.posts(&format!("/v1/calls/{call}/ticket")).await?;
    ensure!(ticket["node"] == moved["data"]["node"], "{ticket} and {moved}");
    ensure!(ticket["url"].as_str().is_some_and(|url| url.contains("://")), "{ticket}");
    up.end().await
}

#[tokio::test]
async fn a_device_whose_connection_is_lost_is_out_of_the_call_after_a_while_and_not_before()
-> Result<()> {
    let up = Up::with(SHORT).await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo"]).await?;
    let phones = group.people.iter().map(|person| Phone::of(person, &up.url));
    let [mut ada, mut ben, mut cleo]: [Phone; 3] =
        try_join_all(phones).await?.try_into().expect("three");
    // Ben is there with another device: that is not the one in the call.
    let mut tablet = Phone::another(&group.people[1], &up.url).await?;
    let call = ada.calls(group.conversation, json!({})).await?;
    ben.done("call.accept", about(call)).await?;
    cleo.done("call.accept", about(call)).await?;
    let (lost, stays) = (ben.participant(), cleo.participant());
    ben.cut().await;
    // Cleo is away for a moment only.
    let session = cleo.cut().await;
    let mut cleo = Phone::back(session, &up.url).await?;
    let left = tablet.event("call.left").await?;
    ensure!(left["data"]["participant"] == lost && left["data"]["cause"] == "lost", "{left}");
    let at: Position = serde_json::from_value(left["position"].clone())?;
    let seen = ada.sees(call, at).await?;
    let inside = seen["participants"].as_array().context("people")?;
    ensure!(inside.iter().any(|one| one["device_id"] == stays["device"]), "{seen}");

    // Who is in a call between two and blocks the other one hangs up by that.
    cleo.done("call.leave", about(call)).await?;
    ada.done("call.leave", about(call)).await?;
    tablet.event("call.ended").await?;
    let (dora, eve, room) = friends(&up.url, ["Dora", "Eve"]).await?;
    let mut at_dora = Phone::of(&dora, &up.url).await?;
    let mut at_eve = Phone::of(&eve, &up.url).await?;
    let call = at_dora.calls(room, json!({})).await?;
    at_eve.done("call.accept", about(call)).await?;
    at_eve.done("friendship.block", json!({ "user": dora.user() })).await?;
    at_dora.event("call.ended").await?;
    let start = json!({ "conversation": room, "media": "audio" });
    at_dora.refused("call.start", start, "not-friends").await?;

    // When all connections are lost at once, nobody has to hang up.
    let (finn, gala, room) = friends(&up.url, ["Finn", "Gala"]).await?;
    let mut at_finn = Phone::of(&finn, &up.url).await?;
    let mut at_gala = Phone::of(&gala, &up.url).await?;
    let mut watch = Phone::another(&gala, &up.url).await?;
    let call = at_finn.calls(room, json!({})).await?;
    at_gala.done("call.accept", about(call)).await?;
    drop((at_finn.cut().await, at_gala.cut().await));
    let ended = watch.event("call.ended").await?;
    ensure!(ended["data"]["cause"] == "lost", "{ended}");
    up.end().await
}

#[tokio::test]
async fn a_ring_ends_although_every_projector_was_gone_when_it_should_have() -> Result<()> {
    let mut cluster = Cluster::with(SHORT).await?;
    let (ada, ben, room) = friends(&cluster.url, ["Ada", "Ben"]).await?;
    let mut at_ada = Phone::of(&ada, &cluster.url).await?;
    for projector in &mut cluster.projectors {
        projector.process.kill().await;
    }
    let call = at_ada.calls(room, json!({})).await?;
    // It rings for ten seconds; whoever would end it is not there for twelve.
    tokio::time::timeout(
        std::time::Duration::from_secs(12),
        at_ada.hears("an end", |frame| frame["type"] == "call.ended"),
    )
    .await
    .expect_err("nobody is there to end it");
    for projector in &mut cluster.projectors {
        projector.crash_and_restart().await?;
    }
    let mut at_ada = Phone::back(at_ada.cut().await, &cluster.url).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let seen = loop {
        let seen: Value = ben.session.read(&format!("/v1/calls/{call}"), None).await?;
        if seen["status"] == "ended" || tokio::time::Instant::now() > deadline {
            break seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    ensure!(seen["cause"] == "missed" && seen["outcome"] == "missed", "{seen}");
    // Nothing is left of it: the next call rings.
    let next = at_ada.calls(room, json!({})).await?;
    ensure!(next != call);
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_call_of_voices_becomes_one_of_video_and_rings_at_more_people() -> Result<()> {
    let up = Up::with(SHORT).await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo", "Dora"]).await?;
    let phones = group.people.iter().map(|person| Phone::of(person, &up.url));
    let [mut ada, mut ben, mut cleo, mut dora]: [Phone; 4] =
        try_join_all(phones).await?.try_into().ok().context("four")?;
    let mut eve = Phone::of(&Person::new(&up.url, "Eve").await?, &up.url).await?;
    let voice = json!({ "media": "audio", "carrier": "sfu", "ring": [ben.session.user()] });
    let call = ada.calls(group.conversation, voice).await?;
    ben.done("call.accept", about(call)).await?;

    // Screens, and no cameras. The ticket permits a picture to who shares one, and to nobody else.
    let heights = async |who: &Phone| -> Result<Value> {
        let ticket = who.posts(&format!("/v1/calls/{call}/ticket")).await?;
        Ok(claims(ticket["ticket"].as_str().context("a ticket")?)?["rights"]["height"].clone())
    };
    let on = |source: &str| json!({ "call": call, source: true });
    ben.refused("call.toggle", on("camera"), "voice-only").await?;
    ensure!(heights(&ben).await? == 0);
    ben.done("call.toggle", on("screen")).await?;
    ensure!(heights(&ben).await?.is_null() && heights(&ada).await? == 0);

    // Somebody in it turns it into one of video, once; everybody is told, and it is in the history.
    eve.refused("call.add_video", about(call), "no-such-call").await?;
    cleo.refused("call.add_video", about(call), "not-in-call").await?;
    let path = format!("/v1/calls/{call}/video");
    let same = key().to_string();
    let post = || group.people[1].session.request(Method::POST, &path);
    refused(post(), 400, "idempotency-key").await?;
    let first = accepted(post().header("Idempotency-Key", &same), 202).await?;
    ensure!(accepted(post().header("Idempotency-Key", &same), 202).await? == first);
    ada.done("call.add_video", about(call)).await?;
    let told = cleo.event("call.video_added").await?;
    ensure!(told["data"]["by"] == json!(ben.session.user()), "{told}");
    ensure!(heights(&ada).await?.is_null());
    ada.done("call.toggle", on("camera")).await?;
    let seen = cleo.sees(call, position(&first)?).await?;
    ensure!(seen["media"] == "video", "{seen}");

    // More people: members only, from within, those who are free, each with their own time.
    let rings = |people: &[&Phone]| {
        let people: Vec<_> = people.iter().map(|phone| phone.session.user()).collect();
        json!({ "call": call, "people": people })
    };
    eve.refused("call.ring", rings(&[&cleo]), "no-such-call").await?;
    dora.refused("call.ring", rings(&[&cleo]), "not-in-call").await?;
    ada.refused("call.ring", rings(&[&cleo, &eve]), "rings-at-stranger").await?;
    ada.refused("call.ring", json!({ "call": call, "people": "all" }), "wrong-shape").await?;
    let elsewhere = dora.session.open_group("Elsewhere", &[cleo.session.user()]).await?.id;
    let other = dora.calls(elsewhere, json!({ "ring": [] })).await?;
    ben.refused("call.ring", rings(&[&dora]), "people-busy").await?;
    let wanted = rings(&[&cleo, &dora, &ben]);
    let rung = ben.done("call.ring", wanted.clone()).await?;
    let ringing = cleo.event("call.rung").await?;
    ensure!(ringing["data"]["ring"] == json!([cleo.session.user()]), "{ringing}");
    ensure!(ringing["data"]["busy"] == json!([dora.session.user()]), "{ringing}");
    let mine: Value =
        cleo.session.read(&format!("/v1/calls/{call}"), Some(position(&rung)?)).await?;
    ensure!(mine["outcome"] == "ringing" && mine["status"] == "connected", "{mine}");
    let missed = cleo.event("call.missed").await?;
    ensure!(missed["data"]["users"] == json!([cleo.session.user()]), "{missed}");

    // Again: it rings anew, and now it is taken, also by who was busy.
    dora.done("call.leave", about(other)).await?;
    let path = format!("/v1/calls/{call}/ring");
    let body = json!({ "people": [cleo.session.user(), dora.session.user()] });
    let post = ada.session.request(Method::POST, &path);
    accepted(post.header("Idempotency-Key", key().to_string()).json(&body), 202).await?;
    dora.hears("it ring", |frame| {
        frame["type"] == "call.rung"
            && frame["data"]["ring"].as_array().is_some_and(|it| it.len() == 2)
    })
    .await?;
    for phone in [&mut cleo, &mut dora] {
        let answer = phone.done("call.accept", json!({ "call": call, "camera": false })).await?;
        ensure!(answer["joined"]["media"] == "video", "{answer}");
    }
    let end = ada.done("call.end", about(call)).await?;
    let at = position(&end)?;
    ensure!(history(&cleo, "", at).await? == [("completed".into(), "accepted".into())]);
    up.end().await
}

/// What a token says, without a look at its signature.
fn claims(token: &str) -> Result<Value> {
    let body = token.split('.').nth(1).context("a token has three parts")?;
    Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body)?)?)
}
