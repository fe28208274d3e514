//! Devices that are connected to each other: two, three, and two who take a third one in.

use anyhow::{Result, ensure};
use e2e::browsers::Kind::Chromium;
use e2e::talk::{Group, Person};
use serde_json::json;

use crate::{all_see_all, mark, no_picture_stood_still, stack};

#[tokio::test]
async fn two_see_and_hear_each_other_directly_and_what_is_off_stands_still() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let (ada, ben) = (Person::new(&up.url, "Ada").await?, Person::new(&up.url, "Ben").await?);
    ada.session.ask_for_friendship(ben.user()).await?;
    ben.session.accept_friendship(ada.user()).await?;
    let room = ada.session.open_direct(ben.user()).await?.id;
    let ada = browsers.open(Chromium, &ada, &up.url).await?;
    let ben = browsers.open(Chromium, &ben, &up.url).await?;
    let call = ada.start(json!({ "conversation": room })).await?;
    ben.enter(call, "call.accept").await?;
    all_see_all(&[&ada, &ben], "peer").await?;

    // What is off is known to the other one, and silent.
    ben.toggle("microphone", false).await?;
    ada.until("silent", |facts| !facts.is_on(&ben, "microphone")).await?;
    ada.is_still(&ben, "microphone").await?;
    ben.toggle("microphone", true).await?;
    all_see_all(&[&ada, &ben], "peer").await?;

    // A screen comes beside the camera and goes again, from either side.
    for (shows, sees) in [(&ada, &ben), (&ben, &ada)] {
        mark(&[sees]).await?;
        shows.share_screen().await?;
        sees.sees_screen(shows).await?;
        shows.share_screen().await?;
        sees.until("no screen", |facts| facts.of(shows, "screen").is_none()).await?;
        no_picture_stood_still(&[sees], "while a screen was shared directly").await?;
    }
    all_see_all(&[&ada, &ben], "peer").await?;

    // One hangs up, and it is over for both.
    ben.leave().await?;
    ada.until("over", |facts| facts.over).await?;
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn three_see_each_other_in_a_mesh_and_who_comes_back_is_seen_again() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo"]).await?;
    let open = async |index: usize| browsers.open(Chromium, &group.people[index], &up.url).await;
    let (ada, ben, cleo) = (open(0).await?, open(1).await?, open(2).await?);
    let call = ada.start(json!({ "conversation": group.conversation })).await?;
    // Both at once: the one who is second offers to the one who is first, too.
    let (first, second) =
        tokio::join!(ben.enter(call, "call.accept"), cleo.enter(call, "call.accept"));
    first.and(second)?;
    all_see_all(&[&ada, &ben, &cleo], "peer").await?;

    // Who was first comes back as a newcomer.
    mark(&[&ben, &cleo]).await?;
    ada.leave().await?;
    for page in [&ben, &cleo] {
        page.until("without Ada", |facts| facts.of(&ada, "camera").is_none()).await?;
    }
    no_picture_stood_still(&[&ben, &cleo], "while one left the mesh").await?;
    ada.enter(call, "call.join").await?;
    all_see_all(&[&ada, &ben, &cleo], "peer").await?;
    let facts = ada.facts().await?;
    ensure!(facts.carrier.as_deref() == Some("peers"), "{facts:?}");
    ensure!(facts.connections == ["connected", "connected"], "{facts:?}");
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn a_call_of_two_moves_to_the_sfu_with_the_third_and_no_picture_stands_still() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let group = Group::new(&up.url, &["Ada", "Ben", "Cleo"]).await?;
    let open = async |index: usize| browsers.open(Chromium, &group.people[index], &up.url).await;
    let (ada, ben) = (open(0).await?, open(1).await?);
    let call = ada.start(json!({ "conversation": group.conversation, "grows": true })).await?;
    ben.enter(call, "call.accept").await?;
    all_see_all(&[&ada, &ben], "peer").await?;

    // The third comes: who sees each other goes on seeing each other.
    let cleo = open(2).await?;
    mark(&[&ada, &ben]).await?;
    cleo.enter(call, "call.accept").await?;
    all_see_all(&[&ada, &ben, &cleo], "sfu").await?;
    for page in [&ada, &ben] {
        // Two connections with the SFU, and none with each other any more.
        page.until("the SFU alone", |facts| facts.connections.len() == 2).await?;
    }
    no_picture_stood_still(&[&ada, &ben], "while the call moved to the SFU").await?;
    all_see_all(&[&ada, &ben, &cleo], "sfu").await?;
    browsers.end().await?;
    up.end().await
}
