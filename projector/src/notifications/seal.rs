//! What a browser alone can read: the encryption of web push (RFC 8291), in one record of
//! `aes128gcm` (RFC 8188).

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes128Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::{PublicKey, SecretKey};
use sha2::Sha256;

/// The bytes of an uncompressed point of P-256.
const POINT: usize = 65;
/// The bytes of the salt.
const SALT: usize = 16;
/// The size of a record, in which everything has to fit.
const RECORD: u32 = 4096;
/// The last record says so with this.
const LAST: u8 = 2;

/// The keys that a browser subscribed with.
pub(super) struct Browser {
    key: PublicKey,
    secret: Vec<u8>,
}

impl Browser {
    /// Reads them, in base64url; none if they are no keys.
    pub(super) fn new(p256dh: &str, auth: &str) -> Option<Self> {
        let key = URL_SAFE_NO_PAD.decode(p256dh).ok()?;
        let key = PublicKey::from_sec1_bytes(&key).ok()?;
        let secret = URL_SAFE_NO_PAD.decode(auth).ok()?;
        (secret.len() == 16).then_some(Self { key, secret })
    }

    /// Encrypts a text for this browser, with a key of its own for each message.
    pub(super) fn seal(&self, text: &[u8]) -> Vec<u8> {
        let mut salt = [0; SALT];
        rand::Rng::fill(&mut rand::rng(), &mut salt);
        let own = loop {
            let mut bytes = [0; 32];
            rand::Rng::fill(&mut rand::rng(), &mut bytes);
            // One of 2^32 is no key.
            if let Ok(key) = SecretKey::from_slice(&bytes) {
                break key;
            }
        };
        self.seal_with(&own, &salt, text)
    }

    fn seal_with(&self, own: &SecretKey, salt: &[u8; SALT], text: &[u8]) -> Vec<u8> {
        let theirs = self.key.to_encoded_point(false);
        let ours = own.public_key().to_encoded_point(false);
        let shared = diffie_hellman(own.to_nonzero_scalar(), self.key.as_affine());
        let mut info = b"WebPush: info\0".to_vec();
        info.extend_from_slice(theirs.as_bytes());
        info.extend_from_slice(ours.as_bytes());
        let secret: [u8; 32] = expand(&self.secret, shared.raw_secret_bytes(), &info);
        let key: [u8; 16] = expand(salt, &secret, b"Content-Encoding: aes128gcm\0");
        let nonce: [u8; 12] = expand(salt, &secret, b"Content-Encoding: nonce\0");

        let mut record = text.to_vec();
        record.push(LAST);
        let sealed = Aes128Gcm::new(&key.into())
            .encrypt(Nonce::from_slice(&nonce), record.as_slice())
            .expect("a short text can be encrypted");
        let mut body = salt.to_vec();
        body.extend_from_slice(&RECORD.to_be_bytes());
        body.push(POINT as u8);
        body.extend_from_slice(ours.as_bytes());
        body.extend_from_slice(&sealed);
        body
    }
}

/// HKDF (RFC 5869): extracted with the salt, expanded with the info.
fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; N] {
    let mut key = [0; N];
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, &mut key)
        .expect("a key is shorter than what can be expanded");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let browser = Browser::new(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        )
        .unwrap();
        let own = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = SecretKey::from_slice(&own).unwrap();
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let sealed = browser.seal_with(&own, &salt, b"When I grow up, I want to be a watermelon");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIg\
                        Dll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVB\
                        St2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed), expected);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(Browser::new("BCVx", "BTBZMqHH6r4Tts7J_aSIgg").is_none());
        let off_curve = URL_SAFE_NO_PAD.encode([4; POINT]);
        assert!(Browser::new(&off_curve, "BTBZMqHH6r4Tts7J_aSIgg").is_none());
    }
}
