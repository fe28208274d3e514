//! Timers: what is to be done at a moment is done once, however many projectors there are, and
//! also if none of them ran at that moment.
//!
//! - **Durable.** A timer is a row in Postgres. The projection
//!   [`timer`](crate::projections::timer) sets and cancels those that follow from the log; the
//!   [`watch`] sets the one kind that follows from connections.
//! - **Claimed once.** A projector claims what is due with `for update skip locked` and a lease
//!   ([`rows`]): while it works on a timer nobody else does, and when it dies another one takes
//!   over when the lease ends.
//! - **Once in effect.** A timer issues ordinary commands of the domain, whose idempotency key
//!   follows from what set the timer ([`act`]). Going off twice is one event; what is not true any
//!   more when it goes off is refused by the rules.
//! - **Silent while the past is read.** Nothing goes off before the projection has reached what
//!   the log held a moment ago: a timer that the log has cancelled is never seen.
//!
//! A new kind (an invitation that expires, retention) is a variant of [`Kind`],
//! an arm in [`act`], and rows from the projection.

mod act;
mod calls;
mod rows;
mod watch;

use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use event_log::EventLog;
use events::{Position, UserId};
use service::{Connections, Redis, SfuRegistry};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::sleep;
use uuid::Uuid;

pub use rows::{Due, Kind};

/// Who issues the commands of timers: nobody in particular.
pub const SYSTEM: UserId = UserId::new(Uuid::nil());

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_millis(250);

/// After a failure, the next look is after this long.
const PAUSE: Duration = Duration::from_millis(500);

/// How many timers are claimed at once.
const AT_ONCE: i64 = 64;

/// What timers are told at their start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ROUNDTABLE_SESSION_GRACE`: how long somebody whose connection was lost stays in a study
    /// session, in seconds; 30 by default.
    pub grace: TimeDelta,
    /// `ROUNDTABLE_CALL_GRACE`: how long a device whose connection was lost stays in a call, in
    /// seconds; 30 by default.
    pub call_grace: TimeDelta,
}

impl Default for Settings {
    fn default() -> Self {
        Self { grace: TimeDelta::seconds(30), call_grace: TimeDelta::seconds(30) }
    }
}

impl Settings {
    /// The usual ones, but for what the environment says.
    ///
    /// # Errors
    /// When a variable is wrong; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "read once, at the start")]
        let variable = |name: &str| std::env::var(name).ok();
        let usual = Self::default();
        let read = |name| grace(name, variable(name).as_deref());
        Ok(Self {
            grace: read("ROUNDTABLE_SESSION_GRACE")?.unwrap_or(usual.grace),
            call_grace: read("ROUNDTABLE_CALL_GRACE")?.unwrap_or(usual.call_grace),
        })
    }
}

fn grace(name: &str, said: Option<&str>) -> anyhow::Result<Option<TimeDelta>> {
    let Some(text) = said.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    let seconds = seconds.with_context(|| {
        format!("{name} is wrong: it must be a number of seconds from 1 to 3600")
    })?;
    Ok(Some(TimeDelta::seconds(seconds)))
}

/// The timers of one projector.
#[derive(Clone)]
pub struct Timers {
    postgres: PgPool,
    log: EventLog,
    connections: Connections,
    sfu: SfuRegistry,
    settings: Settings,
}

impl Timers {
    /// Timers that work on connections of their own.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn new(
        postgres: PgConnectOptions,
        log: EventLog,
        redis_url: &str,
        namespace: &str,
        sfu: SfuRegistry,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let redis =
            Redis::new(redis_url, namespace).context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
        let postgres = PgPoolOptions::new()
            .max_connections(3)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(postgres.application_name("projector timers"));
        Ok(Self { postgres, log, connections: Connections::new(redis), sfu, settings })
    }

    /// Does what is due, and watches who is away, until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.work(), self.watch());
    }

    async fn work(&self) {
        // What the log held at the look before: the projection must have come that far.
        let mut before = None;
        let mut failing = false;
        loop {
            match self.round(&mut before).await {
                Ok(full) => {
                    failing = false;
                    if !full {
                        sleep(LOOK).await;
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the timers pause");
                    }
                    failing = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Does what is due now; says whether there may be more of it.
    async fn round(&self, before: &mut Option<Position>) -> anyhow::Result<bool> {
        if !rows::any_due(&self.postgres).await? {
            *before = None;
            return Ok(false);
        }
        let head = match *before {
            Some(head) => head,
            None => *before.insert(self.log.head().await?),
        };
        if rows::reached(&self.postgres).await? < head {
            return Ok(false);
        }
        *before = None;
        let due = rows::claim(&self.postgres, AT_ONCE).await?;
        let full = i64::try_from(due.len()).is_ok_and(|claimed| claimed == AT_ONCE);
        let acts = due.iter().map(|timer| self.act(timer));
        for done in futures::future::join_all(acts).await {
            done?;
        }
        Ok(full)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_grace_is_a_number_of_seconds() {
        let grace = |text| {
            super::grace("ROUNDTABLE_SESSION_GRACE", text).map(|it| it.map(|it| it.num_seconds()))
        };
        assert_eq!(grace(None).unwrap(), None);
        assert_eq!(grace(Some(" ")).unwrap(), None);
        assert_eq!(grace(Some("2")).unwrap(), Some(2));
        for wrong in ["0", "-1", "3601", "soon", "1.5"] {
            let error = grace(Some(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("ROUNDTABLE_SESSION_GRACE is wrong"), "{error}");
        }
    }
}
