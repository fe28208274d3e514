//! Presence in Redis: a script for everything, so that each step is whole, whoever else is at it.
//!
//! The scripts and the keys they share are described in `scripts/common.lua`.

use std::sync::Arc;
use std::time::Duration;

use events::UserId;
use redis::{FromRedisValue, Script, ScriptInvocation};
use service::Redis;
use service::redis::Away;

use super::here::Word;

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On some device.
    Online,
    /// There, but on no device that is in use.
    Away,
    /// On no device.
    Offline,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Offline => "offline",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "online" => Self::Online,
            "away" => Self::Away,
            _ => Self::Offline,
        }
    }
}

/// A change that has to be told.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) user: UserId,
    pub(super) state: State,
    /// Larger than that of any edge of theirs before.
    pub(super) version: u64,
    /// When they were last there: milliseconds after 1970.
    pub(super) seen: Option<i64>,
}

/// How long until the next change is due, if there is one.
pub(super) type Due = Option<Duration>;

/// The scripts, and what a gateway knows of the memory it speaks to.
#[derive(Clone)]
pub(super) struct Memory {
    redis: Redis,
    node: Arc<str>,
    vouch: Arc<Script>,
    leave: Arc<Script>,
    sweep: Arc<Script>,
    claim: Arc<Script>,
    told: Arc<Script>,
}

impl Memory {
    /// For a node with a name that no other process has, nor had.
    pub(super) fn new(redis: Redis, node: &str) -> Self {
        let script = |own| Arc::new(Script::new(&format!("{COMMON}{own}")));
        const COMMON: &str = include_str!("scripts/common.lua");
        Self {
            redis,
            node: node.into(),
            vouch: script(include_str!("scripts/vouch.lua")),
            leave: script(include_str!("scripts/leave.lua")),
            sweep: script(include_str!("scripts/sweep.lua")),
            claim: script(include_str!("scripts/claim.lua")),
            told: script(include_str!("scripts/told.lua")),
        }
    }

    /// Vouches for people for a while. Returns the epoch.
    pub(super) async fn vouch(
        &self,
        words: &[Word],
        lifetime: Duration,
        epoch: &str,
    ) -> Result<(String, Due), Away> {
        let mut call = self.call(&self.vouch);
        call.arg(&*self.node).arg(milliseconds(lifetime)).arg(epoch);
        for word in words {
            call.arg(word.user.to_string()).arg(word.state.name()).arg(u8::from(word.again));
        }
        let (epoch, due) = self.ask(&call).await?;
        Ok((epoch, after(due)))
    }

    /// Takes the word for people back; everybody is told after a grace, unless they come back.
    pub(super) async fn leave(
        &self,
        users: &[UserId],
        grace: Duration,
        epoch: &str,
    ) -> Result<Due, Away> {
        let mut call = self.call(&self.leave);
        call.arg(&*self.node).arg(milliseconds(grace)).arg(epoch);
        for user in users {
            call.arg(user.to_string());
        }
        let (_, due): (String, i64) = self.ask(&call).await?;
        Ok(after(due))
    }

    /// Forgets at most so many whose node did not renew its word. Returns how many they were.
    pub(super) async fn sweep(
        &self,
        most: usize,
        lifetime: Duration,
        gap: Duration,
        chance: Duration,
    ) -> Result<(usize, Due), Away> {
        let mut call = self.call(&self.sweep);
        call.arg(most).arg(milliseconds(lifetime)).arg(milliseconds(gap));
        call.arg(milliseconds(chance));
        let (swept, due) = self.ask(&call).await?;
        Ok((swept, after(due)))
    }

    /// Takes changes that are due, for the length of a lease.
    pub(super) async fn claim(
        &self,
        most: usize,
        lease: Duration,
    ) -> Result<(Vec<Edge>, Due), Away> {
        let mut call = self.call(&self.claim);
        call.arg(most).arg(milliseconds(lease));
        let answer: Vec<redis::Value> = self.ask(&call).await?;
        let Some((due, edges)) = answer.split_first() else { return Ok((Vec::new(), None)) };
        let due = i64::from_redis_value_ref(due).map_or(None, after);
        Ok((edges.chunks_exact(4).filter_map(edge).collect(), due))
    }

    /// These were told. A departure since then is told after a grace.
    pub(super) async fn told(&self, edges: &[Edge], grace: Duration) -> Result<Due, Away> {
        let mut call = self.call(&self.told);
        call.arg(milliseconds(grace));
        for edge in edges {
            call.arg(edge.user.to_string()).arg(edge.version);
        }
        Ok(after(self.ask(&call).await?))
    }

    fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        script.key(self.redis.key("presence:"))
    }

    async fn ask<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Away> {
        self.redis.ask(|mut redis| async move { call.invoke_async(&mut redis).await }).await
    }
}

fn edge(fields: &[redis::Value]) -> Option<Edge> {
    let text = |field: &redis::Value| String::from_redis_value_ref(field).ok();
    let [user, state, version, seen] = fields else { return None };
    Some(Edge {
        user: text(user)?.parse().ok()?,
        state: State::of(&text(state)?),
        version: text(version)?.parse().ok()?,
        seen: text(seen)?.parse().ok(),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Scripts say -1 where nothing is due.
fn after(milliseconds: i64) -> Due {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}
