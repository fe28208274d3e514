//! API tokens: what they look like, whose they are, and what they may be used for.

use std::fmt;

use domain::login::{Command, Login, Token};
use domain::user::User;
use event_log::{Context, EventLog, Secrets};
use events::{LoginId, Moment, Scope, Scopes, StreamName};
use http::StatusCode;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::scopes::Need;
use super::{Authenticator, Identity, suspension};
use crate::{Problem, clock};

/// What every token begins with, by which scanners for leaked secrets find it.
pub const PREFIX: &str = "rtk_";

/// How many bytes of a token are secret, and how many of these follow from no other.
const SECRET: usize = 20;
const NONCE: usize = 8;

/// A token: `rtk_`, then in hex the log-in that it is, 20 secret bytes, and a CRC-32 of what is before,
/// which tells a mistyped token from a revoked one without a look at the log.
///
/// The secret begins with an HMAC of the log-in and the request's idempotency key, so that a request
/// whose answer was lost gets the same token again. Its rest is an HMAC of that, so that who makes up
/// tokens is turned away without a look at the log. It is stored nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiToken {
    /// The log-in that it is.
    pub login: LoginId,
    secret: [u8; SECRET],
}

impl ApiToken {
    /// The token that a request with this key makes.
    pub fn derive(secrets: &Secrets, login: LoginId, key: Uuid) -> Self {
        let digest = secrets.name_digest("api-token", &format!("{login} {key}"));
        let mut secret = [0; SECRET];
        hex::decode_to_slice(&digest[..2 * NONCE], &mut secret[..NONCE]).expect("this is hex");
        let rest = rest_of(secrets, login, &secret[..NONCE]);
        secret[NONCE..].copy_from_slice(&rest);
        Self { login, secret }
    }

    /// Whether it was made here, though it may have been revoked since.
    fn is_ours(&self, secrets: &Secrets) -> bool {
        let (nonce, rest) = self.secret.split_at(NONCE);
        is_equal(&rest_of(secrets, self.login, nonce), rest)
    }

    /// Whether a text wants to be an API token, rather than one of a log-in.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads a token. Whether it is good, the log tells.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        let (token, sum) = body.split_at_checked(2 * (16 + SECRET))?;
        (sum == checksum(token)).then_some(())?;
        let (mut login, mut secret) = ([0; 16], [0; SECRET]);
        let lower = token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        lower.then_some(())?;
        hex::decode_to_slice(&token[..32], &mut login).ok()?;
        hex::decode_to_slice(&token[32..], &mut secret).ok()?;
        Some(Self { login: LoginId::new(Uuid::from_bytes(login)), secret })
    }

    /// What the log knows of the secret: its keyed digest, in hex.
    pub fn digest(&self, secrets: &Secrets) -> String {
        secrets.name_digest("api-token-digest", &hex::encode(self.secret))
    }
}

/// What follows from the beginning of a secret.
fn rest_of(secrets: &Secrets, login: LoginId, nonce: &[u8]) -> [u8; SECRET - NONCE] {
    let digest = secrets.name_digest("api-token-rest", &format!("{login} {}", hex::encode(nonce)));
    let mut rest = [0; SECRET - NONCE];
    hex::decode_to_slice(&digest[..2 * rest.len()], &mut rest).expect("this is hex");
    rest
}

impl fmt::Display for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = format!("{}{}", self.login.uuid().simple(), hex::encode(self.secret));
        write!(f, "{PREFIX}{token}{}", checksum(&token))
    }
}

/// Shows no secret.
impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({})", self.login)
    }
}

impl Serialize for ApiToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// CRC-32 (ISO-HDLC, as in zip files), in hex.
fn checksum(text: &str) -> String {
    let sum = text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
        })
    });
    format!("{:08x}", !sum)
}

/// What somebody may do who came with an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// What it may be used for.
    pub scopes: Scopes,
    /// Until when.
    pub expires: Option<Moment>,
}

impl Identity {
    /// Whether they may do what takes this.
    ///
    /// # Errors
    /// 403 `missing-scope`, or `person-only`, for those who came with an API token.
    pub fn may(&self, need: Need) -> Result<(), Problem> {
        let Some(grant) = self.grant else { return Ok(()) };
        match need {
            Need::Anybody => Ok(()),
            Need::Of(scope) if grant.scopes.contains(scope) => Ok(()),
            Need::Of(scope) => Err(missing(scope)),
            Need::Never => {
                let title = "No API token is enough for this: it takes a person who logged in";
                Err(Problem::new(StatusCode::FORBIDDEN, "person-only", title))
            }
        }
    }

    /// Whether they came by themselves, or with a token that has this scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.grant.is_none_or(|grant| grant.scopes.contains(scope))
    }
}

fn missing(scope: Scope) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "missing-scope", "The API token lacks a scope")
        .detail(format!("this takes the scope {scope}"))
        .scope(scope)
}

impl Authenticator {
    /// Whose API token this is. One that was revoked is known at once.
    ///
    /// # Errors
    /// 401 `token-invalid` or `token-expired`; 403 `suspended`; 503 while the log or the key vault
    /// cannot be read.
    pub(super) async fn of_api_token(&self, text: &str) -> Result<Identity, Problem> {
        let shown = ApiToken::parse(text).filter(|it| it.is_ours(self.log.secrets()));
        let shown = shown.ok_or_else(invalid)?;
        let login = StreamName::login(shown.login);
        let known = self.log.state::<Login>(&login).await?;
        let Login::Token(token) = &*known.state else { return Err(invalid()) };
        let Some(digest) = token.digest.open() else {
            // Erased: nobody's any more. Sealed: nobody can tell now.
            return Err(if known.sealed { away() } else { invalid() });
        };
        if !is_equal(digest.as_bytes(), shown.digest(self.log.secrets()).as_bytes()) {
            return Err(invalid());
        }
        let now = clock::now();
        if token.expires.is_some_and(|expires| expires <= now) {
            let title = "The API token has expired";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "token-expired", title));
        }
        let person = self.log.state::<User>(&StreamName::user(token.user)).await?;
        if person.state.account().is_none() {
            return Err(invalid());
        }
        suspension::must_not_be_suspended(&person.state)?;
        if token.used_on.is_none_or(|used| used < now.date_naive()) {
            note_use(self.log.clone(), token.clone(), now);
        }
        let grant = Some(Grant { scopes: token.scopes, expires: token.expires });
        Ok(Identity { user: token.user, login: token.login, grant })
    }
}

/// Notes beside the request, once a day, that a token is in use. That the log is away holds nobody up:
/// the next request notes it.
fn note_use(log: EventLog, token: Token, now: Moment) {
    let on = now.date_naive();
    // The same for all nodes on one day: the stream remembers keys.
    let key = Uuid::new_v5(&token.login.uuid(), format!("used {on}").as_bytes());
    let context = Context {
        actor: token.user,
        key,
        body_hash: String::new(),
        correlation: key,
        causation: key,
        now,
        decided_on: None,
        token: None,
    };
    tokio::spawn(async move {
        let stream = StreamName::login(token.login);
        if let Err(error) = log.transact::<Login>(&stream, &Command::Use { on }, &context).await {
            tracing::debug!(%error, "that a token is in use was not noted");
        }
    });
}

/// Says the same of every token that is not good, so that nobody learns which ids there are.
const fn invalid() -> Problem {
    let title = "The API token is not one of ours, or was revoked";
    Problem::new(StatusCode::UNAUTHORIZED, "token-invalid", title)
}

const fn away() -> Problem {
    Problem::unavailable(std::time::Duration::from_secs(1))
}

/// In a time that does not tell how much of them is equal. Both are digests of one length.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |bits, (one, other)| bits | (one ^ other));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_from_its_request_comes_back_from_text_and_shows_no_digest() {
        let secrets = Secrets { master: [0; 32], deployment: [1; 32] };
        let login = LoginId::new(Uuid::from_u128(1));
        let token = ApiToken::derive(&secrets, login, Uuid::from_u128(2));
        assert!(token == ApiToken::derive(&secrets, login, Uuid::from_u128(2)));
        assert!(token != ApiToken::derive(&secrets, login, Uuid::from_u128(3)));
        let text = token.to_string();
        assert_eq!(text.len(), 84);
        assert!(ApiToken::is_meant(&text) && ApiToken::parse(&text) == Some(token));
        assert!(!text.contains(&token.digest(&secrets)));
        assert!(!format!("{token:?}").contains(&text[36..76]));
        assert!(token.is_ours(&secrets));
        for place in [0, NONCE - 1, NONCE, SECRET - 1] {
            let mut other = token;
            other.secret[place] ^= 1;
            assert!(!other.is_ours(&secrets), "{place}");
        }
        assert!(!ApiToken { login: LoginId::new(Uuid::nil()), ..token }.is_ours(&secrets));
    }

    #[test]
    fn every_other_text_is_no_token() {
        let secrets = Secrets { master: [0; 32], deployment: [1; 32] };
        let token = ApiToken::derive(&secrets, LoginId::new(Uuid::from_u128(1)), Uuid::nil());
        let text = token.to_string();
        for place in PREFIX.len()..text.len() {
            let mut other = text.clone().into_bytes();
            other[place] = if other[place] == b'0' { b'1' } else { b'0' };
            assert!(ApiToken::parse(&String::from_utf8(other).unwrap()).is_none(), "{place}");
        }
        for other in ["", "rtk_", &text[4..], &text[..83], &text.to_uppercase(), "rtk_é"] {
            assert!(ApiToken::parse(other).is_none(), "{other}");
        }
        assert_eq!(checksum("123456789"), "cbf43926", "the check value of CRC-32/ISO-HDLC");
    }
}
