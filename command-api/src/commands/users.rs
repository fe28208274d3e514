//! Signing up, and what others see of a person.

use domain::Decider;
use domain::file::File;
use domain::reservation::{self, Reservation};
use domain::user::{self, User};
use event_log::EventLog;
use events::user::Avatar;
use events::{Position, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry};
use crate::normalise::{self, Email, Handle};
use crate::{App, problems};

/// How long a name is held for a sign-up that was not finished.
const HOLD: chrono::Duration = chrono::Duration::minutes(15);

/// The body of a sign-up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUp {
    pub(crate) email: String,
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) password: String,
}

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<ChangeProfile>(), Entry::of::<CompleteOnboarding>()];

/// `user.change_profile`: changes what others see of a person; what is absent stays.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeProfile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// An empty text is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bio: Option<String>,
    /// A tag of BCP 47, as `en` or `pt-BR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) native_language: Option<String>,
    /// A tag of BCP 47, as `en` or `pt-BR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learning_language: Option<String>,
    /// In one's own words. An empty text is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) avatar: Option<Avatar>,
}

impl Command for ChangeProfile {
    const NAME: &'static str = "user.change_profile";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { name, bio, native_language, learning_language, location, avatar } = self;
        let owns_avatar = owns(app, call.actor, avatar).await?;
        let profile = user::Profile {
            name,
            bio,
            native_language,
            learning_language,
            location,
            avatar,
            owns_avatar,
        };
        transact(app, &call, &user::Command::ChangeProfile(profile)).await
    }
}

/// `user.complete_onboarding`: tells everything that others need to find a person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteOnboarding {
    pub(crate) name: String,
    pub(crate) bio: String,
    /// A tag of BCP 47, as `en` or `pt-BR`.
    pub(crate) native_language: String,
    /// A tag of BCP 47, as `en` or `pt-BR`.
    pub(crate) learning_language: String,
    /// In one's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) avatar: Option<Avatar>,
}

impl Command for CompleteOnboarding {
    const NAME: &'static str = "user.complete_onboarding";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let owns_avatar = owns(app, call.actor, self.avatar).await?;
        let profile = user::Profile {
            name: Some(self.name),
            bio: Some(self.bio),
            native_language: Some(self.native_language),
            learning_language: Some(self.learning_language),
            location: self.location,
            avatar: self.avatar,
            owns_avatar,
        };
        transact(app, &call, &user::Command::Onboard(profile)).await
    }
}

/// Whether a picture, if it is a file, is one that the person uploaded as an avatar. It may have
/// been uploaded a moment ago through another process, so the stream itself is asked.
async fn owns(app: &App, user: UserId, avatar: Option<Avatar>) -> Result<bool, Problem> {
    match avatar {
        Some(Avatar::File(file)) => {
            let file = app.log().load::<File>(&StreamName::file(file)).await?;
            Ok(file.state.belongs_to(user, None))
        }
        Some(Avatar::Preset(_)) | None => Ok(false),
    }
}

/// Somebody who signed up.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct SignedUp {
    pub(crate) id: UserId,
    pub(crate) position: Position,
}

/// Signs somebody up: holds the address and the handle, makes the account, confirms both.
///
/// A crash between two steps leaves names that are held for a quarter of an hour. The same key
/// goes on where it stopped.
pub(crate) async fn sign_up(app: &App, key: Uuid, body: SignUp) -> Result<SignedUp, Problem> {
    let email = Email::parse(&body.email)?;
    let handle = Handle::parse(&body.handle)?;
    normalise::password(&body.password)?;
    let digest = app.secrets().name_digest("email", email.as_str());
    let email_stream = StreamName::email(&digest);
    let handle_stream = StreamName::handle(&app.secrets().name_digest("handle", handle.as_str()));
    let user = UserId::of_sign_up(&digest, key);
    // Not the password: a digest that can be computed fast must not stand in the log.
    let hashed = (email.as_str(), handle.as_str(), &body.name);
    let call = Call::with(app.secrets(), user, key, "user.sign_up", &hashed);
    let sign_up = |password_hash: String| user::Command::SignUp {
        user,
        email: email.as_str().to_owned(),
        handle: handle.as_str().to_owned(),
        name: body.name.clone(),
        password_hash,
    };
    // What is refused in any case is refused before a name is held for it.
    User::default().decide(&sign_up(String::new())).map_err(problems::of_user)?;

    if !was_made(app, &call, &body.password, sign_up(String::new())).await? {
        hold_both(app.log(), &call, &email_stream, &handle_stream).await?;
        let hash = app.passwords().hash(body.password.clone()).await?;
        transact(app, &call, &sign_up(hash)).await?;
    }
    let position = confirm_both(app.log(), &call, &email_stream, &handle_stream).await?;
    Ok(SignedUp { id: user, position })
}

/// Holds both names of a new person, or neither.
pub(crate) async fn hold_both(
    log: &EventLog,
    call: &Call,
    email: &StreamName,
    handle: &StreamName,
) -> Result<(), Problem> {
    hold(log, call, email, "email-taken").await?;
    if let Err(problem) = hold(log, call, handle, "handle-taken").await {
        release(log, call, email).await?;
        return Err(problem);
    }
    Ok(())
}

/// Makes both names theirs for good.
pub(crate) async fn confirm_both(
    log: &EventLog,
    call: &Call,
    email: &StreamName,
    handle: &StreamName,
) -> Result<Position, Problem> {
    confirm(log, call, email, "email-taken").await?;
    confirm(log, call, handle, "handle-taken").await
}

/// Whether an earlier try with this key made the account already. Then the body has to be the
/// same, and the password as well, which the digest of the body does not cover.
async fn was_made(
    app: &App,
    call: &Call,
    password: &str,
    sign_up: user::Command,
) -> Result<bool, Problem> {
    let loaded = app.log().load::<User>(&StreamName::user(call.actor)).await?;
    let Some(account) = loaded.state.account() else { return Ok(false) };
    let hash = account.password_hash.open().cloned();
    if !app.passwords().verify(password.to_owned(), hash).await? {
        return Err(Problem::key_reused());
    }
    // The stream remembers the key: it appends nothing, and refuses another body.
    transact(app, call, &sign_up).await.map(|_| true)
}

async fn transact(app: &App, call: &Call, command: &user::Command) -> Result<Accepted, Problem> {
    app.log()
        .transact::<User>(&StreamName::user(call.actor), command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_user))
}

/// Holds a name for a sign-up, if it is not held for it already.
///
/// The key of each step follows from the stream's revision as well, so that a name that was given
/// back or has run out since the first try can be held again with the same command.
async fn hold(
    log: &EventLog,
    call: &Call,
    stream: &StreamName,
    taken: &'static str,
) -> Result<(), Problem> {
    let loaded = log.load::<Reservation>(stream).await?;
    let (user, now) = (call.actor, call.now);
    let mut revision = loaded.revision;
    match *loaded.state {
        Reservation::Taken { user: owner } if owner == user => return Ok(()),
        Reservation::Held { user: holder, until } if holder == user && now < until => return Ok(()),
        Reservation::Held { user: holder, .. } if holder == user => {
            release(log, call, stream).await?;
            revision = revision.map(|revision| revision + 1);
        }
        Reservation::Free | Reservation::Held { .. } | Reservation::Taken { .. } => {}
    }
    let command = reservation::Command::Reserve { user, now, until: now + HOLD };
    let step = call.context().step(&format!("hold {revision:?}"));
    reserve(log, stream, &command, step, taken).await.map(|_| ())
}

/// Gives a held name back.
async fn release(log: &EventLog, call: &Call, stream: &StreamName) -> Result<(), Problem> {
    let revision = log.load::<Reservation>(stream).await?.revision;
    let command = reservation::Command::Release { user: call.actor };
    let step = call.context().step(&format!("release {revision:?}"));
    reserve(log, stream, &command, step, "name-taken").await.map(|_| ())
}

async fn confirm(
    log: &EventLog,
    call: &Call,
    stream: &StreamName,
    taken: &'static str,
) -> Result<Position, Problem> {
    let command = reservation::Command::Confirm { user: call.actor };
    reserve(log, stream, &command, call.context().step("confirm"), taken).await
}

async fn reserve(
    log: &EventLog,
    stream: &StreamName,
    command: &reservation::Command,
    step: event_log::Context,
    taken: &'static str,
) -> Result<Position, Problem> {
    log.transact::<Reservation>(stream, command, &step)
        .await
        .map(|outcome| outcome.position)
        .map_err(|error| {
            problems::of_transaction(error, |rejection| problems::of_reservation(rejection, taken))
        })
}

/// Refuses what is about a person who does not exist.
pub(crate) async fn must_exist(app: &App, user: UserId) -> Result<(), Problem> {
    let known = app.log().state::<User>(&StreamName::user(user)).await?;
    known.state.account().map(|_| ()).ok_or_else(Problem::no_such_user)
}
