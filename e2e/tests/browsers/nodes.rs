//! Two SFU nodes, of which the one that carries a call dies or is shut down: its people see each other
//! again over the other one, by themselves.

use anyhow::{Context, Result};
use e2e::browsers::Kind::Chromium;
use e2e::browsers::{Browsers, Page};
use e2e::cluster::{Cluster, Node};
use e2e::talk::Group;
use serde_json::json;

use crate::all_see_all;

#[tokio::test]
async fn when_a_node_dies_or_ends_its_call_goes_on_at_another_by_itself() -> Result<()> {
    let (address, origin) = Browsers::address()?;
    let cluster = Cluster::with(&[("ROUNDTABLE_ALLOWED_ORIGINS", origin)]).await?;
    let mut nodes = [cluster.sfu(1).await?, cluster.sfu(2).await?];
    let browsers = Browsers::start(&address)?;
    let group = Group::new(&cluster.url, &["Ada", "Ben"]).await?;
    let ada = browsers.open(Chromium, &group.people[0], &cluster.url).await?;
    let ben = browsers.open(Chromium, &group.people[1], &cluster.url).await?;
    let fields = json!({ "conversation": group.conversation, "carrier": "sfu", "ring": [] });
    let call = ada.start(fields).await?;
    ben.enter(call, "call.join").await?;
    all_see_all(&[&ada, &ben], "sfu").await?;

    // A crash: nobody is told anything.
    let carries = carrier(&ada).await?;
    let dead = usize::from(carries == "sfu-2");
    nodes[dead].process.kill().await;
    elsewhere(&[&ada, &ben], &carries).await?;
    all_see_all(&[&ada, &ben], "sfu").await?;

    // A shutdown: clients are told to come again.
    nodes[dead].crash_and_restart().await?;
    let carries = carrier(&ada).await?;
    nodes[1 - dead].process.stop().await?;
    elsewhere(&[&ada, &ben], &carries).await?;
    all_see_all(&[&ada, &ben], "sfu").await?;
    browsers.end().await?;
    for Node { process, .. } in &mut nodes {
        process.kill().await;
    }
    cluster.stop().await;
    Ok(())
}

/// The node at which a page is.
async fn carrier(page: &Page) -> Result<String> {
    page.facts().await?.node.context("a node")
}

async fn elsewhere(pages: &[&Page], than: &str) -> Result<()> {
    for page in pages {
        page.until("at another node", |facts| {
            let elsewhere = facts.node.as_ref().is_some_and(|node| node != than);
            elsewhere && facts.connections == ["connected", "connected"]
        })
        .await?;
    }
    Ok(())
}
