//! Who is in a room: how they come, come back, go, and are put out.

use std::collections::HashSet;
use std::time::Instant;

use service::tickets::Rights;
use tokio::sync::mpsc;

use super::event::{Event, ParticipantId, Role};
use super::subscribe::Subscriber;
use super::{PEOPLE, Participant, Room, Signalling, Standing, Surroundings, Who, shown};

impl Room {
    /// Somebody joins, or is back: the same device of the same person goes on with its connections.
    pub(crate) fn join(
        &mut self,
        around: &mut Surroundings<'_>,
        who: Who,
        rights: Rights,
        events: mpsc::Sender<Event>,
        resume: bool,
    ) -> Option<Signalling> {
        let same = self.participants.values().find(|known| known.who == who).map(|known| known.id);
        if let Some(id) = same {
            if !resume {
                self.leave(around, id, "joined_again");
            } else if let Some(known) = self.participants.get_mut(&id) {
                known.tell(Event::Bye { reason: "joined_again", resume: false });
                (known.events, known.away, known.rights) = (events, None, rights);
                known.standing = Standing::New;
                known.signalling += 1;
                let signalling = known.signalling;
                // It may have been lost with the signalling of before.
                let open = known.subscriber.as_ref().and_then(Subscriber::open_offer);
                self.greet(id, true);
                if let (Some(offer), Some(known)) = (open, self.participants.get_mut(&id)) {
                    known.tell(offer);
                }
                return Some((id, signalling));
            }
        }
        if self.participants.len() >= PEOPLE {
            return None;
        }
        let id = ParticipantId::from(around.ids.next());
        let participant = Participant {
            id,
            who,
            rights,
            events,
            publisher: None,
            subscriber: None,
            away: None,
            headless: false,
            inside: false,
            signalling: 0,
            standing: Standing::New,
        };
        let present = participant.present();
        self.tell_all(|_| Some(Event::ParticipantJoined(present.clone())));
        self.participants.insert(id, participant);
        self.empty = None;
        self.greet(id, false);
        Some((id, 0))
    }

    fn greet(&mut self, id: ParticipantId, resumed: bool) {
        let others = self.participants.values().filter(|other| other.id != id);
        let event = Event::Joined {
            participant: id,
            resumed,
            participants: others.map(Participant::present).collect(),
            tracks: self.tracks.values().map(shown).collect(),
            speaker: self.speakers.current(),
        };
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.tell(event);
        }
    }

    /// Somebody leaves.
    pub(crate) fn leave(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        reason: &'static str,
    ) {
        self.unpublish(around, id);
        let Some(mut participant) = self.participants.remove(&id) else { return };
        if let Some(subscriber) = &mut participant.subscriber {
            subscriber.transport.close(around.out, around.now);
        }
        if participant.inside {
            around.facts.tell(self.call, participant.who, false);
        }
        participant.tell(Event::Bye { reason, resume: false });
        self.speakers.forget(id);
        self.tell_all(|_| Some(Event::ParticipantLeft { participant: id }));
        if self.participants.is_empty() {
            self.empty = Some(around.now);
        }
    }

    /// Something of a participant made a parser panic: they are put out, and their data channels, which
    /// may be in any state, are not touched again.
    pub(crate) fn fault(&mut self, around: &mut Surroundings<'_>, id: ParticipantId) {
        for role in [Role::Publish, Role::Subscribe] {
            if let Some(transport) = self.transport(id, role) {
                transport.data = None;
            }
        }
        self.leave(around, id, "fault");
    }

    /// Somebody has no signalling, and stays for as long as their media does.
    pub(crate) fn without_signalling(&mut self, id: ParticipantId, now: Instant) {
        if let Some(participant) = self.participants.get_mut(&id) {
            (participant.headless, participant.away) = (true, Some(now));
        }
    }

    /// The signalling of somebody ended, by their wish or not; not if they have another one.
    pub(crate) fn ended(
        &mut self,
        around: &mut Surroundings<'_>,
        (id, signalling): Signalling,
        wished: bool,
    ) {
        let known = self.participants.get_mut(&id);
        let Some(known) = known.filter(|known| known.signalling == signalling) else { return };
        known.away.get_or_insert(around.now);
        if wished {
            self.leave(around, id, "left");
        }
    }

    /// Puts out who was among those in the call and is not any more; who never was is in doubt, since what
    /// is known of the call may be older than they are here. Returns whether anybody is in doubt.
    pub(crate) fn look(&mut self, around: &mut Surroundings<'_>, inside: &HashSet<Who>) -> bool {
        let mut gone = Vec::new();
        for participant in self.participants.values_mut() {
            participant.standing = match (inside.contains(&participant.who), participant.standing) {
                (true, _) => Standing::Known,
                (false, Standing::Known) => {
                    gone.push(participant.id);
                    Standing::Known
                }
                (false, Standing::New | Standing::Doubted) => Standing::Doubted,
            };
        }
        gone.into_iter().for_each(|id| self.leave(around, id, "removed"));
        self.participants.values().any(|it| it.standing == Standing::Doubted)
    }

    /// Puts out who is still in doubt, and is not among those in the call as the log has it.
    pub(crate) fn put_out(&mut self, around: &mut Surroundings<'_>, inside: &HashSet<Who>) {
        let out = |it: &&Participant| it.standing == Standing::Doubted && !inside.contains(&it.who);
        let gone: Vec<_> = self.participants.values().filter(out).map(|it| it.id).collect();
        gone.into_iter().for_each(|id| self.leave(around, id, "removed"));
    }
}
