//! What is explained: a thing by its kind and id, a row of a read model, an event, a count.

use std::fmt;
use std::str::FromStr;

use events::{ConversationId, Position, StreamName, UserId};
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

/// What is explained.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Everything in these streams.
    Streams(Vec<StreamName>),
    /// The event at a position.
    Position(Position),
    /// An event by its id.
    Event(Uuid),
    /// What one request caused.
    Correlation(Uuid),
    /// The number of messages that somebody has not read.
    Badge {
        /// Of which conversation.
        conversation: ConversationId,
        /// Whose.
        user: UserId,
    },
}

/// The text names nothing that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSubject;

impl fmt::Display for InvalidSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "`message:ID` (or call, notification, conversation, user, session, file, report, login), \
             `friendship:USER:USER`, `read_cursor:CONVERSATION:USER`, `badge:CONVERSATION:USER`, \
             `event:ID`, `position:N`, `correlation:ID` or `stream:NAME` is wanted",
        )
    }
}

impl std::error::Error for InvalidSubject {}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let (kind, rest) = text.split_once(':').ok_or(InvalidSubject)?;
        if kind == "stream" && !rest.is_empty() && !rest.starts_with('$') {
            return Ok(Self::Streams(vec![StreamName::recorded(rest)]));
        }
        if kind == "position" {
            return rest.parse().map(Self::Position).map_err(|_| InvalidSubject);
        }
        let ids: Result<Vec<Uuid>, _> = rest.split(':').map(str::parse).collect();
        let ids = ids.map_err(|_| InvalidSubject)?;
        let of = |stream| Ok(Self::Streams(vec![stream]));
        // Rows of read models are told by the streams that they are made of.
        match (kind, &ids[..]) {
            ("event", [id]) => Ok(Self::Event(*id)),
            ("correlation" | "request", [id]) => Ok(Self::Correlation(*id)),
            ("badge", [conversation, user]) => {
                let conversation = ConversationId::new(*conversation);
                Ok(Self::Badge { conversation, user: UserId::new(*user) })
            }
            ("message" | "message_search" | "reaction" | "mention", [id]) => {
                of(StreamName::message((*id).into()))
            }
            ("notification" | "notification_log", [id]) => {
                of(StreamName::notification((*id).into()))
            }
            ("call" | "call_history", [id]) => of(StreamName::call((*id).into())),
            ("conversation" | "member" | "invite" | "conversation_ban" | "pin", [id]) => {
                of(StreamName::conversation((*id).into()))
            }
            ("user" | "user_profile" | "standing", [id]) => of(StreamName::user((*id).into())),
            ("session" | "study_session", [id]) => of(StreamName::session((*id).into())),
            ("whiteboard", [id]) => of(StreamName::whiteboard((*id).into())),
            ("file", [id]) => of(StreamName::file((*id).into())),
            ("report", [id]) => of(StreamName::report((*id).into())),
            ("login", [id]) => of(StreamName::login((*id).into())),
            ("friendship" | "friend_list" | "friend_request" | "block", [one, other]) => {
                of(StreamName::friendship((*one).into(), (*other).into()))
            }
            ("read_cursor" | "receipt", [conversation, user]) => {
                of(StreamName::receipt((*conversation).into(), (*user).into()))
            }
            _ => Err(InvalidSubject),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams(streams) => {
                let names: Vec<&str> = streams.iter().map(StreamName::as_str).collect();
                f.write_str(&names.join(" "))
            }
            Self::Position(position) => write!(f, "position:{position}"),
            Self::Event(id) => write!(f, "event:{id}"),
            Self::Correlation(id) => write!(f, "correlation:{id}"),
            Self::Badge { conversation, user } => write!(f, "badge:{conversation}:{user}"),
        }
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_rows_and_events_are_named_by_their_kind_and_ids() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stream = |name: String| Ok(Subject::Streams(vec![StreamName::recorded(name)]));
        assert_eq!(format!("message:{a}").parse(), stream(format!("message-{a}")));
        assert_eq!(format!("friend_list:{b}:{a}").parse(), stream(format!("friendship-{a}-{b}")));
        assert_eq!("position:52137".parse(), Ok(Subject::Position(Position::at(52_137))));
        let badge = format!("badge:{a}:{b}").parse();
        assert_eq!(badge, Ok(Subject::Badge { conversation: a.into(), user: b.into() }));
        for wrong in ["", "message", "message:x", "badge:1", "stream:$all", "thing:1"] {
            assert_eq!(wrong.parse::<Subject>(), Err(InvalidSubject), "{wrong}");
        }
    }
}
