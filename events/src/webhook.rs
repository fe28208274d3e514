//! What happens to a webhook: an address elsewhere that is told of events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ConversationId, DomainEvent, Event, Personal, Position, UserId, WebhookId};

/// What a secret is derived from, together with the key of the deployment. It is no secret itself.
pub type Salt = Uuid;

/// An event of a `webhook-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum WebhookEvent {
    /// Somebody wants an address to be told, from this event on.
    #[serde(rename = "webhook.created")]
    Created {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is: with their rights it is told.
        owner: UserId,
        /// Of which conversation it is told; of everything where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<ConversationId>,
        /// Where to.
        url: Personal<String>,
        /// Which types of events: names, or `message.*`; all where there is none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        types: Vec<String>,
        /// What its secret is derived from.
        salt: Salt,
    },
    /// It goes elsewhere, or is told of something else.
    #[serde(rename = "webhook.changed")]
    Changed {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is.
        owner: UserId,
        /// Who changed it.
        by: UserId,
        /// Where to from now on, if that is new.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<Personal<String>>,
        /// Which types from now on, if that is new.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        types: Option<Vec<String>>,
    },
    /// It has a new secret; for a while both sign.
    #[serde(rename = "webhook.secret_rotated")]
    SecretRotated {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is.
        owner: UserId,
        /// Who wanted it.
        by: UserId,
        /// What the new secret is derived from.
        salt: Salt,
        /// Until when the old one signs as well.
        overlap_until: DateTime<Utc>,
    },
    /// It is told of nothing until it is enabled.
    #[serde(rename = "webhook.disabled")]
    Disabled {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is.
        owner: UserId,
        /// Why.
        reason: DisableReason,
    },
    /// It goes on from where it was.
    #[serde(rename = "webhook.enabled")]
    Enabled {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is.
        owner: UserId,
        /// Who wanted it.
        by: UserId,
    },
    /// It is told again, of everything after a position.
    #[serde(rename = "webhook.replayed")]
    Replayed {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is.
        owner: UserId,
        /// Who wanted it.
        by: UserId,
        /// After which position.
        from: Position,
    },
    /// Its owner wants to see whether it works: it is told of this event, whatever its types are.
    #[serde(rename = "webhook.tested")]
    Tested {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it is.
        owner: UserId,
        /// Who wanted it.
        by: UserId,
    },
    /// It is gone.
    #[serde(rename = "webhook.removed")]
    Removed {
        /// The webhook.
        webhook: WebhookId,
        /// Whose it was.
        owner: UserId,
        /// Who removed it.
        by: UserId,
    },
}

impl WebhookEvent {
    /// The webhook, and whose it is.
    pub const fn whose(&self) -> (WebhookId, UserId) {
        match self {
            Self::Created { webhook, owner, .. }
            | Self::Changed { webhook, owner, .. }
            | Self::SecretRotated { webhook, owner, .. }
            | Self::Disabled { webhook, owner, .. }
            | Self::Enabled { webhook, owner, .. }
            | Self::Replayed { webhook, owner, .. }
            | Self::Tested { webhook, owner, .. }
            | Self::Removed { webhook, owner, .. } => (*webhook, *owner),
        }
    }
}

impl Event for WebhookEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Created { .. } => "webhook.created",
            Self::Changed { .. } => "webhook.changed",
            Self::SecretRotated { .. } => "webhook.secret_rotated",
            Self::Disabled { .. } => "webhook.disabled",
            Self::Enabled { .. } => "webhook.enabled",
            Self::Replayed { .. } => "webhook.replayed",
            Self::Tested { .. } => "webhook.tested",
            Self::Removed { .. } => "webhook.removed",
        }
    }
}

impl From<WebhookEvent> for DomainEvent {
    fn from(event: WebhookEvent) -> Self {
        Self::Webhook(event)
    }
}

/// Why a webhook is told of nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisableReason {
    /// Its owner, or who runs its conversation, wanted it.
    Asked,
    /// Nobody took anything there for too long.
    Failing,
    /// The address said that it is gone (410).
    Gone,
    /// Its owner may not see any more what it tells of.
    RightsLost,
}

impl DisableReason {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::RightsLost => "rights_lost",
        }
    }
}
