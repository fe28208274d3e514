//! `call_history`: the calls there were and are, what they were to whom, and what is on in them.

mod rows;

use events::call::{Carrier, EndCause, LeaveCause, Media, Participant, Toggles};
use events::{
    CallEvent, CallId, Category, ConversationId, DomainEvent, Envelope, Moment, Position,
    RecordingId, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct CallHistory;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody called.
    Begin(Box<New>),
    /// A device is in it.
    Enter {
        /// Which call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Which device.
        device: Participant,
        /// What is on.
        toggles: Toggles,
        /// What the call is to its person from now on.
        outcome: &'static str,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// It rings at more people; some of those who are wanted are busy.
    Ring(CallId, ConversationId, Vec<UserId>, Vec<UserId>),
    /// There is video in it.
    Video(CallId),
    /// What a call is to some people.
    Outcome(CallId, Vec<UserId>, &'static str),
    /// A device is in it no more.
    Leave(CallId, Participant, LeaveCause, Moment),
    /// What of a device is on.
    Toggle(CallId, Participant, Toggles),
    /// A node carries it.
    Move(CallId, String),
    /// Whether a device is connected to the SFU.
    Media(CallId, Participant, bool),
    /// It was asked whether it may be recorded.
    Ask(CallId),
    /// What somebody answered to that.
    Consent(CallId, UserId, bool),
    /// Which recording runs.
    Record(CallId, Option<RecordingId>),
    /// It is over.
    End(CallId, EndCause, Option<UserId>, Moment),
}

/// A call that somebody began.
#[derive(Clone, Debug, PartialEq)]
pub struct New {
    call: CallId,
    conversation: ConversationId,
    by: Participant,
    toggles: Toggles,
    media: Media,
    direct: bool,
    carrier: Carrier,
    node: Option<String>,
    ring: Vec<UserId>,
    busy: Vec<UserId>,
    at: Moment,
    position: Position,
}

impl Projection for CallHistory {
    const NAME: &'static str = "call_history";
    const FOLLOWS: &'static [Category] = &[Category::Call];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Call(about) => of_call(about, event.recorded_at, event.position),
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            rows::apply(db, op).await?;
        }
        Ok(())
    }
}

fn of_call(event: &CallEvent, at: Moment, position: Position) -> Vec<Op> {
    let (call, conversation) = event.place();
    match event {
        CallEvent::Started { by, toggles, media, direct, carrier, node, ring, busy, .. } => {
            vec![Op::Begin(Box::new(New {
                call,
                conversation,
                by: *by,
                toggles: *toggles,
                media: *media,
                direct: *direct,
                carrier: *carrier,
                node: node.clone(),
                ring: ring.clone(),
                busy: busy.clone(),
                at,
                position,
            }))]
        }
        CallEvent::Accepted { participant, toggles, .. } => {
            let (device, toggles, outcome) = (*participant, *toggles, "accepted");
            vec![Op::Enter { call, conversation, device, toggles, outcome, at, position }]
        }
        CallEvent::Joined { participant, toggles, .. } => {
            let (device, toggles, outcome) = (*participant, *toggles, "joined");
            vec![Op::Enter { call, conversation, device, toggles, outcome, at, position }]
        }
        CallEvent::Declined { user, .. } => vec![Op::Outcome(call, vec![*user], "declined")],
        CallEvent::Missed { users, .. } => vec![Op::Outcome(call, users.clone(), "missed")],
        CallEvent::Rung { ring, busy, .. } => {
            vec![Op::Ring(call, conversation, ring.clone(), busy.clone())]
        }
        CallEvent::VideoAdded { .. } => vec![Op::Video(call)],
        CallEvent::Left { participant, cause, .. } => {
            vec![Op::Leave(call, *participant, *cause, at)]
        }
        CallEvent::Toggled { participant, toggles, .. } => {
            vec![Op::Toggle(call, *participant, *toggles)]
        }
        CallEvent::Moved { node, .. } => vec![Op::Move(call, node.clone())],
        CallEvent::MediaJoined { participant, .. } => vec![Op::Media(call, *participant, true)],
        CallEvent::MediaLeft { participant, .. } => vec![Op::Media(call, *participant, false)],
        CallEvent::ConsentAsked { by, .. } => vec![Op::Ask(call), Op::Consent(call, *by, true)],
        CallEvent::ConsentGiven { user, .. } => vec![Op::Consent(call, *user, true)],
        CallEvent::ConsentWithdrawn { user, .. } => vec![Op::Consent(call, *user, false)],
        CallEvent::RecordingStarted { recording, .. } => vec![Op::Record(call, Some(*recording))],
        CallEvent::RecordingStopped { .. } => vec![Op::Record(call, None)],
        // The files of recordings have a read model of their own.
        CallEvent::RecordingStored { .. } | CallEvent::RecordingFailed { .. } => vec![],
        CallEvent::Ended { cause, by, .. } => vec![Op::End(call, *cause, *by, at)],
    }
}

#[cfg(test)]
mod tests {
    use events::LoginId;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn what_happens_in_a_call_is_what_is_kept_of_it() {
        let call = CallId::new(Uuid::from_u128(0xca));
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let device = Participant { user: user(2), device: LoginId::new(Uuid::from_u128(21)) };
        let toggles = Toggles { microphone: true, camera: true, screen: false };
        let (at, position) = (moment(), Position::at(7));
        let project = |event: CallEvent| CallHistory::project(&recorded(event));
        let accepted = CallEvent::Accepted {
            call,
            conversation,
            participant: device,
            toggles,
            offers_to: vec![],
            inside: 2,
        };
        let outcome = "accepted";
        let enter = Op::Enter { call, conversation, device, toggles, outcome, at, position };
        assert_eq!(project(accepted), [enter]);
        let (users, rings_on) = (vec![user(3)], true);
        let missed = CallEvent::Missed { call, conversation, users, rings_on };
        assert_eq!(project(missed), [Op::Outcome(call, vec![user(3)], "missed")]);
        let asked = CallEvent::ConsentAsked { call, conversation, by: user(2) };
        assert_eq!(project(asked), [Op::Ask(call), Op::Consent(call, user(2), true)]);
        let (cause, by) = (EndCause::Busy, None);
        let ended = CallEvent::Ended { call, conversation, cause, by, missed: vec![user(3)] };
        assert_eq!(project(ended), [Op::End(call, cause, by, at)]);
    }
}
