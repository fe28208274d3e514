//! People who bring an account from elsewhere, with the hash of their password.

use domain::Decider;
use domain::user::{Command, User};
use event_log::EventLog;
use events::{StreamName, UserId};
use serde::Deserialize;
use service::Problem;
use uuid::Uuid;

use crate::commands::{Call, users};
use crate::normalise::{Email, Handle};
use crate::{passwords, problems};

/// Somebody with an account elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedUser {
    /// Their e-mail address.
    pub email: String,
    /// Their handle.
    pub handle: String,
    /// The name that others see.
    pub name: String,
    /// The hash of their password: Argon2 as a PHC string, or bcrypt (`$2a$`, `$2b$`, `$2y$`).
    pub password_hash: String,
}

/// What became of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// They have an account now.
    New(UserId),
    /// They had it from an import before; it stays as it is.
    There(UserId),
}

/// Makes the account of somebody whose password is known by its hash only. The hash is replaced by
/// one of ours when they log in. The same address again is the same person.
///
/// # Errors
/// When a value is wrong, a name is somebody else's, or the log is away.
pub async fn import_user(log: &EventLog, who: &ImportedUser) -> Result<Imported, Problem> {
    let secrets = log.secrets();
    let email = Email::parse(&who.email)?;
    let handle = Handle::parse(&who.handle)?;
    if !passwords::is_known(&who.password_hash) {
        return Err(Problem::invalid("`password_hash` must be of Argon2, or of bcrypt"));
    }
    let digest = secrets.name_digest("email", email.as_str());
    // An import that was interrupted goes on where it stopped.
    let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("roundtable:import:{digest}").as_bytes());
    let user = UserId::of_sign_up(&digest, key);
    let call = Call::with(secrets, user, key, "user.import", &(email.as_str(), handle.as_str()));
    let sign_up = Command::SignUp {
        user,
        email: email.as_str().to_owned(),
        handle: handle.as_str().to_owned(),
        name: who.name.clone(),
        password_hash: who.password_hash.clone(),
    };
    User::default().decide(&sign_up).map_err(problems::of_user)?;

    let names = (
        StreamName::email(&digest),
        StreamName::handle(&secrets.name_digest("handle", handle.as_str())),
    );
    let stream = StreamName::user(user);
    let known = log.load::<User>(&stream).await?;
    if known.state.account().is_some() {
        users::confirm_both(log, &call, &names.0, &names.1).await?;
        return Ok(Imported::There(user));
    }
    users::hold_both(log, &call, &names.0, &names.1).await?;
    log.transact::<User>(&stream, &sign_up, &call.context())
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_user))?;
    users::confirm_both(log, &call, &names.0, &names.1).await?;
    Ok(Imported::New(user))
}
