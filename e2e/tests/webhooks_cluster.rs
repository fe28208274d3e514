//! Webhooks on many nodes: whoever dies, nothing is lost, and two never send at the same time.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::acts::write;
use e2e::cluster::Cluster;
use e2e::receiver::{Answer, Receiver};
use e2e::refusal::accepted;
use e2e::talk::Group;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_projector_that_dies_in_the_middle_loses_no_delivery_and_two_never_send_at_once()
-> Result<()> {
    let settings = [("ROUNDTABLE_WEBHOOK_PRIVATE", "true"), ("ROUNDTABLE_WEBHOOK_RETRY_MS", "50")];
    let mut cluster = Cluster::with(&settings).await?;
    let url = cluster.url.clone();
    let group = Group::new(&url, &["Ada", "Bob"]).await?;
    let receiver = Receiver::start().await?;
    receiver.answer(Answer::Slowly(Duration::from_millis(30)));
    let body = json!({
        "conversation": group.conversation, "url": receiver.url, "types": ["message.sent"],
    });
    let create = write(&group.people[0], &url, Method::POST, "/v1/webhooks", Some(body))?;
    let created = accepted(create, 201).await?;
    let mut said = vec![];
    for round in 0..3 {
        for number in 0..20 {
            let text = format!("{round}-{number}");
            group.say(1, &text).await?;
            said.push(text);
        }
        receiver.wait(said.len() - 15).await?;
        // One of the two is in the middle of it: both go, one after the other.
        cluster.projectors[round % 2].crash_and_restart().await?;
    }
    let last = said.last().cloned().unwrap_or_default();
    let came = receiver.wait_for(|it| it.text() == last).await?;
    let (mut seen, mut first) = (BTreeSet::new(), vec![]);
    for delivery in &came {
        if seen.insert(delivery.id()) {
            first.push(delivery.text().to_owned());
        }
    }
    ensure!(first == said, "{first:?}");
    // What was in the air when a projector died may come again, what was noted as failed (on a machine
    // that stood still for long), and nothing else.
    let path =
        format!("/v1/webhooks/{}/deliveries?limit=100", created["id"].as_str().context("an id")?);
    let tried = group.people[0].session.read::<Value>(&path, None).await?;
    let failed =
        tried["items"].as_array().context("items")?.iter().filter(|it| it["delivered"] != true);
    let most = said.len() + 3 + failed.count();
    ensure!(came.len() <= most, "{} deliveries of {}: {tried}", came.len(), said.len());
    ensure!(receiver.most_at_once() == 1, "{} at once", receiver.most_at_once());
    cluster.stop().await;
    Ok(())
}
