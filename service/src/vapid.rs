//! The key that tells push services who sends (VAPID, RFC 8292): derived, never stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event_log::Secrets;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;

/// How long a token is good for, in seconds: half of what the RFC allows.
const LIFETIME: i64 = 12 * 3600;

/// The key of a deployment. It follows from the deployment's key, so that every process has it, and
/// browsers that subscribed stay subscribed for as long as that one stays.
#[derive(Clone)]
pub struct Vapid {
    key: SigningKey,
}

impl Vapid {
    /// That of this deployment.
    ///
    /// # Panics
    /// Never: all but one of 2^32 digests are keys.
    pub fn of(secrets: &Secrets) -> Self {
        let key = (0..8).find_map(|round: u8| {
            let digest = secrets.name_digest("web-push-key", &round.to_string());
            SigningKey::from_slice(&hex::decode(digest).ok()?).ok()
        });
        Self { key: key.expect("nearly every digest is a key") }
    }

    /// What a browser subscribes with (`applicationServerKey`): an uncompressed point, in base64url.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.verifying_key().to_encoded_point(false))
    }

    /// The `Authorization` of a request to a push service, for its origin, at a moment (seconds
    /// since 1970). `contact` is a `mailto:` or `https:` URL of whoever runs the deployment.
    pub fn authorization(&self, origin: &str, contact: Option<&str>, now: i64) -> String {
        let mut claims = json!({ "aud": origin, "exp": now + LIFETIME });
        if let Some(contact) = contact {
            claims["sub"] = contact.into();
        }
        let header = json!({ "typ": "JWT", "alg": "ES256" });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature: Signature = self.key.sign(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.to_bytes());
        format!("vapid t={signed}.{signature}, k={}", self.public_key())
    }
}

/// Never shows the key.
impl std::fmt::Debug for Vapid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vapid")
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_token_is_signed_by_the_key_that_browsers_know() {
        let secrets = |byte| Secrets { master: [1; 32], deployment: [byte; 32] };
        let vapid = Vapid::of(&secrets(2));
        assert_eq!(vapid.public_key(), Vapid::of(&secrets(2)).public_key());
        assert_ne!(vapid.public_key(), Vapid::of(&secrets(3)).public_key());
        assert_eq!(vapid.public_key().len(), 87);

        let said = vapid.authorization("https://push.example", Some("mailto:a@b.example"), 1000);
        let (token, key) = said.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(key, vapid.public_key());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = VerifyingKey::from_sec1_bytes(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        key.verify(signed.as_bytes(), &signature).unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let expected =
            json!({"aud": "https://push.example", "exp": 44_200, "sub": "mailto:a@b.example"});
        assert_eq!(claims, expected);
    }
}
