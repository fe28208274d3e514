//! Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), and the key to check them with.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use events::{LoginId, Moment, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::auth::Identity;

/// How long an access token is good.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How far the clocks of two nodes may be apart: a token is not refused for having been issued by
/// a clock that is ahead.
const LEEWAY: i64 = 5;

const ISSUER: &str = "roundtable";

/// What an Ed25519 seed is preceded by in PKCS #8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Issues and verifies access tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Keys>);

struct Keys {
    signing: EncodingKey,
    verifying: DecodingKey,
    header: Header,
    validation: Validation,
    jwks: Value,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It was not issued here, or is no access token at all.
    #[error("the access token is not one of ours")]
    Invalid,
    /// It is too old.
    #[error("the access token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    sid: LoginId,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Signs with this Ed25519 seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        let public = SigningKey::from_bytes(seed).verifying_key();
        let x = BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes());
        // The id of the key is its thumbprint (RFC 7638).
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        let kid = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);

        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid.clone());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["iss", "sub", "exp"]);
        // Time is an argument of `verify`; the library would read a clock of its own.
        validation.validate_exp = false;
        Self(Arc::new(Keys {
            signing: EncodingKey::from_ed_der(&[&PKCS8_PREFIX[..], seed].concat()),
            verifying: DecodingKey::from_ed_components(&x).expect("this is base64"),
            header,
            validation,
            jwks: json!({ "keys": [
                { "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA", "use": "sig" },
            ] }),
        }))
    }

    /// A token for who logged in, good for [`LIFETIME`].
    pub fn issue(&self, identity: Identity, now: Moment) -> String {
        let iat = now.timestamp();
        let exp = iat + i64::try_from(LIFETIME.as_secs()).expect("minutes fit");
        let Identity { user: sub, login: sid, .. } = identity;
        let claims = Claims { iss: ISSUER.to_owned(), sub, sid, iat, exp };
        jsonwebtoken::encode(&self.0.header, &claims, &self.0.signing)
            .expect("the key is an Ed25519 key and the claims are JSON")
    }

    /// Whose token this is; it says nothing about whether the log-in is still open.
    ///
    /// # Errors
    /// When it was not signed by this key, for this purpose, or has expired.
    pub fn verify(&self, token: &str, now: Moment) -> Result<Identity, TokenError> {
        let Keys { verifying, validation, .. } = &*self.0;
        let claims = jsonwebtoken::decode::<Claims>(token, verifying, validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.iat > now.timestamp() + LEEWAY {
            return Err(TokenError::Invalid);
        }
        if claims.exp <= now.timestamp() {
            return Err(TokenError::Expired);
        }
        Ok(Identity::new(claims.sub, claims.sid))
    }

    /// The public key, as a JWK set (RFC 7517), for others who check our tokens.
    pub fn jwks(&self) -> &Value {
        &self.0.jwks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use uuid::Uuid;

    fn somebody() -> Identity {
        let (user, login) = (Uuid::from_u128(1).into(), Uuid::from_u128(2).into());
        Identity::new(user, login)
    }

    fn at(seconds: i64) -> Moment {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn part(value: &Value) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// A token with any header and claims, rightly signed by the key of the seed.
    fn signed(seed: u8, header: &Value, claims: &Value) -> String {
        use ed25519_dalek::Signer;
        let message = format!("{}.{}", part(header), part(claims));
        let signature = SigningKey::from_bytes(&[seed; 32]).sign(message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn claims() -> Value {
        let Identity { user, login, .. } = somebody();
        let (iat, exp) = (at(0).timestamp(), at(900).timestamp());
        json!({ "iss": "roundtable", "sub": user, "sid": login, "iat": iat, "exp": exp })
    }

    #[test]
    fn a_token_names_its_person_for_a_quarter_of_an_hour() {
        let tokens = Tokens::new(&[7; 32]);
        let token = tokens.issue(somebody(), at(0));
        assert_eq!(tokens.verify(&token, at(0)), Ok(somebody()));
        assert_eq!(tokens.verify(&token, at(899)), Ok(somebody()));
        assert_eq!(tokens.verify(&token, at(900)), Err(TokenError::Expired));
        assert_eq!(tokens.verify(&token, at(-3)), Ok(somebody()), "clocks differ a little");
        assert_eq!(tokens.verify(&token, at(-60)), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_by_the_book_is_good() {
        let token = signed(7, &json!({ "alg": "EdDSA" }), &claims());
        assert_eq!(Tokens::new(&[7; 32]).verify(&token, at(0)), Ok(somebody()));
    }

    #[test]
    fn a_forged_token_is_refused() {
        let tokens = Tokens::new(&[7; 32]);
        let edd = json!({ "alg": "EdDSA" });
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            claims
        };
        let none = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims()));
        // The public key, which everybody knows, used as the secret of an HMAC.
        let header = Header::new(Algorithm::HS256);
        let public = SigningKey::from_bytes(&[7; 32]).verifying_key();
        let confused = EncodingKey::from_secret(public.as_bytes());
        let confused = jsonwebtoken::encode(&header, &claims(), &confused).unwrap();
        let mut tampered = tokens.issue(somebody(), at(0));
        let middle = tampered.len() / 2;
        let other = if tampered.as_bytes()[middle] == b'A' { "B" } else { "A" };
        tampered.replace_range(middle..=middle, other);
        let mut without = claims();
        without.as_object_mut().unwrap().remove("exp");

        for forged in [
            signed(8, &edd, &claims()),
            signed(7, &edd, &with("iss", json!("somebody-else"))),
            signed(7, &edd, &with("iss", Value::Null)),
            signed(7, &edd, &with("sub", json!("ada"))),
            signed(7, &edd, &with("sid", Value::Null)),
            signed(7, &edd, &with("aud", json!("another-service"))),
            signed(7, &edd, &without),
            signed(7, &json!({ "alg": "HS256" }), &claims()),
            none,
            confused,
            tampered,
            String::new(),
            "a.b.c".to_owned(),
        ] {
            assert_eq!(tokens.verify(&forged, at(0)), Err(TokenError::Invalid), "{forged}");
        }
    }

    #[test]
    fn the_public_key_is_published_as_rfc_8037_says() {
        // The key pair and the thumbprint of RFC 8037, appendices A.1 and A.3.
        let seed = BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let tokens = Tokens::new(&seed.unwrap().try_into().unwrap());
        let key = &tokens.jwks()["keys"][0];
        assert_eq!(key["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
        assert!(key.get("d").is_none());
    }
}
