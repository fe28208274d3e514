//! A log-in: opened once, refreshed by the token it gave out last, closed for good. An API token is one
//! that is never refreshed, and may do only what its scopes say.

use events::login::CloseReason;
use events::serde::Serialize;
use events::{Day, LoginEvent, LoginId, Moment, Personal, Scope, Scopes, UserId};
use thiserror::Error;

use crate::Decider;

/// What is known of a log-in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
pub enum Login {
    /// Not opened.
    #[default]
    None,
    /// In use.
    Open {
        /// The log-in.
        login: LoginId,
        /// Whose.
        user: UserId,
        /// SHA-256 of the refresh token that is good now, in hex.
        #[serde(skip)]
        refresh_digest: Personal<String>,
        /// Until when that token is good.
        expires: Moment,
    },
    /// An API token.
    Token(Token),
    /// Over.
    Closed {
        /// Whose it was.
        user: UserId,
    },
}

/// An API token that was not revoked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Token {
    /// The log-in that it is.
    pub login: LoginId,
    /// As whom it acts.
    pub user: UserId,
    /// The keyed digest of its secret, in hex.
    #[serde(skip)]
    pub digest: Personal<String>,
    /// What it may be used for.
    pub scopes: Scopes,
    /// Until when it may be used.
    pub expires: Option<Moment>,
    /// The last day it was used.
    pub used_on: Option<Day>,
}

/// How long the name of a token may be, in characters.
pub const MAX_TOKEN_NAME: usize = 100;

impl Login {
    /// Whether this person's access tokens, or this API token of theirs, were not ended.
    pub fn is_open_for(&self, person: UserId) -> bool {
        match self {
            Self::Open { user, .. } | Self::Token(Token { user, .. }) => *user == person,
            Self::None | Self::Closed { .. } => false,
        }
    }

    /// Whose log-in it is, or was.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::None => None,
            Self::Open { user, .. } | Self::Token(Token { user, .. }) | Self::Closed { user } => {
                Some(*user)
            }
        }
    }
}

/// What a device does to its log-in.
#[derive(Clone, Debug)]
pub enum Command {
    /// Log in; the password was checked.
    Open {
        /// The log-in.
        login: LoginId,
        /// Who.
        user: UserId,
        /// SHA-256 of the refresh token, in hex.
        refresh_digest: String,
        /// Until when it is good.
        expires: Moment,
        /// What the device calls itself.
        device: Option<String>,
    },
    /// Replace the refresh token.
    Refresh {
        /// SHA-256 of the token that was shown, in hex.
        shown_digest: String,
        /// SHA-256 of the next one, in hex.
        next_digest: String,
        /// The present.
        now: Moment,
        /// Until when the next one is good.
        expires: Moment,
    },
    /// Make an API token.
    MakeToken {
        /// The log-in that it is to be.
        login: LoginId,
        /// Who, and as whom it acts.
        user: UserId,
        /// What they call it.
        name: String,
        /// The keyed digest of its secret, in hex.
        digest: String,
        /// What it may be used for.
        scopes: Vec<Scope>,
        /// Until when.
        expires: Option<Moment>,
        /// The present.
        now: Moment,
    },
    /// Note that an API token is in use; once a day is enough.
    Use {
        /// Which day.
        on: Day,
    },
    /// End it: log out, or from another device.
    Close {
        /// Whose log-in is to end.
        user: UserId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id was used before.
    #[error("this log-in exists already")]
    AlreadyOpened,
    /// There is none, or it is somebody else's.
    #[error("this log-in does not exist")]
    NoSuchLogin,
    /// It is over.
    #[error("this log-in has ended")]
    Closed,
    /// The token is too old.
    #[error("the refresh token has expired")]
    Expired,
    /// A token without a name, or with a long one.
    #[error("a token has a name of 1 to 100 characters")]
    InvalidName,
    /// A token that may do nothing.
    #[error("a token has at least one scope")]
    NoScope,
    /// A token that is over before it begins.
    #[error("a token expires in the future, or never")]
    InvalidExpiry,
    /// The key that would open the stored digest is not at hand.
    #[error("the log-in cannot be read")]
    Unreadable,
}

impl Decider for Login {
    type Command = Command;
    type Event = LoginEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<LoginEvent>, Rejection> {
        match (command, self) {
            (Command::Open { login, user, refresh_digest, expires, device }, Self::None) => {
                Ok(vec![LoginEvent::Opened {
                    login: *login,
                    user: *user,
                    refresh_digest: Personal::new(*user, refresh_digest.clone()),
                    expires: *expires,
                    device: device.clone().map(|device| Personal::new(*user, device)),
                }])
            }
            (Command::Open { .. }, _) => Err(Rejection::AlreadyOpened),
            (
                Command::Refresh { shown_digest, next_digest, now, expires },
                Self::Open { login, user, refresh_digest, expires: end },
            ) => {
                let current = refresh_digest.open().ok_or(Rejection::Unreadable)?;
                if current != shown_digest {
                    let reason = CloseReason::RefreshReused;
                    return Ok(vec![LoginEvent::Closed { login: *login, user: *user, reason }]);
                }
                if now >= end {
                    return Err(Rejection::Expired);
                }
                Ok(vec![LoginEvent::Refreshed {
                    login: *login,
                    user: *user,
                    refresh_digest: Personal::new(*user, next_digest.clone()),
                    expires: *expires,
                }])
            }
            (Command::Refresh { .. }, Self::Closed { .. }) => Err(Rejection::Closed),
            (
                Command::MakeToken { login, user, name, digest, scopes, expires, now },
                Self::None,
            ) => make_token(*login, *user, name, digest, scopes, *expires, *now),
            (Command::MakeToken { .. }, _) => Err(Rejection::AlreadyOpened),
            (Command::Use { on }, Self::Token(Token { login, user, used_on, .. })) => {
                let known = used_on.is_some_and(|used| used >= *on);
                let used = LoginEvent::TokenUsed { login: *login, user: *user, on: *on };
                Ok(if known { vec![] } else { vec![used] })
            }
            (
                Command::Close { user: by, reason },
                Self::Open { login, user, .. } | Self::Token(Token { login, user, .. }),
            ) if by == user => {
                Ok(vec![LoginEvent::Closed { login: *login, user: *user, reason: *reason }])
            }
            (Command::Close { user: by, .. }, Self::Closed { user }) if by == user => Ok(vec![]),
            (Command::Refresh { .. } | Command::Close { .. } | Command::Use { .. }, _) => {
                Err(Rejection::NoSuchLogin)
            }
        }
    }

    fn evolve(self, event: &LoginEvent) -> Self {
        match event {
            LoginEvent::Opened { login, user, refresh_digest, expires, .. }
            | LoginEvent::Refreshed { login, user, refresh_digest, expires } => Self::Open {
                login: *login,
                user: *user,
                refresh_digest: refresh_digest.clone(),
                expires: *expires,
            },
            LoginEvent::Closed { user, .. } => Self::Closed { user: *user },
            LoginEvent::TokenMade { login, user, digest, scopes, expires, .. } => {
                Self::Token(Token {
                    login: *login,
                    user: *user,
                    digest: digest.clone(),
                    scopes: scopes.iter().copied().collect(),
                    expires: *expires,
                    used_on: None,
                })
            }
            LoginEvent::TokenUsed { on, .. } => match self {
                Self::Token(token) => Self::Token(Token { used_on: Some(*on), ..token }),
                Self::None | Self::Open { .. } | Self::Closed { .. } => self,
            },
        }
    }
}

fn make_token(
    login: LoginId,
    user: UserId,
    name: &str,
    digest: &str,
    scopes: &[Scope],
    expires: Option<Moment>,
    now: Moment,
) -> Result<Vec<LoginEvent>, Rejection> {
    if name.trim().is_empty() || name.chars().count() > MAX_TOKEN_NAME {
        return Err(Rejection::InvalidName);
    }
    let scopes: Scopes = scopes.iter().copied().collect();
    if scopes.is_empty() {
        return Err(Rejection::NoScope);
    }
    if expires.is_some_and(|expires| expires <= now) {
        return Err(Rejection::InvalidExpiry);
    }
    Ok(vec![LoginEvent::TokenMade {
        login,
        user,
        name: Personal::new(user, name.to_owned()),
        digest: Personal::new(user, digest.to_owned()),
        scopes: scopes.iter().collect(),
        expires,
    }])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{given, hold, user};

    const LOGIN: LoginId = LoginId::new(Uuid::from_u128(7));

    fn at(second: u8) -> Moment {
        Moment::from_timestamp(second.into(), 0).unwrap()
    }

    fn opened(digest: &str) -> LoginEvent {
        LoginEvent::Opened {
            login: LOGIN,
            user: user(1),
            refresh_digest: Personal::new(user(1), digest.to_owned()),
            expires: at(100),
            device: Some(Personal::new(user(1), "Ada's phone".to_owned())),
        }
    }

    fn refreshed(digest: &str) -> LoginEvent {
        LoginEvent::Refreshed {
            login: LOGIN,
            user: user(1),
            refresh_digest: Personal::new(user(1), digest.to_owned()),
            expires: at(200),
        }
    }

    fn closed(reason: CloseReason) -> LoginEvent {
        LoginEvent::Closed { login: LOGIN, user: user(1), reason }
    }

    fn open(who: u8, digest: &str) -> Command {
        let refresh_digest = digest.to_owned();
        let device = Some("Ada's phone".to_owned());
        Command::Open { login: LOGIN, user: user(who), refresh_digest, expires: at(100), device }
    }

    fn refresh(shown: &str, next: &str, now: u8) -> Command {
        Command::Refresh {
            shown_digest: shown.to_owned(),
            next_digest: next.to_owned(),
            now: at(now),
            expires: at(200),
        }
    }

    #[test]
    fn a_login_is_opened_once() {
        assert_eq!(Login::None.decide(&open(1, "a")), Ok(vec![opened("a")]));
        let state: Login = given(&[opened("a")]);
        assert!(state.is_open_for(user(1)) && !state.is_open_for(user(2)));
        assert_eq!(state.decide(&open(1, "a")), Err(Rejection::AlreadyOpened));
    }

    #[test]
    fn the_newest_token_gets_the_next_one() {
        let state: Login = given(&[opened("a")]);
        assert_eq!(state.decide(&refresh("a", "b", 1)), Ok(vec![refreshed("b")]));
        let state = state.evolve(&refreshed("b"));
        assert_eq!(state.decide(&refresh("b", "c", 1)), Ok(vec![refreshed("c")]));
    }

    #[test]
    fn a_token_that_was_replaced_ends_the_login() {
        let state: Login = given(&[opened("a"), refreshed("b")]);
        let reused = vec![closed(CloseReason::RefreshReused)];
        assert_eq!(state.decide(&refresh("a", "c", 1)), Ok(reused.clone()));
        assert_eq!(state.decide(&refresh("a", "c", 250)), Ok(reused), "an old one too");
    }

    #[test]
    fn an_expired_token_is_refused_and_ends_nothing() {
        let state: Login = given(&[opened("a")]);
        assert_eq!(state.decide(&refresh("a", "b", 100)), Err(Rejection::Expired));
    }

    #[test]
    fn without_the_key_of_the_person_no_token_is_judged() {
        let sealed = Personal::Sealed { subject: user(1), data: String::new() };
        let state =
            Login::Open { login: LOGIN, user: user(1), refresh_digest: sealed, expires: at(100) };
        assert_eq!(state.decide(&refresh("x", "b", 1)), Err(Rejection::Unreadable));
    }

    #[test]
    fn only_its_person_closes_a_login_and_it_stays_closed() {
        let close = |who| Command::Close { user: user(who), reason: CloseReason::LoggedOut };
        let state: Login = given(&[opened("a")]);
        assert_eq!(state.decide(&close(1)), Ok(vec![closed(CloseReason::LoggedOut)]));
        assert_eq!(state.decide(&close(2)), Err(Rejection::NoSuchLogin));
        let revoke = Command::Close { user: user(1), reason: CloseReason::Revoked };
        assert_eq!(state.decide(&revoke), Ok(vec![closed(CloseReason::Revoked)]));
        assert_eq!(Login::None.decide(&close(1)), Err(Rejection::NoSuchLogin));
        assert_eq!(Login::None.decide(&refresh("a", "b", 1)), Err(Rejection::NoSuchLogin));
        let state = state.evolve(&closed(CloseReason::LoggedOut));
        assert_eq!(state.decide(&close(1)), Ok(vec![]));
        assert_eq!(state.decide(&close(2)), Err(Rejection::NoSuchLogin));
        assert_eq!(state.decide(&refresh("a", "b", 1)), Err(Rejection::Closed));
        assert_eq!(state.decide(&open(1, "a")), Err(Rejection::AlreadyOpened));
        assert_eq!(state.user(), Some(user(1)));
    }

    fn make(scopes: &[Scope], expires: Option<Moment>) -> Command {
        Command::MakeToken {
            login: LOGIN,
            user: user(1),
            name: "bot".to_owned(),
            digest: "d".to_owned(),
            scopes: scopes.to_vec(),
            expires,
            now: at(10),
        }
    }

    fn day(number: u32) -> Day {
        Day::from_ymd_opt(2026, 1, number).unwrap()
    }

    #[test]
    fn a_token_is_made_once_has_scopes_and_ends_when_it_is_revoked() {
        assert_eq!(Login::None.decide(&make(&[], None)), Err(Rejection::NoScope));
        let past = make(&[Scope::Presence], Some(at(10)));
        assert_eq!(Login::None.decide(&past), Err(Rejection::InvalidExpiry));
        let command = make(&[Scope::MessagesRead, Scope::Presence, Scope::Presence], None);
        let made = Login::None.decide(&command).unwrap();
        let state: Login = given(&made);
        let Login::Token(token) = &state else { panic!("{state:?}") };
        assert!(token.scopes.iter().eq([Scope::MessagesRead, Scope::Presence]));
        assert!(state.is_open_for(user(1)) && !state.is_open_for(user(2)));
        assert_eq!(state.decide(&command), Err(Rejection::AlreadyOpened));
        assert_eq!(state.decide(&refresh("d", "e", 1)), Err(Rejection::NoSuchLogin));
        let close = |who| Command::Close { user: user(who), reason: CloseReason::Revoked };
        assert_eq!(state.decide(&close(2)), Err(Rejection::NoSuchLogin));
        assert_eq!(state.decide(&close(1)), Ok(vec![closed(CloseReason::Revoked)]));
        let ended = state.evolve(&closed(CloseReason::Revoked));
        assert!(!ended.is_open_for(user(1)));
        assert_eq!(ended.decide(&Command::Use { on: day(1) }), Err(Rejection::NoSuchLogin));
    }

    #[test]
    fn that_a_token_is_in_use_is_noted_once_a_day() {
        let made = Login::None.decide(&make(&[Scope::Presence], None)).unwrap();
        let state: Login = given(&made);
        let used = state.decide(&Command::Use { on: day(2) }).unwrap();
        assert_eq!(used, [LoginEvent::TokenUsed { login: LOGIN, user: user(1), on: day(2) }]);
        let state = state.evolve(&used[0]);
        assert_eq!(state.decide(&Command::Use { on: day(2) }), Ok(vec![]));
        assert_eq!(state.decide(&Command::Use { on: day(1) }), Ok(vec![]));
        assert_eq!(state.decide(&Command::Use { on: day(3) }).unwrap().len(), 1);
    }

    fn command() -> impl Strategy<Value = Command> {
        ("[ab]", "[ab]", 1..3_u8, 0..250_u8, 0..5_u8).prop_map(|(one, other, who, now, kind)| {
            match kind {
                3 => make(&[Scope::Presence], None),
                4 => Command::Use { on: day(u32::from(who)) },
                0 => open(who, &one),
                1 => refresh(&one, &other, now),
                _ => Command::Close { user: user(who), reason: CloseReason::LoggedOut },
            }
        })
    }

    proptest! {
        /// A refresh decided again shows a token that was replaced: that ends the log-in. Its
        /// idempotency key, which the seam asks first, keeps an honest retry from that.
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..40)) {
            let refreshes = |command: &Command| matches!(command, Command::Refresh { .. });
            hold::<Login>(&commands, refreshes, |before, after| {
                let closed = matches!(before, Login::Closed { .. });
                assert!(!closed || before == after, "what is closed stays closed");
                assert!(before.user().is_none() || before.user() == after.user());
            });
        }
    }
}
