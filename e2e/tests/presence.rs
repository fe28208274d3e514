//! Who is there, as the others see it: at any node, with nodes and Redis failing.
//!
//! The heartbeat is a second here, so a node's word for its people is good for five (`command-api/src/presence`).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::Cluster;
use e2e::device::Device;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused, refused_with};
use e2e::talk::{Group, PATIENCE, Person};
use futures::future::try_join_all;
use reqwest::Method;
use roundtable::client::key;
use serde_json::{Value, json};
use servers::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const HEARTBEAT: Duration = Duration::from_secs(1);

/// Longer than a node's word is good, and all that comes after it.
const LONG: Duration = Duration::from_secs(6);

async fn cluster() -> Result<Cluster> {
    let heartbeat = HEARTBEAT.as_millis().to_string();
    Cluster::with(&[("ROUNDTABLE_HEARTBEAT_MS", heartbeat)]).await
}

/// The next frame of presence; events before it are passed over.
async fn told(socket: &mut Device) -> Result<Value> {
    loop {
        let frame = socket.frame().await.context("no presence was told")?;
        match frame["op"].as_str() {
            Some("presence") => return Ok(frame),
            Some("event" | "presence_lost") => {}
            _ => bail!("waited for presence, and there came {frame}"),
        }
    }
}

/// The next frame of presence has to say this of somebody.
async fn hears(socket: &mut Device, of: &Person, state: &str) -> Result<Value> {
    let frame = told(socket).await?;
    let name = &of.name;
    ensure!(frame["user"] == json!(of.user()), "it should be of {name}: {frame}");
    ensure!(frame["state"] == state, "{name} should be {state}: {frame}");
    ensure!(frame["online"] == (state != "offline"), "{frame}");
    ensure!(frame["last_seen"].is_string() == (state == "offline"), "{frame}");
    Ok(frame)
}

/// What a person is answered about others.
async fn asks(url: &str, who: &Person, of: &[&Person]) -> Result<Vec<Value>> {
    let ids: Vec<_> = of.iter().map(|person| person.user().to_string()).collect();
    let path = format!("/v1/presence?users={}", ids.join(","));
    let answer = accepted(who.request(url, Method::GET, &path)?, 200).await?;
    Ok(answer["items"].as_array().context("items")?.clone())
}

/// Waits until the answer about somebody says this.
async fn becomes(url: &str, who: &Person, of: &Person, state: &str) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let items = asks(url, who, &[of]).await?;
        if items.iter().any(|item| item["state"] == state) {
            return Ok(items[0].clone());
        }
        ensure!(Instant::now() < deadline, "{} is not {state}: {items:?}", of.name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// People talk for a while: their sockets stay open and hear everything.
async fn talk_for(group: &Group, listener: &mut Device, long: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < long {
        let (said, _) = group.say(0, "are you there?").await?;
        loop {
            let frame = listener.frame().await?;
            ensure!(frame["op"] != "presence", "somebody flaps: {frame}");
            if frame["data"]["message"] == json!(said) {
                break;
            }
        }
    }
    Ok(())
}

/// Redis forgets everything and ends, in one step.
async fn wipe_and_end(cluster: &mut Cluster) -> Result<()> {
    let url = cluster.servers.redis_url.clone().context("Redis was wanted")?;
    let (password, address) =
        url.trim_start_matches("redis://:").split_once('@').context("a URL with a password")?;
    let mut redis = TcpStream::connect(address.trim_end_matches("/0")).await?;
    let commands = format!("AUTH {password}\r\nFLUSHALL\r\nSHUTDOWN NOSAVE\r\n");
    redis.write_all(commands.as_bytes()).await?;
    // It ends before it answers, and may reset the connection.
    let _ = redis.read_to_end(&mut Vec::new()).await;
    let ended = timeout(PATIENCE, cluster.servers.exited()).await;
    ensure!(ended.context("Redis goes on")? == Kind::Redis);
    Ok(())
}

#[tokio::test]
async fn only_edges_are_told_and_only_to_those_they_concern() -> Result<()> {
    let cluster = cluster().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let group = Group::new(&cluster.url, &["Ada", "Bob"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let (cleo, eve) =
        (&Person::new(&cluster.url, "Cleo").await?, &Person::new(&cluster.url, "Eve").await?);
    ada.session.ask_for_friendship(cleo.user()).await?;
    cleo.session.accept_friendship(ada.user()).await?;
    let mut watching = Device::open(&nodes[1], bob.token()).await?;
    let mut friend = Device::open(&nodes[0], cleo.token()).await?;
    let mut stranger = Device::open(&nodes[0], eve.token()).await?;

    let first = Device::open(&nodes[0], ada.token()).await?;
    let online = hears(&mut watching, ada, "online").await?;
    hears(&mut friend, ada, "online").await?;
    let item = becomes(&cluster.url, bob, ada, "online").await?;
    ensure!(item["version"] == online["version"], "{item} and {online}");
    ensure!(item["online"] == true && item["last_seen"] == Value::Null, "{item}");

    // More devices, anywhere, and fewer, are nobody's business, as long as there is one.
    let mut second = Device::open(&nodes[1], ada.token()).await?;
    let third = Device::open(&nodes[0], ada.token()).await?;
    first.cut().await;
    third.cut().await;
    // The cut devices have no use any more for what they said; this one is all there is.
    second.send(&json!({ "op": "presence", "state": "away" })).await?;
    hears(&mut watching, ada, "away").await?;
    second.send(&json!({ "op": "presence", "state": "online" })).await?;
    hears(&mut watching, ada, "online").await?;
    second.cut().await;
    let offline = hears(&mut watching, ada, "offline").await?;
    ensure!(offline["version"].as_u64() > online["version"].as_u64(), "{offline}");
    let item = becomes(&cluster.url, bob, ada, "offline").await?;
    ensure!(item["last_seen"] == offline["last_seen"], "{item} and {offline}");
    for state in ["away", "online", "offline"] {
        hears(&mut friend, ada, state).await?;
    }

    // Everybody sees themselves; strangers see nothing, nor does anything come by itself.
    ensure!(asks(&cluster.url, eve, &[ada, bob, cleo]).await?.is_empty());
    ensure!(asks(&cluster.url, bob, &[cleo]).await?.is_empty(), "a friend of a friend is none");
    ensure!(asks(&cluster.url, eve, &[eve]).await?[0]["online"] == true);
    let eves = Group { people: vec![eve.clone()], ..group.clone() };
    ensure!(eves.say(0, "not a member").await.is_err());
    stranger.send(&json!({ "op": "ping" })).await?;
    let frame = stranger.frame().await?;
    ensure!(frame["op"] == "pong", "a stranger heard {frame}");

    // Whose friendship ends is a stranger from then on.
    let path = format!("/v1/friends/{}", ada.user());
    let removal = cleo.request(&cluster.url, Method::DELETE, &path)?;
    let removed = accepted(removal.header("Idempotency-Key", key().to_string()), 202).await?;
    let after = removed["position"].as_str().context("position")?.replace('/', "%2F");
    let path = format!("/v1/presence?users={}&after={after}", ada.user());
    let answer = accepted(cleo.request(&cluster.url, Method::GET, &path)?, 200).await?;
    ensure!(answer == json!({ "items": [] }), "{answer}");
    let _again = Device::open(&nodes[0], ada.token()).await?;
    hears(&mut watching, ada, "online").await?;
    friend.send(&json!({ "op": "ping" })).await?;
    loop {
        let frame = friend.frame().await?;
        ensure!(frame["op"] != "presence", "a stranger heard {frame}");
        if frame["op"] == "pong" {
            break;
        }
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn bad_questions_and_bad_frames_are_refused() -> Result<()> {
    let cluster = cluster().await?;
    let ada = Person::new(&cluster.url, "Ada").await?;
    let many: Vec<_> = (0..101).map(|_| key().to_string()).collect();
    for query in
        ["", "?users=", "?users=x", "?users=,", "?user=1", &format!("?users={}", many.join(","))]
    {
        let path = format!("/v1/presence{query}");
        refused(ada.request(&cluster.url, Method::GET, &path)?, 400, "invalid-query").await?;
    }
    let unknown = format!("/v1/presence?users={}", many[..100].join(","));
    let answer = accepted(ada.request(&cluster.url, Method::GET, &unknown)?, 200).await?;
    ensure!(answer == json!({ "items": [] }), "{answer}");
    let nobody = reqwest::Client::new().get(format!("{}{unknown}", cluster.url));
    refused_with(nobody, 401).await?;

    let (mut socket, hello) = Raw::connect(&cluster.url).await?;
    ensure!(hello["heartbeat_ms"] == 1000, "{hello}");
    socket.send(&json!({ "op": "presence", "state": "away" })).await?;
    ensure!(socket.until("error").await?["status"] == 401);
    socket.send(&json!({ "op": "auth", "token": ada.token() })).await?;
    socket.until("ready").await?;
    for bad in [json!({}), json!({ "state": "offline" }), json!({ "state": "away", "user": key() })]
    {
        let mut frame = bad.clone();
        frame["op"] = json!("presence");
        socket.send(&frame).await?;
        ensure!(socket.until("error").await?["status"] == 422, "{bad}");
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_dies_takes_nobody_along_and_leaves_no_ghost() -> Result<()> {
    let mut cluster = cluster().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = &group.people[..] else { bail!("three people") };
    let mut watching = Device::open(&nodes[1], bob.token()).await?;
    let _lost = Device::open(&nodes[0], ada.token()).await?;
    hears(&mut watching, ada, "online").await?;
    let _half = Device::open(&nodes[0], cleo.token()).await?;
    hears(&mut watching, cleo, "online").await?;
    let other_half = Device::open(&nodes[1], cleo.token()).await?;
    becomes(&cluster.url, bob, cleo, "online").await?;

    let killed = Instant::now();
    cluster.command_apis[0].process.kill().await;
    let offline = hears(&mut watching, ada, "offline").await?;
    eprintln!("offline {:?} after the node was killed", killed.elapsed());
    becomes(&cluster.url, bob, ada, "offline").await?;
    ensure!(offline["last_seen"].is_string());

    // Somebody who comes back is there, and who has a device elsewhere never was away.
    let back = Device::open(&nodes[1], ada.token()).await?;
    hears(&mut watching, ada, "online").await?;
    cluster.command_apis[0].crash_and_restart().await?;
    let state = asks(&cluster.url, bob, &[cleo]).await?;
    ensure!(state[0]["state"] == "online", "{state:?}");

    // Frozen for longer than its word is good, a node's people are offline; and there again with it.
    let dora = Person::new(&cluster.url, "Dora").await?;
    bob.session.ask_for_friendship(dora.user()).await?;
    dora.session.accept_friendship(bob.user()).await?;
    let _frozen = Device::open(&nodes[0], dora.token()).await?;
    hears(&mut watching, &dora, "online").await?;
    cluster.command_apis[0].process.signal("STOP").await?;
    hears(&mut watching, &dora, "offline").await?;
    cluster.command_apis[0].process.signal("CONT").await?;
    hears(&mut watching, &dora, "online").await?;

    other_half.cut().await;
    hears(&mut watching, cleo, "offline").await?;
    back.cut().await;
    hears(&mut watching, ada, "offline").await?;
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn people_who_move_to_another_node_because_theirs_ends_never_look_offline() -> Result<()> {
    let mut cluster = cluster().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let group = Group::new(&cluster.url, &["Bob", "Ada", "Cleo", "Dora"]).await?;
    let mut watching = Device::open(&nodes[1], group.people[0].token()).await?;
    let mut devices = Vec::new();
    for person in &group.people[1..] {
        devices.push(Device::open(&nodes[0], person.token()).await?);
        hears(&mut watching, person, "online").await?;
    }
    let (stopped, moved) = tokio::join!(
        cluster.command_apis[0].process.stop(),
        try_join_all(devices.iter_mut().zip(&group.people[1..]).map(async |(device, person)| {
            let bye = device.end().await?;
            ensure!(bye.is_some_and(|bye| bye["code"] == "going-away"));
            Device::open(&nodes[1], person.token()).await
        }))
    );
    ensure!(stopped?.success());
    let mut moved = moved?;
    talk_for(&group, &mut watching, LONG).await.context("after everybody moved")?;
    for person in &group.people[1..] {
        moved.remove(0).cut().await;
        hears(&mut watching, person, "offline").await?;
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_frozen_redis_and_one_that_comes_back_empty_change_nothing_for_those_who_stay()
-> Result<()> {
    let mut cluster = cluster().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo", "Dora"]).await?;
    let [ada, bob, cleo, dora] = &group.people[..] else { bail!("four people") };
    let mut watching = Device::open(&nodes[1], bob.token()).await?;
    let mut devices = Vec::new();
    for (index, person) in [ada, cleo, dora].into_iter().enumerate() {
        devices.push(Device::open(&nodes[index % 2], person.token()).await?);
        hears(&mut watching, person, "online").await?;
    }

    cluster.servers.pause(Kind::Redis).await;
    talk_for(&group, &mut watching, LONG).await.context("while Redis is frozen")?;
    let unknown = becomes(&cluster.url, bob, ada, "unknown").await?;
    ensure!(unknown["online"] == Value::Null, "{unknown}");
    cluster.servers.resume(Kind::Redis).await;
    becomes(&cluster.url, bob, ada, "online").await?;
    talk_for(&group, &mut watching, LONG).await.context("after Redis was frozen")?;
    devices.pop().context("Dora's")?.cut().await;
    hears(&mut watching, dora, "offline").await?;

    wipe_and_end(&mut cluster).await?;
    talk_for(&group, &mut watching, LONG).await.context("while Redis is gone")?;
    becomes(&cluster.url, bob, ada, "unknown").await?;
    // One leaves and one comes while nobody can note it.
    devices.pop().context("Cleo's")?.cut().await;
    let came = Device::open(&nodes[0], dora.token()).await?;
    cluster.servers.restart(Kind::Redis).await?;
    let mut changes = [told(&mut watching).await?, told(&mut watching).await?];
    changes.sort_by_key(|frame| frame["state"].to_string());
    let [left, entered] = &changes[..] else { bail!("two changes") };
    ensure!(left["user"] == json!(cleo.user()) && left["state"] == "offline", "{left}");
    ensure!(entered["user"] == json!(dora.user()) && entered["state"] == "online", "{entered}");
    becomes(&cluster.url, bob, ada, "online").await?;
    talk_for(&group, &mut watching, LONG).await.context("after Redis came back empty")?;

    came.cut().await;
    hears(&mut watching, dora, "offline").await?;
    devices.pop().context("Ada's")?.cut().await;
    hears(&mut watching, ada, "offline").await?;
    for person in [ada, cleo, dora] {
        let item = becomes(&cluster.url, bob, person, "offline").await?;
        ensure!(item["last_seen"].is_string(), "{item}");
    }
    cluster.stop().await;
    Ok(())
}
