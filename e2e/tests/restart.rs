//! The whole stack dies, or is stopped, and comes back with everything.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::talk::{Group, Load, PATIENCE, Verdict};
use e2e::up::Up;

/// How often each person speaks.
const EACH: Duration = Duration::from_millis(60);

#[tokio::test]
async fn killed_twice_in_the_middle_of_a_load_nothing_acknowledged_is_lost() -> Result<()> {
    let mut up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Cleo"]).await?;
    let listeners = group.listeners(&[&up.url]).await?;
    let load = Load::start(&group, &[&up.url], EACH);
    for _ in 0..2 {
        load.ledger.grows_by(60, PATIENCE).await?;
        up.crash_and_restart().await?;
    }
    load.ledger.grows_by(60, PATIENCE).await?;
    let ledger = load.stop().await?;
    let (last, position) = group.say(0, "that was all").await?;
    ledger.acknowledge(last, position);

    let verdict = Verdict::on(&group, &ledger);
    verdict.holds(&listeners, &up.url).await?;
    for listener in &listeners {
        ensure!(listener.reconnects() == 2, "{} reconnects", listener.reconnects());
    }
    verdict.can_be_read_to_the_end(&group.people[1], &up.url).await?;
    up.end().await
}

#[tokio::test]
async fn a_clean_stop_leaves_no_process_and_the_next_start_finds_everything() -> Result<()> {
    let mut up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let listeners = group.listeners(&[&up.url]).await?;
    let load = Load::start(&group, &[&up.url], EACH);
    load.ledger.grows_by(40, PATIENCE).await?;

    let family = up.process.family();
    ensure!(family.count() > 4, "a stack and its servers are {} processes", family.count());
    let status = up.process.stop().await?;
    ensure!(status.success(), "it stopped with {status}\n{}", up.process.printed());
    family.gone(Duration::from_secs(5)).await?;
    for listener in &listeners {
        ensure!(listener.byes() == ["going-away"], "{:?}", listener.byes());
    }

    up.process.restart().await?;
    up.ready().await?;
    load.ledger.grows_by(40, PATIENCE).await?;
    let ledger = load.stop().await?;
    let (last, position) = group.say(1, "that was all").await?;
    ledger.acknowledge(last, position);
    Verdict::on(&group, &ledger).holds(&listeners, &up.url).await?;
    up.end().await
}
