//! Keeps the cached states current: one subscription to the log in each process.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use events::{Position, StreamName};
use eventstore::RecordedEvent;
use tokio::sync::watch;

use crate::cache::States;
use crate::connect::Store;
use crate::erasures;
use crate::open;
use crate::recorded::{Recorded, position};
use crate::subscribe::Following;
use crate::{OpenError, Vault};

/// How old the knowledge may be that nothing was missed.
const FRESH: Duration = Duration::from_secs(1);
/// At this age it is renewed beside the request, so that no request has to wait for it.
const RENEW: Duration = Duration::from_millis(600);
/// How long a request waits for the follower, rather than to read the stream itself.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long the head may take.
const HEAD_WITHIN: Duration = Duration::from_millis(500);
/// How long nobody asks again after the follower was found behind.
const REST: Duration = Duration::from_millis(200);

/// Follows the log until it is dropped.
pub(crate) struct Follower {
    progress: Arc<Progress>,
    task: tokio::task::AbortHandle,
}

struct Progress {
    store: Store,
    /// Everything up to here has reached the cached states.
    passed: watch::Sender<Position>,
    knowledge: Mutex<Knowledge>,
    /// Held while the head is read.
    reading: tokio::sync::Mutex<()>,
}

struct Knowledge {
    /// When the log was last known to have had nothing beyond what has been passed.
    confirmed: Instant,
    /// When that was last asked in vain.
    in_vain: Option<Instant>,
}

impl Follower {
    pub(crate) async fn start(
        store: Store,
        states: States,
        vault: Vault,
    ) -> Result<Self, eventstore::Error> {
        let confirmed = Instant::now();
        // States are read from now on, so the events from now on are what can make them old.
        let head = store.end().await?;
        let progress = Arc::new(Progress {
            store: store.clone(),
            passed: watch::Sender::new(head),
            knowledge: Mutex::new(Knowledge { confirmed, in_vain: None }),
            reading: tokio::sync::Mutex::default(),
        });
        let following = Following::new(store, head);
        let task = tokio::spawn(follow(following, progress.clone(), states, vault));
        Ok(Self { progress, task: task.abort_handle() })
    }

    /// Whether the cached states were current less than a second ago.
    pub(crate) async fn is_fresh(&self) -> bool {
        match self.progress.age() {
            age if age < RENEW => true,
            age if age < FRESH => {
                let progress = self.progress.clone();
                if progress.reading.try_lock().is_ok() {
                    tokio::spawn(async move { progress.confirm().await });
                }
                true
            }
            _ => self.progress.confirm().await,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Progress {
    fn age(&self) -> Duration {
        self.knowledge().confirmed.elapsed()
    }

    fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.knowledge.lock().expect("nothing panics under this lock")
    }

    /// Asks whether the follower is at the head, once for all who want to know.
    async fn confirm(&self) -> bool {
        let _reading = self.reading.lock().await;
        if self.age() < RENEW {
            return true;
        }
        if self.knowledge().in_vain.is_some_and(|at| at.elapsed() < REST) {
            return false;
        }
        let asked = Instant::now();
        let arrived = self.is_at_the_head().await;
        let mut knowledge = self.knowledge();
        if arrived {
            *knowledge = Knowledge { confirmed: asked, in_vain: None };
        } else {
            knowledge.in_vain = Some(Instant::now());
        }
        arrived
    }

    /// Reads the head, and waits a little for the follower to be there.
    async fn is_at_the_head(&self) -> bool {
        let Ok(Ok(head)) = tokio::time::timeout(HEAD_WITHIN, self.store.end()).await else {
            return false;
        };
        let mut passed = self.passed.subscribe();
        let arrived = passed.wait_for(|passed| *passed >= head);
        matches!(tokio::time::timeout(PATIENCE, arrived).await, Ok(Ok(_)))
    }
}

async fn follow(mut log: Following, progress: Arc<Progress>, states: States, vault: Vault) {
    loop {
        match log.next().await {
            Ok(resolved) => {
                let event = resolved.get_original_event();
                pass(event, &states, &vault).await;
                progress.passed.send_replace(position(event.position));
            }
            // The cached states grow old, and the streams are read instead.
            Err(error) => {
                tracing::error!(%error, "the log cannot be followed");
                tokio::time::sleep(FRESH).await;
            }
        }
    }
}

async fn pass(event: &RecordedEvent, states: &States, vault: &Vault) {
    if let Some(user) = erasures::erased_by(&event.event_type, &event.data) {
        vault.bury(user);
    }
    let stream = StreamName::recorded(event.stream_id());
    if !States::keeps(&stream) || !states.pass(&stream, event.revision) {
        return;
    }
    let recorded = Recorded::from(event);
    match open::open_data(vault, &recorded).await {
        Ok(data) => states.evolve(&recorded, Some(data), false),
        Err(OpenError::VaultUnavailable(_)) => {
            states.evolve(&recorded, open::parse(&recorded).ok(), true);
        }
        Err(OpenError::Poison(_)) => states.evolve(&recorded, None, false),
    }
}
