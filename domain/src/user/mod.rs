//! A person: signs up once, says what others see, is appointed, suspended, notified, and erased.

mod account;
mod command;
mod erasure;
mod moderation;
mod profile;
mod push;
#[cfg(test)]
mod tests;

use events::{Personal, UserEvent};

use crate::Decider;
pub use account::{Account, Subscription, Suspension};
pub use command::{Command, Rejection};
pub use erasure::{Erase, Erasure};
pub use profile::{PRESETS, Profile};
pub use push::MAX_SUBSCRIPTIONS;

/// What is known of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    account: Option<Account>,
    erasure: Option<Erasure>,
}

impl User {
    /// The account, once the person signed up.
    pub const fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// What is left of it, once the person was erased.
    pub const fn erasure(&self) -> Option<Erasure> {
        self.erasure
    }
}

impl Decider for User {
    type Command = Command;
    type Event = UserEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<UserEvent>, Rejection> {
        if let Some(erasure) = self.erasure {
            return erasure.decide(command);
        }
        if let Command::SignUp { user, email, handle, name, password_hash } = command {
            if self.account.is_some() {
                return Err(Rejection::AlreadySignedUp);
            }
            profile::valid_name(name)?;
            let personal = |text: &String| Personal::new(*user, text.clone());
            return Ok(vec![UserEvent::SignedUp {
                user: *user,
                email: personal(email),
                handle: personal(handle),
                name: personal(name),
                password_hash: personal(password_hash),
            }]);
        }
        self.account.as_ref().ok_or(Rejection::NoSuchUser)?.decide(command)
    }

    fn evolve(mut self, event: &UserEvent) -> Self {
        match (&mut self.account, event) {
            (account, UserEvent::Erased { user, .. }) => {
                *account = None;
                self.erasure = Some(Erasure { user: *user, certified: false });
            }
            (_, UserEvent::ErasureCertified { .. }) => {
                self.erasure = self.erasure.map(|erasure| Erasure { certified: true, ..erasure });
            }
            (account, UserEvent::SignedUp { user, name, password_hash, .. }) => {
                *account = Some(Account::new(*user, name.clone(), password_hash.clone()));
            }
            (Some(account), event) => account.evolve(event),
            (None, _) => {}
        }
        self
    }
}
