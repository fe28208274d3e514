//! What a person does to their log-ins on other devices, and to their password.

use std::fmt;

use domain::login::{self, Login};
use domain::user::{self, User};
use event_log::TransactError;
use events::login::CloseReason;
use events::{LoginId, Position, StreamName};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Nothing};
use crate::{App, normalise, problems, read_models};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<RevokeSession>(), Entry::of::<RevokeOthers>(), Entry::of::<ChangePassword>()];

/// `session.revoke`: ends one log-in of the person, on whatever device.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeSession {
    pub(crate) login: LoginId,
}

impl Command for RevokeSession {
    const NAME: &'static str = "session.revoke";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        close(app, &call, self.login, CloseReason::Revoked).await.map(Accepted::at)
    }
}

/// `session.revoke_others`: ends every log-in of the person but the one that asks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeOthers {}

impl Command for RevokeOthers {
    const NAME: &'static str = "session.revoke_others";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let after = app.log().head().await?;
        let others = CloseReason::Revoked;
        close_others(app, &call, identity.login, after, others).await.map(Accepted::at)
    }
}

/// `user.change_password`: replaces the password, which takes the old one, and ends every other
/// log-in of the person.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePassword {
    pub(crate) old_password: String,
    pub(crate) new_password: String,
}

/// Shows no password.
impl fmt::Debug for ChangePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangePassword")
    }
}

impl Command for ChangePassword {
    const NAME: &'static str = "user.change_password";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        // Not the body: a digest of passwords that can be computed fast must not stand in the log.
        let call = Call::new(app, identity, key, Self::NAME, &Nothing {});
        let Self { old_password, new_password } = self;
        normalise::password(&new_password)?;
        let command = replacing(app, &call, old_password, new_password).await?;
        let changed = app
            .log()
            .transact::<User>(&StreamName::user(call.actor), &command, &call.context())
            .await
            .map_err(|error| problems::of_transaction(error, problems::of_user))?;
        let others = CloseReason::PasswordChanged;
        let after = app.log().head().await?;
        let closed = close_others(app, &call, identity.login, after, others).await?;
        Ok(Accepted::at(closed.max(changed.position)))
    }
}

/// The change from the one password to the other. A retry finds the new one there already.
async fn replacing(
    app: &App,
    call: &Call,
    old: String,
    new: String,
) -> Result<user::Command, Problem> {
    let known = app.log().load::<User>(&StreamName::user(call.actor)).await?;
    let account = known.state.account().ok_or_else(Problem::no_such_user)?;
    let hash = account.password_hash.open().cloned().ok_or_else(problems::vault_away)?;
    if app.passwords().verify(old, Some(hash.clone())).await? {
        let new = app.passwords().hash(new).await?;
        return Ok(user::Command::ChangePassword { old: hash, new });
    }
    if app.passwords().verify(new, Some(hash.clone())).await? {
        return Ok(user::Command::ChangePassword { old: hash.clone(), new: hash });
    }
    Err(problems::wrong_password())
}

/// Ends a log-in of whoever calls.
pub(super) async fn close(
    app: &App,
    call: &Call,
    login: LoginId,
    reason: CloseReason,
) -> Result<Position, Problem> {
    let command = login::Command::Close { user: call.actor, reason };
    let step = call.context().step(&format!("close {login}"));
    let closed = app.log().transact::<Login>(&StreamName::login(login), &command, &step).await;
    match closed {
        Ok(outcome) => Ok(outcome.position),
        // Of somebody else, or of nobody: which of the two is not told.
        Err(TransactError::Rejected(login::Rejection::NoSuchLogin)) => {
            Err(problems::no_such_login())
        }
        Err(error) => Err(problems::of_transaction(error, problems::of_login)),
    }
}

/// Ends every log-in of whoever calls that was opened up to a position, but one.
async fn close_others(
    app: &App,
    call: &Call,
    keep: LoginId,
    upto: Position,
    reason: CloseReason,
) -> Result<Position, Problem> {
    let mut position = upto;
    for login in open_logins(app, call, upto).await?.into_iter().filter(|login| *login != keep) {
        position = position.max(close(app, call, login, reason).await?);
    }
    Ok(position)
}

/// The log-ins of whoever calls, from the read model once it has reached the position.
async fn open_logins(app: &App, call: &Call, upto: Position) -> Result<Vec<LoginId>, Problem> {
    read_models::reach(app, &["login"], upto).await?;
    let logins: Vec<Uuid> = sqlx::query_scalar("select login_id from login where user_id = $1")
        .bind(call.actor.uuid())
        .fetch_all(app.postgres())
        .await
        .map_err(|error| problems::of_postgres(&error))?;
    Ok(logins.into_iter().map(LoginId::new).collect())
}
