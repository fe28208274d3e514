//! What a group does with what it is told and asked.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Done, Door, Input, Runner, duties::blocking};
use crate::{
    engine::Engine,
    persistent::{
        ConnectionInfo, Ended, EventSource, GroupInfo, Nack, Peer, Problem, Said, Subscription,
        figures::Latencies, io, subscriber::SubscriberId, subscription::Waiting,
    },
    read::Failure,
};

/// What one subscriber may have in hand, whatever it asks for.
const MOST_IN_HAND: usize = 16 << 10;

impl Runner {
    /// Takes an input in; tells how the group is to end, if it is.
    pub(super) fn hear(&mut self, input: Input) -> Option<Ended> {
        match input {
            Input::Subscribe { buffer_size, peer, answer } => {
                let subscription = self.subscribe(buffer_size.min(MOST_IN_HAND), peer);
                // One who has gone meanwhile is noticed by the closed way to it.
                let _ = answer.send(subscription);
            }
            Input::Said(subscriber, said) => self.said(subscriber, said),
            Input::Lost(token) => self.group.lost(token),
            Input::Info(answer) => self.tell(answer),
            Input::Replay { stop_at, answer } => self.replay(stop_at, answer),
            Input::Stop(ended) => return Some(ended),
        }
        None
    }

    fn subscribe(&mut self, buffer_size: usize, peer: Peer) -> Result<Subscription, Problem> {
        let now = self.now();
        let subscriber = self.group.join(buffer_size, now).ok_or(Problem::Full)?;
        // What comes back for being late leaves its ticket in the queue: as much may wait again.
        let (tickets, queue) = mpsc::channel(2 * buffer_size);
        let (end, ended) = oneshot::channel();
        let waiting = Waiting::default();
        let closing = tickets.clone();
        self.pushes(async move {
            closing.closed().await;
            Done::Gone(subscriber)
        });
        self.doors.insert(subscriber, Door { tickets, end, peer, waiting: waiting.clone() });
        Ok(Subscription {
            engine: Arc::clone(&self.engine),
            id: Arc::clone(&self.id),
            resolve_links: self.group.settings.resolve_links,
            subscriber,
            tickets: queue,
            ended,
            waiting,
            inputs: self.inputs(),
        })
    }

    fn said(&mut self, by: SubscriberId, said: Said) {
        let now = self.now();
        match said {
            Said::Done(ids) => ids.into_iter().for_each(|id| self.group.acknowledge(by, id, now)),
            Said::Refused(ids, what, reason) => {
                ids.into_iter().for_each(|id| self.group.refuse(by, id, what, &reason));
                if what == Nack::Stop {
                    self.end(by, Ended::Dropped);
                }
            }
            Said::Nonsense(reason) => self.end(by, Ended::Bad(reason)),
        }
    }

    fn replay(&mut self, stop_at: Option<u64>, answer: oneshot::Sender<Result<(), Problem>>) {
        let (engine, id) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        self.pushes(async move {
            match blocking(move || io::parked(&engine, &id)).await {
                Ok(there) => {
                    let end = there.end.min(stop_at.unwrap_or(u64::MAX)).max(there.start);
                    Done::Replay(there.start..end, answer)
                }
                Err(message) => {
                    let _ = answer.send(Err(Problem::Lost(message)));
                    Done::Nothing
                }
            }
        });
    }

    fn tell(&mut self, answer: oneshot::Sender<Result<GroupInfo, Problem>>) {
        let (engine, id) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        let (replaying, replayed_to) = self.group.replayed_to();
        let mut info = self.info();
        self.pushes(async move {
            let looked =
                blocking(move || Ok((last_known(&engine, &id.source)?, io::parked(&engine, &id)?)));
            let told = looked.await.map_err(Problem::Lost).map(|(last_known, parked)| {
                info.last_known = last_known;
                info.parked = parked.end.saturating_sub(parked.start.max(replayed_to));
                info.status = match (replaying, info.read_to_end(last_known)) {
                    (true, _) => "ReplayingParkedMessages",
                    (false, true) => "Live",
                    (false, false) => "Behind",
                };
                info
            });
            let _ = answer.send(told);
            Done::Nothing
        });
    }

    fn info(&mut self) -> GroupInfo {
        let now = self.now();
        let group = &mut self.group;
        let connections = group.subscribers.iter_mut().filter_map(|subscriber| {
            let peer = self.doors.get(&subscriber.id).map(|door| door.peer.clone())?;
            let in_flight = subscriber.in_flight();
            Some(ConnectionInfo {
                from: peer.from,
                user: peer.user,
                name: peer.connection,
                counted: subscriber.rate.measure(now),
                latencies: subscriber
                    .latencies
                    .as_ref()
                    .map(Latencies::measure)
                    .unwrap_or_default(),
                available_slots: subscriber.buffer_size.saturating_sub(in_flight),
                in_flight,
            })
        });
        let connections: Vec<_> = connections.collect();
        let (fresh, replayed) = group.read_ahead();
        let (read_buffer, live_buffer) = if group.live { (0, fresh) } else { (fresh, 0) };
        GroupInfo {
            id: (*self.id).clone(),
            settings: group.settings.clone(),
            status: "Behind",
            in_flight: connections.iter().map(|connection| connection.in_flight).sum(),
            connections,
            counted: group.rate.measure(now),
            checkpoint: group.last_checkpoint(),
            last_known: None,
            considered: group.considered(),
            begun: group.has_begun(),
            read_buffer,
            live_buffer,
            retry_buffer: group.book.waiting() + replayed,
            outstanding: group.book.len(),
            parked: 0,
        }
    }
}

/// The place of the last event there is.
fn last_known(engine: &Engine, source: &EventSource) -> Result<Option<u64>, Failure> {
    match source {
        EventSource::Stream(name) => Ok(engine.last_revision(name.as_bytes())?),
        EventSource::All => {
            let mut reader = engine.reader();
            let head = reader.limit();
            Ok(reader.before(head)?.map(|record| record.position))
        }
    }
}
