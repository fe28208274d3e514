//! The public key of the notary: shown, and read again.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use ed25519_dalek::{SigningKey, VerifyingKey};
use projector::notary::checkpoint::key_id;
use serde_json::json;

use crate::tools::Place;

/// What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 4).
const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Print the public key that the checkpoints of the log are verified with.
///
/// It is a PEM file (RFC 8410), as OpenSSL reads it. Keep it where nobody who could change the log
/// can change it.
#[derive(Debug, Args)]
pub struct KeyArguments {
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &KeyArguments) -> Result<ExitCode> {
    let key = of(&arguments.place)?;
    if arguments.json {
        let hex = hex::encode(key.as_bytes());
        println!("{}", json!({ "key_id": key_id(&key), "ed25519": hex, "pem": pem(&key) }));
    } else {
        print!("{}", pem(&key));
        eprintln!("the id of this key is {}", key_id(&key));
    }
    Ok(ExitCode::SUCCESS)
}

/// The public key of a deployment whose secrets are here.
pub(super) fn of(place: &Place) -> Result<VerifyingKey> {
    Ok(SigningKey::from_bytes(&place.secrets()?.audit).verifying_key())
}

fn pem(key: &VerifyingKey) -> String {
    let der = [&PREFIX[..], key.as_bytes()].concat();
    format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(der))
}

/// A key as it was given: 64 hexadecimal digits, or a file with a PEM or with them.
pub(super) fn read(given: &str) -> Result<VerifyingKey> {
    if let Some(key) = from_text(given) {
        return Ok(key);
    }
    let text = std::fs::read_to_string(Path::new(given))
        .with_context(|| format!("{given} is neither a key nor a file that can be read"))?;
    match from_text(&text) {
        Some(key) => Ok(key),
        None => bail!("{given} holds no Ed25519 public key: neither a PEM nor 64 hex digits"),
    }
}

fn from_text(text: &str) -> Option<VerifyingKey> {
    let text = text.trim();
    let bytes = match text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)) {
        Some(inner) => {
            let der = BASE64_STANDARD.decode(inner.trim()).ok()?;
            der.strip_prefix(&PREFIX)?.to_vec()
        }
        None => hex::decode(text).ok()?,
    };
    VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        assert_eq!(from_text(&pem(&key)), Some(key));
        assert_eq!(from_text(&hex::encode(key.as_bytes())), Some(key));
        let secret = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----";
        for wrong in ["", "abcd", secret] {
            assert_eq!(from_text(wrong), None, "{wrong}");
        }
    }
}
