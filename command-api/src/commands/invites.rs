//! Commands about invitations into groups: making, revoking and using them.

use std::fmt;

use domain::conversation::{self, Rejection};
use events::{ConversationId, InviteId, Moment};
use serde::{Deserialize, Serialize};
use service::{Identity, InviteCode, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conversations::decide;
use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems, read_models};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<MakeInvite>(), Entry::of::<RevokeInvite>(), Entry::of::<JoinByInvite>()];

/// The read model that tells where an invitation leads.
const PROJECTION: &str = "invite";
/// A new invitation, and the code that lets people in.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Invitation {
    /// The invitation.
    pub(crate) id: InviteId,
    /// What somebody has to know who comes by it.
    #[schema(value_type = String)]
    pub(crate) code: InviteCode,
}

impl PartialEq for Invitation {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Invitation {}

/// `conversation.make_invite`: makes an invitation, whose code lets people in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeInvite {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Until when it may be used; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires: Option<Moment>,
    /// By how many people; by any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(crate) uses: Option<u32>,
}

impl Command for MakeInvite {
    const NAME: &'static str = "conversation.make_invite";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, expires, uses } = self;
        // Follows from the key, so that a repeat makes the same invitation. A client cannot choose
        // it, so no id is that of an invitation into another group.
        let name = format!("invite {} {key}", call.actor);
        let invite = InviteId::new(Uuid::new_v5(&conversation.uuid(), name.as_bytes()));
        let (by, now) = (call.actor, call.now);
        let command = conversation::Command::MakeInvite { by, invite, expires, uses, now };
        let made = decide(app, conversation, &command, &call.context()).await?;
        let code = InviteCode::of(app.secrets(), conversation, invite);
        Ok(made.made(Made::Invite(Invitation { id: invite, code })))
    }
}

/// `conversation.revoke_invite`: lets an invitation be used no more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeInvite {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// The invitation.
    pub(crate) invite: InviteId,
}

impl Command for RevokeInvite {
    const NAME: &'static str = "conversation.revoke_invite";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = conversation::Command::RevokeInvite { by: call.actor, invite: self.invite };
        decide(app, self.conversation, &command, &call.context()).await
    }
}

/// `conversation.join`: comes into a group by the code of an invitation.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinByInvite {
    /// The code.
    pub(crate) code: String,
}

/// A code is a secret.
impl fmt::Debug for JoinByInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinByInvite")
    }
}

impl Command for JoinByInvite {
    const NAME: &'static str = "conversation.join";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let unknown = || problems::of_conversation(Rejection::NoSuchInvite);
        let code = InviteCode::parse(&self.code).ok_or_else(unknown)?;
        let conversation = find(app, &code).await?.ok_or_else(unknown)?;
        let (user, invite, now) = (call.actor, code.invite(), call.now);
        let command = conversation::Command::AcceptInvite { user, invite, now };
        let joined = decide(app, conversation, &command, &call.context()).await?;
        Ok(joined.made(Made::Conversation(conversation)))
    }
}

/// Which conversation a code leads to. The read model only says which one to ask: whether the
/// invitation is good, the conversation decides.
///
/// A code that is not found may be newer than the read model, so that one is waited for before it
/// is called wrong; and a code with a wrong proof is treated as if it were not found, for as long.
async fn find(app: &App, code: &InviteCode) -> Result<Option<ConversationId>, Problem> {
    let right = |found: Option<ConversationId>| found.filter(|it| code.is_of(app.secrets(), *it));
    if let Some(conversation) = right(look_up(app, code.invite()).await?) {
        return Ok(Some(conversation));
    }
    let head = app.log().head().await?;
    read_models::reach(app, &[PROJECTION], head).await?;
    Ok(right(look_up(app, code.invite()).await?))
}

/// What the read model knows of an invitation.
async fn look_up(app: &App, invite: InviteId) -> Result<Option<ConversationId>, Problem> {
    let found: Option<Uuid> =
        sqlx::query_scalar("select conversation_id from invite where invite_id = $1")
            .bind(invite.uuid())
            .fetch_optional(app.postgres())
            .await
            .map_err(|error| problems::of_postgres(&error))?;
    Ok(found.map(ConversationId::from))
}
