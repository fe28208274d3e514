//! Live frames and the chain of ticks that shows gateways whether they have missed one.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use event_log::{EventLog, OpenError, Opened, Recorded};
use events::frame::frame;
use events::{Audience, Position};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::RelayError;
use super::log_stream::{POSITION, RELAY};
use crate::subjects::Subjects;

/// A tick is sent before it names more frames than this, so that it stays far below what NATS
/// carries.
const FRAMES_IN_A_TICK: usize = 2000;
/// A key of the vault that does not come by then does not come: the frame is sent sealed.
const VAULT_PATIENCE: Duration = Duration::from_millis(250);
/// After the vault was away, frames are sent sealed for this long without asking it.
const VAULT_PAUSE: Duration = Duration::from_secs(1);

/// Publishes to core NATS, in order, on one connection.
pub(super) struct Live {
    log: EventLog,
    nats: Client,
    subjects: Subjects,
    relay: String,
    sealed_until: Option<Instant>,
}

/// What is shown of an event: one text, for each of its audiences.
pub(super) struct Frame {
    position: Position,
    audiences: Vec<Audience>,
    text: Bytes,
}

/// `{"previous", "to", "frames": [[audience, position], ..]}`.
#[derive(Serialize)]
struct Tick<'a> {
    previous: Position,
    to: Position,
    frames: &'a [(Audience, Position)],
}

impl Live {
    pub(super) fn new(log: EventLog, nats: Client, subjects: Subjects, relay: String) -> Self {
        Self { log, nats, subjects, relay, sealed_until: None }
    }

    /// The frames of a batch, one for each event. Foreign events and those that cannot be decoded
    /// are shown to nobody.
    pub(super) async fn frames(&mut self, batch: &[Recorded]) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(batch.len());
        for event in batch {
            let position = event.position;
            frames.push(match self.open(event).await {
                Ok(Opened::Ours(envelope)) => {
                    let audiences = Audience::of(&envelope.event);
                    let text = match audiences.is_empty() {
                        true => Bytes::new(),
                        false => frame(&envelope).to_string().into(),
                    };
                    Frame { position, audiences, text }
                }
                Ok(Opened::Foreign) => Frame { position, audiences: vec![], text: Bytes::new() },
                Err(_) => {
                    // The error may quote what the event says, which belongs into no log file.
                    tracing::warn!(event.position = %position, "an event cannot be shown");
                    Frame { position, audiences: vec![], text: Bytes::new() }
                }
            });
        }
        frames
    }

    /// Opens an event; with the vault away, decodes it with its personal data sealed.
    async fn open(&mut self, event: &Recorded) -> Result<Opened, OpenError> {
        if self.sealed_until.is_some_and(|until| Instant::now() < until) {
            return self.log.open_sealed(event);
        }
        match timeout(VAULT_PATIENCE, self.log.open(event)).await {
            Ok(Err(OpenError::VaultUnavailable(_))) | Err(_) => {
                tracing::warn!("the key vault is away: live frames are sealed");
                self.sealed_until = Some(Instant::now() + VAULT_PAUSE);
                self.log.open_sealed(event)
            }
            Ok(opened) => opened,
        }
    }

    /// Sends the frames, and ticks that name them. `previous` is where the last tick ended.
    pub(super) async fn show(
        &self,
        mut previous: Position,
        frames: &[Frame],
    ) -> Result<(), RelayError> {
        let mut named = Vec::new();
        let mut last = previous;
        for frame in frames {
            if !named.is_empty() && named.len() + frame.audiences.len() > FRAMES_IN_A_TICK {
                self.tick(previous, last, &named).await?;
                previous = last;
                named.clear();
            }
            for audience in &frame.audiences {
                let mut headers = HeaderMap::new();
                headers.insert(POSITION, frame.position.to_string());
                let subject = self.subjects.audience(*audience);
                self.nats.publish_with_headers(subject, headers, frame.text.clone()).await?;
                named.push((*audience, frame.position));
            }
            last = frame.position;
        }
        self.tick(previous, last, &named).await
    }

    /// Says that nothing has happened since `last`, and that this relay is there.
    pub(super) async fn idle(&self, last: Position) -> Result<(), RelayError> {
        self.tick(last, last, &[]).await
    }

    async fn tick(
        &self,
        previous: Position,
        to: Position,
        frames: &[(Audience, Position)],
    ) -> Result<(), RelayError> {
        let tick = Tick { previous, to, frames };
        let payload = serde_json::to_vec(&tick).expect("a tick is JSON");
        let mut headers = HeaderMap::new();
        headers.insert(RELAY, self.relay.as_str());
        self.nats.publish_with_headers(self.subjects.tick(), headers, payload.into()).await?;
        Ok(())
    }
}
