//! The one task that all live frames of this process pass, in the order of the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use events::{ConversationId, Position};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fanout::{Fanout, Progress, Registration, SocketId};
use super::frames::ServerFrame;
use super::history::{History, PATIENCE};
use super::taps::{Heard, Taps};
use super::tick::Tick;
use super::whispers::Whisper;

/// The relay ticks at least every half second: after so long without, it or NATS is away, and the
/// log is asked instead.
const SILENCE: Duration = Duration::from_secs(2);

/// How often the log is asked while the relay stays silent.
const LOOK: Duration = Duration::from_millis(500);

/// How long to wait before trying again to catch up.
const RETRY: Duration = Duration::from_millis(250);

/// How long to wait for the feed while the relay is silent: NATS may be away from the projections
/// as well.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);

/// How many entries of the feed are read at once.
const PAGE: i64 = 500;

/// What sockets ask of the dispatcher.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    requests: mpsc::UnboundedSender<Request>,
}

enum Request {
    Register(SocketId, Registration, oneshot::Sender<Position>),
    Join {
        id: SocketId,
        conversations: BTreeSet<ConversationId>,
        seen: Option<Position>,
        answer: oneshot::Sender<Option<Position>>,
    },
    Leave(SocketId),
}

impl Dispatcher {
    /// Starts it at the end of the log.
    pub(crate) async fn start(
        taps: Taps,
        alarm: Arc<Notify>,
        history: Arc<History>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let last = history.log.head().await.context("the end of the log is unknown")?;
        // Not bounded: each socket asks three times in its life, and sockets are bounded.
        let (sender, requests) = mpsc::unbounded_channel();
        let look = Instant::now() + SILENCE;
        let worker =
            Worker { fanout: Fanout::new(last), taps, history, requests, look, retry: None };
        tokio::spawn(shutdown.run_until_cancelled_owned(worker.run(alarm)));
        Ok(Self { requests: sender })
    }

    /// See [`Fanout::register`]. `None` while shutting down.
    pub(crate) async fn register(
        &self,
        id: SocketId,
        registration: Registration,
    ) -> Option<Position> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(Request::Register(id, registration, sender)).ok()?;
        answer.await.ok()
    }

    /// See [`Fanout::join`]. `None` while shutting down, too.
    pub(crate) async fn join(
        &self,
        id: SocketId,
        conversations: BTreeSet<ConversationId>,
        seen: Option<Position>,
    ) -> Option<Position> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Join { id, conversations, seen, answer }).ok()?;
        answered.await.ok()?
    }

    /// See [`Fanout::leave`].
    pub(crate) fn leave(&self, id: SocketId) {
        drop(self.requests.send(Request::Leave(id)));
    }
}

struct Worker {
    fanout: Fanout,
    taps: Taps,
    history: Arc<History>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// When to ask the log, if the relay is not heard before.
    look: Instant,
    /// When to try again to catch up, after that failed.
    retry: Option<Instant>,
}

impl Worker {
    async fn run(mut self, alarm: Arc<Notify>) {
        loop {
            let wake = self.retry.unwrap_or(self.look);
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
                heard = self.taps.next(self.fanout.last()) => match heard {
                    Some(Heard::Tick(tick)) => self.tick(&tick).await,
                    Some(Heard::Whispers) => {}
                    None => return,
                },
                () = alarm.notified() => {
                    self.fanout.whisper_to_all(&ServerFrame::PresenceLost.encode());
                    self.catch_up(PATIENCE).await;
                }
                () = tokio::time::sleep_until(wake) => {
                    self.catch_up(SHORT_PATIENCE).await;
                    self.look = Instant::now() + LOOK;
                }
            }
            let effects = self.fanout.take_effects();
            self.taps.apply(effects).await;
            for Whisper { audience, frame, from } in self.taps.take_whispers() {
                self.fanout.whisper(audience, &frame, from);
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            // A socket that does not wait for the answer any more leaves by itself.
            Request::Register(id, registration, answer) => {
                let _ = answer.send(self.fanout.register(id, registration));
            }
            Request::Join { id, conversations, seen, answer } => {
                let _ = answer.send(self.fanout.join(id, conversations, seen));
            }
            Request::Leave(id) => self.fanout.leave(id),
        }
    }

    async fn tick(&mut self, tick: &Tick) {
        self.look = Instant::now() + SILENCE;
        let Self { fanout, taps, .. } = self;
        match fanout.tick(tick, |audience, position| taps.take(audience, position)) {
            Progress::UpToDate => {}
            // Somebody waits for the next try already.
            Progress::Behind if self.retry.is_some() => {}
            Progress::Behind => self.catch_up(PATIENCE).await,
        }
    }

    /// Dispatches everything up to the end of the log, from the feed, or from the log if the feed
    /// does not get there in time.
    async fn catch_up(&mut self, patience: Duration) {
        let before = self.fanout.last();
        let caught_up = self.try_catch_up(patience).await;
        if self.fanout.last() != before {
            metrics::counter!("roundtable_gateway_catch_ups_total").increment(1);
        }
        self.retry = match caught_up {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "live frames wait: what was missed cannot be read");
                Some(Instant::now() + RETRY)
            }
        };
    }

    async fn try_catch_up(&mut self, patience: Duration) -> anyhow::Result<()> {
        let head = self.history.log.head().await?;
        let audiences: Vec<_> = self.fanout.audiences().collect();
        self.taps.complete(audiences.into_iter()).await;
        if head <= self.fanout.last() {
            return Ok(());
        }
        let reached = self.history.feed.reached(head, patience).await.is_ok();
        if reached && self.read_feed(head).await.is_ok() {
            return Ok(());
        }
        self.read_log(head).await
    }

    async fn read_feed(&mut self, head: Position) -> anyhow::Result<()> {
        loop {
            let last = self.fanout.last();
            let entries = self.history.feed.entries(last, head, PAGE).await?;
            // Asked after the page was read, so that nothing of it can have been gone before.
            if self.history.feed.horizon().await? > last {
                bail!("the feed does not reach back to {last}");
            }
            let Some(end) = entries.last().map(|entry| entry.position) else {
                self.fanout.advance(head);
                return Ok(());
            };
            for entry in &entries {
                self.fanout.dispatch(entry.position, &entry.audiences, &entry.frame);
            }
            self.follow_audiences().await;
            if end >= head {
                return Ok(());
            }
        }
    }

    async fn read_log(&mut self, head: Position) -> anyhow::Result<()> {
        while self.fanout.last() < head {
            let last = self.fanout.last();
            let Ok(entries) = self.history.entries_of_log(last, head).await else {
                bail!("the log cannot be read");
            };
            if entries.is_empty() {
                self.fanout.advance(head);
            }
            for entry in &entries {
                self.fanout.dispatch(entry.position, &entry.audiences, &entry.frame);
            }
            self.follow_audiences().await;
        }
        Ok(())
    }

    async fn follow_audiences(&mut self) {
        let effects = self.fanout.take_effects();
        self.taps.apply(effects).await;
    }
}
