//! Commands about API tokens: log-ins without a password, for programs that act as their owner.

use std::fmt;

use domain::login::{self, Login};
use event_log::TransactError;
use events::login::CloseReason;
use events::{LoginId, Moment, Scope, StreamName};
use serde::{Deserialize, Serialize};
use service::auth::ApiToken;
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<MakeToken>(), Entry::of::<RevokeToken>()];

/// How many tokens a person may have. It is counted in the read model, so that of many at once a few
/// more may come to be.
const MAX_TOKENS: i64 = 50;

/// A new API token. It is told once.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct NewToken {
    /// The token's id, by which it is listed and revoked.
    pub(crate) id: LoginId,
    /// The token itself: `rtk_` and 80 hex digits.
    #[schema(value_type = String)]
    pub(crate) token: ApiToken,
}

impl PartialEq for NewToken {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for NewToken {}

/// `token.make`: makes an API token, with which a program may do as the person does, as far as its
/// scopes go.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeToken {
    /// What the person calls it: 1 to 100 characters.
    pub(crate) name: String,
    /// What it may be used for.
    #[schema(min_items = 1)]
    pub(crate) scopes: Vec<Scope>,
    /// Until when it may be used; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires: Option<Moment>,
}

/// Shows no name.
impl fmt::Debug for MakeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeToken").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl Command for MakeToken {
    const NAME: &'static str = "token.make";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let login = LoginId::of_token(call.actor, key);
        must_have_room(app, &call, login).await?;
        let token = ApiToken::derive(app.secrets(), login, key);
        let Self { name, scopes, expires } = self;
        let command = login::Command::MakeToken {
            login,
            user: call.actor,
            name,
            digest: token.digest(app.secrets()),
            scopes,
            expires,
            now: call.now,
        };
        let stream = StreamName::login(login);
        let made = app.log().transact::<Login>(&stream, &command, &call.context()).await;
        let made = made.map_err(|error| problems::of_transaction(error, problems::of_login))?;
        Ok(Accepted::at(made.position).made(Made::ApiToken(NewToken { id: login, token })))
    }
}

/// Refuses one token too many. A repeat has its place already.
async fn must_have_room(app: &App, call: &Call, login: LoginId) -> Result<(), Problem> {
    let tokens: i64 =
        sqlx::query_scalar("select count(*) from api_token where user_id = $1 and token_id <> $2")
            .bind(call.actor.uuid())
            .bind(login.uuid())
            .fetch_one(app.postgres())
            .await
            .map_err(|error| problems::of_postgres(&error))?;
    if tokens < MAX_TOKENS { Ok(()) } else { Err(problems::too_many_tokens()) }
}

/// `token.revoke`: lets a token be used no more, at once and everywhere; its sockets end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeToken {
    /// Which one.
    pub(crate) token: LoginId,
}

impl Command for RevokeToken {
    const NAME: &'static str = "token.revoke";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let stream = StreamName::login(self.token);
        let known = app.log().load::<Login>(&stream).await?;
        // A log-in of a device is no token, and ended in another way.
        if matches!(&*known.state, Login::Open { .. }) {
            return Err(problems::no_such_token());
        }
        let command = login::Command::Close { user: call.actor, reason: CloseReason::Revoked };
        match app.log().transact::<Login>(&stream, &command, &call.context()).await {
            Ok(outcome) => Ok(Accepted::at(outcome.position)),
            // Of somebody else, or of nobody: which of the two is not told.
            Err(TransactError::Rejected(login::Rejection::NoSuchLogin)) => {
                Err(problems::no_such_token())
            }
            Err(error) => Err(problems::of_transaction(error, problems::of_login)),
        }
    }
}
