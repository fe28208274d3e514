//! A room: one call on one thread. What goes in are datagrams, orders and time; what goes out are
//! datagrams and events. It does no I/O of its own but through the outbox it is given.

pub(crate) mod allocate;
pub(crate) mod bandwidth;
pub(crate) mod codec;
mod data;
pub(crate) mod event;
mod flow;
pub(crate) mod forward;
mod people;
mod publish;
mod quality;
pub(crate) mod reception;
pub(crate) mod ring;
mod sending;
pub(crate) mod speaker;
mod stats;
mod subscribe;
mod taping;
mod tick;
pub(crate) mod track;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use events::UserId;
use service::tickets::Rights;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::facts::Facts;
use crate::media::dtls::Identity;
use crate::media::ice::{Answered, Check};
use crate::media::outbox::Outbox;
use crate::media::transport::{State, Transport};
use crate::sdp::Bounds;
use event::{Event, ParticipantId, Present, Role, Shown};
use publish::Publisher;
use speaker::Speakers;
use subscribe::Subscriber;
use track::{Track, TrackId};

pub(crate) use publish::Refused;

/// How long somebody may be away from the signalling and come back to the same connections.
const AWAY: Duration = Duration::from_secs(30);

/// The most people in one room.
const PEOPLE: usize = 500;

/// Somebody's signalling, among all that they have had.
pub(crate) type Signalling = (ParticipantId, u32);

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) user: UserId,
    pub(crate) device: Uuid,
}

/// Somebody in a room.
pub(crate) struct Participant {
    id: ParticipantId,
    who: Who,
    rights: Rights,
    events: mpsc::Sender<Event>,
    publisher: Option<Publisher>,
    subscriber: Option<Subscriber>,
    /// Since when the signalling is gone.
    away: Option<Instant>,
    headless: bool,
    /// Whether the log knows that it is connected.
    inside: bool,
    /// Which signalling is theirs: one more each time they come back.
    signalling: u32,
    standing: Standing,
}

/// What the log says of somebody's being in the call, since they came or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was not asked yet.
    New,
    /// They were among those in it.
    Known,
    /// What was known of it did not have them, which may be older than they are here.
    Doubted,
}

impl Participant {
    /// Tells an event. Who does not take events any more is away: its signalling ends.
    fn tell(&mut self, event: Event) {
        if self.events.try_send(event).is_err() && self.away.is_none() {
            self.away = Some(Instant::now());
            // A queue that is full never gets the next frame: what follows would make no sense.
            self.events = mpsc::channel(1).0;
        }
    }

    fn present(&self) -> Present {
        let Who { user, device } = self.who;
        Present { participant: self.id, user, device }
    }

    /// Whether it has no signalling of its own, as over WHIP.
    fn is_headless(&self) -> bool {
        self.headless
    }

    fn transport(&mut self, role: Role) -> Option<&mut Transport> {
        match role {
            Role::Publish => self.publisher.as_mut().map(|publisher| &mut publisher.transport),
            Role::Subscribe => self.subscriber.as_mut().map(|subscriber| &mut subscriber.transport),
        }
    }
}

/// What a room shares with the thread it is on.
pub(crate) struct Surroundings<'a> {
    pub(crate) identity: &'a Identity,
    /// Where clients reach this thread.
    pub(crate) addresses: &'a [SocketAddr],
    pub(crate) out: &'a mut Outbox,
    pub(crate) ids: &'a mut Ids,
    pub(crate) now: Instant,
    pub(crate) clock: Clock,
    pub(crate) facts: &'a Facts,
    pub(crate) bounds: Bounds,
}

/// Ids that are unique on a thread; the threads take turns in them.
#[derive(Debug)]
pub(crate) struct Ids {
    next: u32,
    step: u32,
}

impl Ids {
    pub(crate) const fn new(first: u32, step: u32) -> Self {
        Self { next: first + 1, step }
    }

    pub(crate) fn next(&mut self) -> u32 {
        let id = self.next;
        self.next = self.next.wrapping_add(self.step);
        id
    }
}

/// The wall clock, for sender reports: read once, and from then on it goes with [`Instant`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    begun: Instant,
    ntp: u64,
}

impl Clock {
    /// Reads the wall clock.
    pub(crate) fn read() -> Self {
        let since = service::clock::now();
        // Seconds from 1900 to 1970.
        let seconds = u64::try_from(since.timestamp()).unwrap_or(0) + 2_208_988_800;
        let fraction = (u64::from(since.timestamp_subsec_nanos()) << 32) / 1_000_000_000;
        Self { begun: Instant::now(), ntp: seconds << 32 | fraction }
    }

    /// NTP time at a moment, in 32.32 fixed point.
    pub(crate) fn ntp(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.begun).as_micros();
        self.ntp.wrapping_add(u64::try_from((passed << 32) / 1_000_000).unwrap_or(0))
    }
}

/// A packet that came in this batch and is to be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    track: TrackId,
    layer: usize,
    /// The order in which it came.
    order: usize,
    sequence: u64,
}

/// A call on this thread.
pub(crate) struct Room {
    call: Uuid,
    participants: BTreeMap<ParticipantId, Participant>,
    tracks: BTreeMap<TrackId, Track>,
    speakers: Speakers<ParticipantId>,
    pending: Vec<Pending>,
    due: tick::Due,
    /// Subscribers who would get more if their link bore so many bits a second.
    due_probes: Vec<(ParticipantId, u64)>,
    /// Whose links are being probed.
    probing: BTreeSet<ParticipantId>,
    /// The connections that carry data channels.
    talking: BTreeSet<(ParticipantId, Role)>,
    scratch: Vec<u8>,
    /// Data channels.
    channels: BTreeMap<data::ChannelId, data::Channel>,
    tape: Option<crate::recording::Tape>,
    /// Since when nobody is there.
    pub(crate) empty: Option<Instant>,
}

impl Room {
    pub(crate) fn new(call: Uuid, now: Instant) -> Self {
        Self {
            call,
            participants: BTreeMap::new(),
            tracks: BTreeMap::new(),
            speakers: Speakers::default(),
            pending: Vec::new(),
            due: tick::Due::new(now),
            due_probes: Vec::new(),
            probing: BTreeSet::new(),
            talking: BTreeSet::new(),
            scratch: Vec::with_capacity(2048),
            channels: BTreeMap::new(),
            tape: None,
            empty: Some(now),
        }
    }

    /// A check for a connection of this room.
    pub(crate) fn check(
        &mut self,
        around: &mut Surroundings<'_>,
        (id, role): (ParticipantId, Role),
        check: &mut Check,
        from: SocketAddr,
    ) -> Option<Answered> {
        let transport = self.participants.get_mut(&id)?.transport(role)?;
        transport.check(around.identity, check, from, around.out, around.now)
    }

    /// The names under which checks for this room come.
    pub(crate) fn names(&self) -> impl Iterator<Item = (String, ParticipantId, Role)> {
        self.participants.values().flat_map(|participant| {
            let id = participant.id;
            let publisher = participant.publisher.iter().flat_map(move |publisher| {
                let names = publisher.transport.ice.names();
                names.map(move |name| (name.to_owned(), id, Role::Publish))
            });
            let subscriber = participant.subscriber.iter().flat_map(move |subscriber| {
                let names = subscriber.transport.ice.names();
                names.map(move |name| (name.to_owned(), id, Role::Subscribe))
            });
            publisher.chain(subscriber)
        })
    }

    /// The addresses of the peers of this room.
    pub(crate) fn has(&self, id: ParticipantId, role: Role) -> bool {
        self.participants.get(&id).is_some_and(|participant| match role {
            Role::Publish => participant.publisher.is_some(),
            Role::Subscribe => participant.subscriber.is_some(),
        })
    }

    /// How many take part.
    pub(crate) fn people(&self) -> usize {
        self.participants.len()
    }

    /// Tells everybody something, which may differ.
    fn tell_all(&mut self, event: impl Fn(ParticipantId) -> Option<Event>) {
        for participant in self.participants.values_mut() {
            if let Some(event) = event(participant.id) {
                participant.tell(event);
            }
        }
    }

    /// Tells everybody that the node ends.
    pub(crate) fn farewell(&mut self, around: &mut Surroundings<'_>) {
        for participant in self.participants.values_mut() {
            if participant.inside {
                around.facts.tell(self.call, participant.who, false);
            }
            participant.tell(Event::Bye { reason: "node_ends", resume: true });
            for role in [Role::Publish, Role::Subscribe] {
                if let Some(transport) = participant.transport(role) {
                    transport.close(around.out, around.now);
                }
            }
        }
    }

    fn changed(&mut self, id: ParticipantId, role: Role, state: State) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.tell(Event::Connection { role, state });
        }
    }

    /// Tells the log whether somebody is connected, if that is another than it knows.
    fn record(&mut self, around: &Surroundings<'_>, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let up = |transport: &Transport| transport.srtp.is_some();
        let publishes = participant.publisher.as_ref().is_some_and(|p| up(&p.transport));
        let inside = publishes || participant.subscriber.as_ref().is_some_and(|s| up(&s.transport));
        if inside != participant.inside {
            participant.inside = inside;
            around.facts.tell(self.call, participant.who, inside);
        }
    }
}

fn shown(track: &Track) -> Shown {
    let named = track.layers.iter().map(|layer| layer.name.clone());
    Shown {
        track: track.id,
        participant: track.owner,
        kind: if track.audio { "audio" } else { "video" },
        source: track.source.clone(),
        muted: track.muted,
        layers: named.filter(|name| !name.is_empty()).collect(),
    }
}
