//! Commands about who is in a conversation.

use domain::conversation::{self, Conversation};
use domain::friendship::{self, Friendship};
use event_log::Context;
use events::{ConversationId, StreamName, UserId};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made, users};
use crate::{App, problems};

/// How many people are looked up at once when a group is opened.
const LOOK_UPS: usize = 16;

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<OpenDirect>(),
    Entry::of::<OpenGroup>(),
    Entry::of::<AddMember>(),
    Entry::of::<RemoveMember>(),
    Entry::of::<BanMember>(),
    Entry::of::<UnbanMember>(),
];

/// `conversation.open_direct`: opens the direct conversation with a friend.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenDirect {
    /// The friend.
    pub(crate) with: UserId,
}

impl Command for OpenDirect {
    const NAME: &'static str = "conversation.open_direct";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, with) = (identity.user, self.with);
        let call = Call::of(app, identity, key, &self);
        let between = app.log().state::<Friendship>(&StreamName::friendship(by, with)).await?;
        let friends = between.state.are_friends();
        let command = conversation::Command::OpenDirect { by, with, friends };
        let conversation = ConversationId::direct(by, with);
        let context = call.context().deciding_on(between.revision);
        let opened = decide(app, conversation, &command, &context).await?;
        Ok(opened.made(Made::Conversation(conversation)))
    }
}

/// `conversation.open_group`: opens a group, as its owner.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenGroup {
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conversation: Option<ConversationId>,
    /// The title.
    pub(crate) title: String,
    /// Who is in it from the start, besides its owner.
    pub(crate) members: Vec<UserId>,
}

impl Command for OpenGroup {
    const NAME: &'static str = "conversation.open_group";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = identity.user;
        let call = Call::of(app, identity, key, &self);
        if self.members.len() > conversation::MAX_MEMBERS {
            return Err(problems::of_conversation(conversation::Rejection::Full));
        }
        if self.conversation.is_some_and(|id| !may_be_chosen(id)) {
            return Err(problems::id_not_to_choose());
        }
        for some in self.members.chunks(LOOK_UPS) {
            try_join_all(some.iter().map(|user| may_be_added(app, by, *user))).await?;
        }
        // Follows from the key, so that a repeat opens the same group.
        let made = || Uuid::new_v5(&by.uuid(), format!("conversation {key}").as_bytes()).into();
        let conversation = self.conversation.unwrap_or_else(made);
        let Self { title, members, .. } = self;
        let command = conversation::Command::OpenGroup { conversation, by, title, members };
        let opened = decide(app, conversation, &command, &call.context()).await?;
        Ok(opened.made(Made::Conversation(conversation)))
    }
}

/// `conversation.add_member`: somebody comes in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddMember {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Whom it is about.
    pub(crate) user: UserId,
}

impl Command for AddMember {
    const NAME: &'static str = "conversation.add_member";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        may_be_added(app, call.actor, self.user).await?;
        let command = conversation::Command::Add { by: call.actor, user: self.user };
        decide(app, self.conversation, &command, &call.context()).await
    }
}

/// `conversation.remove_member`: somebody leaves, or is removed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveMember {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Whom it is about.
    pub(crate) user: UserId,
}

impl Command for RemoveMember {
    const NAME: &'static str = "conversation.remove_member";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = conversation::Command::Remove { by: call.actor, user: self.user };
        decide(app, self.conversation, &command, &call.context()).await
    }
}

/// `conversation.ban`: somebody is removed for good.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanMember {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Whom it is about.
    pub(crate) user: UserId,
}

impl Command for BanMember {
    const NAME: &'static str = "conversation.ban";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        users::must_exist(app, self.user).await?;
        let command = conversation::Command::Ban { by: call.actor, user: self.user };
        decide(app, self.conversation, &command, &call.context()).await
    }
}

/// `conversation.unban`: somebody may be added again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnbanMember {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Whom it is about.
    pub(crate) user: UserId,
}

impl Command for UnbanMember {
    const NAME: &'static str = "conversation.unban";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = conversation::Command::Unban { by: call.actor, user: self.user };
        decide(app, self.conversation, &command, &call.context()).await
    }
}

/// Whether a client may choose this id. Those of version 5 follow from something, as that of a
/// direct conversation does from its two people: whoever could choose it would be there first.
fn may_be_chosen(id: ConversationId) -> bool {
    id.uuid().get_version_num() != 5
}

/// Nobody is brought together with whom they block: for somebody who is blocked, the other does not
/// exist.
async fn may_be_added(app: &App, by: UserId, user: UserId) -> Result<(), Problem> {
    users::must_exist(app, user).await?;
    if by == user {
        return Ok(());
    }
    let between = app.log().state::<Friendship>(&StreamName::friendship(by, user)).await?.state;
    if between.is_blocking(user) {
        return Err(Problem::no_such_user());
    }
    if between.is_blocking(by) {
        return Err(problems::of_friendship(friendship::Rejection::Blocking));
    }
    Ok(())
}

/// Gives a command about a conversation.
pub(super) async fn decide(
    app: &App,
    conversation: ConversationId,
    command: &conversation::Command,
    context: &Context,
) -> Result<Accepted, Problem> {
    app.log()
        .transact::<Conversation>(&StreamName::conversation(conversation), command, context)
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_conversation))
}
