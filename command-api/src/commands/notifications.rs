//! Commands about what one was told: that one has seen it.

use domain::notification::{self, Notification};
use domain::user::{self, User};
use events::{NotificationId, Position, StreamName};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<ReadNotification>(), Entry::of::<ReadNotifications>()];

/// `notification.read`: has seen one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadNotification {
    /// Which.
    pub(crate) notification: NotificationId,
}

impl Command for ReadNotification {
    const NAME: &'static str = "notification.read";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = notification::Command::Read { user: call.actor };
        app.log()
            .transact::<Notification>(
                &StreamName::notification(self.notification),
                &command,
                &call.context(),
            )
            .await
            .map(|outcome| Accepted::at(outcome.position))
            .map_err(|error| problems::of_transaction(error, problems::of_notification))
    }
}

/// `notification.read_all`: has seen all up to a position.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadNotifications {
    /// The position of the newest notification that was seen.
    pub(crate) upto: Position,
}

impl Command for ReadNotifications {
    const NAME: &'static str = "notification.read_all";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        // What is not there yet cannot have been seen; and once it were, later ones never could be.
        if self.upto > app.log().head().await? {
            return Err(Problem::invalid("`upto` is a position of the log"));
        }
        let command = user::Command::ReadNotifications { upto: self.upto };
        app.log()
            .transact::<User>(&StreamName::user(call.actor), &command, &call.context())
            .await
            .map(|outcome| Accepted::at(outcome.position))
            .map_err(|error| problems::of_transaction(error, problems::of_user))
    }
}
