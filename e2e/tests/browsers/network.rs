//! A page that loses its network, for a moment and for so long that it is out of the call: it comes
//! back by itself, and with its picture and sound.

use anyhow::{Context, Result, ensure};
use e2e::browsers::Facts;
use e2e::browsers::Kind::Chromium;
use e2e::link::Link;
use e2e::process::free_address;
use e2e::talk::Group;
use serde_json::json;

use crate::{all_see_all, mark, no_picture_stood_still, stack};

#[tokio::test]
async fn who_loses_the_network_is_seen_again_when_it_is_back_and_nobody_else_is_disturbed()
-> Result<()> {
    let media = free_address()?;
    let environment = [
        ("ROUNDTABLE_SFU_LISTEN", media.as_str()),
        ("ROUNDTABLE_SFU_THREADS", "1"),
        ("ROUNDTABLE_CALL_GRACE", "5"),
        ("ROUNDTABLE_HEARTBEAT_MS", "2000"),
    ];
    let (up, browsers) = stack(&environment).await?;
    let api = up.url.trim_start_matches("http://").to_owned();
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo"]).await?;
    let link = Link::to(&[&api], &[&media]).await?;
    let ada = browsers.open_by(Chromium, &group.people[0], &up.url, &link.detour).await?;
    let ben = browsers.open(Chromium, &group.people[1], &up.url).await?;
    let cleo = browsers.open(Chromium, &group.people[2], &up.url).await?;
    let fields = json!({ "conversation": group.conversation, "carrier": "sfu", "ring": [] });
    let call = ben.start(fields).await?;
    for page in [&ada, &cleo] {
        page.enter(call, "call.join").await?;
    }
    let all = [&ada, &ben, &cleo];
    all_see_all(&all, "sfu").await?;

    // For a moment, until the page itself notices; then it is in another network.
    let place = ben.facts().await?.of(&ada, "camera").context("a picture")?.id;
    mark(&[&ben, &cleo]).await?;
    link.lose();
    ben.is_still(&ada, "camera").await?;
    ada.until("interrupted", |facts| facts.connections.iter().any(|one| one != "connected"))
        .await?;
    link.regain();
    all_see_all(&all, "sfu").await?;
    let facts = ben.facts().await?;
    let same = facts.of(&ada, "camera").context("a picture")?.id == place;
    ensure!(same, "the track went on: {facts:?}");
    let gap = facts.of(&cleo, "camera").and_then(|camera| camera.gap).context("a gap")?;
    ensure!(gap < 1000.0, "Cleo stood still for Ben: {facts:?}");

    // For so long that the SFU and the call have forgotten it: it comes in again, anew.
    mark(&[&ben, &cleo]).await?;
    link.lose();
    for page in [&ben, &cleo] {
        page.until("without Ada", |facts| facts.people.len() == 2).await?;
        page.until("without her picture", |facts| facts.of(&ada, "camera").is_none()).await?;
    }
    no_picture_stood_still(&[&ben, &cleo], "while one was lost").await?;
    link.regain();
    all_see_all(&all, "sfu").await?;
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn two_who_are_connected_directly_find_each_other_again_when_the_network_is_back()
-> Result<()> {
    let (up, browsers) = stack(&[("ROUNDTABLE_HEARTBEAT_MS", "2000")]).await?;
    let api = up.url.trim_start_matches("http://").to_owned();
    let group = Group::new(&up.url, &["Ada", "Ben"]).await?;
    let link = Link::among_peers(&[&api]).await?;
    let ada = browsers.open_by(Chromium, &group.people[0], &up.url, &link.detour).await?;
    let ben = browsers.open(Chromium, &group.people[1], &up.url).await?;
    let call = ada.start(json!({ "conversation": group.conversation })).await?;
    ben.enter(call, "call.accept").await?;
    let both = [&ada, &ben];
    all_see_all(&both, "peer").await?;
    let before = ben.facts().await?;

    link.lose();
    for (page, other) in [(&ada, &ben), (&ben, &ada)] {
        page.is_still(other, "camera").await?;
        page.until("interrupted", |facts| facts.connections != ["connected"]).await?;
    }
    // Who is still in a network does not wait for the other one: the offer does, with the signals.
    ben.until("restarted", |facts| facts.credentials != before.credentials).await?;
    link.regain();
    all_see_all(&both, "peer").await?;
    // The same connection, over another way.
    for page in both {
        let facts = page.facts().await?;
        ensure!(facts.connections == ["connected"] && facts.people.len() == 2, "{facts:?}");
    }
    let after = ben.facts().await?;
    let pictures = |facts: &Facts| facts.of(&ada, "camera").map(|camera| camera.frames);
    ensure!(pictures(&after) > pictures(&before), "the track did not go on: {after:?}");
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn a_page_whose_access_token_has_expired_gets_another_one_by_itself() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let group = Group::new(&up.url, &["Ada", "Ben"]).await?;
    let ada = browsers.open(Chromium, &group.people[0], &up.url).await?;
    let ben = browsers.open(Chromium, &group.people[1], &up.url).await?;
    ada.reload_expired(&up.url).await?;
    let call = ada.start(json!({ "conversation": group.conversation })).await?;
    ben.enter(call, "call.accept").await?;
    all_see_all(&[&ada, &ben], "peer").await?;
    browsers.end().await?;
    up.end().await
}
