//! What each fact of a slice was made by: the command that is given again.

use events::{
    ConversationEvent, ConversationId, DomainEvent, Envelope, EventId, FriendshipEvent,
    MessageEvent, MessageId, Moment, ReceiptEvent, UserId,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{cast::Room, mask::Mask};

/// A fact, as it is to be done again.
pub(super) struct Step {
    pub(super) event: EventId,
    pub(super) at: Moment,
    pub(super) name: &'static str,
    pub(super) by: UserId,
    pub(super) act: Act,
}

/// What is done.
pub(super) enum Act {
    /// Between two people, by one of them.
    Friendship {
        method: Method,
        path: fn(UserId) -> String,
        of: UserId,
        body: bool,
    },
    Open(Room),
    /// In a conversation: method, path within it, and body.
    Talk(ConversationId, Talk),
    /// This cannot be done again.
    Skip,
}

/// What is done in a conversation.
pub(super) enum Talk {
    Say { message: MessageId, text: String },
    About { message: MessageId, method: Method, tail: String, body: Option<Value> },
    Person { method: Method, user: UserId },
    Title(String),
    Read { message: MessageId, kind: &'static str },
}

impl Step {
    /// What made this fact.
    pub(super) fn of(envelope: &Envelope<DomainEvent>, mask: &Mask) -> Self {
        let (event, at) = (envelope.id, envelope.recorded_at);
        let name = envelope.event.event_type();
        let text = |text: &events::Personal<String>| {
            // What was erased has no words any more; something was said all the same.
            text.open().map_or_else(|| "…".to_owned(), |text| mask.text(text))
        };
        let act = match &envelope.event {
            DomainEvent::Message(event) => of_message(event, text),
            DomainEvent::Receipt(
                ReceiptEvent::Delivered { conversation, message, .. }
                | ReceiptEvent::Read { conversation, message, .. },
            ) => {
                let kind = if name == "receipt.read" { "read" } else { "delivered" };
                Act::Talk(*conversation, Talk::Read { message: *message, kind })
            }
            DomainEvent::Conversation(event) => of_conversation(event, text),
            DomainEvent::Friendship(event) => of_friendship(event),
            _ => Act::Skip,
        };
        Self { event, at, name, by: envelope.metadata.actor, act }
    }
}

fn of_message(event: &MessageEvent, masked: impl Fn(&events::Personal<String>) -> String) -> Act {
    let about = |conversation: ConversationId, message, method, tail: String, body| {
        Act::Talk(conversation, Talk::About { message, method, tail, body })
    };
    match event {
        MessageEvent::Sent { message, conversation, text, .. } => {
            // A message may be files alone, which are not sent again.
            let text = Some(masked(text)).filter(|text| !text.is_empty());
            let text = text.unwrap_or_else(|| "…".to_owned());
            Act::Talk(*conversation, Talk::Say { message: *message, text })
        }
        MessageEvent::Edited { message, conversation, text, .. } => {
            let body = json!({ "text": masked(text) });
            about(*conversation, *message, Method::PATCH, String::new(), Some(body))
        }
        MessageEvent::Deleted { message, conversation, .. } => {
            about(*conversation, *message, Method::DELETE, String::new(), None)
        }
        MessageEvent::Reacted { message, conversation, emoji, .. } => {
            about(*conversation, *message, Method::PUT, format!("/reactions/{emoji}"), None)
        }
        MessageEvent::Unreacted { message, conversation, emoji, .. } => {
            about(*conversation, *message, Method::DELETE, format!("/reactions/{emoji}"), None)
        }
    }
}

fn of_conversation(
    event: &ConversationEvent,
    masked: impl Fn(&events::Personal<String>) -> String,
) -> Act {
    match event {
        ConversationEvent::Opened { conversation, kind, members, .. } => {
            let people = members.iter().map(|member| member.user).collect();
            Act::Open(Room { id: *conversation, kind: *kind, people })
        }
        ConversationEvent::MemberAdded { conversation, user, .. } => {
            Act::Talk(*conversation, Talk::Person { method: Method::PUT, user: *user })
        }
        ConversationEvent::MemberRemoved { conversation, user, .. } => {
            Act::Talk(*conversation, Talk::Person { method: Method::DELETE, user: *user })
        }
        ConversationEvent::TitleChanged { conversation, title, .. } => {
            Act::Talk(*conversation, Talk::Title(masked(title)))
        }
        _ => Act::Skip,
    }
}

fn of_friendship(event: &FriendshipEvent) -> Act {
    let act = |method, path, of, body| Act::Friendship { method, path, of, body };
    match event {
        FriendshipEvent::Requested { to, .. } => {
            act(Method::POST, |_| "/v1/friend-requests".to_owned(), *to, true)
        }
        FriendshipEvent::Accepted { of, .. } => {
            act(Method::POST, |of| format!("/v1/friend-requests/{of}/accept"), *of, false)
        }
        FriendshipEvent::Declined { of, .. } => {
            act(Method::POST, |of| format!("/v1/friend-requests/{of}/decline"), *of, false)
        }
        FriendshipEvent::Cancelled { to, .. } => {
            act(Method::DELETE, |of| format!("/v1/friend-requests/{of}"), *to, false)
        }
        FriendshipEvent::Removed { of, .. } => {
            act(Method::DELETE, |of| format!("/v1/friends/{of}"), *of, false)
        }
        FriendshipEvent::Blocked { of, .. } => {
            act(Method::PUT, |of| format!("/v1/blocks/{of}"), *of, false)
        }
        FriendshipEvent::Unblocked { of, .. } => {
            act(Method::DELETE, |of| format!("/v1/blocks/{of}"), *of, false)
        }
    }
}
