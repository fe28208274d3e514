//! Brings one segment file of a backup up to the one of the store.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use super::{BackupError, corrupt, manifest::Entry};
use crate::{
    Error,
    log::{
        frame, kept,
        segment::SEGMENT_HEADER,
        walk::{Named, Walk},
    },
};

/// A segment of the store, and where its copy goes.
pub(super) struct Segment<'a> {
    pub(super) named: &'a Named,
    /// Where the next segment starts; `None` for the last one, which is still written.
    pub(super) next: Option<u64>,
    pub(super) to: &'a Path,
    /// What the backup before this one holds.
    pub(super) old: &'a [Entry],
    /// What one that was interrupted has copied.
    pub(super) begun: &'a [Entry],
}

/// The file of the store, and its copy.
struct Both<'a> {
    name: &'a str,
    path: &'a Path,
    source: &'a Walk,
    copy: &'a File,
}

/// What the backup holds of a segment.
pub(super) struct Done {
    pub(super) entry: Entry,
    /// Bytes that were copied this time.
    pub(super) new: u64,
    /// The position behind the last event.
    pub(super) head: u64,
}

impl Segment<'_> {
    /// Copies what the backup lacks; `None` for a file that is just being made.
    pub(super) fn copy(&self, mut source: Walk) -> Result<Option<Done>, BackupError> {
        let named = self.named;
        if !source.header_holds().map_err(Error::io("read", &named.path))? {
            if self.next.is_none() && source.length() <= SEGMENT_HEADER && named.base > 0 {
                return Ok(None);
            }
            return Err(corrupt(named, 0, "the header of the segment is wrong").into());
        }
        let name = named.path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a segment's name is ASCII").to_owned();
        let path = self.to.join(&name);
        let copy = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let both = Both { name: &name, path: &path, source: &source, copy: &copy };
        let (from, crc) = self.kept(&both)?;
        copy.set_len(from)
            .and_then(|()| transfer(source.file(), &copy, from..source.length()))
            .map_err(Error::io("copy", &named.path))?;
        // The copy is examined, and not the source, which may have changed meanwhile.
        let (end, head) = self.whole_end(&copy, from.max(SEGMENT_HEADER))?;
        let crc = copy
            .set_len(end)
            .and_then(|()| checksum(&copy, from..end, crc))
            .map_err(Error::io("examine", &path))?;
        if end > from {
            copy.sync_all().map_err(Error::io("sync", &path))?;
        }
        if self.next.is_none() {
            // What the backup holds the store must not lose any more, or the two would part ways.
            source.file().sync_data().map_err(Error::io("sync", &named.path))?;
        }
        Ok(Some(Done { entry: Entry { name, bytes: end, crc32c: crc }, new: end - from, head }))
    }

    /// How many bytes of the copy are there already, and their checksum.
    fn kept(&self, both: &Both<'_>) -> Result<(u64, u32), BackupError> {
        let of_base = |entry: &&Entry| entry.base() == Some(self.named.base);
        // What was never a whole backup binds nobody.
        if let Some(before) = self.begun.iter().find(of_base)
            && let Ok(kept) = self.kept_of(before, both)
            && kept != (0, 0)
        {
            return Ok(kept);
        }
        match self.old.iter().find(of_base) {
            Some(before) => self.kept_of(before, both),
            None => Ok((0, 0)),
        }
    }

    /// The same by what one backup says of it.
    fn kept_of(&self, before: &Entry, both: &Both<'_>) -> Result<(u64, u32), BackupError> {
        let Both { name, path, source, copy } = *both;
        let (source, length) = (source.file(), source.length());
        let other = |reason| Err(BackupError::OtherHistory { path: path.to_owned(), reason });
        if before.name != name {
            if before.generation() > Some(self.named.generation) {
                return other("the backup holds this segment in a newer form");
            }
            return Ok((0, 0));
        }
        if copy.metadata().map_err(Error::io("examine", path))?.len() < before.bytes {
            let reason = "is too short".to_owned();
            return Err(BackupError::Damaged { path: path.to_owned(), reason });
        }
        if length < before.bytes {
            return other("the store ends before this file does");
        }
        let same = if length == before.bytes {
            same_ending(source, copy, length)
        } else {
            checksum(source, 0..before.bytes, 0).map(|crc| crc == before.crc32c)
        };
        if !same.map_err(Error::io("compare", &self.named.path))? {
            return other("the store holds other events at this place");
        }
        Ok((before.bytes, before.crc32c))
    }

    /// Where the last whole append of the copy ends, in the file and in the log. That is at the
    /// very end unless the segment is the last one.
    fn whole_end(&self, copy: &File, from: u64) -> Result<(u64, u64), Error> {
        let named = self.named;
        let failed = || Error::io("read", &named.path);
        let copy = copy.try_clone().and_then(|copy| Walk::new(copy, named.base, named.generation));
        let mut walk = copy.map_err(failed())?;
        let refuse = |offset, reason| Err(corrupt(named, offset, reason));
        if named.generation > 0 {
            return self.scavenged_end(&mut walk);
        }
        if self.next.is_some_and(|next| walk.position(walk.length()) != next) {
            return refuse(walk.length(), "the segment does not reach to the next one");
        }
        let (mut start, mut offset, mut following) = (from, from, 0u32);
        while offset < walk.length() {
            let reason = match walk.record(offset).map_err(failed())? {
                Ok(record) if following > 0 && record.following + 1 != following => {
                    "an append lacks an event"
                }
                Ok(record) => {
                    offset = record.next - named.base;
                    following = record.following;
                    if following == 0 {
                        start = offset;
                    }
                    continue;
                }
                Err(reason) => reason,
            };
            let append = walk.position(start);
            if self.next.is_some() || walk.proves_durable(append, offset + 1).map_err(failed())? {
                return refuse(offset, reason);
            }
            break;
        }
        if self.next.is_some() && start < walk.length() {
            return refuse(start, "an append lacks its last event");
        }
        Ok((start, walk.position(start)))
    }

    /// The same for a segment that scavenging wrote, which is always whole.
    fn scavenged_end(&self, walk: &mut Walk) -> Result<(u64, u64), Error> {
        let (named, length) = (self.named, walk.length());
        let mut wrong = None;
        let end = kept::each(walk, named.base, &mut |offset, found| {
            if let Err(reason) = found {
                wrong.get_or_insert((offset, reason));
            }
        })
        .map_err(Error::io("read", &named.path))?;
        match (wrong, end) {
            (None, Some(end)) if self.next.is_none_or(|next| next == end) => Ok((length, end)),
            (wrong, _) => {
                let gap = (length, "the segment does not reach to the next one");
                let (offset, reason) = wrong.unwrap_or(gap);
                Err(corrupt(named, offset, reason))
            }
        }
    }
}

/// Whether two files of that many bytes end with the same record, which names its time and id.
fn same_ending(one: &File, other: &File, bytes: u64) -> io::Result<bool> {
    let mut suffix = [0; frame::SUFFIX];
    let Some(at) = bytes.checked_sub(frame::SUFFIX as u64) else { return Ok(true) };
    one.read_exact_at(&mut suffix, at)?;
    let start = frame::size_from_suffix(u32::from_le_bytes(suffix))
        .and_then(|size| bytes.checked_sub(size as u64))
        .unwrap_or(0);
    let length = (bytes - start).min(64 << 10) as usize;
    let mut both = [vec![0; length], vec![0; length]];
    one.read_exact_at(&mut both[0], start)?;
    other.read_exact_at(&mut both[1], start)?;
    Ok(both[0] == both[1])
}

/// Copies the range to the same place; less of it when the file has become shorter, as that of a
/// store does that starts after a crash.
pub(super) fn transfer(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    pieces(from, range, |at, bytes| to.write_all_at(bytes, at)).map(|_| ())
}

/// Goes on with a checksum over the range.
pub(super) fn checksum(file: &File, range: Range<u64>, crc: u32) -> io::Result<u32> {
    let mut sum = crc;
    let end = pieces(file, range.clone(), |_, bytes| {
        sum = crc32c::crc32c_append(sum, bytes);
        Ok(())
    })?;
    if end < range.end { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sum) }
}

/// Hands out the range piece by piece, and tells where it or the file ended.
fn pieces(
    file: &File,
    range: Range<u64>,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; (range.end - range.start).min(1 << 20) as usize];
    let mut at = range.start;
    while at < range.end {
        let length = (range.end - at).min(buffer.len() as u64) as usize;
        match file.read_at(&mut buffer[..length], at) {
            Ok(0) => break,
            Ok(count) => {
                each(at, &buffer[..count])?;
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}
