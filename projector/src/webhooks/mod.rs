//! Webhooks: addresses elsewhere are told of events, each in the order of the log.
//!
//! - **At least once, with an id that stays.** Each webhook has a lane: a position of its own, beside the
//!   read models, which goes on when an event was taken ([`lane`]). The id of a delivery is that of the
//!   event, so that whoever gets it twice knows.
//! - **One sender.** A lane is claimed with a lease, which is renewed before each attempt that could
//!   outlive it ([`rows`]). Of many projectors one works on it; when that dies, another does.
//! - **What may be told now.** Each event is read and opened when it is sent, not before: whoever was
//!   erased is not in it, nor what a message said that was edited or deleted since ([`telling`]). What
//!   its owner may not see any more disables a webhook.
//! - **Nowhere it should not go.** Addresses are looked up and judged at each attempt, redirects are not
//!   followed, and answers are not read ([`send`]).

mod lane;
mod rows;
mod send;
mod telling;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use events::{UserId, WebhookId};
use futures::FutureExt;
use service::WebhookSettings;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::tail::Tail;
use lane::Lane;
use send::Sender;

/// Who disables webhooks: nobody in particular.
const SYSTEM: UserId = UserId::new(Uuid::nil());
/// How often it is looked for lanes that nobody works on.
const LOOK: Duration = Duration::from_millis(500);
/// After a failure of ours, the next try is after this long.
const PAUSE: Duration = Duration::from_secs(1);
/// How many lanes one process works on.
const LANES: usize = 512;
/// How many deliveries one process attempts at the same time.
const AT_ONCE: usize = 128;
/// How often old attempts are forgotten.
const UPKEEP: Duration = Duration::from_secs(3600);

/// The deliveries of one projector.
pub struct Webhooks {
    shared: Arc<Shared>,
}

/// What all lanes of a process share.
struct Shared {
    postgres: PgPool,
    log: EventLog,
    tail: Tail,
    settings: WebhookSettings,
    sender: Sender,
    places: Semaphore,
    /// Which process this is, for its claims.
    process: Uuid,
}

impl Webhooks {
    /// Deliveries that work on connections of their own.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        postgres: PgConnectOptions,
        log: EventLog,
        tail: Tail,
        settings: WebhookSettings,
    ) -> anyhow::Result<Self> {
        let postgres = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(postgres.application_name("projector webhooks"));
        #[expect(clippy::disallowed_methods, reason = "each start of a process is another")]
        let process = Uuid::new_v4();
        let (sender, places) = (Sender::new(settings.private)?, Semaphore::new(AT_ONCE));
        let shared = Shared { postgres, log, tail, settings, sender, places, process };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Delivers until the shutdown, and then lets others go on at once.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut lanes = Lanes::default();
        shutdown.run_until_cancelled(self.work(&mut lanes)).await;
        lanes.tasks.shutdown().await;
        if !lanes.working.is_empty() {
            let released = rows::release_all(&self.shared.postgres, self.shared.process);
            if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), released).await {
                tracing::debug!(%error, "claims on webhooks end by themselves");
            }
        }
    }

    async fn work(&self, lanes: &mut Lanes) {
        let mut failing = false;
        let mut next_upkeep = Instant::now();
        loop {
            lanes.reap();
            let round = async {
                if Instant::now() >= next_upkeep {
                    next_upkeep = Instant::now() + UPKEEP;
                    rows::forget_old(&self.shared.postgres).await?;
                }
                self.claim(lanes).await
            };
            match round.await {
                Ok(()) => {
                    failing = false;
                    sleep(LOOK).await;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(error = &*error, "no webhooks are taken up for a while");
                    }
                    failing = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes up the lanes that nobody works on.
    async fn claim(
        &self,
        lanes: &mut Lanes,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Shared { postgres, log, process, .. } = &*self.shared;
        if rows::are_missing(postgres).await? {
            rows::begin(postgres, log.head().await?).await?;
        }
        let room = LANES.saturating_sub(lanes.working.len());
        let asked = Instant::now();
        for row in rows::claim(postgres, *process, room).await? {
            let webhook = row.webhook;
            // The claim of a task of this process had run out. Others may have gone on since: the task
            // has to notice, and the lane begins anew with what is noted.
            if lanes.works_on(webhook) {
                if let Err(error) = rows::release(postgres, *process, webhook).await {
                    tracing::debug!(%error, "a claim on a webhook ends by itself");
                }
                continue;
            }
            let lane = Lane::new(Arc::clone(&self.shared), row, asked);
            let task = lanes.tasks.spawn(lane.run().boxed());
            lanes.working.insert(task.id(), webhook);
        }
        Ok(())
    }
}

/// The lanes that this process works on.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<()>,
    working: HashMap<Id, WebhookId>,
}

impl Lanes {
    fn works_on(&self, webhook: WebhookId) -> bool {
        self.working.values().any(|working| *working == webhook)
    }

    /// Forgets those that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "the deliveries of a webhook ended by a bug");
                    error.id()
                }
            };
            self.working.remove(&id);
        }
    }
}
