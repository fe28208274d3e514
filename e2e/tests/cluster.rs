//! Two of each service behind the proxy: one of each may die while people talk.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::refusal::{accepted, refused_with};
use e2e::talk::{Group, Listener, Load, PATIENCE, Verdict};
use futures::future::try_join_all;
use reqwest::Method;
use roundtable::client::key;
use serde_json::json;

/// How often each person speaks.
const EACH: Duration = Duration::from_millis(100);

#[tokio::test]
async fn one_of_each_is_killed_while_people_talk_and_nothing_is_lost() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let proxy = cluster.url.clone();
    let group = Group::new(&proxy, &["Ada", "Bob", "Cleo"]).await?;
    let mut listeners = group.listeners(&[&proxy]).await?;
    // One more device, on the gateway that will survive.
    let survivor = cluster.command_apis[1].url.clone();
    listeners.push(Listener::start(group.people[0].clone(), &[&survivor]).await?);
    let load = Load::start(&group, &[&proxy], EACH);
    load.ledger.grows_by(30, PATIENCE).await?;

    // Whichever relay leads is among the two. One that was frozen believes for a while that it
    // still leads.
    for index in 0..2 {
        cluster.projectors[index].process.signal("STOP").await?;
        load.ledger.grows_by(45, PATIENCE).await?;
        let said = load.ledger.acknowledged();
        for listener in &listeners {
            listener.hears(&said).await.with_context(|| format!("projector {index} is frozen"))?;
        }
        cluster.projectors[index].process.signal("CONT").await?;
    }
    for index in 0..2 {
        cluster.projectors[index].process.kill().await;
        load.ledger.grows_by(30, PATIENCE).await?;
        let said = load.ledger.acknowledged();
        for listener in &listeners {
            listener.hears(&said).await.with_context(|| format!("without projector {index}"))?;
        }
        cluster.projectors[index].crash_and_restart().await?;
    }
    // Without any relay nobody is told that something happened, until the gateways look themselves.
    for projector in &mut cluster.projectors {
        projector.process.kill().await;
    }
    load.ledger.grows_by(45, PATIENCE).await?;
    for projector in &mut cluster.projectors {
        projector.crash_and_restart().await?;
    }
    load.ledger.grows_by(15, PATIENCE).await?;
    let said = load.ledger.acknowledged();
    for listener in &listeners {
        listener.hears(&said).await.context("after both relays were gone")?;
        ensure!(listener.reconnects() == 0, "a projector's death closed a socket");
    }

    cluster.query_apis[0].process.kill().await;
    load.ledger.grows_by(15, PATIENCE).await?;
    for person in &group.people {
        let read = person.request(&proxy, Method::GET, "/v1/conversations")?;
        accepted(read, 200).await.context("with one query-api")?;
    }
    cluster.query_apis[0].crash_and_restart().await?;

    cluster.command_apis[0].process.kill().await;
    load.ledger.grows_by(30, PATIENCE).await?;
    cluster.command_apis[0].crash_and_restart().await?;
    load.ledger.grows_by(30, PATIENCE).await?;

    let ledger = load.stop().await?;
    let (last, position) = group.say(0, "that was all").await?;
    ledger.acknowledge(last, position);
    let verdict = Verdict::on(&group, &ledger);
    verdict.holds(&listeners, &proxy).await?;
    for node in &cluster.query_apis {
        verdict.read_by(&group.people[1], &node.url).await?;
    }
    let came_back: usize = listeners.iter().map(Listener::reconnects).sum();
    ensure!(came_back > 0, "nobody was on the gateway that was killed");
    let survived = listeners.last().context("listeners")?;
    ensure!(survived.reconnects() == 0, "the gateway that survived closed a socket");
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_cut_resumes_at_the_other_node_with_nothing_missed() -> Result<()> {
    let cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo", "Dora"]).await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.as_str()).collect();
    let listeners = group.listeners(&nodes).await?;
    let load = Load::start(&group, &nodes, Duration::from_millis(25));
    for round in 0..25 {
        let cuts = listeners.iter().skip(round % 2).step_by(2).map(Listener::cut);
        try_join_all(cuts).await?;
    }
    load.ledger.grows_by(20, PATIENCE).await?;
    let ledger = load.stop().await?;
    let (last, position) = group.say(0, "that was all").await?;
    ledger.acknowledge(last, position);
    Verdict::on(&group, &ledger).holds(&listeners, &cluster.url).await?;
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_ban_on_one_node_is_seen_at_once_on_the_other() -> Result<()> {
    let cluster = Cluster::start().await?;
    let names = ["Ada", "Bob", "Cleo", "Dora", "Emil", "Fay"];
    let group = Group::new(&cluster.url, &names).await?;
    let messages = format!("/v1/conversations/{}/messages", group.conversation);
    let owner = &group.people[0];
    for round in 0..2 {
        for (index, person) in group.people.iter().enumerate().skip(1) {
            let here = &cluster.command_apis[(index + round) % 2].url;
            let there = &cluster.command_apis[(index + round + 1) % 2].url;
            let write = |who: &e2e::talk::Person, url: &str, method, path: &str| {
                let request = who.request(url, method, path);
                request.map(|request| request.header("Idempotency-Key", key().to_string()))
            };
            let send = |text: &str| {
                let request = write(person, there, Method::POST, &messages);
                request.map(|request| request.json(&json!({ "text": text })))
            };
            accepted(send("may I?")?, 201).await?;
            let ban = format!("/v1/conversations/{}/bans/{}", group.conversation, person.user());
            accepted(write(owner, here, Method::PUT, &ban)?, 202).await?;
            refused_with(send("still here?")?, 404).await.context("right after the ban")?;
            accepted(write(owner, there, Method::DELETE, &ban)?, 202).await?;
            refused_with(send("back?")?, 404).await.context("not banned, but not in it")?;
            let member =
                format!("/v1/conversations/{}/members/{}", group.conversation, person.user());
            accepted(write(owner, here, Method::PUT, &member)?, 202).await?;
            accepted(send("back!")?, 201).await.context("right after coming back")?;
        }
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_event_store_restarts_and_a_gateway_loses_nats_and_sockets_stay_open() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo"]).await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let urls = [nodes[0].as_str(), nodes[1].as_str()];
    let listeners = group.listeners(&urls).await?;
    let load = Load::start(&group, &urls, EACH);
    load.ledger.grows_by(30, PATIENCE).await?;

    cluster.first_gateway_to_nats.cut();
    load.ledger.grows_by(60, PATIENCE).await?;
    cluster.first_gateway_to_nats.mend();
    load.ledger.grows_by(30, PATIENCE).await?;
    let said = load.ledger.acknowledged();
    for listener in &listeners {
        listener.hears(&said).await.context("after the gateway lost NATS")?;
    }

    cluster.event_store.restart().await?;
    load.ledger.grows_by(60, PATIENCE).await?;

    let ledger = load.stop().await?;
    let (last, position) = group.say(0, "that was all").await?;
    ledger.acknowledge(last, position);
    Verdict::on(&group, &ledger).holds(&listeners, &cluster.url).await?;
    for listener in &listeners {
        let (name, reconnects) = (&listener.person.name, listener.reconnects());
        ensure!(reconnects == 0, "{name} came back {reconnects} times: {:?}", listener.byes());
    }
    cluster.stop().await;
    Ok(())
}
