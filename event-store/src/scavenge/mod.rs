//! Scavenging: the space of events that nobody can see any more is given back, while serving.
//!
//! One thread waits for an order, or for the time of the schedule, and goes through the closed
//! segments of the log in their order. Each is read, and written anew when enough of it can go.
//! What goes is decided by `verdict`; how fast, by `pace`. One scavenge runs at a time.

mod call;
mod journal;
mod pace;
mod sweep;
mod verdict;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use uuid::Uuid;

pub use call::{ScavengeError, scavenge};

use crate::{Error, engine::Engine};

/// A scavenge that is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    /// How many segments at the start of the log are left alone.
    pub(crate) skip: usize,
}

/// Someone has said that the scavenge shall end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped;

/// The answer to a wish for a scavenge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Started(Uuid),
    /// Another one is not finished.
    InProgress(Uuid),
    /// The store is closing.
    Closed,
}

/// What tells the thread what to do, and what it tells.
#[derive(Default)]
pub(crate) struct Scavenger {
    orders: Mutex<Orders>,
    given: Condvar,
    /// The scavenge that is ordered or at work.
    running: watch::Sender<Option<Uuid>>,
}

#[derive(Default)]
struct Orders {
    next: Option<Order>,
    stop: bool,
    closed: bool,
}

impl Scavenger {
    /// Orders a scavenge, unless there is one.
    pub(crate) fn start(&self, order: Order) -> Start {
        let mut orders = self.orders();
        if orders.closed {
            return Start::Closed;
        }
        if let Some(id) = *self.running.borrow() {
            return Start::InProgress(id);
        }
        self.running.send_replace(Some(order.id));
        orders.next = Some(order);
        orders.stop = false;
        self.given.notify_all();
        Start::Started(order.id)
    }

    /// Ends a scavenge and waits until it has ended; no when it is not the one that runs.
    pub(crate) async fn stop(&self, id: Uuid) -> bool {
        let mut running = self.running.subscribe();
        {
            let mut orders = self.orders();
            if *self.running.borrow() != Some(id) {
                return false;
            }
            orders.stop = true;
            self.given.notify_all();
        }
        // The sender is in `self`, so this waits for the change and nothing else.
        running.wait_for(|running| *running != Some(id)).await.is_ok()
    }

    /// Ends what runs and takes no more orders.
    pub(crate) fn close(&self) {
        let mut orders = self.orders();
        orders.closed = true;
        orders.stop = true;
        self.given.notify_all();
    }

    /// Waits for an order, at most until the given time; then it makes one itself. `None` when the
    /// store closes.
    fn wait(&self, due: Option<Instant>) -> Option<Order> {
        let mut orders = self.orders();
        loop {
            if orders.closed {
                return None;
            }
            if let Some(order) = orders.next.take() {
                return Some(order);
            }
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            orders = match left {
                Some(Duration::ZERO) => {
                    let order = Order { id: new_id(), skip: 0 };
                    self.running.send_replace(Some(order.id));
                    orders.stop = false;
                    return Some(order);
                }
                Some(left) => {
                    self.given
                        .wait_timeout(orders, left)
                        .expect("no panic while orders are given")
                        .0
                }
                None => self.given.wait(orders).expect("no panic while orders are given"),
            };
        }
    }

    /// Does nothing for a while, unless the scavenge is to end.
    fn pause(&self, time: Duration) -> Result<(), Stopped> {
        let orders = self.orders();
        let (orders, _) = self
            .given
            .wait_timeout_while(orders, time, |orders| !orders.stop)
            .expect("no panic while orders are given");
        if orders.stop { Err(Stopped) } else { Ok(()) }
    }

    /// From now on another scavenge can be ordered.
    fn done(&self) {
        let _orders = self.orders();
        self.running.send_replace(None);
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().expect("no panic while orders are given")
    }
}

/// Starts the thread; it ends when the scavenger is closed.
pub(crate) fn spawn(engine: &Arc<Engine>) -> Result<JoinHandle<()>, Error> {
    let engine = Arc::clone(engine);
    let work = move || {
        let every = engine.config.scavenge_every.filter(|every| !every.is_zero());
        let due = || every.and_then(|every| Instant::now().checked_add(every));
        let mut next = due();
        while let Some(order) = engine.scavenger.wait(next) {
            sweep::run(&engine, order);
            next = due();
        }
    };
    std::thread::Builder::new().name("scavenger".to_owned()).spawn(work).map_err(Error::Thread)
}

#[expect(clippy::disallowed_methods, reason = "a scavenge is begun here, at the edge")]
pub(crate) fn new_id() -> Uuid {
    Uuid::new_v4()
}
