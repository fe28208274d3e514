//! Commands of those with a role on the platform: suspending people, and appointing others.

use domain::Decider;
use domain::user::{self, User};
use events::user::PlatformRole;
use events::{Moment, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use sqlx::{Postgres, Transaction};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry};
use crate::{App, problems, read_models};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<Suspend>(), Entry::of::<Reinstate>(), Entry::of::<ChangePlatformRole>()];

/// `user.suspend`: lets a person do nothing for a while, or for good.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suspend {
    /// The person.
    pub(crate) user: UserId,
    /// Until when; for good when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Moment>,
    /// Why, for the person to read.
    pub(crate) reason: String,
}

impl Command for Suspend {
    const NAME: &'static str = "user.suspend";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let (by, now) = (call.actor, call.now);
        let by_role = role_of(app, by).await?;
        let Self { user, until, reason } = self;
        let command = user::Command::Suspend { by, by_role, until, reason, now };
        decide(app, user, &command, &call).await
    }
}

/// `user.reinstate`: lets a suspended person act again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reinstate {
    /// The person.
    pub(crate) user: UserId,
}

impl Command for Reinstate {
    const NAME: &'static str = "user.reinstate";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let by = call.actor;
        let command = user::Command::Reinstate { by, by_role: role_of(app, by).await? };
        decide(app, self.user, &command, &call).await
    }
}

/// `user.change_role`: gives a person another role on the platform.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePlatformRole {
    /// The person.
    pub(crate) user: UserId,
    /// The new role.
    pub(crate) role: PlatformRole,
}

impl Command for ChangePlatformRole {
    const NAME: &'static str = "user.change_role";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let (by, Self { user, role }) = (call.actor, self);
        let by_role = role_of(app, by).await?;
        let change =
            |last_admin| user::Command::ChangePlatformRole { by, by_role, role, last_admin };
        let demoted = by_role == PlatformRole::Admin
            && role < PlatformRole::Admin
            && role_of(app, user).await? == PlatformRole::Admin;
        if !demoted {
            return decide(app, user, &change(false), &call).await;
        }
        // Two admins who demote each other would leave none, so one after the other.
        let others = Admins::lock(app).await?;
        let last_admin = others.are_none_but(app, user).await?;
        let changed = decide(app, user, &change(last_admin), &call).await;
        others.unlock().await;
        changed
    }
}

/// What somebody may do on the whole platform. The store is asked: somebody who was dismissed a
/// moment ago at another node must not appoint themselves again.
pub(super) async fn role_of(app: &App, user: UserId) -> Result<PlatformRole, Problem> {
    let known = app.log().load::<User>(&StreamName::user(user)).await?;
    Ok(known.state.account().map_or(PlatformRole::User, |account| account.role))
}

/// Refuses a command about a person that would be refused, without giving it.
pub(super) async fn check(app: &App, user: UserId, command: &user::Command) -> Result<(), Problem> {
    let known = app.log().load::<User>(&StreamName::user(user)).await?;
    known.state.decide(command).map(drop).map_err(problems::of_user)
}

/// Gives a command about a person.
pub(super) async fn decide(
    app: &App,
    user: UserId,
    command: &user::Command,
    call: &Call,
) -> Result<Accepted, Problem> {
    app.log()
        .transact::<User>(&StreamName::user(user), command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_user))
}

/// The right to make fewer admins, which one command in the whole deployment has at a time.
pub(super) struct Admins(Transaction<'static, Postgres>);

impl Admins {
    pub(super) async fn lock(app: &App) -> Result<Self, Problem> {
        let locking = async {
            let mut transaction = app.postgres().begin().await?;
            sqlx::query("set local lock_timeout = '5s'").execute(&mut *transaction).await?;
            sqlx::query("select pg_advisory_xact_lock(hashtext('roundtable admins'))")
                .execute(&mut *transaction)
                .await?;
            Ok(Self(transaction))
        };
        locking.await.map_err(|error| problems::of_postgres(&error))
    }

    /// Whether nobody else is an admin, after everything that is in the log now.
    pub(super) async fn are_none_but(&self, app: &App, user: UserId) -> Result<bool, Problem> {
        let head = app.log().head().await?;
        read_models::reach(app, &["standing"], head).await?;
        let others: i64 = sqlx::query_scalar(
            "select count(*) from standing where role = 'admin' and user_id <> $1",
        )
        .bind(user.uuid())
        .fetch_one(app.postgres())
        .await
        .map_err(|error| problems::of_postgres(&error))?;
        Ok(others == 0)
    }

    pub(super) async fn unlock(self) {
        if let Err(error) = self.0.rollback().await {
            tracing::warn!(%error, "the lock of the admins ends with its connection");
        }
    }
}
