//! Segments that scavenging wrote, built here by hand: verified, backed up, and restored.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use event_store::{Fault, Report};

use crate::tool::{HEADER, base, records, segments, small_log};

/// Writes the segment anew without the records of these numbers, as its first generation.
fn rewrite(file: &Path, without: &[usize]) -> PathBuf {
    let (base, whole) = (base(file), fs::read(file).expect("a segment"));
    let starts = records(&whole);
    let mut out = whole[..HEADER].to_vec();
    out[7] = 2;
    let crc = crc32c::crc32c(&out[..16]);
    out[16..].copy_from_slice(&crc.to_le_bytes());
    let header = out.clone();
    // Runs of records that adjoin: position, and offset in the new file.
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut after = None;
    for (number, start) in starts.iter().enumerate() {
        if without.contains(&number) {
            continue;
        }
        let end = starts.get(number + 1).copied().unwrap_or(whole.len());
        if after != Some(*start) {
            runs.push((base + *start as u64, out.len() as u64));
        }
        out.extend(&whole[*start..end]);
        after = Some(end);
    }
    let records_end = out.len() as u64;
    let mut block = Vec::new();
    for (position, offset) in &runs {
        block.extend([position.to_le_bytes(), offset.to_le_bytes()].concat());
    }
    block.extend(records_end.to_le_bytes());
    block.extend((runs.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&base.to_le_bytes()), &block);
    block.extend(crc.to_le_bytes());
    out.extend(block);
    let fence = runs[0].0.to_le_bytes();
    out.extend(fence);
    let mut footer = b"RTKEPT\0\x01".to_vec();
    let kept = (starts.len() - without.len()) as u64;
    for number in [base, base + whole.len() as u64, records_end, runs.len() as u64, kept] {
        footer.extend(number.to_le_bytes());
    }
    footer.extend(crc32c::crc32c(&fence).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header), &footer);
    footer.extend(crc.to_le_bytes());
    out.extend(footer);
    let path = PathBuf::from(format!("{}.1", file.display()));
    fs::write(&path, out).expect("written");
    path
}

fn verify(data: &Path) -> (Report, Vec<Fault>) {
    let mut faults = Vec::new();
    let report = event_store::verify(data, |fault| faults.push(fault.clone())).expect("it is read");
    (report, faults)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scavenged_segment_is_verified_to_the_last_byte() {
    let data = tempfile::tempdir().expect("a folder");
    let events = small_log(data.path(), 400).await as u64;
    let old = segments(data.path()).remove(0);
    let new = rewrite(&old, &[1, 3]);
    // As a scavenge leaves it for a moment: the newer file counts.
    assert_eq!(verify(data.path()).1, []);
    fs::remove_file(&old).expect("removed");
    let (report, faults) = verify(data.path());
    assert_eq!((report.events, faults), (events - 2, vec![]));
    let whole = fs::read(&new).expect("a segment");
    for offset in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x10;
        fs::write(&new, &bytes).expect("flipped");
        let (_, faults) = verify(data.path());
        assert_eq!(faults.first().map(|fault| &fault.file), Some(&new), "at byte {offset}");
        fs::write(&new, &whole[..offset]).expect("cut");
        assert_ne!(verify(data.path()).1, [], "cut to {offset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_takes_a_scavenged_segment_in_place_of_the_old_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to) = (folder.path().join("data"), folder.path().join("backup"));
    small_log(&data, 400).await;
    event_store::backup(&data, &to, SystemTime::now(), |_, _| {}).expect("a backup");
    let old = segments(&data).remove(0);
    let new = rewrite(&old, &[0, 2]);
    fs::remove_file(&old).expect("removed");
    let whole = fs::read(&new).expect("a segment");
    let mut bytes = whole.clone();
    bytes[70] ^= 1;
    fs::write(&new, &bytes).expect("flipped");
    event_store::backup(&data, &to, SystemTime::now(), |_, _| {}).expect_err("it is corrupt");
    fs::write(&new, &whole).expect("mended");
    let copied = event_store::backup(&data, &to, SystemTime::now(), |_, _| {}).expect("a backup");
    assert_eq!(copied.copied, whole.len() as u64);
    let again = event_store::backup(&data, &to, SystemTime::now(), |_, _| {}).expect("a backup");
    assert_eq!((again.copied, again.head), (0, copied.head));
    let restored = folder.path().join("restored");
    event_store::restore(&to, &restored, |_, _| {}).expect("restored");
    let bytes = |folder: &Path| -> Vec<_> {
        let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
        let files = segments(folder);
        files.iter().map(|path| (name(path), fs::read(path).expect("a file"))).collect()
    };
    assert_eq!(bytes(&restored), bytes(&data));
    assert_eq!(bytes(&to), bytes(&data));
}
