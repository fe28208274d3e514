//! The account of a person who signed up.

use std::collections::BTreeMap;

use events::user::{Avatar, PlatformRole};
use events::{Moment, Personal, Position, PushId, UserEvent, UserId};

use super::{Command, Rejection};

pub(super) type Decision = Result<Vec<UserEvent>, Rejection>;

/// A person who signed up.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Who.
    pub user: UserId,
    /// The name that others see.
    pub name: Personal<String>,
    /// The text about oneself.
    pub bio: Option<Personal<String>>,
    /// The language they speak.
    pub native_language: Option<Personal<String>>,
    /// The language they learn.
    pub learning_language: Option<Personal<String>>,
    /// Where they are.
    pub location: Option<Personal<String>>,
    /// Their picture.
    pub avatar: Option<Avatar>,
    /// Whether they told everything that others need.
    pub onboarded: bool,
    /// The password's hash, as a PHC string.
    pub password_hash: Personal<String>,
    /// What they may do on the whole platform.
    pub role: PlatformRole,
    /// Why they may do nothing, where that is so.
    pub suspension: Option<Suspension>,
    /// The browsers that get notifications.
    pub subscriptions: BTreeMap<PushId, Subscription>,
    /// Up to where all notifications were seen.
    pub notifications_read: Position,
}

/// That somebody may do nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspension {
    /// Until when; for good when absent.
    pub until: Option<Moment>,
    /// Why.
    pub reason: Personal<String>,
}

/// A browser that gets notifications.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Where to send to.
    pub endpoint: Personal<String>,
    /// The browser's public key.
    pub p256dh: Personal<String>,
    /// The shared secret.
    pub auth: Personal<String>,
}

impl Account {
    pub(super) const fn new(
        user: UserId,
        name: Personal<String>,
        password_hash: Personal<String>,
    ) -> Self {
        Self {
            user,
            name,
            bio: None,
            native_language: None,
            learning_language: None,
            location: None,
            avatar: None,
            onboarded: false,
            password_hash,
            role: PlatformRole::User,
            suspension: None,
            subscriptions: BTreeMap::new(),
            notifications_read: Position::START,
        }
    }

    /// Whether the person may do nothing at this moment.
    pub fn is_suspended(&self, now: Moment) -> bool {
        self.suspension.as_ref().is_some_and(|it| it.until.is_none_or(|until| now < until))
    }

    /// A text about this person.
    pub(super) fn personal(&self, text: &str) -> Personal<String> {
        Personal::new(self.user, text.to_owned())
    }

    pub(super) fn decide(&self, command: &Command) -> Decision {
        match command {
            Command::SignUp { .. } => Err(Rejection::AlreadySignedUp),
            Command::ChangeProfile(profile) => self.change_profile(profile),
            Command::Onboard(profile) => self.onboard(profile),
            Command::Rehash { old, new } => self.rehash(old, new, false),
            Command::ChangePassword { old, new } => self.rehash(old, new, true),
            Command::ChangePlatformRole { by, by_role, role, last_admin } => {
                self.change_role(*by, *by_role, *role, *last_admin)
            }
            Command::Suspend { by, by_role, until, reason, now } => {
                self.suspend(*by, *by_role, *until, reason, *now)
            }
            Command::Reinstate { by, by_role } => self.reinstate(*by, *by_role),
            Command::SubscribePush { push, endpoint, p256dh, auth } => {
                self.subscribe(*push, endpoint, p256dh, auth)
            }
            Command::UnsubscribePush { push } => self.unsubscribe(*push),
            Command::Erase(order) => self.erase(order),
            Command::CertifyErasure { .. } => Err(Rejection::NotErased),
            Command::ReadNotifications { upto } if *upto <= self.notifications_read => Ok(vec![]),
            Command::ReadNotifications { upto } => {
                Ok(vec![UserEvent::NotificationsRead { user: self.user, upto: *upto }])
            }
        }
    }

    fn rehash(&self, old: &str, new: &str, chosen: bool) -> Decision {
        let now = self.password_hash.open().ok_or(Rejection::OtherHash)?;
        if now == new {
            return Ok(vec![]);
        }
        if now != old {
            return Err(Rejection::OtherHash);
        }
        let password_hash = self.personal(new);
        Ok(vec![UserEvent::PasswordRehashed { user: self.user, password_hash, chosen }])
    }

    pub(super) fn evolve(&mut self, event: &UserEvent) {
        match event {
            // Whoever signed up has an account from then on; the state makes it.
            UserEvent::SignedUp { .. }
            // An erased person has none; the state takes it away.
            | UserEvent::Erased { .. }
            | UserEvent::ErasureCertified { .. } => {}
            UserEvent::ProfileChanged {
                name,
                bio,
                native_language,
                learning_language,
                location,
                avatar,
                ..
            } => {
                self.name = name.clone().unwrap_or_else(|| self.name.clone());
                replace(&mut self.bio, bio);
                replace(&mut self.native_language, native_language);
                replace(&mut self.learning_language, learning_language);
                replace(&mut self.location, location);
                replace(&mut self.avatar, avatar);
            }
            UserEvent::Onboarded { .. } => self.onboarded = true,
            UserEvent::PasswordRehashed { password_hash, .. } => {
                self.password_hash = password_hash.clone();
            }
            UserEvent::RoleChanged { role, .. } => self.role = *role,
            UserEvent::Suspended { until, reason, .. } => {
                self.suspension = Some(Suspension { until: *until, reason: reason.clone() });
            }
            UserEvent::Reinstated { .. } => self.suspension = None,
            UserEvent::PushSubscribed { push, endpoint, p256dh, auth, .. } => {
                let (endpoint, p256dh, auth) = (endpoint.clone(), p256dh.clone(), auth.clone());
                self.subscriptions.insert(*push, Subscription { endpoint, p256dh, auth });
            }
            UserEvent::PushUnsubscribed { push, .. } => {
                self.subscriptions.remove(push);
            }
            UserEvent::NotificationsRead { upto, .. } => {
                self.notifications_read = self.notifications_read.max(*upto);
            }
        }
    }
}

/// What is absent stays as it was.
fn replace<T: Clone>(now: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        now.clone_from(new);
    }
}
