//! Passwords: Argon2id (RFC 9106) hashes, verified a few at a time and once for many calls.
//!
//! A call must not cost a run of Argon2, which is meant to be dear. So what was verified is
//! remembered for some minutes, as a digest that is keyed with a secret of this process and covers
//! the position of the user's newest event: after any change of the user nothing remembered fits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        PasswordHash, PasswordHasher, PasswordVerifier, SaltString,
        rand_core::{OsRng, RngCore},
    },
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::{Refusal, cache::Cache, user::User};
use crate::grpc::{Fault, blocking};

/// OWASP's first choice: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// The hash of no password that anybody knows: names without a user take as long as others.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    bm9ib2R5IGtub3dzIGl0IQ$6D0cGCVuYFk3jcJ4y2bKq0kTz8sYw9Q5mZ1oVhXnJrE";

/// How many verified passwords are remembered, and for how long.
const VERIFIED: (usize, Duration) = (4096, Duration::from_secs(300));
/// The same for wrong ones, which a client that is set up badly repeats with every call.
const WRONG: (usize, Duration) = (1024, Duration::from_secs(10));
/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

type Digest = [u8; 32];

/// Hashes and verifies passwords.
pub(crate) struct Passwords {
    secret: Digest,
    verified: Cache<Digest, ()>,
    wrong: Cache<Digest, ()>,
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let mut secret = [0; 32];
        OsRng.fill_bytes(&mut secret);
        // Half of the cores: guessing passwords must not stop the store.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            secret,
            verified: Cache::new(VERIFIED.0, Some(VERIFIED.1)),
            wrong: Cache::new(WRONG.0, Some(WRONG.1)),
            turns: Arc::new(Semaphore::new(cores.div_ceil(2))),
        }
    }

    /// The hash of a new password, as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Fault> {
        let turn = self.turn().await?;
        blocking(move || {
            let hash = hash(&password);
            drop(turn);
            hash
        })
        .await
    }

    /// Whether it is the password of the user, whose newest event is at the position. When there is
    /// no user it is not, and that takes as long to say.
    pub(crate) async fn verify(
        &self,
        login: &str,
        password: &str,
        user: Option<(u64, &User)>,
    ) -> Result<bool, Fault> {
        let digest = self.digest(login, password, user.map(|(position, _)| position));
        if let Some(known) = self.known(&digest, Instant::now()) {
            return Ok(known);
        }
        let turn = self.turn().await?;
        // Others may have waited with the same credentials.
        if let Some(known) = self.known(&digest, Instant::now()) {
            return Ok(known);
        }
        let against = user.map_or(NOBODYS, |(_, user)| &user.hash).to_owned();
        let password = password.to_owned();
        let fits = blocking(move || {
            let fits = fits(&password, &against);
            // Held until the work is over, even if nobody waits for it any more.
            drop(turn);
            fits
        })
        .await?;
        let good = fits && user.is_some();
        if !good {
            // Nothing of what was given: people type passwords where names belong.
            tracing::warn!("wrong credentials were refused");
        }
        let memory = if good { &self.verified } else { &self.wrong };
        memory.keep(digest, (), Instant::now());
        Ok(good)
    }

    fn known(&self, digest: &Digest, now: Instant) -> Option<bool> {
        let found = |memory: &Cache<Digest, ()>| memory.find(digest, now).is_some();
        if found(&self.verified) { Some(true) } else { found(&self.wrong).then_some(false) }
    }

    async fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Fault> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy.into()),
        }
    }

    fn digest(&self, login: &str, password: &str, position: Option<u64>) -> Digest {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length is a key");
        mac.update(&position.unwrap_or(u64::MAX).to_le_bytes());
        mac.update(&(login.len() as u64).to_le_bytes());
        mac.update(login.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// The hash of a new password. It takes long.
pub(crate) fn hash(password: &str) -> String {
    argon2()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .expect("passwords are shorter than Argon2 allows, and the salt is as long as it wants")
        .to_string()
}

/// Whether the password has this hash; text that is no hash is nobody's.
fn fits(password: &str, hash: &str) -> bool {
    let parsed = PasswordHash::new(hash);
    parsed.is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok())
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the parameters are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(hash: String) -> User {
        User {
            login_name: "ann".to_owned(),
            full_name: String::new(),
            groups: Vec::new(),
            disabled: false,
            hash,
        }
    }

    #[tokio::test]
    async fn a_password_verifies_for_its_user_only() {
        let passwords = Passwords::new();
        // What is kept from now on is young at this time, however long the test takes.
        let now = Instant::now();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let ann = user(hash);
        let verify = async |password, user| passwords.verify("ann", password, user).await.unwrap();
        let known =
            |password, position| passwords.known(&passwords.digest("ann", password, position), now);
        for _ in 0..2 {
            assert!(verify("correct horse", Some((1, &ann))).await);
            assert!(!verify("battery staple", Some((1, &ann))).await);
            assert!(!verify("correct horse", None).await);
        }
        // The second time from memory.
        assert_eq!(known("correct horse", Some(1)), Some(true));
        assert_eq!(known("battery staple", Some(1)), Some(false));
        assert_eq!(known("correct horse", None), Some(false));
        assert_eq!(known("correct horse", Some(2)), None);
        // What was verified is bound to the event.
        let changed = user("no hash".to_owned());
        assert!(!verify("correct horse", Some((2, &changed))).await);
    }

    #[test]
    fn nobodys_hash_is_a_hash_as_dear_as_others() {
        let parsed = PasswordHash::new(NOBODYS).unwrap();
        assert_eq!(Params::try_from(&parsed).unwrap().m_cost(), MEMORY_KIB);
        assert_eq!(parsed.hash.unwrap().len(), 32);
        assert!(!fits("", NOBODYS));
    }
}
