//! Commands about who is in a conversation.

use domain::conversation::{self, Conversation};
use domain::friendship::Friendship;
use event_log::Context;
use events::{ConversationId, StreamName, UserId};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use uuid::Uuid;

use super::{Accepted, Call, users};
use crate::{App, problems};

/// How many people are looked up at once when a group is opened.
const LOOK_UPS: usize = 16;

/// `conversation.open_direct`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenDirect {
    /// The friend.
    pub(crate) with: UserId,
}

/// `conversation.open_group`.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// `conversation.add_member`, `.remove_member`, `.ban` and `.unban`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    /// The group.
    pub(crate) conversation: ConversationId,
    /// Whom it is about.
    pub(crate) user: UserId,
}

/// What is done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Somebody comes in.
    Add,
    /// Somebody leaves, or is removed.
    Remove,
    /// Somebody is removed for good.
    Ban,
    /// Somebody may be added again.
    Unban,
}

/// Opens the direct conversation with a friend.
pub(crate) async fn open_direct(
    app: &App,
    identity: Identity,
    key: Uuid,
    body: OpenDirect,
) -> Result<Accepted, Problem> {
    let (by, with) = (identity.user, body.with);
    let call = Call::new(app, by, key, "conversation.open_direct", &body);
    let between = app.log().state::<Friendship>(&StreamName::friendship(by, with)).await?;
    let friends = between.state.are_friends();
    let command = conversation::Command::OpenDirect { by, with, friends };
    let conversation = ConversationId::direct(by, with);
    let opened =
        decide(app, conversation, &command, &call.context().deciding_on(between.revision)).await?;
    Ok(Accepted { conversation: Some(conversation), ..opened })
}

/// Opens a group, as its owner.
pub(crate) async fn open_group(
    app: &App,
    identity: Identity,
    key: Uuid,
    body: OpenGroup,
) -> Result<Accepted, Problem> {
    let by = identity.user;
    let call = Call::new(app, by, key, "conversation.open_group", &body);
    if body.members.len() > conversation::MAX_MEMBERS {
        return Err(problems::of_conversation(conversation::Rejection::Full));
    }
    for some in body.members.chunks(LOOK_UPS) {
        try_join_all(some.iter().map(|user| users::must_exist(app, *user))).await?;
    }
    // Follows from the key, so that a repeat opens the same group.
    let made = || Uuid::new_v5(&by.uuid(), format!("conversation {key}").as_bytes()).into();
    let conversation = body.conversation.unwrap_or_else(made);
    let OpenGroup { title, members, .. } = body;
    let command = conversation::Command::OpenGroup { conversation, by, title, members };
    let opened = decide(app, conversation, &command, &call.context()).await?;
    Ok(Accepted { conversation: Some(conversation), ..opened })
}

/// Changes who is in a group.
pub(crate) async fn change_member(
    app: &App,
    identity: Identity,
    key: Uuid,
    change: Change,
    body: Membership,
) -> Result<Accepted, Problem> {
    let (by, user) = (identity.user, body.user);
    let (name, command) = match change {
        Change::Add => ("conversation.add_member", conversation::Command::Add { by, user }),
        Change::Remove => {
            ("conversation.remove_member", conversation::Command::Remove { by, user })
        }
        Change::Ban => ("conversation.ban", conversation::Command::Ban { by, user }),
        Change::Unban => ("conversation.unban", conversation::Command::Unban { by, user }),
    };
    let call = Call::new(app, by, key, name, &body);
    if change == Change::Add {
        users::must_exist(app, user).await?;
    }
    decide(app, body.conversation, &command, &call.context()).await
}

async fn decide(
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
