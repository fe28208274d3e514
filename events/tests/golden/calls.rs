//! One value of each event type of calls and of lines.

use events::call::{
    Carrier, EndCause, LeaveCause, Media, MoveCause, Participant, StopCause, Toggles,
};
use events::line::Slot;
use events::{CallEvent, CallId, DomainEvent, FileId, LineEvent, LoginId, RecordingId};
use uuid::Uuid;

use super::{ADA, BOB, CONVERSATION, EVE, LOGIN, moment};

const CALL: CallId = CallId::new(Uuid::from_u128(0xca));
const RECORDING: RecordingId = RecordingId::new(Uuid::from_u128(0x4ec));
const NODE: &str = "sfu-1";

pub(crate) fn all() -> impl Iterator<Item = DomainEvent> {
    let (call, conversation) = (CALL, CONVERSATION);
    let ada = Participant { user: ADA, device: LOGIN };
    let lines = [
        LineEvent::Taken {
            slot: Slot::Device(LOGIN),
            call,
            until: moment(),
            dropped: vec![Slot::Conversation(conversation)],
        },
        LineEvent::Freed { slot: Slot::Device(LOGIN), call },
    ];
    let coming = of_coming_and_going(ada).into_iter().map(DomainEvent::from);
    let media = of_media(ada).into_iter().map(DomainEvent::from);
    coming.chain(media).chain(lines.map(DomainEvent::from))
}

fn of_coming_and_going(ada: Participant) -> [CallEvent; 10] {
    let (call, conversation) = (CALL, CONVERSATION);
    let bob = Participant { user: BOB, device: LoginId::new(Uuid::from_u128(0x11)) };
    let toggles = Toggles { microphone: true, camera: false, screen: false };
    [
        CallEvent::Started {
            call,
            conversation,
            by: ada,
            toggles,
            media: Media::Video,
            direct: false,
            carrier: Carrier::Sfu,
            node: Some(NODE.to_owned()),
            grows: true,
            limit: 4,
            ring: vec![BOB],
            busy: vec![EVE],
            ring_seconds: 45,
            idle_seconds: 300,
        },
        CallEvent::Accepted {
            call,
            conversation,
            participant: bob,
            toggles,
            offers_to: vec![ada],
            inside: 2,
        },
        CallEvent::Joined {
            call,
            conversation,
            participant: bob,
            toggles,
            offers_to: vec![ada],
            inside: 2,
        },
        CallEvent::Declined { call, conversation, user: BOB },
        CallEvent::Missed { call, conversation, users: vec![BOB], rings_on: false },
        CallEvent::Rung {
            call,
            conversation,
            by: ADA,
            ring: vec![BOB],
            busy: vec![EVE],
            ring_seconds: 45,
        },
        CallEvent::VideoAdded { call, conversation, by: ADA },
        CallEvent::Left {
            call,
            conversation,
            participant: bob,
            cause: LeaveCause::Lost,
            inside: 1,
        },
        CallEvent::Toggled { call, conversation, participant: ada, toggles },
        CallEvent::Ended {
            call,
            conversation,
            cause: EndCause::Cancelled,
            by: Some(ADA),
            missed: vec![BOB],
        },
    ]
}

fn of_media(ada: Participant) -> [CallEvent; 10] {
    let (call, conversation, recording) = (CALL, CONVERSATION, RECORDING);
    let node = NODE.to_owned();
    [
        CallEvent::Moved {
            call,
            conversation,
            node: "sfu-2".to_owned(),
            from: Some(node.clone()),
            cause: MoveCause::NodeLost,
        },
        CallEvent::MediaJoined { call, conversation, participant: ada, node: node.clone() },
        CallEvent::MediaLeft { call, conversation, participant: ada, node },
        CallEvent::ConsentAsked { call, conversation, by: ADA },
        CallEvent::ConsentGiven { call, conversation, user: BOB },
        CallEvent::ConsentWithdrawn { call, conversation, user: BOB },
        CallEvent::RecordingStarted { call, conversation, recording, by: ADA },
        CallEvent::RecordingStopped { call, conversation, recording, cause: StopCause::Withdrawn },
        CallEvent::RecordingStored {
            call,
            conversation,
            recording,
            file: FileId::new(Uuid::from_u128(0xf1)),
            of: Some(ada),
            source: None,
            milliseconds: 61_000,
            offset: None,
        },
        CallEvent::RecordingFailed {
            call,
            conversation,
            recording,
            reason: "the storage is full".to_owned(),
        },
    ]
}
