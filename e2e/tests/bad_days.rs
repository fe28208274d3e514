//! A server behind the stack freezes or dies while people talk, and nobody is thrown out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::refusal::{accepted, refused_with};
use e2e::talk::{Group, Ledger, Listener, Load, PATIENCE, Verdict, sign_up};
use e2e::up::{Up, folder};
use futures::future::try_join_all;
use reqwest::Method;
use roundtable::client::key;
use serde_json::{Value, json};
use servers::{Durability, Kind, PrivateServers, Wanted};
use tempfile::TempDir;

/// How often each person speaks.
const EACH: Duration = Duration::from_millis(75);

/// People who talk through a stack whose servers the test can hurt.
struct Day {
    servers: PrivateServers,
    up: Up,
    group: Group,
    listeners: Vec<Listener>,
    load: Load,
    _folder: TempDir,
}

impl Day {
    async fn begin() -> Result<Self> {
        let folder = folder()?;
        let data = folder.path().join("servers");
        let servers = PrivateServers::start_with(&data, Wanted::ALL, Durability::Relaxed).await?;
        let up = Up::on(&servers).await?;
        let group = Group::new(&up.url, &["Ada", "Bob", "Cleo"]).await?;
        let listeners = group.listeners(&[&up.url]).await?;
        let load = Load::start(&group, &[&up.url], EACH);
        let day = Self { servers, up, group, listeners, load, _folder: folder };
        day.everybody_talks(30).await.context("before anything was hurt")?;
        Ok(day)
    }

    /// So many more messages are accepted, without one refusal.
    async fn everybody_is_accepted(&self, more: usize) -> Result<()> {
        let before = self.load.ledger.postponed();
        self.load.ledger.grows_by(more, PATIENCE).await?;
        let postponed = self.load.ledger.postponed() - before;
        ensure!(postponed == 0, "{postponed} sends were refused for the moment");
        Ok(())
    }

    /// So many more messages are accepted and heard.
    async fn everybody_talks(&self, more: usize) -> Result<()> {
        self.everybody_is_accepted(more).await?;
        let said = self.load.ledger.acknowledged();
        for listener in &self.listeners {
            listener.hears(&said).await?;
        }
        Ok(())
    }

    /// All connections of listeners break, and come back by themselves, in the middle of it.
    async fn everybody_is_cut_off(&self) -> Result<()> {
        try_join_all(self.listeners.iter().map(Listener::cut)).await?;
        Ok(())
    }

    /// All is well again: everybody saw everything, on the sockets they had.
    async fn end(self) -> Result<()> {
        let Self { servers, up, group, listeners, load, _folder } = self;
        let ledger: Ledger = load.stop().await?;
        let (last, position) = group.say(0, "that was all").await?;
        ledger.acknowledge(last, position);
        let verdict = Verdict::on(&group, &ledger);
        verdict.holds(&listeners, &up.url).await?;
        for listener in &listeners {
            let (name, reconnects) = (&listener.person.name, listener.reconnects());
            ensure!(reconnects == 0, "{name} came back {reconnects} times: {:?}", listener.byes());
            let sealed = listener.heard().iter().filter(|heard| heard.sealed).count();
            ensure!(sealed == 0, "{name} could not read {sealed} frames, though keys are cached");
        }
        ensure!(ledger.reconnects() == 0, "senders came back {} times", ledger.reconnects());
        verdict.can_be_read_to_the_end(&group.people[2], &up.url).await?;
        up.end().await?;
        servers.destroy().await;
        Ok(())
    }
}

#[tokio::test]
async fn while_postgres_is_frozen_people_whose_keys_are_cached_talk_live() -> Result<()> {
    let day = Day::begin().await?;
    day.servers.pause(Kind::Postgres).await;
    day.everybody_talks(60).await?;
    day.everybody_is_cut_off().await?;
    day.everybody_talks(60).await?;
    day.servers.resume(Kind::Postgres).await;
    day.everybody_talks(30).await?;
    day.end().await
}

#[tokio::test]
async fn while_postgres_is_dead_people_talk_live_and_a_stranger_is_told_to_come_later() -> Result<()>
{
    let mut day = Day::begin().await?;
    day.servers.kill(Kind::Postgres).await;
    day.everybody_talks(60).await?;

    // A new person needs a new key, which only the vault can keep.
    let who = sign_up("Dora");
    let body = json!({
        "email": who.email, "handle": who.handle, "name": who.name, "password": who.password,
    });
    let client = day.group.people[0].session.client().clone();
    let key = key().to_string();
    let sign_up = || {
        let request = client.request(Method::POST, "/v1/users").json(&body);
        request.header("Idempotency-Key", &key)
    };
    let later = refused_with(sign_up(), 503).await?;
    ensure!(later["retry_after"].as_u64().is_some_and(|seconds| seconds > 0), "{later}");
    // So does a read, but for what a cache knows.
    let read = day.group.people[0].request(&day.up.url, Method::GET, "/v1/conversations")?;
    refused_with(read, 503).await?;

    day.everybody_talks(60).await?;
    day.servers.restart(Kind::Postgres).await?;
    day.everybody_talks(30).await?;
    accepted(sign_up(), 201).await.context("the stranger comes later")?;
    day.end().await
}

#[tokio::test]
async fn while_redis_is_dead_nothing_is_missing() -> Result<()> {
    let mut day = Day::begin().await?;
    let friends = async |day: &Day| -> Result<usize> {
        let page: Value = day.group.people[0].session.read("/v1/friends", None).await?;
        Ok(page["items"].as_array().context("items")?.len())
    };
    let people = &day.group.people;
    ensure!(friends(&day).await? == 0, "a friend from nowhere");
    day.servers.kill(Kind::Redis).await;
    people[1].session.ask_for_friendship(people[0].user()).await?;
    let friendship = people[0].session.accept_friendship(people[1].user()).await?;
    let path = "/v1/friends";
    let page: Value = people[0].session.read(path, Some(friendship.position)).await?;
    ensure!(page["items"].as_array().is_some_and(|items| items.len() == 1), "{page}");
    day.everybody_talks(60).await?;
    day.servers.restart(Kind::Redis).await?;
    day.everybody_talks(30).await?;
    // What Redis kept from before must not come back.
    ensure!(friends(&day).await? == 1, "the cache shows a list from before the friendship");
    day.end().await
}

#[tokio::test]
async fn while_redis_is_frozen_nothing_is_missing() -> Result<()> {
    let day = Day::begin().await?;
    day.servers.pause(Kind::Redis).await;
    day.everybody_talks(60).await?;
    let _: Value = day.group.people[0].session.read("/v1/friends", None).await?;
    day.servers.resume(Kind::Redis).await;
    day.everybody_talks(30).await?;
    day.end().await
}

#[tokio::test]
async fn while_nats_is_dead_messages_are_accepted_and_come_when_it_is_back() -> Result<()> {
    let mut day = Day::begin().await?;
    day.servers.kill(Kind::Nats).await;
    day.everybody_is_accepted(60).await?;
    day.everybody_is_cut_off().await?;
    day.everybody_is_accepted(60).await?;
    day.servers.restart(Kind::Nats).await?;
    day.everybody_talks(60).await?;
    day.end().await
}

#[tokio::test]
async fn while_nats_is_frozen_messages_are_accepted_and_come_when_it_goes_on() -> Result<()> {
    let day = Day::begin().await?;
    day.servers.pause(Kind::Nats).await;
    day.everybody_is_accepted(200).await?;
    day.servers.resume(Kind::Nats).await;
    day.everybody_talks(60).await?;
    day.end().await
}
