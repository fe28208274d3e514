//! One room with clients of different makers: Chromium and Firefox by our signalling, aiortc and
//! GStreamer by WHIP and WHEP.

use anyhow::{Context, Result};
use e2e::browsers::Kind::{Chromium, Firefox};
use e2e::foreign::{Foreign, Make, Role};
use e2e::phone::Phone;
use e2e::talk::Group;
use events::CallId;
use serde_json::json;

use crate::{all_see_all, mark, no_picture_stood_still, stack};

#[tokio::test]
async fn firefox_and_chromium_see_each_other_directly_and_over_the_sfu() -> Result<()> {
    // Firefox finds no way to an address on loopback from there: it needs one of the machine's own.
    let (up, browsers) = stack(&[("ROUNDTABLE_SFU_LISTEN", "0.0.0.0:0")]).await?;
    let group = Group::new(&up.url, &["Ada", "Finn", "Cleo"]).await?;
    let ada = browsers.open(Chromium, &group.people[0], &up.url).await?;
    let finn = browsers.open(Firefox, &group.people[1], &up.url).await?;
    let call = ada.start(json!({ "conversation": group.conversation, "grows": true })).await?;
    finn.enter(call, "call.accept").await?;
    all_see_all(&[&ada, &finn], "peer").await?;
    mark(&[&ada, &finn]).await?;
    let cleo = browsers.open(Chromium, &group.people[2], &up.url).await?;
    cleo.enter(call, "call.accept").await?;
    let all = [&ada, &finn, &cleo];
    all_see_all(&all, "sfu").await?;
    no_picture_stood_still(&[&ada, &finn], "while Firefox moved to the SFU").await?;

    // It mutes, leaves and comes back like everybody.
    finn.toggle("camera", false).await?;
    ada.is_still(&finn, "camera").await?;
    finn.toggle("camera", true).await?;
    all_see_all(&all, "sfu").await?;
    finn.leave().await?;
    ada.until("without Finn", |facts| facts.of(&finn, "camera").is_none()).await?;
    finn.enter(call, "call.join").await?;
    all_see_all(&all, "sfu").await?;
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn aiortc_and_gstreamer_send_over_whip_and_receive_over_whep() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo", "Dora", "Eve"]).await?;
    let ada = browsers.open(Chromium, &group.people[0], &up.url).await?;
    let fields = json!({ "conversation": group.conversation, "carrier": "sfu", "ring": [] });
    let call = ada.start(fields).await?;
    let mut phones = vec![];
    for person in &group.people[1..] {
        phones.push(Phone::of(person, &up.url).await?);
    }
    let [ben, cleo, dora, eve] = &mut phones[..] else { unreachable!("four") };

    // Each sends, and is seen and heard in the browser.
    let mut senders = vec![];
    for (phone, make) in [(ben, Make::Aiortc), (cleo, Make::Gstreamer)] {
        let (url, ticket) = admitted(phone, call, Role::Publish).await?;
        senders.push(Foreign::start(make, Role::Publish, &url, &ticket)?);
        ada.sees_person(phone.session.user(), "sfu").await.with_context(|| format!("{make:?}"))?;
    }
    // Each receives Ada, in layers, and one of the others, in a single one.
    let mut viewers = vec![];
    for (phone, make) in [(dora, Make::Aiortc), (eve, Make::Gstreamer)] {
        let (url, ticket) = admitted(phone, call, Role::View).await?;
        viewers.push(Foreign::start(make, Role::View, &url, &ticket)?);
    }
    for viewer in &mut viewers {
        viewer.sees(2).await?;
    }
    for client in senders.into_iter().chain(viewers) {
        client.end().await?;
    }
    browsers.end().await?;
    up.end().await
}

/// Comes into the call; where to send or receive, and the ticket for it.
async fn admitted(phone: &mut Phone, call: CallId, role: Role) -> Result<(String, String)> {
    phone.done("call.join", json!({ "call": call })).await?;
    let ticket = phone.posts(&format!("/v1/calls/{call}/ticket")).await?;
    let part = match role {
        Role::Publish => "whip",
        Role::View => "whep",
    };
    let url = ticket["url"].as_str().context("a URL")?;
    let secret = ticket["ticket"].as_str().context("a ticket")?;
    Ok((format!("{url}/v1/{part}/{call}"), secret.to_owned()))
}
