//! The end of an account, and what forbids it: erasure and legal holds.

use std::fmt;

use domain::hold::{self, Hold};
use domain::user::{self, Erase, User};
use event_log::{EventLog, Opened};
use events::hold::Held;
use events::user::PlatformRole;
use events::{ConversationId, DomainEvent, Position, StreamName, UserEvent, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use sqlx::{PgPool, Postgres, Transaction};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moderation::{Admins, role_of};
use super::{Accepted, Call, Command, Entry};
use crate::normalise::{Email, Handle};
use crate::{App, problems, read_models};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<EraseUser>(), Entry::of::<PlaceHold>(), Entry::of::<ReleaseHold>()];

/// What an order looks at beside the person's own stream.
const READ_MODELS: &[&str] = &["legal_hold", "member", "message"];

/// `user.erase`: destroys everything of a person, for good.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseUser {
    /// Who: oneself, or anybody for an admin of the platform.
    pub(crate) user: UserId,
    /// One's own password, if it is oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

/// Shows no password.
impl fmt::Debug for EraseUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EraseUser").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Command for EraseUser {
    const NAME: &'static str = "user.erase";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let Self { user, password } = self;
        // Not the password: a digest of it that can be computed fast must not stand in the log.
        let call = Call::new(app, identity, key, Self::NAME, &user);
        let _turn = take_turn(app.postgres()).await?;
        let (by, by_role) = (call.actor, role_of(app, call.actor).await?);
        if by == user {
            confirm(app, user, password).await?;
        } else if by_role < PlatformRole::Admin {
            return Err(problems::of_user(user::Rejection::NotAdmin));
        }
        if role_of(app, user).await? < PlatformRole::Admin {
            let order = order(app.log(), app.postgres(), user, by, by_role).await?;
            return append(app.log(), user, order, &call).await;
        }
        // Two admins who erase each other would leave none, so one after the other.
        let others = Admins::lock(app).await?;
        let erased = async {
            let last_admin = others.are_none_but(app, user).await?;
            let order = order(app.log(), app.postgres(), user, by, by_role).await?;
            append(app.log(), user, Erase { last_admin, ..order }, &call).await
        };
        let erased = erased.await;
        others.unlock().await;
        erased
    }
}

async fn confirm(app: &App, user: UserId, password: Option<String>) -> Result<(), Problem> {
    let known = app.log().load::<User>(&StreamName::user(user)).await?;
    let account = known.state.account().ok_or_else(Problem::no_such_user)?;
    let hash = account.password_hash.open().cloned().ok_or_else(problems::vault_away)?;
    match app.passwords().verify(password.unwrap_or_default(), Some(hash)).await? {
        true => Ok(()),
        false => Err(problems::wrong_password()),
    }
}

/// Erases somebody as the operator of the deployment; what follows is the projector's work.
///
/// # Errors
/// When there is no such person, a legal hold is in force, or a server is away.
pub async fn erase_as_operator(
    log: &EventLog,
    postgres: &PgPool,
    user: UserId,
) -> Result<Position, Problem> {
    let _turn = take_turn(postgres).await?;
    let operator = UserId::new(Uuid::nil());
    let key = Uuid::new_v5(&user.uuid(), b"roundtable erase");
    let call = Call::with(log.secrets(), operator, key, EraseUser::NAME, &user);
    let order = order(log, postgres, user, operator, PlatformRole::Admin).await?;
    append(log, user, order, &call).await.map(|accepted| accepted.position)
}

/// The right to decide on a hold or an erasure, which one command in the whole deployment has at a
/// time: an erasure that was decided before a hold must not be recorded after it. It ends when it is
/// dropped.
pub struct Turn(#[expect(dead_code, reason = "it is held")] Transaction<'static, Postgres>);

/// Waits for one's turn.
///
/// # Errors
/// 503 when Postgres does not answer, or others take too long.
pub async fn take_turn(postgres: &PgPool) -> Result<Turn, Problem> {
    let taking = async {
        let mut transaction = postgres.begin().await?;
        sqlx::query("set local lock_timeout = '5s'").execute(&mut *transaction).await?;
        sqlx::query("select pg_advisory_xact_lock(hashtext('roundtable holds'))")
            .execute(&mut *transaction)
            .await?;
        Ok(Turn(transaction))
    };
    taking.await.map_err(|error: sqlx::Error| problems::of_postgres(&error))
}

async fn append(
    log: &EventLog,
    user: UserId,
    order: Erase,
    call: &Call,
) -> Result<Accepted, Problem> {
    let command = user::Command::Erase(order);
    log.transact::<User>(&StreamName::user(user), &command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_user))
}

/// What has to be known to erase somebody.
async fn order(
    log: &EventLog,
    postgres: &PgPool,
    user: UserId,
    by: UserId,
    by_role: PlatformRole,
) -> Result<Erase, Problem> {
    let head = log.head().await?;
    read_models::reach_in(postgres, READ_MODELS, head).await?;
    let conversations: Vec<Uuid> =
        sqlx::query_scalar("select conversation_id from member where user_id = $1 order by 1")
            .bind(user.uuid())
            .fetch_all(postgres)
            .await
            .map_err(|error| problems::of_postgres(&error))?;
    // Of a conversation that is kept, what its people said is kept, also of those who left.
    let spoke_where_held: bool = sqlx::query_scalar(
        "select exists (
           select from legal_hold h where h.held_kind = 'conversation' and (
             exists (select from member m where m.conversation_id = h.held_id and m.user_id = $1)
             or exists (select from message m
                        where m.conversation_id = h.held_id and m.sender_id = $1)))",
    )
    .bind(user.uuid())
    .fetch_one(postgres)
    .await
    .map_err(|error| problems::of_postgres(&error))?;
    let own = log.load::<Hold>(&StreamName::hold(Held::User(user))).await?;
    Ok(Erase {
        by,
        by_role,
        last_admin: false,
        held: spoke_where_held || own.state.is_in_force(),
        conversations: conversations.into_iter().map(ConversationId::new).collect(),
        names: names(log, user).await?,
    })
}

/// The streams of the reservations of somebody's address and handle. Whoever is erased already has
/// none that could be read.
async fn names(log: &EventLog, user: UserId) -> Result<Vec<String>, Problem> {
    let Some(first) = log.read_stream(&StreamName::user(user), 0).await?.into_iter().next() else {
        return Ok(vec![]);
    };
    let Ok(Opened::Ours(event)) = log.open(&first).await else {
        return Err(problems::vault_away());
    };
    let DomainEvent::User(UserEvent::SignedUp { email, handle, .. }) = event.event else {
        return Ok(vec![]);
    };
    let (Some(email), Some(handle)) = (email.open(), handle.open()) else { return Ok(vec![]) };
    let secrets = log.secrets();
    let (email, handle) = (Email::parse(email)?, Handle::parse(handle)?);
    Ok(vec![
        StreamName::email(&secrets.name_digest("email", email.as_str())).as_str().to_owned(),
        StreamName::handle(&secrets.name_digest("handle", handle.as_str())).as_str().to_owned(),
    ])
}

/// `hold.place`: keeps a person or a conversation for a legal matter, as an admin of the platform.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceHold {
    pub(crate) held: Held,
    /// The matter, as the people who look after it call it; no personal data.
    pub(crate) matter: String,
}

impl Command for PlaceHold {
    const NAME: &'static str = "hold.place";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        change(app, &call, self.held, self.matter, true).await
    }
}

/// `hold.release`: a matter needs it no more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseHold {
    pub(crate) held: Held,
    /// The matter.
    pub(crate) matter: String,
}

impl Command for ReleaseHold {
    const NAME: &'static str = "hold.release";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        change(app, &call, self.held, self.matter, false).await
    }
}

async fn change(
    app: &App,
    call: &Call,
    held: Held,
    matter: String,
    keep: bool,
) -> Result<Accepted, Problem> {
    let _turn = take_turn(app.postgres()).await?;
    let by_role = role_of(app, call.actor).await?;
    let command = hold::Command { held, matter, by: call.actor, by_role, keep };
    app.log()
        .transact::<Hold>(&StreamName::hold(held), &command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_hold))
}
