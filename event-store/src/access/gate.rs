//! The gate that calls pass: who makes them, and whether they may.
//!
//! For a service it is one line for a call that does one thing:
//!
//! ```text
//! self.access.authorize(request.metadata(), Operation::Write(&stream)).await?;
//! ```
//!
//! A call that lasts, or does several things, is admitted once and asks before each of them; so a
//! user who is disabled or given another password in the middle of it gets no further:
//!
//! ```text
//! let visit = self.access.admit(request.metadata()).await?;
//! visit.check(Operation::Write(&stream)).await?;
//! ```
//!
//! In insecure mode both return at once: neither the credentials nor the lists are looked at.

use std::sync::Arc;

use super::{
    Refusal,
    acl::{Acl, Defaults, Permission, Who, allows},
    directory::{self, Directory},
    newest::Newest,
    password::{self, Passwords},
    user::{self, User},
};
use crate::{
    Error,
    config::{Credentials, Password},
    engine::Engine,
    grpc::Fault,
    metadata,
};

/// The stream of the default lists.
const SETTINGS: &[u8] = b"$settings";

/// What a caller wants to do. Streams are given by their names; whoever reads, writes or deletes a
/// metadata stream `$$x` needs the permission for the metadata of `x`, which the gate sees to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// Reading a stream, subscribing to it, consuming it through a persistent subscription.
    Read(&'a [u8]),
    /// Reading or following the whole log, in whatever way.
    ReadAll,
    Write(&'a [u8]),
    /// Deleting or tombstoning.
    Delete(&'a [u8]),
    /// Asking how the store and its subscriptions are: every user.
    Inspect,
    /// Running the store, and making, changing, replaying and deleting persistent subscriptions:
    /// the groups `$ops` and `$admins`.
    Operate,
    /// Managing users: the group `$admins`.
    ManageUsers,
}

/// Decides about calls. There is one for each store.
pub(crate) struct Gate {
    required: bool,
    engine: Arc<Engine>,
    directory: Directory,
    passwords: Passwords,
    lists: Newest<Acl>,
    settings: Newest<Defaults>,
}

/// A login name and a password, as a caller gave them.
pub(crate) struct Presented {
    pub(crate) login: String,
    pub(crate) password: Password,
}

/// Who makes a call.
#[derive(Clone)]
enum Caller {
    /// Anybody, in insecure mode.
    Trusted,
    Anonymous,
    /// With the hash of the password that was right when the call began.
    User {
        login: String,
        hash: String,
    },
}

/// A call that was admitted.
#[derive(Clone)]
pub(crate) struct Visit {
    gate: Arc<Gate>,
    caller: Caller,
}

impl Gate {
    /// Makes the gate, and the first users when credentials are required. It blocks.
    pub(crate) fn open(engine: Arc<Engine>) -> Result<Self, Error> {
        let gate = Self {
            required: engine.config.credentials.is_some(),
            directory: Directory::new(Arc::clone(&engine)),
            passwords: Passwords::new(),
            lists: Newest::new(|record| Acl::of_metadata(&record.data)),
            settings: Newest::new(|record| Defaults::of_settings(&record.data)),
            engine,
        };
        if let Some(credentials) = &gate.engine.config.credentials {
            gate.first_users(credentials)?;
        }
        Ok(gate)
    }

    fn first_users(&self, credentials: &Credentials) -> Result<(), Error> {
        let built_in = [
            ("admin", "The first administrator", super::acl::ADMINS, &credentials.admin_password),
            ("ops", "The first operator", super::acl::OPERATORS, &credentials.ops_password),
        ];
        for (login, full_name, group, password) in built_in {
            if let Some(password) = password {
                user::check_password(password.reveal()).map_err(Error::Configuration)?;
            }
            let user = || {
                Some(User {
                    login_name: login.to_owned(),
                    full_name: full_name.to_owned(),
                    groups: vec![group.to_owned()],
                    disabled: false,
                    hash: password::hash(password.as_ref()?.reveal()),
                })
            };
            let there = self.directory.ensure(login, user).map_err(|fault| {
                let status = tonic::Status::from(fault);
                Error::Configuration(format!("cannot add the user {login}: {}", status.message()))
            })?;
            if !there && group == super::acl::ADMINS {
                let message = "credentials are required, but there is no user admin yet and no \
                               password for it is configured";
                return Err(Error::Configuration(message.to_owned()));
            }
        }
        Ok(())
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Whether calls need credentials.
    pub(crate) fn is_closed(&self) -> bool {
        self.required
    }

    /// Lets a call in: with good credentials as that user, without any as nobody.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        presented: Option<Presented>,
    ) -> Result<Visit, Fault> {
        let caller = match presented {
            _ if !self.required => Caller::Trusted,
            None => Caller::Anonymous,
            Some(Presented { login, password }) => {
                let found = self.directory.find(&login).await?;
                let user = found.as_ref().map(|found| (found.place.position, found.user()));
                let good = self.passwords.verify(&login, password.reveal(), user).await?;
                match user {
                    Some((_, user)) if good && !user.disabled => {
                        Caller::User { login, hash: user.hash.clone() }
                    }
                    _ => return Err(Refusal::Unauthenticated.into()),
                }
            }
        };
        Ok(Visit { gate: Arc::clone(self), caller })
    }

    async fn allows(&self, who: Who<'_>, operation: Operation<'_>) -> Result<bool, Fault> {
        use Permission as P;
        let (stream, permission, of_metadata) = match operation {
            Operation::Inspect => return Ok(matches!(who, Who::User { .. })),
            Operation::Operate => return Ok(who.is_operator()),
            Operation::ManageUsers => return Ok(who.is_admin()),
            Operation::ReadAll => (&b"$all"[..], P::Read, P::ReadMetadata),
            Operation::Read(stream) => (stream, P::Read, P::ReadMetadata),
            Operation::Write(stream) => (stream, P::Write, P::WriteMetadata),
            // Metadata that is deleted restricts nobody: it is as good as written anew.
            Operation::Delete(stream) => (stream, P::Delete, P::WriteMetadata),
        };
        if who.is_admin() {
            return Ok(true);
        }
        let (stream, permission) = match subject(stream) {
            Some(described) => (described, of_metadata),
            None => (stream, permission),
        };
        if directory::is_guarded(stream) {
            return Ok(false);
        }
        let own = self.lists.of(&self.engine, &metadata::metadata_stream(stream)).await?;
        let own = own.map(|(_, own)| own).unwrap_or_default();
        let defaults = self.settings.of(&self.engine, SETTINGS).await?;
        let defaults = defaults.map(|(_, defaults)| defaults).unwrap_or_default();
        Ok(allows(who, permission, stream, &own, &defaults))
    }
}

/// The stream that a metadata stream describes, and the one that this describes, and so on: the
/// metadata of metadata has no list of its own.
fn subject(stream: &[u8]) -> Option<&[u8]> {
    let mut subject = metadata::described(stream)?;
    while let Some(described) = metadata::described(subject) {
        subject = described;
    }
    Some(subject)
}

impl Visit {
    /// Whether nothing is asked of this caller.
    pub(crate) fn is_trusted(&self) -> bool {
        matches!(self.caller, Caller::Trusted)
    }

    /// The login name of the caller, when there is one.
    pub(crate) fn login(&self) -> Option<&str> {
        match &self.caller {
            Caller::Trusted | Caller::Anonymous => None,
            Caller::User { login, .. } => Some(login),
        }
    }

    /// Refuses what the caller may not do now.
    pub(crate) async fn check(&self, operation: Operation<'_>) -> Result<(), Fault> {
        if self.may(operation).await? { Ok(()) } else { Err(Refusal::Denied.into()) }
    }

    /// Whether the caller may do this now. A user who is gone, disabled or has another password
    /// since the call began is refused.
    pub(crate) async fn may(&self, operation: Operation<'_>) -> Result<bool, Fault> {
        match &self.caller {
            Caller::Trusted => Ok(true),
            Caller::Anonymous => self.gate.allows(Who::Anonymous, operation).await,
            Caller::User { login, hash } => {
                let found = self.gate.directory.find(login).await?;
                match found.as_ref().map(directory::Found::user) {
                    Some(user) if !user.disabled && user.hash == *hash => {
                        self.gate.allows(user.who(), operation).await
                    }
                    _ => Err(Refusal::Unauthenticated.into()),
                }
            }
        }
    }
}
