//! Two pages in a room of the SFU say things to each other on data channels.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::browsers::{PATIENCE, Page};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::room::room;
use crate::{all_see_all, stack};

/// Says something as soon as the channel is open.
async fn say(page: &Page, label: &str, data: &Value) -> Result<()> {
    let begun = Instant::now();
    while page.run("say", json!([label, data])).await? != json!(true) {
        ensure!(begun.elapsed() < PATIENCE, "{}: {label} does not open", page.name);
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Waits until a page has heard all of this, in this order, from one other.
async fn hears(page: &Page, from: &Page, label: &str, wanted: &[Value]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let heard = page.run("messages", json!([])).await?;
        let all = heard.as_array().cloned().unwrap_or_default();
        let of = |one: &&Value| one["user"] == json!(from.user) && one["label"] == label;
        let heard: Vec<Value> = all.iter().filter(of).map(|one| one["data"].clone()).collect();
        if heard == wanted {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{} heard {heard:?}, not {wanted:?}", page.name);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn two_pages_say_text_and_bytes_to_each_other_and_who_comes_late_hears_what_follows()
-> Result<()> {
    let (up, browsers) = stack(&[]).await?;
    let (pages, call) = room(&up.url, &browsers, &["Ada", "Ben", "Cleo"]).await?;
    let [ada, ben, cleo] = &pages[..] else { unreachable!("three") };
    ben.enter(call, "call.join").await?;
    all_see_all(&[ada, ben], "sfu").await?;
    ada.run("channel", json!(["chat", {}])).await?;
    ben.run("channel", json!(["cursor", { "ordered": false, "maxRetransmits": 3 }])).await?;
    let long: String = "roundtable ".repeat(5000);
    let said =
        [json!("hello"), json!([0, 1, 255]), json!(""), json!([]), json!(long), json!("end")];
    // Ben's channel is there once Ada has it; what is said before, nobody hears.
    for page in [ada, ben] {
        let label = if page.user == ada.user { "chat" } else { "cursor" };
        say(page, label, &json!("first")).await?;
    }
    let first = [json!("first")];
    hears(ben, ada, "chat", &first).await?;
    hears(ada, ben, "cursor", &first).await?;
    for data in &said {
        say(ada, "chat", data).await?;
    }
    hears(ben, ada, "chat", &[&first[..], &said].concat()).await?;
    say(ben, "cursor", &json!([7])).await?;
    hears(ada, ben, "cursor", &[json!("first"), json!([7])]).await?;

    cleo.enter(call, "call.join").await?;
    cleo.run("channel", json!(["late", {}])).await?;
    say(cleo, "late", &json!("here")).await?;
    for page in [ada, ben] {
        hears(page, cleo, "late", &[json!("here")]).await?;
    }
    all_see_all(&[ada, ben, cleo], "sfu").await?;
    say(ada, "chat", &json!("late")).await?;
    hears(cleo, ada, "chat", &[json!("late")]).await?;
    browsers.end().await?;
    up.end().await
}
