//! Files that are written whole, or line by whole line.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::lock::claim;

/// Puts a file into its place, at once and durably, for its owner alone.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let half = half(path);
    let mut options = File::options();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(&half);
    made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&half, path))
        .and_then(|()| sync_folder_of(path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// What is renamed or made in a folder is there after a power cut.
pub(super) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A file of whole lines, at its end, for this process alone; `each` is shown every line. One that was
/// begun and not ended is removed.
///
/// # Errors
/// When it cannot be used, holds no whole line but something else, or `each` says so.
pub(super) fn appended(path: &Path, mut each: impl FnMut(&str) -> Result<()>) -> Result<File> {
    let named = || format!("{} cannot be used", path.display());
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).with_context(named)?;
    claim(&file, path)?;
    let mut input = BufReader::with_capacity(1 << 20, file);
    let (mut end, mut line) = (0, Vec::new());
    while input.read_until(b'\n', &mut line).with_context(named)? > 0 {
        let Some((b'\n', whole)) = line.split_last() else {
            ensure!(end > 0, "{} holds something else", path.display());
            break;
        };
        each(&String::from_utf8_lossy(whole)).with_context(named)?;
        end += line.len() as u64;
        line.clear();
    }
    let mut file = input.into_inner();
    file.set_len(end).with_context(named)?;
    file.seek(SeekFrom::End(0)).with_context(named)?;
    Ok(file)
}

/// Where a file is before it is whole.
pub(super) fn half(path: &Path) -> PathBuf {
    beside(path, ".half")
}

/// A path with something behind its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    name.into()
}
