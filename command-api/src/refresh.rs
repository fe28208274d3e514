//! Refresh tokens: the id of a log-in and a secret that follows from an idempotency key.

use std::fmt;

use event_log::Secrets;
use events::LoginId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A refresh token, as text `{login}.{64 hex digits}`.
///
/// The secret is an HMAC of the log-in and the request's idempotency key, so that a request whose
/// answer was lost gets the same token again. The log holds a digest of the token only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    /// The log-in that it is of.
    pub(crate) login: LoginId,
    secret: String,
}

impl RefreshToken {
    /// The token that a request with this key gives out.
    pub(crate) fn derive(secrets: &Secrets, login: LoginId, key: Uuid) -> Self {
        Self { login, secret: secrets.name_digest("refresh", &format!("{login} {key}")) }
    }

    /// Reads a token. Whether it is good, the log-in tells.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (login, secret) = text.split_once('.')?;
        let hex = secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (secret.len() == 64 && hex).then_some(())?;
        Some(Self { login: login.parse().ok()?, secret: secret.to_owned() })
    }

    /// SHA-256 of the secret, in hex.
    pub(crate) fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.secret))
    }
}

impl fmt::Display for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.login, self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_from_log_in_and_key_and_comes_back_from_text() {
        let secrets = Secrets { master: [0; 32], deployment: [1; 32] };
        let login = LoginId::new(Uuid::from_u128(1));
        let token = RefreshToken::derive(&secrets, login, Uuid::from_u128(2));
        assert!(token == RefreshToken::derive(&secrets, login, Uuid::from_u128(2)));
        assert!(token != RefreshToken::derive(&secrets, login, Uuid::from_u128(3)));
        assert!(RefreshToken::parse(&token.to_string()) == Some(token.clone()));
        assert!(!token.to_string().contains(&token.digest()));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let id = Uuid::nil();
        for text in [
            String::new(),
            "x".into(),
            format!("{id}."),
            format!("{id}.abc"),
            format!(".{}", "a".repeat(64)),
            format!("{id}.{}", "A".repeat(64)),
        ] {
            assert!(RefreshToken::parse(&text).is_none(), "{text}");
        }
    }
}
