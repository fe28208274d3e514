//! The task of one group: feeds its rules with what happens, and does what they say.

mod duties;
mod hearing;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Definition, Ended, GroupId, GroupInfo, Peer, Problem, Said, Subscription,
    group::{Delivery, Found, Group, ToPark, Token},
    io,
    source::{Page, SourceReader},
    subscriber::SubscriberId,
    subscription::{Ticket, Waiting},
};
use crate::{engine::Engine, read::Resolved};

/// What may wait to be heard; a full queue holds the subscribers back.
const QUEUE: usize = 64;
/// What is heard before the group acts again.
const AT_ONCE: usize = 256;
/// What did not work is tried again after as long.
const PAUSE: Duration = Duration::from_secs(1);
/// What a group is told or asked.
pub(crate) enum Input {
    Subscribe {
        buffer_size: usize,
        peer: Peer,
        answer: oneshot::Sender<Result<Subscription, Problem>>,
    },
    Said(SubscriberId, Said),
    /// The event of this message is gone.
    Lost(Token),
    Info(oneshot::Sender<Result<GroupInfo, Problem>>),
    /// Replay the parked messages before this revision, or all there are.
    Replay {
        stop_at: Option<u64>,
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    /// End all subscriptions so, and the group with them.
    Stop(Ended),
}

/// Work that has come to an end.
enum Done {
    Gone(SubscriberId),
    Page(Box<SourceReader>, Result<Page, String>, u64),
    Parked(Vec<ToPark>, Result<(), String>),
    Recorded(Result<(), String>),
    Cut(u64, Result<(), String>),
    ReadParked(Result<(Vec<Found<Resolved>>, u64), String>),
    Replay(std::ops::Range<u64>, oneshot::Sender<Result<(), Problem>>),
    Nothing,
}

/// The way to a subscriber.
struct Door {
    tickets: mpsc::Sender<Ticket>,
    end: oneshot::Sender<Ended>,
    peer: Peer,
    waiting: Waiting,
}

/// A group at work.
pub(crate) struct Runner {
    engine: Arc<Engine>,
    id: Arc<GroupId>,
    group: Group<Resolved>,
    doors: HashMap<SubscriberId, Door>,
    inputs: mpsc::Sender<Input>,
    /// Taken while a page is read.
    source: Option<Box<SourceReader>>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    head: watch::Receiver<u64>,
    started: Instant,
    /// The head when the source was read to its end.
    read_to: Option<u64>,
    busy: Busy,
    /// What failed is not tried again before.
    not_before: Option<Duration>,
}

/// What is under way, each at most once.
#[derive(Default)]
struct Busy {
    parking: bool,
    recording: bool,
    cutting: bool,
    reading_parked: bool,
}

/// Starts the group where its checkpoint says. It blocks while that is read.
pub(crate) fn prepare(
    engine: &Arc<Engine>,
    id: &GroupId,
    definition: &Definition,
) -> Result<(Runner, mpsc::Receiver<Input>), Problem> {
    let lost = |failure: crate::read::Failure| Problem::Lost(failure.to_string());
    let finished = io::last_checkpoint(engine, id).map_err(lost)?;
    let source = SourceReader::new(engine, &id.source, definition, finished)?;
    let (inputs, queue) = mpsc::channel(QUEUE);
    let runner = Runner {
        engine: Arc::clone(engine),
        id: Arc::new(id.clone()),
        group: Group::new(definition.settings.clone(), finished, Duration::ZERO),
        doors: HashMap::new(),
        inputs,
        source: Some(Box::new(source)),
        work: FuturesUnordered::new(),
        head: engine.watch(),
        started: Instant::now(),
        read_to: None,
        busy: Busy::default(),
        not_before: None,
    };
    Ok((runner, queue))
}

impl Runner {
    /// What reaches the group.
    pub(crate) fn inputs(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Works until it is told to stop or the server does.
    pub(crate) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Input>,
        shutdown: CancellationToken,
    ) {
        let ended = loop {
            self.act();
            let deadline = self.deadline();
            let waits = self.waits_for_head();
            let heard = tokio::select! {
                () = shutdown.cancelled() => break Ended::Stopping,
                input = queue.recv() => input,
                Some(done) = self.work.next() => { self.done(done); None }
                changed = self.head.changed(), if waits => match changed {
                    Ok(()) => None,
                    Err(_) => break Ended::Stopping,
                },
                () = sleep_until(deadline) => None,
            };
            let more = std::iter::from_fn(|| queue.try_recv().ok()).take(AT_ONCE);
            let mut heard = heard.into_iter().chain(more);
            if let Some(ended) = heard.find_map(|input| self.hear(input)) {
                break ended;
            }
        };
        // What was said before the end still counts.
        queue.close();
        while let Ok(input) = queue.try_recv() {
            self.hear(input);
        }
        self.finish(ended).await;
    }

    /// Ends all subscriptions, and records what is finished unless the group is to be forgotten.
    async fn finish(mut self, ended: Ended) {
        for (_, door) in self.doors.drain() {
            let _ = door.end.send(ended.clone());
        }
        let forget = matches!(ended, Ended::Deleted);
        self.not_before = None;
        loop {
            if !forget {
                self.park();
                self.checkpoint(true);
                self.cut(true);
            }
            let Busy { parking, recording, cutting, .. } = self.busy;
            let failed = self.not_before.is_some();
            if failed || !(parking || recording || cutting) {
                return;
            }
            match self.work.next().await {
                Some(Done::Gone(_)) | None => {}
                Some(done) => self.done(done),
            }
        }
    }

    /// Does all that can be done now.
    fn act(&mut self) {
        let now = self.now();
        self.not_before.take_if(|not_before| *not_before <= now);
        self.group.expire(now);
        loop {
            let deliveries = self.group.deliver(now);
            self.send(deliveries);
            if !self.read() {
                break;
            }
        }
        self.read_parked();
        self.park();
        self.checkpoint(false);
        self.cut(false);
    }

    fn deadline(&self) -> Option<Instant> {
        let group = self.group.deadline();
        // What failed holds the rest back too.
        let next = match self.not_before {
            Some(not_before) => Some(group.map_or(not_before, |at| at.max(not_before))),
            None => group,
        };
        let next = if self.busy.recording { self.group.book.next_due() } else { next };
        next.map(|at| self.started + at)
    }

    fn send(&mut self, deliveries: Vec<Delivery<Resolved>>) {
        for delivery in deliveries {
            let Delivery { subscriber, token, place, id, retries, bytes, event } = delivery;
            let Some(door) = self.doors.get(&subscriber) else { continue };
            let mut ticket = Ticket { token, place, id, retries, bytes, event };
            door.waiting.admit(&mut ticket);
            if door.tickets.try_send(ticket).is_err() {
                // It is full of what came back because it was not taken in time.
                self.end(subscriber, Ended::TooSlow);
            }
        }
    }

    fn end(&mut self, subscriber: SubscriberId, ended: Ended) {
        self.group.leave(subscriber);
        if let Some(door) = self.doors.remove(&subscriber) {
            // When the client has gone there is nobody to tell.
            let _ = door.end.send(ended);
        }
        if self.doors.is_empty() {
            self.checkpoint(true);
        }
    }

    fn pushes(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.work.push(work.boxed());
    }

    fn waits_for_head(&self) -> bool {
        self.source.is_some() && self.read_to.is_some() && self.group.wanted() > 0
    }

    fn failed(&mut self, what: &'static str, message: &str) {
        let group = self.id.subscription_id();
        tracing::error!(group, error = message, "a persistent subscription cannot {what}");
        self.not_before = Some(self.now() + PAUSE);
    }
}

/// Waits until then, or for ever.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
