//! Who comes and goes hears exactly what was said while they were there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::talk::{Group, Listener, Load, PATIENCE, Verdict};
use events::{MessageId, Position};
use reqwest::Method;
use roundtable::client::Accepted;

#[tokio::test]
async fn who_comes_and_goes_hears_exactly_what_was_said_while_they_were_there() -> Result<()> {
    let cluster = Cluster::start().await?;
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.as_str()).collect();
    let all = Group::new(&cluster.url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = all.people.clone().try_into().expect("three people");
    let others = Group { people: vec![ada.clone(), cleo.clone()], ..all.clone() };
    let listener = Listener::start(bob.clone(), &nodes).await?;
    let load = Load::start(&others, &nodes, Duration::from_millis(20));

    let path = format!("/v1/conversations/{}/members/{}", all.conversation, bob.user());
    let mut stays: Vec<(Position, Position)> = vec![];
    let mut came = all.opened;
    for round in 0..12 {
        load.ledger.grows_by(5, PATIENCE).await?;
        let gone: Accepted = ada.session.write(Method::DELETE, &path, None).await?;
        stays.push((came, gone.position));
        // Every other time Bob is in a tunnel when he goes or comes, and wakes up at another node.
        if round % 2 == 0 {
            listener.cut().await?;
        }
        load.ledger.grows_by(3, PATIENCE).await?;
        let back: Accepted = ada.session.write(Method::PUT, &path, None).await?;
        came = back.position;
        if round % 3 == 0 {
            listener.cut().await?;
        }
    }
    load.ledger.grows_by(5, PATIENCE).await?;
    let ledger = load.stop().await?;
    stays.push((came, ledger.last()));

    let was_there =
        |position: &Position| stays.iter().any(|(from, to)| from < position && position <= to);
    let mut said: BTreeMap<MessageId, Position> = ledger.acknowledged();
    said.retain(|_, position| was_there(position));
    ensure!(said.len() < ledger.count(), "nothing was said while Bob was away");
    listener.hears(&said).await?;
    let heard = listener.heard();
    let mut last = Position::START;
    for frame in &heard {
        ensure!(frame.position > last, "{frame:?} came after {last}");
        last = frame.position;
    }
    let mut heard: Vec<_> =
        heard.iter().filter_map(|heard| Some((heard.message?, heard.position))).collect();
    heard.sort_unstable();
    let mut expected: Vec<_> = said.into_iter().collect();
    expected.sort_unstable();
    ensure!(heard == expected, "Bob heard {heard:?}, and was there for {expected:?}");

    let verdict = Verdict::on(&all, &ledger);
    let mut feed = verdict.feed(&bob, &cluster.url).await?;
    feed.sort_unstable();
    ensure!(feed == expected, "Bob's feed holds {feed:?}, and he was there for {expected:?}");
    cluster.stop().await;
    Ok(())
}
