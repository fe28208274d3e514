//! Password hashes: Argon2id (RFC 9106), never more of them at once than the cores can bear. Those
//! of bcrypt and of older parameters are verified too, and replaced when their person logs in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use service::Problem;
use tokio::sync::Semaphore;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The dearest bcrypt hash that is verified: each one more takes twice as long, and 31 takes a day.
const BCRYPT_COST: u32 = 14;

/// The dearest Argon2 hash that is made or verified: memory (KiB), passes, lanes.
const ARGON2_MEMORY_KIB: u32 = 256 * 1024;
const ARGON2_PASSES: u32 = 16;
const ARGON2_LANES: u32 = 16;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    /// The hash of no password that anybody knows.
    dummy: Arc<str>,
    turns: Arc<Semaphore>,
}

impl Passwords {
    /// Hashes with this much memory (OWASP's first choice: 19 MiB), two passes, one lane.
    pub(crate) fn new(memory_kib: u32) -> anyhow::Result<Self> {
        if memory_kib > ARGON2_MEMORY_KIB {
            return Err(anyhow!("ROUNDTABLE_ARGON2_KIB is at most {ARGON2_MEMORY_KIB}"));
        }
        let params = Params::new(memory_kib, 2, 1, None)
            .map_err(|error| anyhow!("ROUNDTABLE_ARGON2_KIB is wrong: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = SaltString::generate(&mut OsRng);
        let dummy = hash(&argon2, nobodys.as_str())?.into();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { argon2, dummy, turns: Arc::new(Semaphore::new(cores)) })
    }

    /// The hash of a new password, as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let argon2 = self.argon2.clone();
        self.in_turn(move || hash(&argon2, &password)).await?.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            Problem::internal()
        })
    }

    /// Whether it is the password. Without a hash it is not, and that takes as long to say.
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let (argon2, dummy) = (self.argon2.clone(), Arc::clone(&self.dummy));
        self.in_turn(move || {
            let against = hash.as_deref().unwrap_or(&dummy);
            let good = match bcrypt_cost(against) {
                Some(cost) => {
                    cost <= BCRYPT_COST && bcrypt::verify(&password, against).unwrap_or(false)
                }
                None => PasswordHash::new(against).is_ok_and(|parsed| {
                    is_bearable(&parsed)
                        && argon2.verify_password(password.as_bytes(), &parsed).is_ok()
                }),
            };
            good && hash.is_some()
        })
        .await
    }

    /// Whether a hash is as good as those that are made today. One that took more work is.
    pub(crate) fn is_current(&self, hash: &str) -> bool {
        let Ok(parsed) = PasswordHash::new(hash) else { return false };
        let Ok(params) = Params::try_from(&parsed) else { return false };
        let now = self.argon2.params();
        parsed.algorithm == Algorithm::Argon2id.ident()
            && parsed.version == Some(Version::V0x13.into())
            && params.m_cost() >= now.m_cost()
            && params.t_cost() >= now.t_cost()
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(Problem::unavailable(Duration::from_secs(5)));
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            // Held until the work is over, even if nobody waits for it any more.
            drop(turn);
            result
        });
        Ok(done.await.expect("hashing does not panic and is not aborted"))
    }
}

/// Whether a hash made elsewhere can be verified here.
pub(crate) fn is_known(hash: &str) -> bool {
    match bcrypt_cost(hash) {
        Some(cost) => cost <= BCRYPT_COST && hash.len() == 60,
        None => PasswordHash::new(hash).is_ok_and(|parsed| {
            Algorithm::try_from(parsed.algorithm).is_ok() && is_bearable(&parsed)
        }),
    }
}

/// Whether verifying it takes no more than can be spared: the hash itself says how much it takes.
fn is_bearable(hash: &PasswordHash<'_>) -> bool {
    Params::try_from(hash).is_ok_and(|params| {
        params.m_cost() <= ARGON2_MEMORY_KIB
            && params.t_cost() <= ARGON2_PASSES
            && params.p_cost() <= ARGON2_LANES
    })
}

/// The cost of a bcrypt hash, in its modular crypt form: `$2b$12$…`.
fn bcrypt_cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| hash.strip_prefix(prefix))?;
    rest.get(..2)?.parse().ok()
}

fn hash(argon2: &Argon2<'_>, password: &str) -> anyhow::Result<String> {
    argon2
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .map(|hash| hash.to_string())
        .map_err(|error| anyhow!("Argon2 refuses: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_verifies() {
        let passwords = Passwords::new(64).unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{hash}");
        let verify = async |password: &str, hash: Option<&String>| {
            passwords.verify(password.to_owned(), hash.cloned()).await.unwrap()
        };
        assert!(verify("correct horse", Some(&hash)).await);
        assert!(!verify("battery staple", Some(&hash)).await);
        assert!(!verify("correct horse", None).await);
        assert!(!verify("correct horse", Some(&"no hash".to_owned())).await);
        assert!(passwords.is_current(&hash) && is_known(&hash));
    }

    #[tokio::test]
    async fn hashes_of_bcrypt_are_verified_and_are_to_be_replaced() {
        let passwords = Passwords::new(64).unwrap();
        // The vectors of the jBCrypt and OpenBSD tests for these passwords.
        for (password, hash) in [
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
            ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ] {
            for kind in ["$2a$", "$2b$", "$2y$"] {
                let hash = hash.replace("$2a$", kind);
                let verify = async |password: &str| {
                    passwords.verify(password.to_owned(), Some(hash.clone())).await.unwrap()
                };
                assert!(verify(password).await, "{hash}");
                assert!(!verify("abd").await, "{hash}");
                assert!(is_known(&hash) && !passwords.is_current(&hash));
            }
        }
    }

    #[tokio::test]
    async fn a_hash_that_would_take_for_ever_or_is_broken_is_no_hash() {
        let passwords = Passwords::new(64).unwrap();
        let rest = "If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
        for hash in [
            format!("$2b$31${rest}"),
            format!("$2b$xx${rest}"),
            format!("$2x$06${rest}"),
            "$2b$06$short".to_owned(),
            "$2b$".to_owned(),
            "$1$md5$xxxx".to_owned(),
            "$argon2id$v=19$m=4000000000,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            "$argon2id$v=19$m=64,t=4000000000,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        ] {
            assert!(!passwords.verify("abc".to_owned(), Some(hash.clone())).await.unwrap());
            assert!(!is_known(&hash), "{hash}");
        }
    }

    #[tokio::test]
    async fn a_hash_of_less_work_is_to_be_replaced_and_one_of_more_is_not() {
        let (weak, strong) = (Passwords::new(64).unwrap(), Passwords::new(128).unwrap());
        let hash = weak.hash("correct horse".to_owned()).await.unwrap();
        assert!(weak.is_current(&hash) && !strong.is_current(&hash));
        assert!(strong.verify("correct horse".to_owned(), Some(hash)).await.unwrap());
        let hash = strong.hash("correct horse".to_owned()).await.unwrap();
        assert!(weak.is_current(&hash));
    }
}
