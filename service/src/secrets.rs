//! The secret keys of a deployment: four files in one folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;
use thiserror::Error;

const MASTER: &str = "master.key";
const DEPLOYMENT: &str = "deployment.key";
const SIGNING: &str = "signing.key";
const AUDIT: &str = "audit.key";

/// The secret keys of a deployment.
#[derive(Clone)]
pub struct Secrets {
    /// Those of the log: the master key of the vault, and the key of digests.
    pub log: event_log::Secrets,
    /// The Ed25519 seed that signs access tokens.
    pub signing: [u8; 32],
    /// The Ed25519 seed that signs the checkpoints of the log.
    pub audit: [u8; 32],
}

/// Never shows a key.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// Why there are no secrets.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("the secret key {path} cannot be read; `roundtable secrets DIR` makes one")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the secret key {path} must be 64 hexadecimal digits")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be made.
    #[error("the secret key {path} cannot be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Secrets {
    /// Reads the keys from their folder.
    ///
    /// # Errors
    /// When one is missing or is no key.
    pub fn load(dir: &Path) -> Result<Self, SecretsError> {
        Ok(Self {
            log: event_log::Secrets {
                master: read(dir.join(MASTER))?,
                deployment: read(dir.join(DEPLOYMENT))?,
            },
            signing: read(dir.join(SIGNING))?,
            audit: read(dir.join(AUDIT))?,
        })
    }

    /// Makes the keys that are not there yet, readable by their owner alone, and reads all. A key
    /// that is there is never replaced: what it sealed or signed would be lost.
    ///
    /// # Errors
    /// When the folder or a file cannot be written, or a file that is there is no key.
    pub fn generate(dir: &Path) -> Result<Self, SecretsError> {
        fs::create_dir_all(dir)
            .map_err(|source| SecretsError::Unwritable { path: dir.to_owned(), source })?;
        for name in [MASTER, DEPLOYMENT, SIGNING, AUDIT] {
            make(dir, name).map_err(|source| {
                let path = dir.join(name);
                SecretsError::Unwritable { path, source }
            })?;
        }
        Self::load(dir)
    }
}

fn read(path: PathBuf) -> Result<[u8; 32], SecretsError> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(SecretsError::Unreadable { path, source }),
    };
    let mut key = [0; 32];
    match hex::decode_to_slice(text.trim(), &mut key) {
        Ok(()) => Ok(key),
        Err(_) => Err(SecretsError::NotAKey { path }),
    }
}

/// Writes beside the place and links into it, so that a crash leaves no half key and of two that
/// make it at once one wins.
fn make(dir: &Path, name: &str) -> io::Result<()> {
    let path = dir.join(name);
    if path.exists() {
        return Ok(());
    }
    let mut key = [0; 32];
    OsRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    let beside = dir.join(format!("{name}.{}.new", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(file, "{}", hex::encode(key))?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, &path);
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn generated_keys_are_private_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let made = Secrets::generate(dir.path()).unwrap();
        let again = Secrets::generate(dir.path()).unwrap();
        assert_eq!(made.log.master, again.log.master);
        assert_eq!(made.signing, again.signing);
        assert_eq!(made.audit, again.audit);
        assert_ne!(made.signing, made.audit);
        assert_ne!(made.log.master, made.log.deployment);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 4, "nothing is left behind: {names:?}");
        for path in names {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_missing_or_broken_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Secrets::generate(dir.path()).unwrap();
        fs::write(dir.path().join(DEPLOYMENT), "not a key").unwrap();
        let refused = Secrets::load(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("deployment.key") && refused.contains("64 hex"), "{refused}");
        fs::remove_file(dir.path().join(MASTER)).unwrap();
        let refused = Secrets::load(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("master.key"), "{refused}");
    }
}
