//! The relay: publishes every event of the log to NATS, once and in order, and shows it to whom it
//! concerns.
//!
//! Any number of relays may run. Each publish to `EVENTS` names the sequence it expects to follow,
//! so of two relays that publish the same event one is refused; that one stands by. The last
//! message of `EVENTS` is the only checkpoint: nothing else has to be kept, and nothing can be
//! forgotten between a publish and a checkpoint.

mod lead;
mod live;
pub mod log_stream;
mod recent;
mod standby;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use chrono::TimeDelta;
use event_log::{EventLog, LogError};
use events::Position;
use thiserror::Error;
use tokio::sync::Notify;

use crate::subjects::Subjects;
use lead::Ended;
use live::Live;
use log_stream::LogStream;

/// An idle relay shows that it leads this often.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// After a failure the relay tries again after this long.
const PAUSE: Duration = Duration::from_millis(200);

/// One relay.
pub struct Relay {
    log: EventLog,
    nats: Client,
    subjects: Subjects,
    stream: LogStream,
    live: Live,
    /// The name of this relay in headers, new in each process.
    id: String,
    /// Everything up to here was shown live by this relay, since it last took the lead.
    shown: Option<Position>,
    /// Nothing that is older is shown again when it takes the lead.
    again: TimeDelta,
    gate: Option<Arc<Gate>>,
}

/// A place where a test holds a relay: after its publishes were acknowledged, before any live
/// frame. A process may end there.
#[derive(Debug, Default)]
pub struct Gate {
    /// Told whenever a relay comes to the gate.
    pub reached: Notify,
    /// Lets one through.
    pub open: Notify,
}

/// Why a relay could not go on for now.
#[derive(Debug, Error)]
pub(crate) enum RelayError {
    /// NATS is away, or refuses.
    #[error("NATS does not answer as it should")]
    Nats(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The event store is away.
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    /// Somebody else publishes to our subjects.
    #[error("a message of the stream has no position: it is not from a relay")]
    NotOurs,
    /// The stream holds events that the log does not have.
    #[error("the stream is ahead of the log: it is of another log, or the log was restored")]
    AheadOfTheLog,
}

impl Relay {
    /// A relay that publishes on this connection. It needs a connection of its own: the order of
    /// live frames is the order of one connection.
    pub fn new(log: EventLog, nats: Client, subjects: Subjects) -> Self {
        let id = hex::encode(rand::random::<[u8; 8]>());
        let stream = LogStream::new(nats.clone(), subjects.clone(), id.clone());
        let live = Live::new(log.clone(), nats.clone(), subjects.clone(), id.clone());
        let again = recent::AGE;
        Self { log, nats, subjects, stream, live, id, shown: None, again, gate: None }
    }

    /// Shows what is as old as this again when it takes the lead, instead of the last ten seconds:
    /// for tests, which may be slower than any takeover.
    #[must_use]
    pub const fn showing_again(mut self, age: TimeDelta) -> Self {
        self.again = age;
        self
    }

    /// Holds the relay at this gate before it shows anything live.
    #[must_use]
    pub fn held_at(mut self, gate: Arc<Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The name of this relay in headers.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Publishes, or stands by, until it is dropped.
    pub async fn run(mut self) {
        let mut failing = false;
        loop {
            match self.turn().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::warn!(error = &error as &dyn std::error::Error, "relay waits");
                    }
                    failing = true;
                    metrics::counter!("roundtable_relay_failures").increment(1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Leads as long as it can; while another relay leads, stands by first.
    async fn turn(&mut self) -> Result<(), RelayError> {
        if self.somebody_leads().await? {
            self.shown = None;
            metrics::gauge!("roundtable_relay_leads").set(0.0);
            self.stand_by().await?;
        }
        let tip = self.stream.tip().await?;
        metrics::gauge!("roundtable_relay_leads").set(1.0);
        match self.lead(tip).await? {
            Ended::Overtaken => tracing::info!(relay.id = self.id, "another relay leads"),
            Ended::Doubt => tracing::info!(relay.id = self.id, "an acknowledgement was lost"),
        }
        Ok(())
    }

    /// Asks whether a relay leads. With nobody there NATS says so at once.
    async fn somebody_leads(&self) -> Result<bool, RelayError> {
        let question = async_nats::Request::new().timeout(Some(HEARTBEAT / 2));
        match self.nats.send_request(self.subjects.leader(), question).await {
            Ok(answer) => Ok(answer.payload != self.id.as_bytes()),
            Err(error) => match error.kind() {
                async_nats::RequestErrorKind::NoResponders
                | async_nats::RequestErrorKind::TimedOut => Ok(false),
                async_nats::RequestErrorKind::InvalidSubject
                | async_nats::RequestErrorKind::MaxPayloadExceeded
                | async_nats::RequestErrorKind::Other => Err(RelayError::Nats(Box::new(error))),
            },
        }
    }
}

impl From<async_nats::SubscribeError> for RelayError {
    fn from(error: async_nats::SubscribeError) -> Self {
        Self::Nats(Box::new(error))
    }
}

impl From<async_nats::PublishError> for RelayError {
    fn from(error: async_nats::PublishError) -> Self {
        Self::Nats(Box::new(error))
    }
}
