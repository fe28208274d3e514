//! Logging in, staying logged in, logging out.

use domain::login::{self, Login};
use domain::reservation::Reservation;
use domain::user::{self, User};
use events::login::CloseReason;
use events::{LoginId, Moment, Position, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::limits::Class;
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Nothing, logins};
use crate::normalise::{self, Email};
use crate::refresh::RefreshToken;
use crate::{App, problems};

/// How long a refresh token is good.
pub(crate) const REFRESH_LIFETIME: chrono::Duration = chrono::Duration::days(30);

/// The body of a log-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    pub(crate) email: String,
    pub(crate) password: String,
    /// What the device is called in the list of log-ins; its `User-Agent` where it is absent.
    pub(crate) device: Option<String>,
}

/// What a device gets that logged in, or refreshed its log-in.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Session {
    pub(crate) user_id: UserId,
    pub(crate) login_id: LoginId,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    /// Seconds that the access token is good.
    pub(crate) expires_in: u64,
    pub(crate) position: Position,
}

/// Checks a password, and opens a log-in.
pub(crate) async fn log_in(app: &App, key: Uuid, mut body: LogIn) -> Result<Session, Problem> {
    let device = body.device.take().and_then(|device| normalise::device(&device));
    let (user, hash) = check_password(app, body).await?;
    app.auth().not_suspended(user).await?;
    let login = LoginId::of_request(user, key);
    let call = Call::with(app.secrets(), user, key, "session.open", &Nothing {});
    let token = RefreshToken::derive(app.secrets(), login, key);
    let command = login::Command::Open {
        login,
        user,
        refresh_digest: token.digest(),
        expires: call.now + REFRESH_LIFETIME,
        device,
    };
    let opened = app
        .log()
        .transact::<Login>(&StreamName::login(login), &command, &call.context())
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_login))?;
    // A password that was changed meanwhile has ended all log-ins that it found; not this one.
    let identity = Identity::new(user, login);
    let known = app.log().load::<User>(&StreamName::user(user)).await?;
    if passwords_differ(&known.state, &hash) {
        logins::close(app, &call, login, CloseReason::PasswordChanged).await?;
        return Err(problems::wrong_credentials());
    }
    Ok(session(app, identity, &token, call.now, opened.position))
}

fn passwords_differ(user: &User, hash: &str) -> bool {
    user.account().is_none_or(|account| account.password_hash.open().is_none_or(|now| now != hash))
}

/// Whose address and password these are, and the hash that tells so. Nothing in the answer, nor in
/// its time, tells whether the address is known: both ways read two streams and verify one hash.
/// (A hash of bcrypt takes another time, until its person has logged in once.)
async fn check_password(app: &App, body: LogIn) -> Result<(UserId, String), Problem> {
    let email = Email::parse(&body.email).map_err(|_| problems::wrong_credentials())?;
    let digest = app.secrets().name_digest("email", email.as_str());
    app.edge().check_account(Class::LogInAccount, digest.clone()).await?;
    let name = app.log().load::<Reservation>(&StreamName::email(&digest)).await?;
    let owner = name.state.owner();
    let user = owner.unwrap_or_else(|| UserId::of_sign_up(&digest, Uuid::nil()));
    let known = app.log().load::<User>(&StreamName::user(user)).await?;
    let hash = match known.state.account().map(|account| &account.password_hash) {
        Some(events::Personal::Open { value, .. }) => Some(value.clone()),
        Some(events::Personal::Sealed { .. }) => return Err(problems::vault_away()),
        Some(events::Personal::Erased { .. }) | None => None,
    };
    let good = app.passwords().verify(body.password.clone(), hash.clone()).await?;
    match hash {
        Some(hash) if good && owner.is_some() => {
            app.edge().is_account_of_client(&digest).await;
            Ok((user, upgraded(app, user, body.password, hash).await))
        }
        Some(_) | None => Err(problems::wrong_credentials()),
    }
}

/// The hash of a password that was just verified, as it stands in the log afterwards: an old kind
/// of hash is replaced while the password is at hand. Failing at that keeps nobody out.
async fn upgraded(app: &App, user: UserId, password: String, old: String) -> String {
    if app.passwords().is_current(&old) {
        return old;
    }
    let Ok(new) = app.passwords().hash(password).await else { return old };
    #[expect(
        clippy::disallowed_methods,
        reason = "no request asks for it: it has a key of its own"
    )]
    let call = Call::with(app.secrets(), user, Uuid::new_v4(), "user.rehash", &Nothing {});
    let command = user::Command::Rehash { old: old.clone(), new: new.clone() };
    let stream = StreamName::user(user);
    match app.log().transact::<User>(&stream, &command, &call.context()).await {
        Ok(_) => new,
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(user.id = %user, cause, "a password hash was not upgraded");
            old
        }
    }
}

/// Replaces a refresh token and issues the next access token.
///
/// A token that was replaced before ends the log-in, because two hold it. The same key again gets
/// the same refresh token, as long as that one is the newest.
pub(crate) async fn refresh(app: &App, key: Uuid, shown: &str) -> Result<Session, Problem> {
    let shown = RefreshToken::parse(shown).ok_or_else(problems::wrong_refresh_token)?;
    let stream = StreamName::login(shown.login);
    let known = app.log().load::<Login>(&stream).await?;
    let user = known.state.user().ok_or_else(problems::wrong_refresh_token)?;
    app.auth().not_suspended(user).await?;
    let call = Call::with(app.secrets(), user, key, "session.refresh", &shown.digest());
    let next = RefreshToken::derive(app.secrets(), shown.login, key);
    let command = login::Command::Refresh {
        shown_digest: shown.digest(),
        next_digest: next.digest(),
        now: call.now,
        expires: call.now + REFRESH_LIFETIME,
    };
    let transact = async |context| {
        app.log()
            .transact::<Login>(&stream, &command, &context)
            .await
            .map_err(|error| problems::of_transaction(error, problems::of_login))
    };
    let refreshed = transact(call.context()).await?;
    // What was appended may be the end of the log-in.
    match &*app.log().load::<Login>(&stream).await?.state {
        Login::Open { refresh_digest, .. } if refresh_digest.open() == Some(&next.digest()) => {
            let identity = Identity::new(user, shown.login);
            Ok(session(app, identity, &next, call.now, refreshed.position))
        }
        Login::Open { refresh_digest, .. } if refresh_digest.open().is_none() => {
            Err(problems::vault_away())
        }
        Login::Open { .. } => {
            // A repeat with its old key, after the token it got was replaced as well: to hand out
            // an access token for it would let an old request be replayed.
            transact(call.context().step("reused")).await?;
            Err(problems::refresh_reused())
        }
        Login::Closed { .. } => Err(problems::refresh_reused()),
        Login::None | Login::Token(_) => Err(problems::wrong_refresh_token()),
    }
}

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<CloseSession>()];

/// `session.close`: logs out, which ends the log-in that asks for it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseSession {}

impl Command for CloseSession {
    const NAME: &'static str = "session.close";
    const ENDS_LOGIN: bool = true;

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let position = logins::close(app, &call, identity.login, CloseReason::LoggedOut).await?;
        Ok(Accepted::at(position))
    }
}

fn session(
    app: &App,
    identity: Identity,
    token: &RefreshToken,
    now: Moment,
    position: Position,
) -> Session {
    Session {
        user_id: identity.user,
        login_id: identity.login,
        access_token: app.tokens().issue(identity, now),
        refresh_token: token.to_string(),
        expires_in: service::auth::LIFETIME.as_secs(),
        position,
    }
}
