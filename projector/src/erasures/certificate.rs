//! The certificate of an erasure: a JSON text and an Ed25519 signature (RFC 8032).
//!
//! What is signed are the bytes of `roundtable erasure v1`, a line feed, and the text. So nothing else that
//! the same key signs can be taken for a certificate.

use anyhow::{Context as _, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier, VerifyingKey};
use events::{Moment, Position, UserId};
use serde::{Deserialize, Serialize};

use super::Erased;
use super::ends::Ended;
use super::scrub::Scrubbed;
use crate::PROJECTIONS;

const CONTEXT: &str = "roundtable erasure v1\n";

/// What was destroyed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    version: u32,
    /// Who was erased.
    pub person: UserId,
    requested_by: UserId,
    requested_at: Moment,
    /// Of the event that says so.
    position: Position,
    key_destroyed_at: Moment,
    /// What ended with it.
    ended: Ended,
    /// The read models that hold nothing of the person any more.
    read_models: Vec<String>,
    /// Up to where they had read the log then.
    read_to: Position,
    on_disk: Scrubbed,
    issued_at: Moment,
}

impl Certificate {
    pub(super) fn new(
        erased: &Erased,
        key_destroyed_at: Moment,
        ended: Ended,
        read_to: Position,
        on_disk: Scrubbed,
    ) -> Self {
        Self {
            version: 1,
            person: erased.user,
            requested_by: erased.by,
            requested_at: erased.at,
            position: erased.position,
            key_destroyed_at,
            ended,
            read_models: PROJECTIONS.iter().map(|name| (*name).to_owned()).collect(),
            read_to,
            on_disk,
            issued_at: service::clock::now(),
        }
    }

    /// What it says, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let Ended { logins, webhooks, names, friendships, sessions, conversations, files } =
            self.ended;
        let left = match self.on_disk.left.as_slice() {
            [] => String::new(),
            left => format!("\nleft for PostgreSQL to rewrite in time: {}", left.join(", ")),
        };
        format!(
            "the key is destroyed; {logins} log-ins and tokens, {webhooks} webhooks, {names} names, \
             {friendships} friendships, {sessions} study sessions, {conversations} conversations and \
             {files} files ended; {} read models hold nothing of it; {} tables are rewritten on the \
             disk{left}",
            self.read_models.len(),
            self.on_disk.rewritten.len(),
        )
    }

    /// Reads a certificate, if this key has signed it.
    ///
    /// # Errors
    /// When the signature is not of this key and text, or the text is no certificate.
    pub fn verify(text: &str, signature: &str, public: &[u8; 32]) -> Result<Self> {
        let genuine = is_signed(CONTEXT, text, signature, public)?;
        ensure!(genuine, "the certificate was not signed by this key");
        serde_json::from_str(text).context("this is no certificate of an erasure")
    }
}

/// Whether this key signed a text.
///
/// # Errors
/// When the signature, or the key, is none.
pub fn is_signed(context: &str, text: &str, signature: &str, public: &[u8; 32]) -> Result<bool> {
    let bytes = STANDARD.decode(signature.trim()).context("the signature is not base64")?;
    let signature = Signature::from_slice(&bytes).context("the signature has 64 bytes")?;
    let key = VerifyingKey::from_bytes(public).context("this is no public key")?;
    Ok(key.verify(&[context.as_bytes(), text.as_bytes()].concat(), &signature).is_ok())
}

/// Signs certificates.
pub struct Signer(SigningKey);

impl Signer {
    /// With an Ed25519 seed.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The signature of any other text, in base64. The context is a line that ends with a line feed
    /// and that nothing of another kind begins with.
    #[must_use]
    pub fn sign_text(&self, context: &str, text: &str) -> String {
        let signature = self.0.sign(&[context.as_bytes(), text.as_bytes()].concat());
        STANDARD.encode(signature.to_bytes())
    }

    /// The text of a certificate and its signature in base64.
    pub(super) fn sign(&self, certificate: &Certificate) -> Result<(String, String)> {
        let text = serde_json::to_string(certificate)?;
        let signature = self.sign_text(CONTEXT, &text);
        Ok((text, signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{moment, user};

    #[test]
    fn a_certificate_is_only_what_was_signed() {
        let erased = Erased {
            user: user(1),
            by: user(2),
            at: moment(),
            position: Position::at(7),
            conversations: vec![],
            names: vec![],
        };
        let certificate = Certificate::new(
            &erased,
            moment(),
            Ended::default(),
            Position::at(9),
            Scrubbed::default(),
        );
        let (one, other) = (Signer::new(&[1; 32]), Signer::new(&[2; 32]));
        let (text, signature) = one.sign(&certificate).unwrap();
        let read = Certificate::verify(&text, &signature, &one.public()).unwrap();
        assert_eq!(read.person, user(1));
        assert!(Certificate::verify(&text, &signature, &other.public()).is_err());
        let changed = text.replace(&user(1).to_string(), &user(3).to_string());
        assert!(Certificate::verify(&changed, &signature, &one.public()).is_err());
    }
}
