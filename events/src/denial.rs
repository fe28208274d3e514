//! What a person was not allowed to do.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DomainEvent, Event, Scope, UserId};

/// The id of whatever a command was about: a conversation, a message, a person.
pub type Target = Uuid;

/// An event of a `denial-` stream, of which each person has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum DenialEvent {
    /// A command was refused because the person may not give it.
    #[serde(rename = "denial.recorded")]
    Recorded {
        /// Who.
        user: UserId,
        /// The name of the command.
        command: String,
        /// The slug of the problem that the person was answered with.
        problem: String,
        /// What it was about, where that is one thing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Target>,
        /// The scope that the API token lacks by which it was tried.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<Scope>,
    },
}

impl Event for DenialEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Recorded { .. } => "denial.recorded",
        }
    }
}

impl From<DenialEvent> for DomainEvent {
    fn from(event: DenialEvent) -> Self {
        Self::Denial(event)
    }
}
