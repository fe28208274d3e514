//! What happens to a report to the moderators.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, MessageId, Personal, ReportId, UserId};

/// An event of a `report-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ReportEvent {
    /// Somebody reported something.
    #[serde(rename = "report.filed")]
    Filed {
        /// The report.
        report: ReportId,
        /// Who.
        by: UserId,
        /// What.
        subject: Subject,
        /// Of which kind.
        reason: Reason,
        /// In their own words.
        text: Personal<String>,
        /// What the message said when it was reported, about its sender: it may be edited or
        /// deleted before a moderator reads it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quoted: Option<Personal<String>>,
    },
    /// A moderator has decided.
    #[serde(rename = "report.resolved")]
    Resolved {
        /// The report.
        report: ReportId,
        /// Who.
        by: UserId,
        /// What.
        verdict: Verdict,
        /// Why, for other moderators to read.
        note: Personal<String>,
    },
}

impl Event for ReportEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Filed { .. } => "report.filed",
            Self::Resolved { .. } => "report.resolved",
        }
    }
}

impl From<ReportEvent> for DomainEvent {
    fn from(event: ReportEvent) -> Self {
        Self::Report(event)
    }
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A person.
    User {
        /// Who.
        user: UserId,
    },
    /// A message.
    Message {
        /// Which.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
    },
    /// A whole group.
    Conversation {
        /// Which.
        conversation: ConversationId,
    },
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Unwanted advertising.
    Spam,
    /// Somebody is harassed.
    Harassment,
    /// Violence, or the threat of it.
    Violence,
    /// Sexual content that does not belong there.
    Sexual,
    /// Somebody pretends to be somebody else.
    Impersonation,
    /// Something else; the text says what.
    Other,
}

/// What a moderator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Dismissed,
    /// The person was warned.
    Warned,
    /// What was reported was removed.
    Removed,
    /// The person was suspended.
    Suspended,
}
