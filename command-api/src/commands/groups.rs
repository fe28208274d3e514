//! Commands about a group itself: what is set for it, and who runs it.

use domain::conversation::{self, MAX_SLOW_MODE, Rejection};
use events::conversation::Role;
use events::{ConversationId, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conversations::decide;
use super::{Accepted, Call, Command, Entry};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<ChangeSettings>(), Entry::of::<ChangeRole>(), Entry::of::<TransferOwnership>()];

/// `conversation.change_settings`: changes what is set for a group; what is absent stays.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSettings {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// How many seconds members wait between two messages; 0 lets them send freely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) slow_mode_seconds: Option<u32>,
}

impl Command for ChangeSettings {
    const NAME: &'static str = "conversation.change_settings";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, title, slow_mode_seconds } = self;
        // The same roles may do both, so what can be wrong with the second alone is its number.
        if slow_mode_seconds.is_some_and(|seconds| seconds > MAX_SLOW_MODE) {
            return Err(problems::of_conversation(Rejection::InvalidSlowMode));
        }
        let by = call.actor;
        let rename = title.map(|title| conversation::Command::Rename { by, title });
        let slow_mode =
            slow_mode_seconds.map(|seconds| conversation::Command::SetSlowMode { by, seconds });
        // The first of the changes has the key itself, so that another body under it is noticed.
        match (rename, slow_mode) {
            (Some(one), None) | (None, Some(one)) => {
                decide(app, conversation, &one, &call.context()).await
            }
            (Some(rename), Some(slow_mode)) => {
                decide(app, conversation, &rename, &call.context()).await?;
                let step = call.context().step("slow mode");
                decide(app, conversation, &slow_mode, &step).await
            }
            (None, None) => {
                Err(Problem::invalid("`title` or `slow_mode_seconds` says what changes"))
            }
        }
    }
}

/// `conversation.change_role`: makes somebody an admin, or a member again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRole {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Whom it is about.
    pub(crate) user: UserId,
    /// The new role: `admin` or `member`.
    pub(crate) role: Role,
}

impl Command for ChangeRole {
    const NAME: &'static str = "conversation.change_role";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, user, role } = self;
        let command = conversation::Command::ChangeRole { by: call.actor, user, role };
        decide(app, conversation, &command, &call.context()).await
    }
}

/// `conversation.transfer_ownership`: gives the group to somebody in it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferOwnership {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Who is to own it.
    pub(crate) to: UserId,
}

impl Command for TransferOwnership {
    const NAME: &'static str = "conversation.transfer_ownership";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = conversation::Command::TransferOwnership { by: call.actor, to: self.to };
        decide(app, self.conversation, &command, &call.context()).await
    }
}
