//! The disk below everything: what a sync costs, which file system it is, and what data takes up.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::Instant,
};

use hdrhistogram::Histogram;

use super::{
    load::{Outcome, Window, histogram, record},
    subscriber::Pace,
};

/// An event of 300 bytes with what has to be stored beside it.
const RECORD: [u8; 400] = [b'x'; 400];

/// Appends a record to a new file and syncs it, again and again: what the disk allows a log that
/// makes each record durable by itself. It blocks.
pub(super) fn sync_loop(folder: &Path, window: Window) -> io::Result<Outcome> {
    let path = folder.join("syncs");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let (begun, mut latency) = (Instant::now(), histogram());
    while begun.elapsed() < window.span && latency.len() < window.calls {
        let start = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        record(&mut latency, start.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(Outcome { calls: latency.len(), seconds, latency })
}

/// The same at a pace: what the disk takes for a record when it was left alone for a moment, which
/// may be much more. It blocks.
pub(super) fn paced_syncs(folder: &Path, pace: Pace) -> io::Result<Histogram<u64>> {
    let path = folder.join("syncs");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let (begun, mut latency) = (Instant::now(), histogram());
    for number in 0..pace.count {
        let due = begun + pace.between * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        record(&mut latency, start.elapsed());
    }
    fs::remove_file(path)?;
    Ok(latency)
}

/// Writes out what anybody left in memory, so that nobody pays for what another one wrote. It
/// blocks.
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(folder)?)?)
}

/// The bytes on the disk of all files below a folder, holes not counted.
pub(super) fn bytes(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        // st_blocks counts 512 bytes, whatever the block size is (stat(2)).
        sum += if meta.is_dir() { bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(sum)
}

/// The type of the file system that holds a folder, such as `ext4`; on `tmpfs` a sync does nothing.
pub(super) fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    type_of(&mounts, &folder).unwrap_or_else(|| "unknown".to_owned())
}

/// Of all mounts above the folder the lowest, and of mounts on one place the last (proc(5)).
fn type_of(mounts: &str, folder: &Path) -> Option<String> {
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_lowest_mount_tells_the_file_system() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        let of = |path| type_of(mounts, Path::new(path)).unwrap();
        assert_eq!((&*of("/home"), &*of("/tmp/a"), &*of("/tmp/x/y")), ("ext4", "tmpfs", "xfs"));
        assert_eq!(of("/tmpfile"), "ext4");
    }

    #[test]
    fn syncs_are_counted_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let window = Window { span: Duration::from_secs(60), calls: 3 };
        assert_eq!(sync_loop(folder.path(), window).unwrap().calls, 3);
        let pace = Pace { between: Duration::from_millis(1), count: 4 };
        let begun = Instant::now();
        assert_eq!(paced_syncs(folder.path(), pace).unwrap().len(), 4);
        assert!(begun.elapsed() >= pace.between * 3);
        assert_eq!(bytes(folder.path()).unwrap(), 0);
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/file"), [1; 5000]).unwrap();
        assert!(bytes(folder.path()).unwrap() >= 5000);
    }
}
