//! Which user Postgres runs as, and a folder that this user can reach.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};
use sha2::{Digest, Sha256};

use crate::{
    data::Data,
    error::{Context, Error},
};

/// Names the folder of the cluster, if that is not under the data folder.
const ELSEWHERE: &str = "postgres.folder";

/// Postgres refuses to run as root: then it runs as `postgres`, or as `nobody`.
pub(crate) fn user() -> Result<Option<User>, Error> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some(user));
        }
    }
    Err(Error::Inconsistent {
        what: "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`",
        path: "/etc/passwd".into(),
    })
}

/// The folder that holds the cluster's folder: the data folder, or one that the user can reach.
///
/// The other one is under `/var/lib`, which only root can write and nobody tidies up (`/var/tmp`
/// is tidied up on some systems, and the key vault is in this database).
pub(crate) fn folder(data: &Data, user: Option<&User>) -> Result<PathBuf, Error> {
    if let Some(known) = data.read(ELSEWHERE)? {
        let path = PathBuf::from(known);
        if path.join("postgres/PG_VERSION").exists() {
            return Ok(path);
        }
        let what = "the PostgreSQL cluster that postgres.folder names is gone; \
                    restore it, or remove that file to begin with an empty one";
        return Err(Error::Inconsistent { what, path });
    }
    let Some(user) = user else { return Ok(data.root().to_owned()) };
    let reachable = data.root().ancestors().skip(1).all(|parent| may_pass(parent, user));
    if reachable {
        let_pass(data.root())?;
        return Ok(data.root().to_owned());
    }
    let hash = hex::encode(&Sha256::digest(data.root().as_os_str().as_encoded_bytes())[..8]);
    let path = PathBuf::from(format!("/var/lib/roundtable-{hash}"));
    fs::create_dir_all(&path).context("could not make a folder for PostgreSQL", &path)?;
    let_pass(&path)?;
    tracing::info!(
        folder = %path.display(), user = user.name,
        "PostgreSQL keeps its files here: its user cannot reach the data folder"
    );
    Ok(path)
}

/// Remembers a cluster that is not under the data folder, once it exists.
pub(crate) fn remember(data: &Data, folder: &Path) -> Result<(), Error> {
    if folder != data.root() && data.read(ELSEWHERE)?.is_none() {
        data.write(ELSEWHERE, &folder.to_string_lossy())?;
    }
    Ok(())
}

/// The folder outside the data folder, if there is one: removed together with the data.
pub(crate) fn elsewhere(data: &Data) -> Option<PathBuf> {
    data.read(ELSEWHERE).ok().flatten().map(PathBuf::from)
}

fn may_pass(folder: &Path, user: &User) -> bool {
    let Ok(meta) = fs::metadata(folder) else { return false };
    let bit = match () {
        () if meta.uid() == user.uid.as_raw() => 0o100,
        () if meta.gid() == user.gid.as_raw() => 0o010,
        () => 0o001,
    };
    meta.mode() & bit != 0
}

/// Lets others pass through, but not look around: the files in it are closed by themselves.
fn let_pass(folder: &Path) -> Result<(), Error> {
    let meta = fs::metadata(folder).context("could not look at a folder", folder)?;
    let mode = meta.permissions().mode();
    if mode & 0o111 == 0o111 {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o7777 | 0o111))
        .context("could not let the user of PostgreSQL through a folder", folder)
}
