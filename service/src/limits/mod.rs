//! Rate limits: token buckets in Redis, which every gateway and every service shares.
//!
//! [`policy`] is the table of all limits. One script takes tokens atomically, by Redis' own clock;
//! a request costs one round trip at the most, and busy people less ([`slice`]).

mod address;
mod bucket;
mod places;
mod policy;
mod slice;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use events::{LoginId, UserId};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub use address::{Client, Proxies};
pub use policy::{Class, Policies, Quota, Whose};
use slice::{Slice, Taken};

use crate::{Identity, Problem, Redis};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// From so many on, what holds nothing is forgotten.
const SLICES: usize = 16 * 1024;

/// The limits of this process. Cheap to clone.
#[derive(Clone)]
pub struct RateLimits(Arc<Inner>);

struct Inner {
    redis: Redis,
    policies: Policies,
    slices: Mutex<Slices>,
}

struct Slices {
    of: HashMap<(Class, Subject), Arc<tokio::sync::Mutex<Slice>>>,
    /// How many there may be before it is tidied up.
    room: usize,
}

/// Whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A client's address.
    Address(Client),
    /// Somebody who is logged in.
    Person(UserId),
    /// An API token.
    Token(LoginId),
    /// An account, by the keyed digest of its e-mail address, for all strangers together.
    Account(String),
    /// An account, for whoever comes from where somebody logged in to it before.
    AccountAt(String, Client),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(client) => client.fmt(f),
            Self::Person(user) => user.fmt(f),
            Self::Token(login) => login.fmt(f),
            Self::Account(digest) => f.write_str(digest),
            Self::AccountAt(digest, client) => write!(f, "{digest}@{client}"),
        }
    }
}

/// What a limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    class: Class,
    quota: Quota,
    taken: Taken,
}

impl RateLimits {
    /// Says once in the log what is less strict than the table: it should not be forgotten.
    pub fn new(redis: Redis, policies: Policies) -> Self {
        let loosened = policies.loosened();
        if policies == Policies::off() {
            tracing::warn!("rate limits are off (ROUNDTABLE_LIMITS)");
        } else if !loosened.is_empty() {
            let classes = loosened.join(", ");
            tracing::warn!(classes, "rate limits are loosened (ROUNDTABLE_LIMITS)");
        }
        let slices = Mutex::new(Slices { of: HashMap::new(), room: SLICES });
        Self(Arc::new(Inner { redis, policies, slices }))
    }

    /// Takes one token; `None` if the class is not limited.
    pub async fn take(&self, class: Class, subject: Subject) -> Option<Verdict> {
        let quota = self.0.policies.quota(class)?;
        let name = format!("limit:{}:{subject}", class.name());
        let slice = self.slice(class, subject);
        // Others of the same person wait here for the one who asks Redis, and then share.
        let taken = slice.lock().await.take(&self.0.redis, &name, class.row(), quota).await;
        if !taken.granted {
            metrics::counter!("roundtable_limited_total", "class" => class.name()).increment(1);
        }
        Some(Verdict { class, quota, taken })
    }

    /// Takes one token of somebody who is logged in.
    ///
    /// # Errors
    /// 429 `rate-limited`.
    pub async fn check(&self, class: Class, person: UserId) -> Result<(), Problem> {
        match self.take(class, Subject::Person(person)).await {
            Some(verdict) => verdict.problem().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Takes what a request by an API token takes: one token of its owner's, and one of its own, of
    /// which there are less, so that one program does not use up what its owner has.
    pub(crate) async fn of_token(&self, class: Class, token: Identity) -> Vec<Verdict> {
        let own = self.take(Class::Token, Subject::Token(token.login)).await;
        // What is refused takes nothing of the owner's.
        if own.is_some_and(|own| !own.taken.granted) {
            return own.into_iter().collect();
        }
        own.into_iter().chain(self.take(class, Subject::Person(token.user)).await).collect()
    }

    /// Takes what a command takes: of somebody who is logged in, and of the API token that they came
    /// with.
    ///
    /// # Errors
    /// 429 `rate-limited`.
    pub async fn check_command(&self, class: Class, identity: Identity) -> Result<(), Problem> {
        if identity.grant.is_none() {
            return self.check(class, identity.user).await;
        }
        let verdicts = self.of_token(class, identity).await;
        verdicts.iter().find_map(Verdict::problem).map_or(Ok(()), Err)
    }

    /// Whose attempts to log in to an account are counted together with those from an address.
    pub async fn account(&self, digest: String, from: Client) -> Subject {
        match places::is_known(&self.0.redis, &digest, from).await {
            true => Subject::AccountAt(digest, from),
            false => Subject::Account(digest),
        }
    }

    /// Somebody has logged in to an account from there.
    pub async fn logged_in(&self, digest: &str, from: Client) {
        places::remember(&self.0.redis, digest, from).await;
    }

    fn slice(&self, class: Class, subject: Subject) -> Arc<tokio::sync::Mutex<Slice>> {
        let now = Instant::now();
        let mut slices = self.0.slices.lock().expect("no panic holds it");
        if slices.of.len() >= slices.room {
            slices.of.retain(|_, slice| {
                let idle = slice.try_lock().is_ok_and(|slice| slice.is_idle(now));
                !idle || Arc::strong_count(slice) > 1
            });
            slices.room = SLICES.max(slices.of.len() * 2);
        }
        let slice = slices.of.entry((class, subject));
        Arc::clone(slice.or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Slice::new(now)))))
    }
}

impl Verdict {
    /// 429 with the time to wait, if there was no token.
    pub fn problem(&self) -> Option<Problem> {
        let title = "Too many requests of this kind in a short time";
        (!self.taken.granted).then(|| {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title)
                .detail(format!("the limit `{}` is reached", self.class.name()))
                .retry_after(self.taken.next)
        })
    }

    /// Adds it to the fields of the IETF draft "RateLimit header fields for HTTP": the policy, how
    /// many requests are left, and how long until there is one more, which for a refused request is
    /// `Retry-After`.
    pub fn describe(&self, headers: &mut HeaderMap) {
        let Quota { tokens, window } = self.quota;
        let (name, left) = (self.class.name(), self.taken.left);
        let policy = format!("\"{name}\";q={tokens};w={}", window.as_secs());
        let state = format!("\"{name}\";r={left};t={}", whole_seconds(self.taken.next));
        for (field, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            let value = HeaderValue::from_str(&value).expect("names and numbers are ASCII");
            headers.append(field, value);
        }
    }
}

/// Rounded up: nobody is told to come too early.
fn whole_seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1000)
}

#[cfg(test)]
mod tests;
