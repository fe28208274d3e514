//! Five pages in a room of the SFU, of which one after the other comes late, goes, comes back, mutes,
//! and shows a screen; and layers are switched.

use anyhow::{Context, Result, ensure};
use e2e::browsers::Kind::Chromium;
use e2e::browsers::{Browsers, Facts, Page};
use e2e::talk::Group;
use events::CallId;
use futures::future::try_join_all;
use serde_json::json;

use crate::{all_see_all, mark, no_picture_stood_still, stack};

/// Those of a group at their pages, and the first of them in a call on the SFU.
pub(crate) async fn room(
    url: &str,
    browsers: &Browsers,
    names: &[&str],
) -> Result<(Vec<Page>, CallId)> {
    let group = Group::new(url, names).await?;
    let open = group.people.iter().map(|person| browsers.open(Chromium, person, url));
    let pages = try_join_all(open).await?;
    let fields = json!({ "conversation": group.conversation, "carrier": "sfu", "ring": [] });
    let call = pages[0].start(fields).await?;
    Ok((pages, call))
}

#[tokio::test]
async fn five_pages_see_each_other_whoever_comes_goes_mutes_and_shows_a_screen() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let names = ["Ada", "Ben", "Cleo", "Dora", "Eve"];
    let (pages, call) = room(&up.url, &browsers, &names).await?;
    let [ada, ben, cleo, dora, eve] = &pages[..] else { unreachable!("five") };
    for page in [ben, cleo] {
        page.enter(call, "call.join").await?;
    }
    all_see_all(&[ada, ben, cleo], "sfu").await?;

    // Two come late.
    for (late, there) in [(dora, &[ada, ben, cleo][..]), (eve, &[ada, ben, cleo, dora][..])] {
        mark(there).await?;
        late.enter(call, "call.join").await?;
        late.sees(there, "sfu").await?;
        no_picture_stood_still(there, "while one came").await?;
    }
    let all = [ada, ben, cleo, dora, eve];
    all_see_all(&all, "sfu").await?;

    // One mutes both; nobody else is disturbed, and they come back.
    mark(&[cleo, dora]).await?;
    ben.toggle("microphone", false).await?;
    ben.toggle("camera", false).await?;
    ada.until("silent", |facts| !facts.is_on(ben, "microphone") && !facts.is_on(ben, "camera"))
        .await?;
    for source in ["microphone", "camera"] {
        ada.is_still(ben, source).await?;
    }
    ben.toggle("camera", true).await?;
    ben.toggle("microphone", true).await?;
    all_see_all(&all, "sfu").await?;

    // A screen beside the cameras.
    mark(&all).await?;
    cleo.share_screen().await?;
    for page in [ada, ben, dora, eve] {
        page.sees_screen(cleo).await?;
    }
    cleo.share_screen().await?;
    for page in [ada, ben, dora, eve] {
        page.until("no screen", |facts| facts.of(cleo, "screen").is_none()).await?;
    }
    no_picture_stood_still(&all, "while a screen was shared").await?;

    // One leaves, one closes the page without a word, and both come back.
    mark(&[ada, ben, cleo]).await?;
    dora.leave().await?;
    for page in [ada, ben, cleo] {
        page.until("without Dora", |facts| facts.of(dora, "camera").is_none()).await?;
    }
    all_see_all(&[ada, ben, cleo, eve], "sfu").await?;
    no_picture_stood_still(&[ada, ben, cleo], "while one left").await?;
    mark(&[ada, ben, cleo]).await?;
    dora.enter(call, "call.join").await?;
    eve.reload(&up.url).await?;
    eve.enter(call, "call.join").await?;
    all_see_all(&all, "sfu").await?;
    for page in [ada, ben, cleo] {
        let facts = page.facts().await?;
        ensure!(facts.media.len() == 8, "a picture and a sound of each of four: {facts:?}");
    }
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn in_a_call_of_voices_a_screen_is_shared_and_then_it_becomes_one_of_video() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let group = Group::new(&up.url, &["Ada", "Ben"]).await?;
    let open = group.people.iter().map(|person| browsers.open(Chromium, person, &up.url));
    let pages = try_join_all(open).await?;
    let [ada, ben] = &pages[..] else { unreachable!("two") };
    let fields = json!({ "conversation": group.conversation, "carrier": "sfu", "ring": [],
        "media": "audio" });
    let call = ada.start(fields).await?;
    ben.run("enter", json!([call, "call.join", { "media": "audio" }])).await?;
    let hears = |of: &Page| {
        let user = of.user;
        move |facts: &Facts| {
            let sound = facts.media.iter().find(|one| one.user == user && one.energy > 0.0);
            sound.is_some_and(|sound| sound.by == "sfu")
        }
    };
    ada.until("Ben's voice", hears(ben)).await?;
    ben.until("Ada's voice", hears(ada)).await?;
    let facts = ben.facts().await?;
    ensure!(facts.media.iter().all(|one| one.source == "microphone"), "{facts:?}");

    ben.share_screen().await?;
    ada.sees_screen(ben).await?;
    ben.share_screen().await?;
    ada.until("no screen", |facts| facts.of(ben, "screen").is_none()).await?;

    // The other one's rights are wider as well, without a word of theirs.
    ada.add_video().await?;
    ben.sees(&[ada], "sfu").await?;
    ben.until("a call of video", |facts| facts.is_on(ada, "camera")).await?;
    ben.add_video().await?;
    all_see_all(&[ada, ben], "sfu").await?;
    for page in [ada, ben] {
        let facts = page.facts().await?;
        let fails = facts.trouble.iter().any(|what| what.contains("Error"));
        ensure!(!fails, "{}: {facts:?}", page.name);
    }
    browsers.end().await?;
    up.end().await
}

#[tokio::test]
async fn layers_are_switched_without_a_picture_that_stands_still() -> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let (pages, call) = room(&up.url, &browsers, &["Ada", "Ben", "Cleo"]).await?;
    let [ada, ben, cleo] = &pages[..] else { unreachable!("three") };
    for page in [ben, cleo] {
        page.enter(call, "call.join").await?;
    }
    all_see_all(&[ada, ben, cleo], "sfu").await?;
    let height =
        |facts: &Facts, of: &Page| facts.of(of, "camera").map_or(0, |camera| camera.height);
    // The layer above comes once its sender has found that its link bears it.
    let large = ada
        .until("the upper layer", |facts| [ben, cleo].iter().all(|of| height(facts, of) >= 135))
        .await?;
    for round in 0..3 {
        mark(&[ada, ben]).await?;
        ada.prefer(0).await?;
        let lower = |facts: &_, of| height(facts, of) < height(&large, of);
        let small =
            ada.until("lower", |facts| [ben, cleo].iter().all(|of| lower(facts, of))).await?;
        // Only who asked for it.
        let facts = ben.facts().await?;
        ensure!(height(&facts, cleo) > height(&small, cleo), "round {round}: {facts:?}");
        ada.prefer(1).await?;
        ada.until("upper", |facts| {
            [ben, cleo].iter().all(|of| height(facts, of) > height(&small, of))
        })
        .await?;
        no_picture_stood_still(&[ada, ben], "while layers were switched").await?;
    }
    let frozen = ada.facts().await?.media.iter().map(|one| one.frozen).fold(0.0, f64::max);
    eprintln!("what Chromium took for frozen: {frozen} s");
    if let Some(path) = std::option_env!("ROUNDTABLE_SCREENSHOT") {
        ada.screenshot(path.as_ref()).await.context("a picture of the page")?;
    }
    browsers.end().await?;
    up.end().await
}
