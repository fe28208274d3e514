//! A media thread: its socket, its rooms, and the loop around them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_udp::{BATCH_SIZE, UdpSocketState};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::facts::Facts;
use crate::media::dtls::Identity;
use crate::media::ice::Check;
use crate::media::inbox::Inbox;
use crate::media::outbox::{Outbox, Traffic};
use crate::room::event::{ParticipantId, Role};
use crate::room::{Clock, Ids, Room, Surroundings};
use crate::sdp::Bounds;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Orders that wait for a thread.
const ORDERS: usize = 1024;

/// How often time passes for rooms.
const TICK: Duration = Duration::from_millis(10);

/// How long datagrams are gathered before they are taken: the packets of a picture then leave in
/// one system call for each subscriber, and the thread wakes a thousand times a second at the most.
const GATHER: Duration = Duration::from_millis(1);

/// After a round with so many datagrams the next ones are not waited for: they come.
const DENSE: u64 = 2;

/// Batches that are taken before orders and time have their turn.
const BATCHES: usize = 64;

/// The size of the kernel's buffers.
const BUFFER: usize = 8 * 1024 * 1024;

/// A room where nobody is ends after this.
const EMPTY: Duration = Duration::from_secs(2);

type Order = Box<dyn FnOnce(&mut Worker) + Send>;

/// What a thread tells the rest of the process.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Thousandths of the time that it works.
    pub(crate) busy: AtomicU64,
    pub(crate) people: AtomicU64,
    pub(crate) rooms: AtomicU64,
    pub(crate) packets_in: AtomicU64,
    pub(crate) packets_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) dropped: AtomicU64,
    ending: AtomicBool,
}

/// How to speak with a thread.
pub(crate) struct Handle {
    orders: SyncSender<Order>,
    waker: Arc<Waker>,
    pub(crate) gauges: Arc<Gauges>,
    /// Where clients reach it.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The thread has too much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media thread is busy")]
pub(crate) struct Busy;

impl Handle {
    /// Does something in a room, which is made if it is not there, and waits for what it returns.
    pub(crate) async fn with<R: Send + 'static>(
        &self,
        call: Uuid,
        order: impl FnOnce(&mut Room, &mut Surroundings<'_>) -> R + Send + 'static,
    ) -> Result<R, Busy> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.send(Box::new(move |worker| {
            // Who asked may be gone: then nobody wants the answer.
            drop(reply.send(worker.in_room(call, order)));
        }))?;
        answer.await.map_err(|_| Busy)
    }

    /// Does something in a room, if it is there, and waits for what it returns.
    pub(crate) async fn with_known<R: Send + 'static>(
        &self,
        call: Uuid,
        order: impl FnOnce(&mut Room, &mut Surroundings<'_>) -> R + Send + 'static,
    ) -> Result<Option<R>, Busy> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.send(Box::new(move |worker| {
            drop(reply.send(worker.on_room(call, Instant::now(), order)));
        }))?;
        answer.await.map_err(|_| Busy)
    }

    /// Ends the thread after it has said farewell.
    pub(crate) fn end(&self) {
        self.gauges.ending.store(true, Ordering::Relaxed);
        // A thread that cannot be woken wakes by itself soon.
        drop(self.waker.wake());
    }

    fn send(&self, order: Order) -> Result<(), Busy> {
        match self.orders.try_send(order) {
            Ok(()) => {
                drop(self.waker.wake());
                Ok(())
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Busy),
        }
    }
}

/// What a thread does after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It waits for its socket, for orders, or for time to pass.
    Wait,
    /// It lets datagrams gather.
    Gather,
    /// The next round: there is more.
    Round,
}

/// Where a datagram belongs.
type Place = (Uuid, ParticipantId, Role);

struct Held {
    room: Room,
    names: HashSet<String>,
}

/// A media thread.
pub(crate) struct Worker {
    identity: Arc<Identity>,
    addresses: Vec<SocketAddr>,
    out: Outbox,
    orders: Receiver<Order>,
    rooms: HashMap<Uuid, Held>,
    by_name: HashMap<String, Place>,
    by_address: HashMap<SocketAddr, Place>,
    /// Rooms with packets to forward.
    pending: Vec<Uuid>,
    ids: Ids,
    clock: Clock,
    gauges: Arc<Gauges>,
    ended: mpsc::Sender<Uuid>,
    facts: Facts,
    bounds: Bounds,
    received: u64,
    swept: Instant,
}

/// How a thread is started.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) threads: usize,
    pub(crate) socket: std::net::UdpSocket,
    /// Where clients reach it.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) identity: Arc<Identity>,
    /// Is told of rooms that ended.
    pub(crate) ended: mpsc::Sender<Uuid>,
    /// What the log should know.
    pub(crate) facts: Facts,
    /// What bounds every publisher.
    pub(crate) bounds: Bounds,
}

/// Starts a thread.
///
/// # Errors
/// When the socket cannot be used.
pub(crate) fn start(start: Start) -> anyhow::Result<(Handle, JoinHandle<()>)> {
    let Start { index, threads, socket, addresses, identity, ended, facts, bounds } = start;
    socket.set_nonblocking(true)?;
    let mut socket = UdpSocket::from_std(socket);
    let state = UdpSocketState::new((&socket).into()).context("the UDP socket cannot be set up")?;
    for set in [
        state.set_recv_buffer_size((&socket).into(), BUFFER),
        state.set_send_buffer_size((&socket).into(), BUFFER),
    ] {
        if let Err(error) = set {
            tracing::warn!(%error, "the buffers of the UDP socket stay small");
        }
    }
    let poll = Poll::new()?;
    poll.registry().register(&mut socket, SOCKET, Interest::READABLE)?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let (orders, queue) = sync_channel(ORDERS);
    let gauges = Arc::new(Gauges::default());
    let now = Instant::now();
    let worker = Worker {
        identity,
        addresses: addresses.clone(),
        out: Outbox::new(socket, state),
        orders: queue,
        rooms: HashMap::new(),
        by_name: HashMap::new(),
        by_address: HashMap::new(),
        pending: Vec::new(),
        ids: Ids::new(u32::try_from(index)?, u32::try_from(threads)?),
        clock: Clock::read(),
        gauges: gauges.clone(),
        ended,
        facts,
        bounds,
        received: 0,
        swept: now,
    };
    let name = format!("media-{index}");
    let thread = std::thread::Builder::new().name(name).spawn(move || worker.run(poll))?;
    Ok((Handle { orders, waker, gauges, addresses }, thread))
}

impl Worker {
    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(8);
        let mut inbox = Inbox::new(self.out.state().1.gro_segments());
        let mut next_tick = Instant::now() + TICK;
        let (mut measured, mut worked) = (Instant::now(), Duration::ZERO);
        let (mut next, mut began) = (Next::Wait, Instant::now());
        while !self.gauges.ending.load(Ordering::Relaxed) {
            if next == Next::Wait {
                let idle = if self.rooms.is_empty() { Duration::from_millis(500) } else { TICK };
                let wait = next_tick.saturating_duration_since(Instant::now()).min(idle);
                if let Err(error) = poll.poll(&mut events, Some(wait))
                    && error.kind() != io::ErrorKind::Interrupted
                {
                    tracing::error!(%error, "a media thread cannot wait for its socket");
                    break;
                }
                if events.iter().any(|event| event.token() == SOCKET) {
                    (next, began) = (Next::Gather, Instant::now());
                }
            }
            if next == Next::Gather {
                // What came during a long round was gathered already.
                std::thread::sleep(GATHER.saturating_sub(began.elapsed()));
            }
            began = Instant::now();
            let before = self.received;
            let more = self.take_datagrams(&mut inbox);
            next = match self.received - before {
                _ if more => Next::Round,
                DENSE.. => Next::Gather,
                _ => Next::Wait,
            };
            while let Ok(order) = self.orders.try_recv() {
                order(&mut self);
            }
            let now = Instant::now();
            if next_tick <= now {
                next_tick = now + TICK;
                self.tick(now);
            }
            worked += began.elapsed();
            if measured.elapsed() >= Duration::from_secs(1) {
                self.measure(worked, measured.elapsed());
                (measured, worked) = (Instant::now(), Duration::ZERO);
            }
        }
        self.farewell();
    }

    /// Takes what the socket has, batch by batch, and forwards each batch. Returns whether there
    /// may be more.
    fn take_datagrams(&mut self, inbox: &mut Inbox) -> bool {
        for _ in 0..BATCHES {
            let Some(count) = inbox.receive(&self.out) else { return false };
            let now = Instant::now();
            for (from, datagram) in inbox.datagrams(count) {
                self.received += 1;
                self.take(from, datagram, now);
            }
            self.forward(now);
            // Where receiving failed once there may be more.
            if (1..BATCH_SIZE).contains(&count) {
                return false;
            }
        }
        true
    }

    fn take(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if datagram.first().is_some_and(|first| *first < 4) {
            self.check(from, datagram, now);
            return;
        }
        let Some(&(call, id, role)) = self.by_address.get(&from) else { return };
        let pending = self.on_room(call, now, |room, around| {
            let before = room.is_pending();
            // A bug that one client finds in a parser must not end the calls of all others.
            let taken = catch_unwind(AssertUnwindSafe(|| {
                room.receive(around, (id, role), datagram);
            }));
            if taken.is_err() {
                tracing::error!(
                    "a datagram made a parser panic: its sender is put out of the call"
                );
                room.fault(around, id);
            }
            !before && room.is_pending()
        });
        if pending == Some(true) {
            self.pending.push(call);
        }
    }

    fn check(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let Some(mut check) = Check::read(datagram) else { return };
        let Some(&(call, id, role)) = self.by_name.get(&check.to) else { return };
        let answered = self
            .on_room(call, now, |room, around| room.check(around, (id, role), &mut check, from));
        let Some(Some(answered)) = answered else { return };
        if let Some(forgotten) = answered.forgotten {
            self.by_address.remove(&forgotten);
        }
        self.by_address.insert(from, (call, id, role));
    }

    fn forward(&mut self, now: Instant) {
        for call in std::mem::take(&mut self.pending) {
            self.on_room(call, now, Room::flush);
        }
    }

    /// Does something in a room that is there.
    fn on_room<R>(
        &mut self,
        call: Uuid,
        now: Instant,
        act: impl FnOnce(&mut Room, &mut Surroundings<'_>) -> R,
    ) -> Option<R> {
        let held = self.rooms.get_mut(&call)?;
        let mut around = Surroundings {
            identity: &self.identity,
            addresses: &self.addresses,
            out: &mut self.out,
            ids: &mut self.ids,
            now,
            clock: self.clock,
            facts: &self.facts,
            bounds: self.bounds,
        };
        Some(act(&mut held.room, &mut around))
    }

    /// Carries out an order in a room; checks for what it made are known afterwards.
    fn in_room<R>(
        &mut self,
        call: Uuid,
        order: impl FnOnce(&mut Room, &mut Surroundings<'_>) -> R,
    ) -> R {
        let now = Instant::now();
        let held = || Held { room: Room::new(call, now), names: HashSet::new() };
        self.rooms.entry(call).or_insert_with(held);
        let result = self.on_room(call, now, order).expect("the room was made");
        self.know_names(call);
        result
    }

    fn know_names(&mut self, call: Uuid) {
        let Some(held) = self.rooms.get_mut(&call) else { return };
        let mut names = HashSet::new();
        for (name, id, role) in held.room.names() {
            if !held.names.contains(&name) {
                self.by_name.insert(name.clone(), (call, id, role));
            }
            names.insert(name);
        }
        for gone in held.names.difference(&names) {
            self.by_name.remove(gone);
        }
        held.names = names;
    }

    fn tick(&mut self, now: Instant) {
        let calls: Vec<Uuid> = self.rooms.keys().copied().collect();
        for call in &calls {
            self.on_room(*call, now, Room::tick);
        }
        if now - self.swept >= Duration::from_secs(1) {
            self.swept = now;
            self.sweep(&calls, now);
        }
    }

    /// Forgets rooms where nobody is, and addresses of who is not there any more.
    fn sweep(&mut self, calls: &[Uuid], now: Instant) {
        for call in calls {
            let over = self
                .rooms
                .get(call)
                .is_some_and(|held| held.room.empty.is_some_and(|since| now - since > EMPTY));
            if over {
                let held = self.rooms.remove(call);
                for name in held.into_iter().flat_map(|held| held.names) {
                    self.by_name.remove(&name);
                }
                if self.ended.try_send(*call).is_err() {
                    tracing::warn!("the end of a room was not told");
                }
            } else {
                self.know_names(*call);
            }
        }
        let rooms = &self.rooms;
        self.by_address.retain(|_, (call, id, role)| {
            rooms.get(call).is_some_and(|held| held.room.has(*id, *role))
        });
    }

    fn measure(&self, worked: Duration, passed: Duration) {
        let Traffic { packets, bytes, dropped } = self.out.traffic;
        let busy = worked.as_micros() * 1000 / passed.as_micros().max(1);
        let people: usize = self.rooms.values().map(|held| held.room.people()).sum();
        let set = |gauge: &AtomicU64, value: u64| gauge.store(value, Ordering::Relaxed);
        set(&self.gauges.busy, u64::try_from(busy).unwrap_or(1000));
        set(&self.gauges.people, people as u64);
        set(&self.gauges.rooms, self.rooms.len() as u64);
        set(&self.gauges.packets_in, self.received);
        set(&self.gauges.packets_out, packets);
        set(&self.gauges.bytes_out, bytes);
        set(&self.gauges.dropped, dropped);
    }

    fn farewell(mut self) {
        // What was ordered before the end is done, so that nobody waits for an answer.
        while let Ok(order) = self.orders.try_recv() {
            order(&mut self);
        }
        let calls: Vec<Uuid> = self.rooms.keys().copied().collect();
        for call in calls {
            self.on_room(call, Instant::now(), Room::farewell);
        }
    }
}
