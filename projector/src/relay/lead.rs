//! What the leading relay does: publish what is there, show it live, and say that it leads.

use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use event_log::Recorded;
use events::Position;
use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::log_stream::{LogStream, RELAY, Tip};
use super::{HEARTBEAT, Relay, RelayError};

/// How many publishes may be on their way at once. Only what is there already is put together.
pub(super) const BATCH: usize = 256;

/// Why a relay does not lead any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Another relay published, or says that it leads.
    Overtaken,
    /// It is not known whether a publish succeeded.
    Doubt,
}

/// The end of the stream as the leading relay knows it.
struct End {
    sequence: u64,
    position: Position,
}

impl Relay {
    /// Shows the last events again, then publishes what follows the tip, until something is wrong.
    pub(super) async fn lead(&mut self, tip: Tip) -> Result<Ended, RelayError> {
        let mut answering = JoinSet::new();
        self.answer(&mut answering).await?;
        let mut ticks = self.nats.subscribe(self.subjects.tick()).await?;
        let position = self.show_recent(&tip).await?;
        let mut end = End { sequence: tip.sequence, position };
        let log = self.log.clone();
        let mut events = pin!(log.subscribe_all(position).ready_chunks(BATCH));
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tracing::info!(relay.id = self.id, "this relay leads");
        loop {
            tokio::select! {
                batch = events.next() => {
                    let batch = batch.unwrap_or_default().into_iter();
                    let batch: Vec<Recorded> = batch.collect::<Result<_, _>>()?;
                    if batch.is_empty() {
                        // A subscription has no end; should this one have, do not spin.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        return Ok(Ended::Doubt);
                    }
                    if let Some(ended) = self.publish(batch, &mut end).await? {
                        return Ok(ended);
                    }
                    heartbeat.reset();
                }
                _ = heartbeat.tick() => self.live.idle(end.position).await?,
                Some(tick) = ticks.next() => {
                    // Two may think that they lead while nothing happens. The lower id does.
                    let id = tick.headers.as_ref().and_then(|headers| headers.get(RELAY));
                    if id.is_some_and(|id| id.as_str() < self.id.as_str()) {
                        return Ok(Ended::Overtaken);
                    }
                }
            }
        }
    }

    /// Publishes a batch and shows as much of it as was stored.
    async fn publish(
        &mut self,
        batch: Vec<Recorded>,
        end: &mut End,
    ) -> Result<Option<Ended>, RelayError> {
        let (acks, sent) = send_all(&self.stream, &batch, end).await;
        // The frames are made while the acknowledgements are on their way.
        let (acknowledged, frames) = tokio::join!(count(acks), self.live.frames(&batch));
        let (stored, result) = match acknowledged {
            (stored, Ok(())) => (stored, sent),
            failed => failed,
        };
        if stored > 0 {
            if let Some(gate) = &self.gate {
                gate.reached.notify_one();
                gate.open.notified().await;
            }
            self.live.show(end.position, &frames[..stored]).await?;
            let position = batch[stored - 1].position;
            *end = End { sequence: end.sequence + stored as u64, position };
            self.shown = Some(position);
            metrics::counter!("roundtable_relay_events").increment(stored as u64);
        }
        Ok(result.err().map(|error| match error.kind() {
            PublishErrorKind::WrongLastSequence => Ended::Overtaken,
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::MaxPayloadExceeded
            | PublishErrorKind::Other => Ended::Doubt,
        }))
    }

    /// Answers those who ask whether a relay leads, for as long as `tasks` is kept.
    async fn answer(&self, tasks: &mut JoinSet<()>) -> Result<(), RelayError> {
        let mut questions = self.nats.subscribe(self.subjects.leader()).await?;
        let (nats, id) = (self.nats.clone(), self.id.clone());
        tasks.spawn(async move {
            while let Some(question) = questions.next().await {
                if let Some(reply) = question.reply
                    && let Err(error) = nats.publish(reply, id.clone().into()).await
                {
                    tracing::debug!(%error, "could not answer who leads");
                }
            }
        });
        Ok(())
    }
}

/// Sends the batch, each to follow the one before. What was sent before a failure still counts.
async fn send_all(
    stream: &LogStream,
    batch: &[Recorded],
    end: &End,
) -> (Vec<PublishAckFuture>, Result<(), PublishError>) {
    let mut acks = Vec::with_capacity(batch.len());
    let mut previous = end.position;
    for (event, last) in batch.iter().zip(end.sequence..) {
        match stream.send(event, previous, last).await {
            Ok(ack) => acks.push(ack),
            Err(error) => return (acks, Err(error)),
        }
        previous = event.position;
    }
    (acks, Ok(()))
}

/// How many were stored, in order. After the first failure the rest has failed too, because each
/// names the one before.
async fn count(acks: Vec<PublishAckFuture>) -> (usize, Result<(), PublishError>) {
    let mut stored = 0;
    for ack in acks {
        match ack.await {
            Ok(_) => stored += 1,
            Err(error) => return (stored, Err(error)),
        }
    }
    (stored, Ok(()))
}
