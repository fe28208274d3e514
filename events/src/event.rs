//! What all events have in common, and the one type that is any of them.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::upcast;
use crate::{
    AccessEvent, CallEvent, ConversationEvent, DenialEvent, FileEvent, FriendshipEvent, HoldEvent,
    LineEvent, LoginEvent, MessageEvent, NotificationEvent, ParkedEvent, ReceiptEvent, ReportEvent,
    ReservationEvent, SessionEvent, UserEvent, WebhookEvent, WhiteboardEvent,
};

/// The events of one kind of stream: an enum with `#[serde(tag = "type", content = "data")]`,
/// whose tags are the stored type names.
pub trait Event:
    Clone
    + fmt::Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Into<DomainEvent>
    + Send
    + Sync
    + 'static
{
    /// The stored name of the event's type. It is stable and carries no version.
    fn event_type(&self) -> &'static str;

    /// The stored data of the event, with personal data still readable.
    fn to_data(&self) -> Value {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut tagged)) => tagged.remove("data").unwrap_or_else(|| json!({})),
            _ => unreachable!("an event enum is adjacently tagged and has text keys only"),
        }
    }

    /// Reads stored data of any version ever written.
    fn from_data(event_type: &str, schema_version: u16, data: Value) -> Result<Self, DecodeError> {
        let data = upcast::to_current(event_type, schema_version, data)?;
        serde_json::from_value(json!({ "type": event_type, "data": data }))
            .map_err(|error| DecodeError::Shape(error.to_string()))
    }
}

/// Why stored data is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The data does not have the shape of its type; the text says where.
    Shape(String),
    /// The data was written by a version of Roundtable that this build does not know.
    UnknownVersion {
        /// The schema version of the data.
        version: u16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(detail) => {
                write!(f, "the data does not have the shape of its type: {detail}")
            }
            Self::UnknownVersion { version } => {
                write!(f, "this build does not know schema version {version} of the type")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// A person.
    User,
    /// The reservation of an e-mail address.
    Email,
    /// The reservation of a handle.
    Handle,
    /// A log-in.
    Login,
    /// What is between two people.
    Friendship,
    /// Who is in a conversation.
    Conversation,
    /// One message.
    Message,
    /// How far a person received and read a conversation.
    Receipt,
    /// A study session.
    Session,
    /// The whiteboard of a study session.
    Whiteboard,
    /// A file that was uploaded.
    File,
    /// A notification of one person.
    Notification,
    /// What is done about an event that a projection could not work on.
    Parked,
    /// A report to the moderators.
    Report,
    /// What one person was not allowed to do.
    Denial,
    /// A call.
    Call,
    /// Which calls the devices of a person are in, or a conversation has.
    Line,
    /// What is kept for legal matters.
    Hold,
    /// What an administrator read of others.
    Access,
    /// An address elsewhere that is told of events.
    Webhook,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::User,
        Self::Email,
        Self::Handle,
        Self::Login,
        Self::Friendship,
        Self::Conversation,
        Self::Message,
        Self::Receipt,
        Self::Session,
        Self::Whiteboard,
        Self::File,
        Self::Notification,
        Self::Parked,
        Self::Report,
        Self::Denial,
        Self::Call,
        Self::Line,
        Self::Hold,
        Self::Access,
        Self::Webhook,
    ];

    /// The part of a stream's name before the first hyphen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Email => "email",
            Self::Handle => "handle",
            Self::Login => "login",
            Self::Friendship => "friendship",
            Self::Conversation => "conversation",
            Self::Message => "message",
            Self::Receipt => "receipt",
            Self::Session => "session",
            Self::Whiteboard => "whiteboard",
            Self::File => "file",
            Self::Notification => "notification",
            Self::Parked => "parked",
            Self::Report => "report",
            Self::Denial => "denial",
            Self::Call => "call",
            Self::Line => "line",
            Self::Hold => "hold",
            Self::Access => "access",
            Self::Webhook => "webhook",
        }
    }
}

/// Any event of ours.
#[derive(Clone, Debug, PartialEq)]
pub enum DomainEvent {
    /// Of a `user-` stream.
    User(UserEvent),
    /// Of an `email-` or `handle-` stream.
    Reservation(ReservationEvent),
    /// Of a `login-` stream.
    Login(LoginEvent),
    /// Of a `friendship-` stream.
    Friendship(FriendshipEvent),
    /// Of a `conversation-` stream.
    Conversation(ConversationEvent),
    /// Of a `message-` stream.
    Message(MessageEvent),
    /// Of a `receipt-` stream.
    Receipt(ReceiptEvent),
    /// Of a `session-` stream.
    Session(SessionEvent),
    /// Of a `whiteboard-` stream.
    Whiteboard(WhiteboardEvent),
    /// Of a `file-` stream.
    File(FileEvent),
    /// Of a `notification-` stream.
    Notification(NotificationEvent),
    /// Of a `parked-` stream.
    Parked(ParkedEvent),
    /// Of a `report-` stream.
    Report(ReportEvent),
    /// Of a `denial-` stream.
    Denial(DenialEvent),
    /// Of a `call-` stream.
    Call(CallEvent),
    /// Of a `line-` stream.
    Line(LineEvent),
    /// Of a `hold-` stream.
    Hold(HoldEvent),
    /// Of an `access-` stream.
    Access(AccessEvent),
    /// Of a `webhook-` stream.
    Webhook(WebhookEvent),
}

/// Applies the same expression to the event of whichever category.
macro_rules! each_category {
    ($self:expr, $event:ident => $result:expr) => {
        match $self {
            DomainEvent::User($event) => $result,
            DomainEvent::Reservation($event) => $result,
            DomainEvent::Login($event) => $result,
            DomainEvent::Friendship($event) => $result,
            DomainEvent::Conversation($event) => $result,
            DomainEvent::Message($event) => $result,
            DomainEvent::Receipt($event) => $result,
            DomainEvent::Session($event) => $result,
            DomainEvent::Whiteboard($event) => $result,
            DomainEvent::File($event) => $result,
            DomainEvent::Notification($event) => $result,
            DomainEvent::Parked($event) => $result,
            DomainEvent::Report($event) => $result,
            DomainEvent::Denial($event) => $result,
            DomainEvent::Call($event) => $result,
            DomainEvent::Line($event) => $result,
            DomainEvent::Hold($event) => $result,
            DomainEvent::Access($event) => $result,
            DomainEvent::Webhook($event) => $result,
        }
    };
}

impl DomainEvent {
    /// The stored name of the event's type.
    pub fn event_type(&self) -> &'static str {
        each_category!(self, event => event.event_type())
    }

    /// The stored data, with personal data still readable.
    pub fn to_data(&self) -> Value {
        each_category!(self, event => event.to_data())
    }

    /// Reads stored data of any version ever written.
    pub fn from_data(
        category: Category,
        event_type: &str,
        schema_version: u16,
        data: Value,
    ) -> Result<Self, DecodeError> {
        fn read<E: Event>(t: &str, version: u16, data: Value) -> Result<DomainEvent, DecodeError> {
            E::from_data(t, version, data).map(Into::into)
        }
        let read = match category {
            Category::User => read::<UserEvent>,
            Category::Email | Category::Handle => read::<ReservationEvent>,
            Category::Login => read::<LoginEvent>,
            Category::Friendship => read::<FriendshipEvent>,
            Category::Conversation => read::<ConversationEvent>,
            Category::Message => read::<MessageEvent>,
            Category::Receipt => read::<ReceiptEvent>,
            Category::Session => read::<SessionEvent>,
            Category::Whiteboard => read::<WhiteboardEvent>,
            Category::File => read::<FileEvent>,
            Category::Notification => read::<NotificationEvent>,
            Category::Parked => read::<ParkedEvent>,
            Category::Report => read::<ReportEvent>,
            Category::Denial => read::<DenialEvent>,
            Category::Call => read::<CallEvent>,
            Category::Line => read::<LineEvent>,
            Category::Hold => read::<HoldEvent>,
            Category::Access => read::<AccessEvent>,
            Category::Webhook => read::<WebhookEvent>,
        };
        read(event_type, schema_version, data)
    }
}
