//! Password hashes: Argon2id (RFC 9106), never more of them at once than the cores can bear.

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
            let parsed = PasswordHash::new(against);
            let good = parsed
                .is_ok_and(|parsed| argon2.verify_password(password.as_bytes(), &parsed).is_ok());
            good && hash.is_some()
        })
        .await
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
    }
}
