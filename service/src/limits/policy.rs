//! Every limit at a glance: how much, in which time, whose, and for which routes and commands.

use std::str::FromStr;
use std::time::Duration;

use http::Method;

use self::Class::{
    Denial, FriendRequest, LogIn, LogInAccount, Message, Onboarding, Password, Read, Receipt,
    Refresh, SignUp, Stranger, Token, Write,
};
use self::Whose::{Account, Address, Person};

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Signing up.
    SignUp,
    /// Logging in.
    LogIn,
    /// Logging in to one account, from wherever.
    LogInAccount,
    /// Replacing a refresh token.
    Refresh,
    /// Requests of nobody who is logged in, but for the three above.
    Stranger,
    /// Changing the password, which tries the old one.
    Password,
    /// Telling others who one is.
    Onboarding,
    /// Asking people to be friends.
    FriendRequest,
    /// Sending messages.
    Message,
    /// Saying how far one received or read.
    Receipt,
    /// Every other command.
    Write,
    /// Every read.
    Read,
    /// Recording what somebody was not allowed to do: beyond it, it is only logged and counted.
    Denial,
    /// Whatever is done with one API token, beside what it counts as for its owner.
    Token,
}

/// Whose the tokens of a class are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of a client's address; an IPv6 network of 64 bits counts as one.
    Address,
    /// Those of somebody who is logged in.
    Person,
    /// Those of the account that is tried, by the keyed digest of its e-mail address.
    Account,
}

/// How much of a class there is when nothing else is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) class: Class,
    /// As it is configured, and as clients see it in `RateLimit`.
    pub(super) name: &'static str,
    pub(super) quota: Quota,
    pub(super) whose: Whose,
    /// How many tokens a process may take at once and spend by itself: 1 is exact to the token at
    /// the cost of a round trip for each.
    pub(super) slice: u32,
}

/// A bucket of `tokens`, which is filled anew within `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many there are when it is full: `q` of the header.
    pub tokens: u32,
    /// How long an empty one takes to be full, at an even rate: `w` of the header.
    pub window: Duration,
}

const fn row(class: Class, name: &'static str, whose: Whose, quota: Quota, slice: u32) -> Row {
    Row { class, name, quota, whose, slice }
}

const fn per_minute(tokens: u32) -> Quota {
    Quota { tokens, window: Duration::from_secs(60) }
}

/// The limits. Their order is that of [`Class`].
pub(super) const TABLE: [Row; 14] = [
    row(SignUp, "sign-up", Address, per_minute(3), 1),
    row(LogIn, "log-in", Address, per_minute(5), 1),
    row(LogInAccount, "log-in-account", Account, per_minute(10), 1),
    row(Refresh, "refresh", Address, per_minute(60), 1),
    row(Stranger, "stranger", Address, per_minute(600), 1),
    row(Password, "password", Person, per_minute(5), 1),
    row(Onboarding, "onboarding", Person, per_minute(10), 1),
    row(FriendRequest, "friend-request", Person, per_minute(10), 1),
    row(Message, "message", Person, per_minute(1200), 64),
    row(Receipt, "receipt", Person, per_minute(3000), 64),
    row(Write, "write", Person, per_minute(600), 16),
    row(Read, "read", Person, per_minute(3000), 64),
    row(Denial, "denial", Person, per_minute(30), 1),
    row(Token, "token", Person, per_minute(600), 16),
];

/// The routes that are not simply a read or a write of somebody.
const ROUTES: [(Method, &str, Class); 10] = [
    (Method::POST, "/v1/users", SignUp),
    (Method::POST, "/v1/sessions", LogIn),
    (Method::POST, "/v1/sessions/refresh", Refresh),
    (Method::PUT, "/v1/users/me/password", Password),
    (Method::PUT, "/v1/users/{id}/erasure", Password),
    (Method::PATCH, "/v1/users/me", Onboarding),
    (Method::POST, "/v1/users/me/onboarding", Onboarding),
    (Method::POST, "/v1/friend-requests", FriendRequest),
    (Method::POST, "/v1/conversations/{id}/messages", Message),
    (Method::PUT, "/v1/conversations/{id}/receipts", Receipt),
];

/// The commands of the gateway that are not simply a write of somebody.
const COMMANDS: [(&str, Class); 8] = [
    ("user.change_password", Password),
    ("user.erase", Password),
    ("user.change_profile", Onboarding),
    ("user.complete_onboarding", Onboarding),
    ("friendship.request", FriendRequest),
    ("message.send", Message),
    ("message.delivered", Receipt),
    ("message.read", Receipt),
];

/// A socket is opened seldom and lives long; how many there are has a bound of its own.
const GATEWAY: &str = "/v1/gateway";

impl Class {
    /// What a request counts as, by its method and the template of its path. A route that nobody
    /// thought of is a read or a write.
    pub fn of_route(method: &Method, path: &str) -> Option<Self> {
        let special = ROUTES.iter().find(|(of, at, _)| of == method && *at == path);
        match special {
            Some((_, _, class)) => Some(*class),
            None if path == GATEWAY => None,
            None if method.is_safe() => Some(Read),
            None => Some(Write),
        }
    }

    /// What a command counts as that comes over a socket: the same as over REST.
    pub fn of_command(name: &str) -> Self {
        COMMANDS.iter().find(|(of, _)| *of == name).map_or(Write, |(_, class)| *class)
    }

    /// The commands and routes that have a class of their own, for those who know which there are.
    pub fn named() -> impl Iterator<Item = (Option<Method>, &'static str)> {
        let routes = ROUTES.into_iter().map(|(method, path, _)| (Some(method), path));
        routes.chain(COMMANDS.into_iter().map(|(name, _)| (None, name)))
    }

    /// Whose tokens it takes.
    pub fn whose(self) -> Whose {
        self.row().whose
    }

    /// How clients see it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub(super) fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// The limits of a deployment: those of the table, but for what `ROUNDTABLE_LIMITS` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies([Option<Quota>; TABLE.len()]);

impl Default for Policies {
    fn default() -> Self {
        Self(TABLE.map(|row| Some(row.quota)))
    }
}

impl Policies {
    /// No limits at all.
    pub const fn off() -> Self {
        Self([None; TABLE.len()])
    }

    /// The bucket of a class; none if it is not limited.
    pub fn quota(&self, class: Class) -> Option<Quota> {
        self.0[class as usize]
    }

    /// The names of the classes that are less strict than the table, or not limited at all.
    pub fn loosened(&self) -> Vec<&'static str> {
        let rate = |quota: Quota| f64::from(quota.tokens) / quota.window.as_secs_f64();
        let looser = |row: &&Row| {
            self.quota(row.class)
                .is_none_or(|now| now.tokens > row.quota.tokens || rate(now) > rate(row.quota))
        };
        TABLE.iter().filter(looser).map(|row| row.name).collect()
    }
}

/// Such as `sign-up=100/min,log-in=off`, `all=1000/s,sign-up=3/min`, or `off`.
impl FromStr for Policies {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.trim() == "off" {
            return Ok(Self::off());
        }
        let mut policies = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, quota) = part.split_once('=').ok_or(())?;
            let quota = if quota.trim() == "off" { None } else { Some(quota.parse()?) };
            match name.trim() {
                "all" => policies.0.fill(quota),
                name => {
                    let place = TABLE.iter().position(|row| row.name == name).ok_or(())?;
                    policies.0[place] = quota;
                }
            }
        }
        Ok(policies)
    }
}

/// Such as `3/min`. More than a million a second is not told apart from no limit, and refused.
impl FromStr for Quota {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (tokens, unit) = text.trim().split_once('/').ok_or(())?;
        let seconds = match unit.trim() {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            _ => return Err(()),
        };
        let tokens = tokens.trim().parse().map_err(|_| ())?;
        let most = 1_000_000 * u32::try_from(seconds).map_err(|_| ())?;
        let good = (1..=most).contains(&tokens);
        good.then_some(Self { tokens, window: Duration::from_secs(seconds) }).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_classes() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.class as usize, place, "{}", row.name);
            assert!(row.slice == 1 || row.slice * 8 <= row.quota.tokens, "{}", row.name);
        }
    }

    #[test]
    fn the_strict_limits_are_the_promised_ones() {
        let strict = Policies::default();
        for (class, tokens) in [(SignUp, 3), (LogIn, 5), (Onboarding, 10), (FriendRequest, 10)] {
            assert_eq!(strict.quota(class), Some(per_minute(tokens)), "{}", class.name());
        }
        assert!(strict.loosened().is_empty());
    }

    #[test]
    fn limits_are_configured_by_name() {
        let read: Policies = "all=2/h, sign-up = 100/s ,log-in=off".parse().unwrap();
        let two = Quota { tokens: 2, window: Duration::from_secs(3600) };
        assert_eq!(read.quota(Message), Some(two));
        assert_eq!(read.quota(SignUp).map(|quota| quota.tokens), Some(100));
        assert_eq!(read.quota(LogIn), None);
        assert_eq!(read.loosened(), ["sign-up", "log-in"]);
        assert_eq!("off".parse(), Ok(Policies::off()));
        assert_eq!("".parse(), Ok(Policies::default()));
        for wrong in [
            "on",
            "sign-up",
            "sign-up=3",
            "sing-up=3/min",
            "read=0/s",
            "read=1/day",
            "read=-1/s",
            "read=2000000/s",
            "read=3/min=2",
        ] {
            assert_eq!(wrong.parse::<Policies>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_route_that_nobody_thought_of_is_limited_too() {
        assert_eq!(Class::of_route(&Method::POST, "/v1/users"), Some(SignUp));
        assert_eq!(Class::of_route(&Method::GET, "/v1/users"), Some(Read));
        assert_eq!(Class::of_route(&Method::DELETE, "/v1/anything/{id}"), Some(Write));
        assert_eq!(Class::of_route(&Method::GET, GATEWAY), None);
        assert_eq!(Class::of_command("message.send"), Message);
        assert_eq!(Class::of_command("whatever.comes"), Write);
    }
}
