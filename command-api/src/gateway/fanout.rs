//! Who gets which frame: the state of the dispatcher, without any I/O.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use events::{Audience, ConversationId, LoginId, Position, UserId};

use super::change::Change;
use super::frames::Bye;
use super::queue::Outbox;
use super::tick::Tick;

/// A socket of this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SocketId(pub(crate) u64);

/// Whose socket it is, and where its frames go.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// The person.
    pub(crate) user: UserId,
    /// The log-in whose end is the end of the socket.
    pub(crate) login: LoginId,
    /// The queue of the socket.
    pub(crate) outbox: Arc<Outbox>,
}

/// What the dispatcher has to do at NATS after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Somebody is in this audience now.
    Subscribe(Audience),
    /// Nobody is in it any more.
    Unsubscribe(Audience),
}

/// Whether the frames of a tick were all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything up to the tick was dispatched, before or now.
    UpToDate,
    /// A frame or a tick was missed: the dispatcher has to catch up from [`Fanout::last`].
    Behind,
}

/// The sockets of this gateway, their audiences, and how far frames were dispatched.
///
/// Everything passes here in the order of the log, and a change of who is in a conversation takes
/// effect at its position: so one position for each socket is enough to send it every frame it may
/// see exactly once.
#[derive(Debug)]
pub(crate) struct Fanout {
    last: Position,
    sockets: HashMap<SocketId, Socket>,
    audiences: HashMap<Audience, Vec<SocketId>>,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct Socket {
    user: UserId,
    login: LoginId,
    outbox: Arc<Outbox>,
    /// The newest frame that was queued, or that the socket gets in another way.
    sent: Position,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The socket finds out in which conversations it was when it registered; these changes came
    /// since.
    Attaching(Vec<(ConversationId, Presence)>),
    /// It is in these conversations.
    Joined(HashSet<ConversationId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    In,
    Out,
}

impl Fanout {
    /// Begins at a place of the log: what was before is nobody's frame.
    pub(crate) fn new(last: Position) -> Self {
        Self { last, sockets: HashMap::new(), audiences: HashMap::new(), effects: Vec::new() }
    }

    /// Everything up to here was dispatched.
    pub(crate) const fn last(&self) -> Position {
        self.last
    }

    /// What to do at NATS now.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes a socket in. From the returned position on, changes of the person's conversations are
    /// remembered until it joins; it gets no frame before.
    pub(crate) fn register(&mut self, id: SocketId, registration: Registration) -> Position {
        let Registration { user, login, outbox } = registration;
        let phase = Phase::Attaching(Vec::new());
        self.sockets.insert(id, Socket { user, login, outbox, sent: self.last, phase });
        self.enter(id, Audience::User(user));
        self.last
    }

    /// Lets a socket that was in these conversations when it registered have frames: all those
    /// beyond the returned position, and beyond `seen`, which it has seen already. Nothing, if the
    /// socket is gone.
    pub(crate) fn join(
        &mut self,
        id: SocketId,
        mut conversations: BTreeSet<ConversationId>,
        seen: Option<Position>,
    ) -> Option<Position> {
        let socket = self.sockets.get_mut(&id)?;
        let from = seen.map_or(self.last, |seen| seen.max(self.last));
        if let Phase::Attaching(changes) = &socket.phase {
            for (conversation, presence) in changes {
                match presence {
                    Presence::In => conversations.insert(*conversation),
                    Presence::Out => conversations.remove(conversation),
                };
            }
        }
        socket.sent = from;
        socket.phase = Phase::Joined(conversations.iter().copied().collect());
        for conversation in conversations {
            self.enter(id, Audience::Conversation(conversation));
        }
        Some(from)
    }

    /// Lets a socket go.
    pub(crate) fn leave(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        self.exit(id, Audience::User(socket.user));
        if let Phase::Joined(conversations) = socket.phase {
            for conversation in conversations {
                self.exit(id, Audience::Conversation(conversation));
            }
        }
    }

    /// Dispatches the frames of a tick. `take` gives the frame of an audience at a position, if it
    /// has come, and forgets older ones.
    pub(crate) fn tick(
        &mut self,
        tick: &Tick,
        mut take: impl FnMut(Audience, Position) -> Option<Utf8Bytes>,
    ) -> Progress {
        let linked = tick.previous <= self.last;
        for event in tick.frames.chunk_by(|(_, one), (_, other)| one == other) {
            let position = event[0].1;
            let mut audiences = Vec::new();
            let mut frame = None;
            for (audience, _) in event {
                if self.audiences.contains_key(audience) {
                    audiences.push(*audience);
                    // Its frame is the same in every audience: one of them is enough.
                    frame = take(*audience, position).or(frame);
                }
            }
            if !linked || position <= self.last {
                continue;
            }
            match frame {
                _ if audiences.is_empty() => self.last = position,
                Some(frame) => self.dispatch(position, &audiences, &frame),
                None => return Progress::Behind,
            }
        }
        if !linked {
            return Progress::Behind;
        }
        self.advance(tick.to);
        Progress::UpToDate
    }

    /// Dispatches the frame of one event, unless that was done before.
    pub(crate) fn dispatch(
        &mut self,
        position: Position,
        audiences: &[Audience],
        frame: &Utf8Bytes,
    ) {
        if position <= self.last {
            return;
        }
        self.last = position;
        let mut anybody = false;
        for audience in audiences {
            for id in self.audiences.get(audience).into_iter().flatten() {
                anybody = true;
                let socket = self.sockets.get_mut(id).expect("an audience holds sockets only");
                if matches!(socket.phase, Phase::Joined(_)) && socket.sent < position {
                    socket.sent = position;
                    socket.outbox.push(frame.clone());
                }
            }
        }
        if anybody && let Some(change) = Change::of(frame.as_str()) {
            self.apply(&change);
        }
    }

    /// Hands on what is not of the log: to those in the audience now, but for the socket that it
    /// is from, as far as they keep up.
    pub(crate) fn whisper(&self, audience: Audience, frame: &Utf8Bytes, from: Option<SocketId>) {
        for id in self.audiences.get(&audience).into_iter().flatten() {
            let socket = self.sockets.get(id).expect("an audience holds sockets only");
            if matches!(socket.phase, Phase::Joined(_)) && Some(*id) != from {
                socket.outbox.whisper(frame.clone());
            }
        }
    }

    /// The same for everybody.
    pub(crate) fn whisper_to_all(&self, frame: &Utf8Bytes) {
        let joined = |socket: &&Socket| matches!(socket.phase, Phase::Joined(_));
        for socket in self.sockets.values().filter(joined) {
            socket.outbox.whisper(frame.clone());
        }
    }

    /// Notes that there is nothing else to dispatch up to a position.
    pub(crate) fn advance(&mut self, to: Position) {
        self.last = self.last.max(to);
    }

    /// The audiences that somebody is in.
    pub(crate) fn audiences(&self) -> impl Iterator<Item = Audience> {
        self.audiences.keys().copied()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Came(conversation, users) => {
                users.iter().for_each(|user| self.moved(*user, *conversation, Presence::In));
            }
            Change::Went(conversation, user) => self.moved(*user, *conversation, Presence::Out),
            Change::Suspended(user) => {
                for id in self.sockets_of(*user) {
                    self.sockets[&id].outbox.end(Bye::suspended());
                }
            }
            Change::Erased(user) => {
                for id in self.sockets_of(*user) {
                    self.sockets[&id].outbox.end(Bye::login_ended());
                }
            }
            Change::Ended(user, login) => {
                for id in self.sockets_of(*user) {
                    let socket = &self.sockets[&id];
                    if socket.login == *login {
                        socket.outbox.end(Bye::login_ended());
                    }
                }
            }
        }
    }

    fn moved(&mut self, user: UserId, conversation: ConversationId, presence: Presence) {
        for id in self.sockets_of(user) {
            let socket = self.sockets.get_mut(&id).expect("an audience holds sockets only");
            let audience = Audience::Conversation(conversation);
            match (&mut socket.phase, presence) {
                (Phase::Attaching(changes), _) => changes.push((conversation, presence)),
                (Phase::Joined(conversations), Presence::In) => {
                    if conversations.insert(conversation) {
                        self.enter(id, audience);
                    }
                }
                (Phase::Joined(conversations), Presence::Out) => {
                    if conversations.remove(&conversation) {
                        self.exit(id, audience);
                    }
                }
            }
        }
    }

    fn sockets_of(&self, user: UserId) -> Vec<SocketId> {
        self.audiences.get(&Audience::User(user)).cloned().unwrap_or_default()
    }

    fn enter(&mut self, id: SocketId, audience: Audience) {
        let sockets = self.audiences.entry(audience).or_default();
        if sockets.is_empty() {
            self.effects.push(Effect::Subscribe(audience));
        }
        sockets.push(id);
    }

    fn exit(&mut self, id: SocketId, audience: Audience) {
        let Some(sockets) = self.audiences.get_mut(&audience) else { return };
        sockets.retain(|other| *other != id);
        if sockets.is_empty() {
            self.audiences.remove(&audience);
            self.effects.push(Effect::Unsubscribe(audience));
        }
    }
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
