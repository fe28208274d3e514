//! Calls in real browsers: people see and hear each other, directly and over the SFU, whatever comes
//! between; and so do clients of other makers.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::browsers::{Browsers, Page};
use e2e::up::Up;
use futures::future::try_join_all;

#[path = "browsers/data.rs"]
mod data;
#[path = "browsers/foreign.rs"]
mod foreign;
#[path = "browsers/network.rs"]
mod network;
#[path = "browsers/nodes.rs"]
mod nodes;
#[path = "browsers/peers.rs"]
mod peers;
#[path = "browsers/room.rs"]
mod room;

/// How long a picture may stand still after a switch.
const STILL: Duration = Duration::from_secs(1);

/// A stack whose API takes the pages of the driver's site.
async fn stack(more: &[(&str, &str)]) -> Result<(Up, Browsers)> {
    let (address, origin) = Browsers::address()?;
    let mut environment = vec![("ROUNDTABLE_ALLOWED_ORIGINS", origin.as_str())];
    environment.extend_from_slice(more);
    let up = Up::with(&environment).await?;
    Ok((up, Browsers::start(&address)?))
}

/// Everybody sees and hears everybody else, by one way.
async fn all_see_all(pages: &[&Page], by: &str) -> Result<()> {
    for page in pages {
        let others: Vec<&Page> = pages.iter().filter(|o| o.user != page.user).copied().collect();
        page.sees(&others, by).await?;
    }
    Ok(())
}

/// From now on it counts how long pictures stand still.
async fn mark(pages: &[&Page]) -> Result<()> {
    for page in pages {
        page.mark().await?;
    }
    Ok(())
}

/// Since the mark, no picture stood still for longer than it may, beyond what the machine itself did: a
/// page's own camera comes by no network.
async fn no_picture_stood_still(pages: &[&Page], when: &str) -> Result<()> {
    let facts = try_join_all(pages.iter().map(|page| page.facts())).await?;
    let stall = facts.iter().map(|facts| facts.stall).fold(0.0, f64::max);
    let stall = Duration::from_secs_f64(stall / 1000.0);
    ensure!(stall <= 2 * STILL, "the machine stood still for {stall:?} {when}");
    let most = STILL + stall;
    for (page, facts) in pages.iter().zip(&facts) {
        let gap = facts.longest_gap();
        eprintln!(
            "{when}, {}: {} ms, of itself {} ms",
            page.name,
            gap.as_millis(),
            stall.as_millis()
        );
        ensure!(gap <= most, "{}: {gap:?} without a picture {when}: {facts:?}", page.name);
    }
    Ok(())
}
