//! Finds the servers' programs where Debian puts them, or on the PATH.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{Error, Kind};

/// Where the program of `kind` is.
///
/// Debian keeps PostgreSQL's programs out of the PATH, one folder for each major version; the
/// highest version is taken.
///
/// # Errors
/// [`Error::Missing`], which names the package to install.
pub fn find(kind: Kind) -> Result<PathBuf, Error> {
    #[expect(clippy::disallowed_methods, reason = "the PATH is the machine's, not configuration")]
    let path = std::env::var("PATH").unwrap_or_default();
    find_in(Path::new("/"), OsStr::new(&path), kind)
}

/// `initdb` lies beside `postgres`, so that both are of one version.
pub(crate) fn initdb(postgres: &Path) -> Result<PathBuf, Error> {
    let real = fs::canonicalize(postgres).unwrap_or_else(|_| postgres.to_owned());
    let initdb = real.with_file_name("initdb");
    if is_executable(&initdb) { Ok(initdb) } else { Err(missing(Kind::Postgres, "initdb")) }
}

fn find_in(root: &Path, path: &OsStr, kind: Kind) -> Result<PathBuf, Error> {
    let program = kind.program();
    let debian = match kind {
        Kind::Postgres => newest_postgres(root),
        Kind::Redis => vec![root.join("usr/bin").join(program)],
        Kind::Nats => {
            vec![root.join("usr/sbin").join(program), root.join("usr/bin").join(program)]
        }
    };
    debian
        .into_iter()
        .chain(std::env::split_paths(path).map(|folder| folder.join(program)))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| missing(kind, program))
}

fn newest_postgres(root: &Path) -> Vec<PathBuf> {
    let folder = root.join("usr/lib/postgresql");
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin/postgres")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn missing(kind: Kind, program: &'static str) -> Error {
    let places = match kind {
        Kind::Postgres => "/usr/lib/postgresql/*/bin",
        Kind::Redis => "/usr/bin",
        Kind::Nats => "/usr/sbin or /usr/bin",
    };
    Error::Missing { kind, program, places, package: kind.package() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_missing_program_names_the_package_and_the_way_to_install_it() {
        let empty = tempfile::tempdir().unwrap();
        for kind in Kind::ALL {
            let error = find_in(empty.path(), OsStr::new(""), kind).unwrap_err().to_string();
            assert!(error.contains(kind.program()), "{error}");
            assert!(error.contains(&format!("package `{}`", kind.package())), "{error}");
            assert!(error.contains("make deps"), "{error}");
        }
    }

    #[test]
    fn the_highest_version_of_postgres_is_taken_by_number() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "14"] {
            let folder = format!("usr/lib/postgresql/{version}/bin/postgres");
            executable(&root.path().join(folder));
        }
        let found = find_in(root.path(), OsStr::new(""), Kind::Postgres).unwrap();
        assert!(found.ends_with("15/bin/postgres"), "{}", found.display());
    }

    #[test]
    fn the_path_is_the_second_choice() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("elsewhere");
        executable(&elsewhere.join("nats-server"));
        let found = find_in(root.path(), elsewhere.as_os_str(), Kind::Nats).unwrap();
        assert_eq!(found, elsewhere.join("nats-server"));
        executable(&root.path().join("usr/sbin/nats-server"));
        let found = find_in(root.path(), elsewhere.as_os_str(), Kind::Nats).unwrap();
        assert_eq!(found, root.path().join("usr/sbin/nats-server"));
    }
}
