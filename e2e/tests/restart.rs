//! The whole stack dies, or is stopped, and comes back with everything.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::talk::{Group, Load, PATIENCE, Person, Verdict};
use e2e::up::Up;
use events::{Position, UserId};
use serde_json::{Value, json};

/// How often each person speaks.
const EACH: Duration = Duration::from_millis(50);

#[tokio::test]
async fn killed_twice_in_the_middle_of_a_load_nothing_acknowledged_is_lost() -> Result<()> {
    let mut up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Cleo"]).await?;
    let ada = &group.people[0];
    let listeners = group.listeners(&[&up.url]).await?;
    let load = Load::start(&group, &[&up.url], EACH);
    let mut friends = vec![];
    for _ in 0..2 {
        load.ledger.grows_by(60, PATIENCE).await?;
        let friend = Person::new(&up.url, "Dora").await?;
        friend.session.ask_for_friendship(ada.user()).await?;
        let accepted = ada.session.accept_friendship(friend.user()).await?;
        friends.push(friend.user());
        up.crash_and_restart().await?;
        has_friends(ada, &friends, accepted.position).await?;
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
    let mut up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let asked = bob.session.ask_for_friendship(ada.user()).await?;
    let listeners = group.listeners(&[&up.url]).await?;
    let load = Load::start(&group, &[&up.url], EACH);
    load.ledger.grows_by(40, PATIENCE).await?;

    let family = up.process.family();
    ensure!(family.count() > 4, "a stack and its servers are {} processes", family.count());
    let status = up.process.stop().await?;
    ensure!(status.success(), "it stopped with {status}\n{}", up.process.printed());
    family.gone(PATIENCE).await?;
    for listener in &listeners {
        ensure!(listener.byes() == ["going-away"], "{:?}", listener.byes());
    }

    up.process.restart().await?;
    up.ready().await?;
    let path = "/v1/friend-requests?direction=incoming";
    let requests: Value = ada.session.read(path, Some(asked.position)).await?;
    ensure!(requests["items"].as_array().is_some_and(|items| items.len() == 1), "{requests}");
    let path = format!("/v1/users/{}", bob.user());
    let profile: Value = ada.session.read(&path, None).await?;
    ensure!(profile["name"] == "Bob", "{profile}");
    load.ledger.grows_by(40, PATIENCE).await?;
    let ledger = load.stop().await?;
    let (last, position) = group.say(1, "that was all").await?;
    ledger.acknowledge(last, position);
    Verdict::on(&group, &ledger).holds(&listeners, &up.url).await?;
    up.end().await
}

async fn has_friends(person: &Person, friends: &[UserId], after: Position) -> Result<()> {
    let page: Value = person.session.read("/v1/friends", Some(after)).await?;
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    for friend in friends {
        let id = json!(friend).to_string();
        ensure!(items.iter().any(|item| item.to_string().contains(&id)), "no {id} in {page}");
    }
    ensure!(items.len() == friends.len(), "{} friends instead of {}", items.len(), friends.len());
    Ok(())
}
