//! What the frame of an event changes in who gets which frames.

use std::borrow::Cow;

use events::conversation::Member;
use events::{ConversationId, LoginId, Moment, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A change of the audiences, or the end of a log-in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// People are in a conversation from now on.
    Came(ConversationId, Vec<UserId>),
    /// Somebody is not in a conversation any more.
    Went(ConversationId, UserId),
    /// A log-in ended.
    Ended(UserId, LoginId),
    /// Somebody may do nothing any more.
    Suspended(UserId),
    /// This person is no more.
    Erased(UserId),
}

impl Change {
    /// Reads it from a frame, where the frame is one of the few that change anything.
    pub(crate) fn of(frame: &str) -> Option<Self> {
        // Every quote inside of a JSON text is escaped, so what somebody writes in a message
        // cannot look like this: the frames of messages, nearly all, are not parsed at all.
        const KINDS: [&str; 3] =
            [r#""type":"conversation."#, r#""type":"login."#, r#""type":"user.suspended""#];
        if !KINDS.iter().any(|kind| frame.contains(kind)) {
            return None;
        }
        match parse(frame) {
            Ok(change) => change,
            Err(error) => {
                tracing::error!(%error, "a frame of the relay has an unknown shape");
                None
            }
        }
    }
}

#[derive(Deserialize)]
struct AnyFrame<'a> {
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Opened {
    conversation: ConversationId,
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Moved {
    conversation: ConversationId,
    user: UserId,
}

#[derive(Deserialize)]
struct Closed {
    user: UserId,
    login: LoginId,
}

#[derive(Deserialize)]
struct Erased {
    user: UserId,
}

#[derive(Deserialize)]
struct Suspended {
    user: UserId,
    until: Option<Moment>,
}

fn parse(frame: &str) -> Result<Option<Change>, serde_json::Error> {
    let frame: AnyFrame<'_> = serde_json::from_str(frame)?;
    let data = frame.data.get();
    Ok(match frame.event_type.as_ref() {
        "conversation.opened" => {
            let Opened { conversation, members } = serde_json::from_str(data)?;
            let users = members.into_iter().map(|member| member.user).collect();
            Some(Change::Came(conversation, users))
        }
        "conversation.member_added" => {
            let Moved { conversation, user } = serde_json::from_str(data)?;
            Some(Change::Came(conversation, vec![user]))
        }
        "conversation.member_removed" | "conversation.member_banned" => {
            let Moved { conversation, user } = serde_json::from_str(data)?;
            Some(Change::Went(conversation, user))
        }
        "login.closed" => {
            let Closed { user, login } = serde_json::from_str(data)?;
            Some(Change::Ended(user, login))
        }
        "user.erased" => {
            let Erased { user } = serde_json::from_str(data)?;
            Some(Change::Erased(user))
        }
        "user.suspended" => {
            let Suspended { user, until } = serde_json::from_str(data)?;
            // One that is over by now comes up again when a gateway catches up.
            let over = until.is_some_and(|until| until <= service::clock::now());
            (!over).then_some(Change::Suspended(user))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use events::conversation::{ConversationKind, Role};
    use events::login::CloseReason;
    use events::message::MessageKind;
    use events::{
        ConversationEvent, DomainEvent, Envelope, EventId, LoginEvent, MessageEvent, MessageId,
        Metadata, Personal, Position, StreamName, UserEvent,
    };
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn frame(event: impl Into<DomainEvent>) -> String {
        let metadata = Metadata {
            schema_version: 1,
            actor: user(1),
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
            key: Uuid::nil(),
            body_hash: String::new(),
            decided_on: None,
            token: None,
        };
        let envelope = Envelope {
            id: EventId::new(Uuid::nil()),
            stream: StreamName::user(user(1)),
            revision: 0,
            position: Position::at(3),
            recorded_at: DateTime::UNIX_EPOCH,
            metadata,
            event: event.into(),
        };
        events::frame::frame(&envelope).to_string()
    }

    #[test]
    fn frames_as_they_are_really_made_tell_their_change() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let login = LoginId::new(Uuid::from_u128(8));
        let member = |n| Member { user: user(n), role: Role::Member };
        let cases = [
            (
                frame(ConversationEvent::Opened {
                    conversation,
                    kind: ConversationKind::Group,
                    title: Some(Personal::new(user(1), "a \"type\":\"login.\" trap".to_owned())),
                    members: vec![member(1), member(2)],
                }),
                Some(Change::Came(conversation, vec![user(1), user(2)])),
            ),
            (
                frame(ConversationEvent::MemberAdded {
                    conversation,
                    user: user(3),
                    by: user(1),
                    invite: None,
                }),
                Some(Change::Came(conversation, vec![user(3)])),
            ),
            (
                frame(ConversationEvent::MemberRemoved {
                    conversation,
                    user: user(3),
                    by: user(1),
                }),
                Some(Change::Went(conversation, user(3))),
            ),
            (
                frame(ConversationEvent::MemberBanned { conversation, user: user(3), by: user(1) }),
                Some(Change::Went(conversation, user(3))),
            ),
            (
                frame(ConversationEvent::MemberUnbanned {
                    conversation,
                    user: user(3),
                    by: user(1),
                }),
                None,
            ),
            (
                frame(LoginEvent::Closed { login, user: user(2), reason: CloseReason::LoggedOut }),
                Some(Change::Ended(user(2), login)),
            ),
            (
                frame(UserEvent::Suspended {
                    user: user(2),
                    until: None,
                    reason: Personal::new(user(2), "Spam".to_owned()),
                    by: user(1),
                }),
                Some(Change::Suspended(user(2))),
            ),
            (
                frame(UserEvent::Suspended {
                    user: user(2),
                    until: Some(DateTime::UNIX_EPOCH),
                    reason: Personal::new(user(2), "Spam".to_owned()),
                    by: user(1),
                }),
                None,
            ),
        ];
        for (frame, change) in cases {
            assert_eq!(Change::of(&frame), change, "{frame}");
        }
    }

    #[test]
    fn a_message_that_imitates_a_frame_changes_nothing() {
        let text = r#"{"type":"login.closed","data":{}} "type":"conversation.opened""#;
        let sent = MessageEvent::Sent {
            message: MessageId::new(Uuid::nil()),
            conversation: ConversationId::new(Uuid::nil()),
            sender: user(1),
            text: Personal::new(user(1), text.to_owned()),
            kind: MessageKind::Text,
            reply_to: None,
            thread: None,
            mentions: vec![],
            attachments: vec![],
        };
        assert_eq!(Change::of(&frame(sent)), None);
    }
}
