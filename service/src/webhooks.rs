//! What all services know of webhooks: their settings, their secrets and signatures (Standard Webhooks),
//! and which addresses they may go to.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use event_log::Secrets;
use events::WebhookId;
use events::webhook::Salt;
use hmac::{Hmac, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;
use url::{Host, Url};

use crate::ConfigError;
use crate::reach::is_public;

const PRIVATE: &str = "ROUNDTABLE_WEBHOOK_PRIVATE";
const REST: &str = "ROUNDTABLE_WEBHOOK_RETRY_MS";
const GIVE_UP: &str = "ROUNDTABLE_WEBHOOK_GIVE_UP_SECONDS";

/// The longest address, in bytes.
const MAX_URL: usize = 2000;

/// How webhooks are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `ROUNDTABLE_WEBHOOK_PRIVATE`: they go to addresses of private networks too, and without TLS;
    /// false by default. For development, and where everybody who may make one is trusted.
    pub private: bool,
    /// `ROUNDTABLE_WEBHOOK_RETRY_MS`: how long after the first failure it is tried again, 5 seconds
    /// by default. Each further rest is twice as long, up to an hour.
    pub first_rest: Duration,
    /// `ROUNDTABLE_WEBHOOK_GIVE_UP_SECONDS`: how long nothing may be taken before a webhook is
    /// disabled; three days by default.
    pub give_up: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            private: false,
            first_rest: Duration::from_secs(5),
            give_up: Duration::from_secs(3 * 24 * 3600),
        }
    }
}

impl WebhookSettings {
    /// Reads the variables.
    ///
    /// # Errors
    /// When one is wrong.
    pub(crate) fn read(optional: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let private = match optional(PRIVATE).as_deref().map(str::trim) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                return Err(ConfigError::Wrong { name: PRIVATE, expected: "true or false" });
            }
        };
        let number = |name, most: u64, expected| match optional(name) {
            None => Ok(None),
            Some(text) => {
                let number = text.trim().parse().ok().filter(|it| (1..=most).contains(it));
                number.map(Some).ok_or(ConfigError::Wrong { name, expected })
            }
        };
        let usual = Self::default();
        let rest = number(REST, 3_600_000, "a number of milliseconds up to 3600000")?;
        let give_up = number(GIVE_UP, 31_536_000, "a number of seconds up to 31536000")?;
        Ok(Self {
            private,
            first_rest: rest.map_or(usual.first_rest, Duration::from_millis),
            give_up: give_up.map_or(usual.give_up, Duration::from_secs),
        })
    }
}

/// What the deliveries of a webhook are signed with. It follows from the key of the deployment, the
/// webhook and a salt, and is stored nowhere.
#[derive(Clone, Copy)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret of a webhook with this salt.
    pub fn derive(secrets: &Secrets, webhook: WebhookId, salt: Salt) -> Self {
        let digest = secrets.name_digest("webhook-secret", &format!("{webhook} {salt}"));
        let mut secret = [0; 32];
        hex::decode_to_slice(digest, &mut secret).expect("a digest is 32 bytes in hex");
        Self(secret)
    }

    /// The signature of a delivery: `v1,` and the HMAC-SHA256 of id, time and body, in base64.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// As the one who verifies has to know it.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whsec_{}", BASE64_STANDARD.encode(self.0))
    }
}

/// Shows nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The address, if webhooks may go there; a name may still lead to an address where they may not.
/// `private`: they may go anywhere.
pub fn address(text: &str, private: bool) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL)?;
    let plain = url.username().is_empty() && url.password().is_none();
    let public = match url.host()? {
        Host::Domain(_) => true,
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
    };
    let good = match url.scheme() {
        "https" => public || private,
        "http" => private,
        _ => false,
    };
    (good && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // Computed by the reference implementation, the package `standardwebhooks` for Python.
        let secret = Secret(*b"0123456789abcdef0123456789abcdef");
        assert_eq!(secret.to_string(), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        let signed = secret.sign("msg_1", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(signed, "v1,rkwp5YuvdrMkcu0ZhuMsXoTg44mHAr1Q0+FFgFpXsjY=");
    }

    #[test]
    fn a_secret_is_of_one_webhook_and_one_salt() {
        let secrets = Secrets { master: [0; 32], deployment: [1; 32] };
        let of = |webhook, salt| {
            let webhook = WebhookId::new(Uuid::from_u128(webhook));
            Secret::derive(&secrets, webhook, Uuid::from_u128(salt)).to_string()
        };
        assert_eq!(of(1, 1), of(1, 1));
        assert!(of(1, 1) != of(1, 2) && of(1, 1) != of(2, 1));
    }

    #[test]
    fn only_public_https_addresses_are_good_unless_told_otherwise() {
        for good in ["https://example.org/hook?x=1", "https://8.8.8.8:8443/"] {
            assert!(address(good, false).is_some(), "{good}");
        }
        for private in [
            "http://example.org/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
        ] {
            assert!(address(private, false).is_none(), "{private}");
            assert!(address(private, true).is_some(), "{private}");
        }
        for wrong in ["", "hook", "ftp://example.org", "https://u:p@example.org", "file:///etc"] {
            assert!(address(wrong, true).is_none(), "{wrong}");
        }
        assert!(address(&format!("https://example.org/{}", "a".repeat(MAX_URL)), true).is_none());
    }

    #[test]
    fn settings_are_read_and_wrong_ones_named() {
        let read = |said: &'static [(&str, &str)]| {
            WebhookSettings::read(move |asked| {
                said.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(read(&[]).unwrap(), WebhookSettings::default());
        let all = read(&[(PRIVATE, "true"), (REST, "50"), (GIVE_UP, "2")]).unwrap();
        assert!(all.private && all.first_rest.as_millis() == 50 && all.give_up.as_secs() == 2);
        for (name, said) in [
            (PRIVATE, [(PRIVATE, "yes")].as_slice()),
            (REST, &[(REST, "0")]),
            (GIVE_UP, &[(GIVE_UP, "never")]),
        ] {
            assert!(read(said).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
