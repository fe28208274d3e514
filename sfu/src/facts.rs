//! What the SFU knows of a call and the log should: which devices are connected to it. Facts wait in
//! a bounded queue, so that a log that is away holds no media up, and the rules of a call decide.

use std::time::Duration;

use domain::call::{self, Call};
use event_log::{Context, EventLog, TransactError};
use events::call::Participant;
use events::{CallId, StreamName, UserId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::room::Who;

/// Facts that wait.
const QUEUE: usize = 4096;

/// Who acts where nobody asked for it.
const SYSTEM: UserId = UserId::new(Uuid::nil());

/// How long until a log that is away is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long facts may take once the node ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// A device is connected, or is not any more.
#[derive(Clone, Copy, Debug)]
struct Fact {
    call: CallId,
    who: Who,
    connected: bool,
}

/// Where facts go; nowhere without a log. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Facts(Option<mpsc::Sender<Fact>>);

impl Facts {
    /// A device is connected to this node, or is not any more.
    pub(crate) fn tell(&self, call: Uuid, who: Who, connected: bool) {
        let Some(queue) = &self.0 else { return };
        let fact = Fact { call: call.into(), who, connected };
        if queue.try_send(fact).is_err() {
            metrics::counter!("roundtable_sfu_facts_lost_total").increment(1);
            tracing::error!(call.id = %call, "a fact about a call was lost: the log is away too long");
        }
    }
}

/// The queue, and who empties it.
pub(crate) fn queue(
    log: EventLog,
    node: String,
    shutdown: CancellationToken,
    connected: mpsc::UnboundedSender<Uuid>,
) -> (Facts, impl Future<Output = ()> + Send) {
    let (sender, mut facts) = mpsc::channel(QUEUE);
    let append = async move {
        let mut until = None;
        while let Some(fact) = facts.recv().await {
            append(&log, &node, fact, &shutdown, &mut until).await;
            // Whoever records the calls looks at this one from now on; nobody does at the end.
            connected.send(fact.call.uuid()).ok();
        }
    };
    (Facts(Some(sender)), append)
}

/// Appends one fact, as often as it takes.
async fn append(
    log: &EventLog,
    node: &str,
    fact: Fact,
    shutdown: &CancellationToken,
    until: &mut Option<Instant>,
) {
    let Fact { call, who, connected } = fact;
    let participant = Participant { user: who.user, device: who.device.into() };
    let node = node.to_owned();
    let command = match connected {
        true => call::Command::JoinMedia { participant, node },
        false => call::Command::LeaveMedia { participant, node },
    };
    // The same for every attempt: an append whose answer was lost is not doubled.
    let key = Uuid::from_u128(rand::random());
    let mut context = Context {
        actor: SYSTEM,
        key,
        body_hash: String::new(),
        correlation: key,
        causation: key,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    };
    let stream = StreamName::call(call);
    loop {
        match log.beginning_of(&stream).await {
            Ok(cause) => context = context.because(cause),
            // Whether the log is away, or wrong, the append tells.
            Err(error) => tracing::debug!(%error, call.id = %call, "no cause is known"),
        }
        match log.transact::<Call>(&stream, &command, &context).await {
            Ok(_) => return,
            Err(TransactError::Rejected(rejection)) => {
                tracing::debug!(%rejection, call.id = %call, "a fact is not true any more");
                return;
            }
            Err(TransactError::Unavailable(_) | TransactError::Contention) => {}
            Err(error) => {
                metrics::counter!("roundtable_sfu_facts_lost_total").increment(1);
                tracing::error!(%error, call.id = %call, "a fact about a call was not recorded");
                return;
            }
        }
        if shutdown.is_cancelled() {
            let until = *until.get_or_insert_with(|| Instant::now() + FAREWELL);
            if Instant::now() >= until {
                tracing::error!(call.id = %call, "a fact about a call was not recorded before the end");
                return;
            }
        }
        sleep(PAUSE).await;
    }
}
