//! The vocabulary of Roundtable: what can have happened, where it is kept, and how it is written.
//!
//! This crate is the shared language of every service. It holds no rules (see `domain`), reads no
//! clock and does no I/O: it depends on serde, uuid and chrono, and on serde_json because an
//! upcaster turns one JSON document into another.

pub mod about;
pub mod access;
pub mod audience;
pub mod envelope;
pub mod event;
pub mod frame;
pub mod ids;
pub mod parked;
pub mod personal;
pub mod position;
pub mod stream;
pub mod upcast;

pub mod call;
pub mod conversation;
pub mod denial;
pub mod file;
pub mod friendship;
pub mod hold;
pub mod line;
pub mod login;
pub mod message;
pub mod notification;
pub mod receipt;
pub mod report;
pub mod reservation;
pub mod scope;
pub mod session;
pub mod user;
pub mod webhook;
pub mod whiteboard;

pub use access::AccessEvent;
pub use audience::Audience;
pub use call::CallEvent;
pub use conversation::ConversationEvent;
pub use denial::DenialEvent;
pub use envelope::{Envelope, Metadata};
pub use event::{Category, DecodeError, DomainEvent, Event};
pub use file::FileEvent;
pub use friendship::FriendshipEvent;
pub use hold::HoldEvent;
pub use ids::{
    CallId, ConversationId, ElementId, EventId, FileId, InviteId, LoginId, MessageId,
    NotificationId, PushId, RecordingId, ReportId, StudySessionId, UserId, WebhookId,
};
pub use line::LineEvent;
pub use login::LoginEvent;
pub use message::MessageEvent;
pub use notification::NotificationEvent;
pub use parked::ParkedEvent;
pub use personal::Personal;
pub use position::Position;
pub use receipt::ReceiptEvent;
pub use report::ReportEvent;
pub use reservation::ReservationEvent;
pub use scope::{Scope, Scopes};
pub use session::SessionEvent;
pub use stream::StreamName;
pub use user::UserEvent;
pub use webhook::WebhookEvent;
pub use whiteboard::WhiteboardEvent;

/// How states and events are written: for `domain`, which has no dependencies of its own.
pub use serde;

/// A day, in UTC.
pub type Day = chrono::NaiveDate;

/// A moment, in UTC.
pub type Moment = chrono::DateTime<chrono::Utc>;
