//! Commands about what is between two people.

use domain::friendship;
use event_log::Outcome;
use events::{StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, users};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<RequestFriend>(),
    Entry::of::<AcceptRequest>(),
    Entry::of::<DeclineRequest>(),
    Entry::of::<CancelRequest>(),
    Entry::of::<RemoveFriend>(),
    Entry::of::<Block>(),
    Entry::of::<Unblock>(),
];

/// `friendship.request`: asks somebody to be friends; accepts, if they have asked already.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFriend {
    /// Who is asked.
    pub(crate) to: UserId,
}

impl Command for RequestFriend {
    const NAME: &'static str = "friendship.request";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        users::must_exist(app, self.to).await?;
        let command = friendship::Command::Request { by: call.actor, to: self.to };
        between(app, &call, self.to, command).await
    }
}

/// `friendship.accept`: says yes to a friend request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptRequest {
    /// Who asked.
    pub(crate) from: UserId,
}

impl Command for AcceptRequest {
    const NAME: &'static str = "friendship.accept";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = friendship::Command::Accept { by: call.actor, of: self.from };
        between(app, &call, self.from, command).await
    }
}

/// `friendship.decline`: says no to a friend request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclineRequest {
    /// Who asked.
    pub(crate) from: UserId,
}

impl Command for DeclineRequest {
    const NAME: &'static str = "friendship.decline";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = friendship::Command::Decline { by: call.actor, of: self.from };
        between(app, &call, self.from, command).await
    }
}

/// `friendship.cancel`: takes a friend request back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// Who was asked.
    pub(crate) to: UserId,
}

impl Command for CancelRequest {
    const NAME: &'static str = "friendship.cancel";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = friendship::Command::Cancel { by: call.actor, to: self.to };
        between(app, &call, self.to, command).await
    }
}

/// `friendship.remove`: ends a friendship.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveFriend {
    /// The friend.
    pub(crate) user: UserId,
}

impl Command for RemoveFriend {
    const NAME: &'static str = "friendship.remove";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = friendship::Command::Remove { by: call.actor, of: self.user };
        between(app, &call, self.user, command).await
    }
}

/// `friendship.block`: wants nothing to do with somebody; ends what is between the two. It is not
/// told to the other, for whom whoever blocks them does not exist from then on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    /// Who is blocked.
    pub(crate) user: UserId,
}

impl Command for Block {
    const NAME: &'static str = "friendship.block";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        // Also somebody who blocks the one who asks: in groups they may still meet.
        users::must_exist(app, self.user).await?;
        let command = friendship::Command::Block { by: call.actor, of: self.user };
        between(app, &call, self.user, command).await
    }
}

/// `friendship.unblock`: lets somebody come near again. What was between the two does not return.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unblock {
    /// Who was blocked.
    pub(crate) user: UserId,
}

impl Command for Unblock {
    const NAME: &'static str = "friendship.unblock";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = friendship::Command::Unblock { by: call.actor, of: self.user };
        between(app, &call, self.user, command).await
    }
}

async fn between(
    app: &App,
    call: &Call,
    other: UserId,
    command: friendship::Command,
) -> Result<Accepted, Problem> {
    let stream = StreamName::friendship(call.actor, other);
    let Outcome { position, .. } = app
        .log()
        .transact::<friendship::Friendship>(&stream, &command, &call.context())
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_friendship))?;
    Ok(Accepted::at(position))
}
