//! Folders of files that never change: what people uploaded, and the secret keys.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::ProgressBar;

use crate::tools::progress;

/// Copies what is new in a folder of uploads and removes what is gone there; says how many files
/// there are now. A file that has its name has all its bytes, and never others.
pub(super) fn mirror(from: &Path, to: &Path) -> Result<u64> {
    let bar = progress::bytes(size(from)?, "copying files");
    let count = mirror_each(from, to, &bar)?;
    bar.finish_and_clear();
    Ok(count)
}

fn size(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for (name, kind) in list(folder)? {
        let path = folder.join(name);
        size += match kind.is_dir() {
            true => self::size(&path)?,
            false => fs::metadata(&path).map_or(0, |found| found.len()),
        };
    }
    Ok(size)
}

fn mirror_each(from: &Path, to: &Path, bar: &ProgressBar) -> Result<u64> {
    fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    let mut count = 0;
    for entry in list(from)? {
        let (name, kind) = entry;
        let (source, copy) = (from.join(&name), to.join(&name));
        if kind.is_dir() {
            count += mirror_each(&source, &copy, bar)?;
        } else if kind.is_file() && !is_unfinished(&name) && copied(&source, &copy)? {
            count += 1;
            bar.inc(fs::metadata(&copy).map_or(0, |found| found.len()));
        }
    }
    for (name, kind) in list(to)? {
        let copy = to.join(&name);
        if !from.join(&name).exists() {
            let removed =
                if kind.is_dir() { fs::remove_dir_all(&copy) } else { fs::remove_file(&copy) };
            removed.with_context(|| format!("{} cannot be removed", copy.display()))?;
        }
    }
    File::open(to).and_then(|folder| folder.sync_all()).context("the folder cannot be synced")?;
    Ok(count)
}

/// The storage writes beside the name, with a number, until all is there.
fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().contains(&b'#')
}

/// The names in a folder; none if it is not there.
fn list(folder: &Path) -> Result<Vec<(std::ffi::OsString, fs::FileType)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    let named = entries.map(|entry| entry.and_then(|it| Ok((it.file_name(), it.file_type()?))));
    named.collect::<io::Result<_>>().with_context(|| format!("{} changes", folder.display()))
}

/// Makes the copy, unless it is there; false if the file was removed meanwhile.
fn copied(source: &Path, copy: &Path) -> Result<bool> {
    let named = || format!("{} cannot be copied", source.display());
    let length = match fs::metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.with_context(named)?.len(),
    };
    if fs::metadata(copy).is_ok_and(|there| there.len() == length) {
        return Ok(true);
    }
    let beside = copy.with_file_name("being-copied#");
    match fs::copy(source, &beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        copied => copied.with_context(named)?,
    };
    let made = File::open(&beside).and_then(|file| file.sync_all());
    made.and_then(|()| fs::rename(&beside, copy)).with_context(named)?;
    Ok(true)
}

/// Copies the secret keys, for their owner alone.
pub(super) fn copy_secrets(from: &Path, to: &Path) -> Result<()> {
    let named = || format!("the secret keys cannot be copied from {}", from.display());
    // All of them have to be there, and to be keys.
    service::Secrets::load(from).with_context(named)?;
    fs::create_dir_all(to).with_context(named)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).with_context(named)?;
    for (name, _) in list(from)? {
        if Path::new(&name).extension().is_some_and(|ending| ending == "key") {
            let copy = to.join(&name);
            // The mode of the original goes with it.
            fs::copy(from.join(&name), &copy).with_context(named)?;
            File::open(&copy).and_then(|file| file.sync_all()).with_context(named)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_takes_what_is_whole_and_drops_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::write(from.join("a/one"), "1").unwrap();
        fs::write(from.join("a/two#1"), "half").unwrap();
        fs::write(from.join("three"), "33").unwrap();
        assert_eq!(mirror(&from, &to).unwrap(), 2);
        assert_eq!(fs::read(to.join("a/one")).unwrap(), b"1");
        assert!(!to.join("a/two#1").exists());
        fs::remove_dir_all(from.join("a")).unwrap();
        fs::write(from.join("four"), "4444").unwrap();
        assert_eq!(mirror(&from, &to).unwrap(), 2);
        assert!(!to.join("a").exists() && to.join("four").exists());
        assert_eq!(mirror(&folder.path().join("nowhere"), &to).unwrap(), 0);
    }
}
