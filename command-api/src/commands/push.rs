//! Commands about the browsers that get notifications by web push.

use domain::user::{self, User};
use events::{PushId, StreamName};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<SubscribePush>(), Entry::of::<UnsubscribePush>()];

/// `push.subscribe`: gets notifications on this browser, as its `PushSubscription` says.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscribePush {
    /// The `https` address of the browser's push service.
    pub(crate) endpoint: String,
    pub(crate) keys: PushKeys,
}

/// What notifications are encrypted for (RFC 8291), in base64url without padding.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushKeys {
    /// The browser's public key: 65 bytes.
    pub(crate) p256dh: String,
    /// The shared secret: 16 bytes.
    pub(crate) auth: String,
}

/// Shows no keys.
impl std::fmt::Debug for SubscribePush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubscribePush")
    }
}

impl Command for SubscribePush {
    const NAME: &'static str = "push.subscribe";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { endpoint, keys: PushKeys { p256dh, auth } } = self;
        // The same browser again is the same subscription.
        let push = PushId::of(call.actor, &endpoint);
        let command = user::Command::SubscribePush { push, endpoint, p256dh, auth };
        let accepted = transact(app, &call, &command).await?;
        Ok(accepted.made(Made::PushSubscription(push)))
    }
}

/// `push.unsubscribe`: gets them there no more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnsubscribePush {
    /// Which subscription.
    pub(crate) subscription: PushId,
}

impl Command for UnsubscribePush {
    const NAME: &'static str = "push.unsubscribe";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = user::Command::UnsubscribePush { push: self.subscription };
        transact(app, &call, &command).await
    }
}

async fn transact(app: &App, call: &Call, command: &user::Command) -> Result<Accepted, Problem> {
    app.log()
        .transact::<User>(&StreamName::user(call.actor), command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_user))
}
