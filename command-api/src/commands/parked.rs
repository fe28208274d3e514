//! What admins decide about events that projections could not work on.

use domain::parked::{self, Action, Parked};
use event_log::EventLog;
use events::user::PlatformRole;
use events::{EventId, Position, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moderation::role_of;
use super::{Accepted, Call, Command, Entry};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<RetryParked>(), Entry::of::<SkipParked>()];

/// `parked.retry`: a projection tries a parked event again, and then the later ones of its stream.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryParked {
    /// The event.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) event: EventId,
    /// The projection.
    pub(crate) projection: String,
}

impl Command for RetryParked {
    const NAME: &'static str = "parked.retry";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let by_role = role_of(app, call.actor).await?;
        decide(app.log(), &call, by_role, self.event, self.projection, Action::Retry).await
    }
}

/// `parked.skip`: a projection does without a parked event, and goes on with the later ones of its
/// stream.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkipParked {
    /// The event.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) event: EventId,
    /// The projection.
    pub(crate) projection: String,
    /// Why; no personal data.
    pub(crate) reason: String,
}

impl Command for SkipParked {
    const NAME: &'static str = "parked.skip";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let by_role = role_of(app, call.actor).await?;
        let action = Action::Skip { reason: self.reason };
        decide(app.log(), &call, by_role, self.event, self.projection, action).await
    }
}

/// Decides as the operator of the deployment, who is nobody (the nil UUID). The same key decides once.
///
/// # Errors
/// When the log does not answer, or a rule forbids it.
pub async fn decide_as_operator(
    log: &EventLog,
    key: Uuid,
    event: EventId,
    projection: &str,
    action: Action,
) -> Result<Position, Problem> {
    let operator = UserId::new(Uuid::nil());
    let body = (event, projection, matches!(action, Action::Retry));
    let call = Call::with(log.secrets(), operator, key, "parked", &body);
    decide(log, &call, PlatformRole::Admin, event, projection.to_owned(), action)
        .await
        .map(|accepted| accepted.position)
}

async fn decide(
    log: &EventLog,
    call: &Call,
    by_role: PlatformRole,
    event: EventId,
    projection: String,
    action: Action,
) -> Result<Accepted, Problem> {
    let command = parked::Command { event, projection, by: call.actor, by_role, action };
    log.transact::<Parked>(&StreamName::parked(event), &command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_parked))
}
