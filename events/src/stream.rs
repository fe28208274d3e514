//! The names of streams: a category, a hyphen, and ids or digests, never personal data.

use std::fmt;

use uuid::Uuid;

use crate::{
    CallId, Category, ConversationId, EventId, FileId, LoginId, MessageId, NotificationId,
    ReportId, StudySessionId, UserId, WebhookId, hold::Held,
};

/// The name of a stream of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// A person.
    pub fn user(id: UserId) -> Self {
        Self(format!("user-{id}"))
    }

    /// The reservation of an e-mail address, by the hex digest of the normalised address.
    pub fn email(digest: &str) -> Self {
        Self(format!("email-{digest}"))
    }

    /// The reservation of a handle, by the hex digest of the normalised handle.
    pub fn handle(digest: &str) -> Self {
        Self(format!("handle-{digest}"))
    }

    /// A log-in.
    pub fn login(id: LoginId) -> Self {
        Self(format!("login-{id}"))
    }

    /// The friendship of two people, lower id first.
    pub fn friendship(one: UserId, other: UserId) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self(format!("friendship-{low}-{high}"))
    }

    /// A conversation: who is in it.
    pub fn conversation(id: ConversationId) -> Self {
        Self(format!("conversation-{id}"))
    }

    /// One message.
    pub fn message(id: MessageId) -> Self {
        Self(format!("message-{id}"))
    }

    /// How far a person received and read a conversation.
    pub fn receipt(conversation: ConversationId, user: UserId) -> Self {
        Self(format!("receipt-{conversation}-{user}"))
    }

    /// A study session.
    pub fn session(id: StudySessionId) -> Self {
        Self(format!("session-{id}"))
    }

    /// The whiteboard of a study session.
    pub fn whiteboard(id: StudySessionId) -> Self {
        Self(format!("whiteboard-{id}"))
    }

    /// A file that was uploaded.
    pub fn file(id: FileId) -> Self {
        Self(format!("file-{id}"))
    }

    /// A notification of one person.
    pub fn notification(id: NotificationId) -> Self {
        Self(format!("notification-{id}"))
    }

    /// What is kept for legal matters, of a person or a conversation.
    pub fn hold(held: Held) -> Self {
        Self(format!("hold-{}", held.uuid()))
    }

    /// What is done about an event that projections could not work on.
    pub fn parked(id: EventId) -> Self {
        Self(format!("parked-{id}"))
    }

    /// A report to the moderators.
    pub fn report(id: ReportId) -> Self {
        Self(format!("report-{id}"))
    }

    /// What a person was not allowed to do.
    pub fn denial(id: UserId) -> Self {
        Self(format!("denial-{id}"))
    }

    /// What an administrator read of others.
    pub fn access(id: UserId) -> Self {
        Self(format!("access-{id}"))
    }

    /// A call.
    pub fn call(id: CallId) -> Self {
        Self(format!("call-{id}"))
    }

    /// Which calls the devices of a person are in.
    pub fn lines_of(user: UserId) -> Self {
        Self(format!("line-{user}"))
    }

    /// Which call a conversation has.
    pub fn line_in(conversation: ConversationId) -> Self {
        Self(format!("line-{conversation}"))
    }

    /// A webhook.
    pub fn webhook(id: WebhookId) -> Self {
        Self(format!("webhook-{id}"))
    }

    /// A name as it was read from the log, ours or foreign.
    pub fn recorded(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The category, where it is one of ours.
    pub fn category(&self) -> Option<Category> {
        let (prefix, _) = self.0.split_once('-')?;
        Category::ALL.into_iter().find(|category| category.as_str() == prefix)
    }

    /// What follows the category and its hyphen.
    pub fn suffix(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, suffix)| suffix)
    }

    /// The ids in the name of a stream that is about UUIDs: one, or two.
    pub fn uuids(&self) -> Option<(Uuid, Option<Uuid>)> {
        const TEXT: usize = uuid::fmt::Hyphenated::LENGTH;
        let suffix = self.suffix();
        let first = suffix.get(..TEXT)?.parse().ok()?;
        match suffix.get(TEXT..)? {
            "" => Some((first, None)),
            rest => Some((first, Some(rest.strip_prefix('-')?.parse().ok()?))),
        }
    }

    /// Whether the store itself writes this stream.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_category_and_ids() {
        let (a, b) = (UserId::new(Uuid::from_u128(2)), UserId::new(Uuid::from_u128(1)));
        let pair = StreamName::friendship(a, b);
        assert_eq!(pair, StreamName::friendship(b, a));
        assert_eq!(pair.category(), Some(Category::Friendship));
        assert_eq!(pair.uuids(), Some((b.uuid(), Some(a.uuid()))));
        assert_eq!(StreamName::user(a).uuids(), Some((a.uuid(), None)));
        assert_eq!(StreamName::email("abc0").uuids(), None);
        assert_eq!(StreamName::recorded("orders-1").category(), None);
        assert!(StreamName::recorded("$$user-1").is_system());
    }
}
