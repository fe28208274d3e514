//! Presence: who is there, by the word of the gateways that have a device of theirs.
//!
//! - **A gateway vouches for its people** in Redis, for a while, in one batch for all of them and
//!   each heartbeat ([`keeper`]). What is not renewed is swept by any node: a gateway that dies
//!   leaves nobody behind.
//! - **Edges only.** Redis knows what everybody was told last; a change is claimed by one node,
//!   told to those it concerns, and then done with ([`teller`]). A device that comes back at once,
//!   to any node, changes nothing.
//! - **Nothing goes into the log**, and nothing but presence waits for Redis.

mod circle;
mod here;
mod keeper;
mod memory;
mod teller;

use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use events::UserId;
use rand::Rng;
use service::Redis;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gateway::Whispers;
use circle::Circle;
use here::Here;
pub(crate) use here::Present;
use keeper::Keeper;
use memory::Memory;
pub(crate) use memory::State;
use teller::Teller;

/// What Redis that comes back, and a busy machine, may take beside the heartbeats.
const SLACK: Duration = Duration::from_secs(3);

/// How long anything takes, in proportion to the heartbeat of sockets.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How often a gateway renews its word for everybody.
    renewal: Duration,
    /// How long its word is good.
    lifetime: Duration,
    /// How often somebody looks for words that ran out.
    sweep: Duration,
    /// After so long without anybody looking, nothing runs out...
    gap: Duration,
    /// ...for so long, in which every gateway renews.
    chance: Duration,
    /// How long after the last device went that is told.
    grace: Duration,
    /// How much longer the word of a gateway that shuts down is good: its people are on their way
    /// to another one.
    farewell: Duration,
}

impl Pace {
    fn of(heartbeat: Duration, going_away: Duration) -> Self {
        Self {
            renewal: heartbeat,
            lifetime: heartbeat * 2 + SLACK,
            sweep: heartbeat / 5,
            gap: heartbeat,
            chance: heartbeat + SLACK,
            grace: heartbeat / 10,
            farewell: going_away + SLACK,
        }
    }
}

/// The presence of the people of this gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Presence {
    here: Arc<Here>,
}

/// What presence works with.
pub(crate) struct Around {
    pub(crate) redis: Redis,
    pub(crate) postgres: PgPool,
    pub(crate) log: EventLog,
    pub(crate) whispers: Whispers,
    pub(crate) heartbeat: Duration,
    pub(crate) going_away: Duration,
}

impl Presence {
    /// Starts to keep Redis and everybody else informed, until the shutdown.
    pub(crate) fn start(around: Around, tasks: &TaskTracker, shutdown: CancellationToken) -> Self {
        let Around { redis, postgres, log, whispers, heartbeat, going_away } = around;
        let pace = Pace::of(heartbeat, going_away);
        let here = Arc::new(Here::default());
        let memory = Memory::new(redis, whispers.instance());
        let (sooner, due) = watch::channel(Instant::now());
        let keeper = Keeper { here: Arc::clone(&here), memory: memory.clone(), pace, sooner };
        let teller = Teller { memory, circle: Circle { postgres, log }, whispers, pace, due };
        tasks.spawn(keeper.run(shutdown.clone()));
        tasks.spawn(shutdown.run_until_cancelled_owned(teller.run()));
        Self { here }
    }

    /// How many devices of somebody are there.
    pub(crate) fn devices(&self, user: UserId) -> u32 {
        self.here.devices(user)
    }

    /// A device of somebody is there, until the returned value is dropped.
    pub(crate) fn enter(&self, user: UserId) -> Present {
        Here::enter(&self.here, user)
    }
}

/// So long, or up to a half longer: what many nodes do, they do not all do at once.
fn about(duration: Duration) -> Duration {
    duration + duration.mul_f64(rand::rng().random_range(0.0..0.5))
}
