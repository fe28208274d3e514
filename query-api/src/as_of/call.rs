//! A call as it was: how far, what it was to whom, and who was in it with what.

use events::call::{Carrier, EndCause, Media, Participant, Toggles};
use events::{CallEvent, CallId, ConversationId, DomainEvent, Moment, StreamName, UserId};
use uuid::Uuid;

use super::Past;
use crate::call_history::{Call, CallDetail, CallParticipant, CallPerson, no_such_call};
use crate::failure::Failure;
use crate::place::Place;
use crate::reads::Eyes;
use crate::study_session::is_in_room;

/// A call and its people, while it is folded.
struct Then {
    call: Call,
    people: Vec<CallPerson>,
    inside: Vec<CallParticipant>,
}

impl Past {
    /// A call as it was, for who was in its conversation or was called.
    pub(crate) async fn call(
        &self,
        eyes: &mut Eyes,
        id: CallId,
        reader: UserId,
    ) -> Result<CallDetail, Failure> {
        let Then { mut call, mut people, inside } =
            self.folded(id).await?.ok_or_else(no_such_call)?;
        let mine = people.iter().find(|person| person.user_id == reader);
        call.outcome = mine.map(|person| person.outcome.clone());
        let here = call.conversation_id;
        let was_there = self.room(here).await?.is_some_and(|room| room.member(reader).is_some());
        if !was_there && call.outcome.is_none() {
            return Err(no_such_call().into());
        }
        let seen = was_there && is_in_room(eyes, here, reader).await?;
        people.sort_by_key(|person| person.user_id);
        Ok(CallDetail {
            call,
            people: seen.then_some(people),
            participants: seen.then_some(inside),
        })
    }

    /// The call that a conversation had.
    pub(crate) async fn active_call(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
    ) -> Result<Option<CallDetail>, Failure> {
        self.room_of(eyes, id, reader).await?;
        let call: Option<Uuid> = sqlx::query_scalar(
            "select call_id from call_history
             where conversation_id = $1 and position <= $2
               and (ended_at is null or ended_at > $3)
             order by position desc limit 1",
        )
        .bind(id.uuid())
        .bind(Place(self.at))
        .bind(self.moment)
        .fetch_optional(&mut **eyes)
        .await?;
        match call {
            Some(call) => self.call(eyes, CallId::new(call), reader).await.map(Some),
            None => Ok(None),
        }
    }

    async fn folded(&self, id: CallId) -> Result<Option<Then>, Failure> {
        let mut found: Option<Then> = None;
        for event in self.events_of(&StreamName::call(id)).await? {
            let (at, position) = (event.recorded_at, Place(event.position));
            let DomainEvent::Call(happened) = &event.event else { continue };
            match &mut found {
                None => found = begin(happened, at, position),
                Some(then) => then.evolve(happened, at),
            }
        }
        Ok(found)
    }
}

fn begin(event: &CallEvent, at: Moment, position: Place) -> Option<Then> {
    let CallEvent::Started {
        call,
        conversation,
        by,
        toggles,
        media,
        direct,
        carrier,
        node,
        ring,
        busy,
        ..
    } = event
    else {
        return None;
    };
    // A group that is called without ringing is connected at once.
    let connected = ring.is_empty();
    let mut then = Then {
        call: Call {
            id: *call,
            conversation_id: *conversation,
            started_by: by.user,
            media: match media {
                Media::Audio => "audio",
                Media::Video => "video",
            }
            .to_owned(),
            direct: *direct,
            carrier: match carrier {
                Carrier::Peers => "peers",
                Carrier::Sfu => "sfu",
            }
            .to_owned(),
            node: node.clone(),
            status: if connected { "connected" } else { "ringing" }.to_owned(),
            cause: None,
            ended_by: None,
            consent_asked: false,
            recording_id: None,
            started_at: at,
            connected_at: (connected && !direct).then_some(at),
            ended_at: None,
            outcome: None,
            position,
        },
        people: vec![],
        inside: vec![],
    };
    then.concern(&[by.user], "called", SETTLED);
    then.concern(ring, "ringing", SETTLED);
    then.concern(busy, "busy", SETTLED);
    then.enter(*by, *toggles, at);
    Some(then)
}

/// What the call is to who called, or took it, does not change any more.
const SETTLED: &[&str] = &["called", "accepted"];

/// Nor does it to who was in it, or hears it ring, when more people are wanted.
const KNOWN: &[&str] = &["called", "accepted", "joined", "ringing"];

impl Then {
    fn evolve(&mut self, event: &CallEvent, at: Moment) {
        match event {
            CallEvent::Accepted { participant, toggles, .. } => {
                self.come(*participant, *toggles, "accepted", at);
            }
            CallEvent::Joined { participant, toggles, .. } => {
                self.come(*participant, *toggles, "joined", at);
            }
            CallEvent::Declined { user, .. } => self.settle(&[*user], "declined"),
            CallEvent::Missed { users, .. } => self.settle(users, "missed"),
            CallEvent::Rung { ring, busy, .. } => {
                self.concern(ring, "ringing", KNOWN);
                self.concern(busy, "busy", KNOWN);
            }
            CallEvent::VideoAdded { .. } => self.call.media = "video".to_owned(),
            CallEvent::Left { participant, .. } => {
                self.inside.retain(|it| it.device() != *participant);
            }
            CallEvent::Toggled { participant, toggles, .. } => {
                self.device(*participant, |it| it.switch(*toggles));
            }
            CallEvent::Moved { node, .. } => {
                (self.call.carrier, self.call.node) = ("sfu".to_owned(), Some(node.clone()));
                self.inside.iter_mut().for_each(|it| it.in_media = false);
            }
            CallEvent::MediaJoined { participant, .. } => {
                self.device(*participant, |it| it.in_media = true);
            }
            CallEvent::MediaLeft { participant, .. } => {
                self.device(*participant, |it| it.in_media = false);
            }
            CallEvent::ConsentAsked { by, .. } => {
                self.call.consent_asked = true;
                self.agree(*by, true);
            }
            CallEvent::ConsentGiven { user, .. } => self.agree(*user, true),
            CallEvent::ConsentWithdrawn { user, .. } => self.agree(*user, false),
            CallEvent::RecordingStarted { recording, .. } => {
                self.call.recording_id = Some(recording.uuid());
            }
            CallEvent::RecordingStopped { .. } => self.call.recording_id = None,
            CallEvent::Ended { cause, by, .. } => self.end(*cause, *by, at),
            CallEvent::Started { .. }
            | CallEvent::RecordingStored { .. }
            | CallEvent::RecordingFailed { .. } => {}
        }
    }

    fn come(&mut self, who: Participant, toggles: Toggles, outcome: &str, at: Moment) {
        self.concern(&[who.user], outcome, SETTLED);
        // With the first who is not the one who called, they talk.
        if self.call.status == "ringing" && self.call.started_by != who.user {
            self.call.status = "connected".to_owned();
            self.call.connected_at = Some(at);
        }
        self.enter(who, toggles, at);
    }

    fn enter(&mut self, who: Participant, toggles: Toggles, at: Moment) {
        self.inside.retain(|it| it.device() != who);
        self.inside.push(CallParticipant {
            user_id: who.user,
            device_id: who.device,
            microphone: toggles.microphone,
            camera: toggles.camera,
            screen: toggles.screen,
            in_media: false,
            joined_at: at,
        });
    }

    fn concern(&mut self, users: &[UserId], outcome: &str, stays: &[&str]) {
        for user in users {
            match self.people.iter_mut().find(|person| person.user_id == *user) {
                Some(person) if stays.contains(&person.outcome.as_str()) => {}
                Some(person) => outcome.clone_into(&mut person.outcome),
                None => self.people.push(CallPerson {
                    user_id: *user,
                    outcome: outcome.to_owned(),
                    agrees: None,
                }),
            }
        }
    }

    fn settle(&mut self, users: &[UserId], outcome: &str) {
        let rings = |person: &&mut CallPerson| person.outcome == "ringing";
        let concerned = self.people.iter_mut().filter(|person| users.contains(&person.user_id));
        concerned.filter(rings).for_each(|person| outcome.clone_into(&mut person.outcome));
    }

    fn agree(&mut self, user: UserId, agrees: bool) {
        let people = self.people.iter_mut().filter(|person| person.user_id == user);
        people.for_each(|person| person.agrees = Some(agrees));
    }

    fn device(&mut self, who: Participant, change: impl Fn(&mut CallParticipant)) {
        self.inside.iter_mut().filter(|it| it.device() == who).for_each(change);
    }

    /// Everybody has left with the end, and at whom it still rang has missed it.
    fn end(&mut self, cause: EndCause, by: Option<UserId>, at: Moment) {
        let cause = match cause {
            EndCause::Completed => "completed",
            EndCause::Declined => "declined",
            EndCause::Cancelled => "cancelled",
            EndCause::Missed => "missed",
            EndCause::Busy => "busy",
            EndCause::Failed => "failed",
            EndCause::Lost => "lost",
            EndCause::Idle => "idle",
        };
        self.call.status = "ended".to_owned();
        self.call.cause = Some(cause.to_owned());
        self.call.ended_by = by.map(UserId::uuid);
        self.call.ended_at = Some(at);
        self.call.recording_id = None;
        self.inside.clear();
        let everybody: Vec<UserId> = self.people.iter().map(|person| person.user_id).collect();
        self.settle(&everybody, "missed");
    }
}

impl CallParticipant {
    fn device(&self) -> Participant {
        Participant { user: self.user_id, device: self.device_id }
    }

    fn switch(&mut self, toggles: Toggles) {
        (self.microphone, self.camera, self.screen) =
            (toggles.microphone, toggles.camera, toggles.screen);
    }
}
