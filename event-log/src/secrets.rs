//! The two keys that everything secret about persons hangs on.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

/// The 32-byte keys of a deployment. They are in no log, no database and no cache.
#[derive(Clone)]
pub struct Secrets {
    /// Wraps the data keys of persons in the vault.
    pub master: [u8; 32],
    /// Keys the digests of names, and of refresh tokens.
    pub deployment: [u8; 32],
}

impl Secrets {
    /// The digest of a normalised name of some kind (`email`, `handle`), in hex: HMAC-SHA256 with
    /// the deployment key, so that nobody can try names on a copy of the log.
    pub fn name_digest(&self, kind: &str, normalised: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.deployment)
            .expect("HMAC takes a key of any length");
        mac.update(kind.as_bytes());
        mac.update(b":");
        mac.update(normalised.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.master.zeroize();
        self.deployment.zeroize();
    }
}

/// Shows that there are keys, and none of them.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}
