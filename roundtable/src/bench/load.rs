//! The open-loop load: messages are sent when they are due, whatever became of those before.

use std::{cell::RefCell, rc::Rc, time::Duration};

use anyhow::{Result, ensure};
use events::ConversationId;
use tokio::{
    io::AsyncWriteExt,
    net::tcp::OwnedWriteHalf,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, interval, sleep, sleep_until},
};

use super::{
    lag::NextAck,
    measure::{self, Measure, Plan},
    wire::{self, Reader},
};

/// Between what a client says to show that it is there; the gateway waits longer.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long after the last message is due the last delivery may come, before it counts as lost.
const DRAIN: Duration = Duration::from_secs(15);

/// What people say: about as long as a chat message.
const TEXT: &str = "It is a truth universally acknowledged, that a measured system must be in \
                    want of a load.";

/// One conversation, and the sockets of everybody in it.
pub(super) struct Room {
    conversation: ConversationId,
    shared: Rc<Shared>,
    senders: Vec<Rc<Writer>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the sockets' tasks tell.
#[derive(Default)]
struct Shared {
    measure: RefCell<Option<Measure>>,
    acks: Rc<NextAck>,
    /// Why a socket ended, if one did.
    broken: RefCell<Option<String>>,
}

impl Room {
    /// Opens a socket for each token; those of `senders` people also send.
    pub(super) async fn open(
        address: &str,
        tokens: &[String],
        conversation: ConversationId,
        senders: usize,
    ) -> Result<Self> {
        let shared = Rc::new(Shared::default());
        let (mut writers, mut tasks) = (Vec::new(), Vec::new());
        for (subscriber, token) in tokens.iter().enumerate() {
            let (reader, half) = wire::open(address, token).await?;
            let writer = Rc::new(Writer::default());
            tasks.push(tokio::task::spawn_local(Rc::clone(&writer).write(half)));
            tasks.push(tokio::task::spawn_local(Rc::clone(&writer).beat()));
            let read = read(subscriber, reader, Rc::clone(&writer), Rc::clone(&shared));
            tasks.push(tokio::task::spawn_local(read));
            writers.push(writer);
        }
        // Spread over the list, so that they are not the first to be served each time.
        let apart = tokens.len() / senders;
        let senders = writers.into_iter().step_by(apart.max(1)).take(senders).collect();
        Ok(Self { conversation, shared, senders, tasks })
    }

    /// Where to get the next acknowledgement.
    pub(super) fn acks(&self) -> Rc<NextAck> {
        Rc::clone(&self.shared.acks)
    }

    /// Offers the load of a plan and waits until all of it arrived, or is late beyond hope.
    pub(super) async fn offer(&self, plan: Plan) -> Result<Measure> {
        *self.shared.measure.borrow_mut() = Some(Measure::new(plan.clone()));
        self.send(&plan).await;
        let hopeless = plan.end() + DRAIN;
        while !self.is_complete() && self.broken().is_none() && Instant::now() < hopeless {
            sleep(Duration::from_millis(20)).await;
        }
        let measure = self.shared.measure.borrow_mut().take();
        ensure!(self.broken().is_none(), "a socket ended: {}", self.broken().unwrap_or_default());
        Ok(measure.expect("it was set above, and only this takes it"))
    }

    async fn send(&self, plan: &Plan) {
        let mut next = 0;
        while next < plan.count() {
            sleep_until(plan.due(next)).await;
            let now = Instant::now();
            // A timer is a millisecond coarse: everything that is due by now goes at once.
            while next < plan.count() && plan.due(next) <= now {
                let sender = &self.senders[next as usize % self.senders.len()];
                let id = plan.message(next);
                let conversation = self.conversation;
                sender.say(&format!(
                    r#"{{"op":"command","id":"{id}","type":"message.send","conversation":"{conversation}","message":"{id}","text":"{TEXT}"}}"#
                ));
                next += 1;
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.shared.measure.borrow().as_ref().is_some_and(Measure::is_complete)
    }

    fn broken(&self) -> Option<String> {
        self.shared.broken.borrow().clone()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Reads one subscriber's socket until it ends.
async fn read(subscriber: usize, mut reader: Reader, writer: Rc<Writer>, shared: Rc<Shared>) {
    let mut bye = None;
    let end = loop {
        if let Err(error) = reader.fill().await {
            break error.to_string();
        }
        // One look at the clock for all frames of one read: they arrived together.
        let now = Instant::now();
        let mut measure = shared.measure.borrow_mut();
        let result = reader.frames(|kind, payload| {
            if wire::is_ping(kind) {
                writer.put(|out| wire::pong(out, payload));
                return;
            }
            let op = measure::op(payload);
            if wire::is_close(kind) || op.starts_with(b"bye") {
                bye.get_or_insert_with(|| String::from_utf8_lossy(payload).into_owned());
            } else if let Some(measure) = &mut *measure {
                measure.frame(subscriber, op, payload, now, &shared.acks);
            }
        });
        if let Err(error) = result {
            break error.to_string();
        }
    };
    shared.broken.borrow_mut().get_or_insert(bye.unwrap_or(end));
}

/// The writing end of a socket: what is put while a write is under way goes with the next.
#[derive(Default)]
struct Writer {
    waiting: RefCell<Vec<u8>>,
    wake: Notify,
}

impl Writer {
    fn put(&self, add: impl FnOnce(&mut Vec<u8>)) {
        add(&mut self.waiting.borrow_mut());
        self.wake.notify_one();
    }

    fn say(&self, text: &str) {
        self.put(|out| wire::text_frame(out, text.as_bytes()));
    }

    async fn write(self: Rc<Self>, mut half: OwnedWriteHalf) {
        loop {
            self.wake.notified().await;
            let frames = std::mem::take(&mut *self.waiting.borrow_mut());
            // The reading end sees why, and says so.
            if half.write_all(&frames).await.is_err() {
                return;
            }
        }
    }

    async fn beat(self: Rc<Self>) {
        let mut beat = interval(HEARTBEAT);
        loop {
            beat.tick().await;
            self.say(r#"{"op":"ping"}"#);
        }
    }
}
