//! Finishes a file: cuts off what must not be in it and what a crash left half written, and adds what
//! is known in the end only: the duration, and an index, so that one can seek in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::ebml::{self, id};
use super::opus;
use super::webm::{AUDIO, DURATION_LEN, SEEK_HEAD_LEN, VIDEO, write_block};

/// Elements that are larger are none of ours.
const LARGEST: u64 = 64 * 1024 * 1024;

/// In a file without pictures there is a place to seek to so often, in milliseconds.
const PLACES: u64 = 5000;

/// A picture that nothing follows is shown this long, in milliseconds.
const LAST_PICTURE: u64 = 33;

/// A file that is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// How long it plays, in milliseconds.
    pub(super) milliseconds: u64,
}

/// Finishes a file, without anything from `until` milliseconds on. Finishing it again changes nothing.
/// `None` if there is nothing in it.
///
/// # Errors
/// When the disk fails, or it is no file of ours.
pub(super) fn finish(path: &Path, until: Option<u64>) -> io::Result<Option<Finished>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let plan = Plan::read(&mut file, until)?;
    file.set_len(plan.end)?;
    file.seek(SeekFrom::Start(plan.end))?;
    file.write_all(&plan.shortened)?;
    let end = plan.end + plan.shortened.len() as u64;
    if plan.times.iter().all(Option::is_none) {
        return Ok(None);
    }
    let milliseconds = plan.duration();
    let cues = plan.cues();
    file.write_all(&cues)?;
    let size = end + cues.len() as u64 - plan.segment;
    file.seek(SeekFrom::Start(plan.segment - 8))?;
    file.write_all(&ebml::wide_size(size))?;
    file.seek(SeekFrom::Start(plan.segment))?;
    file.write_all(&plan.seek_head(end))?;
    file.seek(SeekFrom::Start(plan.duration_at))?;
    let mut duration = Vec::with_capacity(DURATION_LEN);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a call")]
    ebml::float(&mut duration, id::DURATION, milliseconds as f64);
    file.write_all(&duration)?;
    file.sync_all()?;
    Ok(Some(Finished { milliseconds }))
}

/// The last block of a track, and how long it is, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Last {
    time: u64,
    lasts: u64,
}

/// What is in a file.
#[derive(Debug, Default)]
struct Plan {
    /// Where the content of the segment begins.
    segment: u64,
    info: u64,
    tracks: u64,
    duration_at: u64,
    /// Where what stays ends.
    end: u64,
    /// The last cluster, if not all of it stays.
    shortened: Vec<u8>,
    times: [Option<Last>; 2],
    /// Places to seek to: the time, the track, and the cluster.
    places: Vec<(u64, u64, u64)>,
}

impl Plan {
    fn read(file: &mut File, until: Option<u64>) -> io::Result<Self> {
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "this is no recording");
        let len = file.metadata()?.len();
        let (first, head, size) = head_at(file, 0)?.ok_or_else(foreign)?;
        if first != id::EBML {
            return Err(foreign());
        }
        let at = head + size.ok_or_else(foreign)?;
        let (segment, head, _) = head_at(file, at)?.ok_or_else(foreign)?;
        if segment != id::SEGMENT || head != 12 {
            return Err(foreign());
        }
        let mut plan = Self { segment: at + head, end: at + head, ..Self::default() };
        while let Some((found, head, Some(size))) = head_at(file, plan.end)? {
            let whole = head + size;
            // What comes after the clusters is made anew; what was half written is cut off.
            if found == id::CUES || size > LARGEST || plan.end + whole > len {
                break;
            }
            match found {
                id::INFO => {
                    plan.info = plan.end - plan.segment;
                    plan.duration_at = plan.end + head;
                }
                id::TRACKS => plan.tracks = plan.end - plan.segment,
                id::CLUSTER => {
                    let mut content = vec![0; usize::try_from(size).map_err(|_| foreign())?];
                    file.seek(SeekFrom::Start(plan.end + head))?;
                    file.read_exact(&mut content)?;
                    if !plan.take(&content, until) {
                        break;
                    }
                }
                _ => {}
            }
            plan.end += whole;
        }
        if plan.duration_at == 0 || plan.tracks == 0 {
            return Err(foreign());
        }
        Ok(plan)
    }

    /// Takes note of a cluster. Returns false if it does not stay as it is, and nothing after it.
    fn take(&mut self, content: &[u8], until: Option<u64>) -> bool {
        let (mut begun, mut kept, mut whole) = (0, Vec::new(), true);
        let mut sought = false;
        for (found, bytes) in ebml::elements(content) {
            if found == id::TIMESTAMP {
                begun = ebml::read_uint(bytes);
                ebml::uint(&mut kept, id::TIMESTAMP, begun);
            }
            let Some(block) = Block::read(bytes).filter(|_| found == id::SIMPLE_BLOCK) else {
                continue;
            };
            let time = begun.saturating_add_signed(block.relative.into());
            if until.is_some_and(|until| time + block.lasts().max(1) > until) {
                whole = false;
                continue;
            }
            write_block(&mut kept, block.track, time, begun, block.key, block.data);
            let position = self.end - self.segment;
            let due = self.places.last().is_none_or(|(last, ..)| time >= last + PLACES);
            let picture = block.track == VIDEO && block.key;
            if !sought && (picture || due && self.times[0].is_none()) {
                sought = true;
                self.places.push((time, block.track, position));
            }
            self.note(&block, time);
        }
        if !whole && kept.len() > 12 {
            ebml::element(&mut self.shortened, id::CLUSTER, &kept);
        }
        whole
    }

    fn note(&mut self, block: &Block<'_>, time: u64) {
        let last = &mut self.times[usize::from(block.track == AUDIO)];
        let before = last.map_or(time, |last| last.time);
        let lasts = match block.track {
            AUDIO => block.lasts(),
            // A pause is not how long a picture lasts.
            _ if (1..1000).contains(&(time.saturating_sub(before))) => time - before,
            _ => last.map_or(LAST_PICTURE, |last| last.lasts),
        };
        *last = Some(Last { time: time.max(before), lasts });
    }

    fn duration(&self) -> u64 {
        self.times.iter().flatten().map(|last| last.time + last.lasts).max().unwrap_or(0)
    }

    fn cues(&self) -> Vec<u8> {
        let mut out = Vec::new();
        ebml::master(&mut out, id::CUES, |out| {
            for (time, track, position) in &self.places {
                ebml::master(out, 0xbb, |out| {
                    ebml::uint(out, 0xb3, *time);
                    ebml::master(out, 0xb7, |out| {
                        ebml::uint(out, 0xf7, *track);
                        ebml::uint(out, 0xf1, *position);
                    });
                });
            }
        });
        out
    }

    fn seek_head(&self, cues: u64) -> Vec<u8> {
        let mut out = Vec::new();
        ebml::master(&mut out, id::SEEK_HEAD, |out| {
            let places =
                [(id::INFO, self.info), (id::TRACKS, self.tracks), (id::CUES, cues - self.segment)];
            for (of, position) in places {
                ebml::master(out, id::SEEK, |out| {
                    let mut name = Vec::new();
                    ebml::write_id(&mut name, of);
                    ebml::element(out, id::SEEK_ID, &name);
                    ebml::uint(out, id::SEEK_POSITION, position);
                });
            }
        });
        let rest = SEEK_HEAD_LEN - out.len();
        ebml::void(&mut out, rest);
        out
    }
}

/// A block in a cluster.
struct Block<'a> {
    track: u64,
    relative: i16,
    key: bool,
    data: &'a [u8],
}

impl<'a> Block<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, data) = bytes.split_at_checked(4)?;
        let relative = i16::from_be_bytes([head[1], head[2]]);
        Some(Self { track: u64::from(head[0] & 0x7f), relative, key: head[3] & 0x80 != 0, data })
    }

    /// How long a sound is, in milliseconds.
    fn lasts(&self) -> u64 {
        if self.track == AUDIO { u64::from(opus::ticks(self.data)).div_ceil(48) } else { 0 }
    }
}

/// The head of the element at a place; `None` at the end.
fn head_at(file: &mut File, at: u64) -> io::Result<Option<(u32, u64, Option<u64>)>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::with_capacity(12);
    Read::by_ref(file).take(12).read_to_end(&mut bytes)?;
    Ok(ebml::head(&bytes).map(|(id, head, size)| (id, head as u64, size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::webm::{Pictures, Webm};
    use crate::room::codec::Codec;

    /// Ten seconds of 50 sounds and 25 pictures each.
    fn written(path: &Path) {
        let (codec, private) = (Codec::Vp8, Vec::new());
        let pictures = Pictures { codec, width: 320, height: 180, private };
        let mut webm = Webm::create(path, Some(&pictures), true).unwrap();
        for step in 0..500u64 {
            webm.block(AUDIO, step * 20, true, opus::SILENCE[0].1.to_vec()).unwrap();
            if step % 2 == 0 {
                let data = step.to_be_bytes().repeat(20);
                webm.block(VIDEO, step * 20, step % 100 == 0, data).unwrap();
            }
        }
        webm.close().unwrap();
    }

    #[test]
    fn a_file_is_finished_once_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        written(&path);
        let finished = finish(&path, None).unwrap();
        assert_eq!(finished, Some(Finished { milliseconds: 10_000 }));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(finish(&path, None).unwrap(), finished);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn nothing_of_after_the_end_is_left_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        written(&path);
        let whole = std::fs::metadata(&path).unwrap().len();
        let finished = finish(&path, Some(4510)).unwrap().unwrap();
        assert!((4480..=4540).contains(&finished.milliseconds), "{finished:?}");
        assert!(std::fs::metadata(&path).unwrap().len() < whole / 2);
        let bytes = std::fs::read(&path).unwrap();
        let after = (4600u64 / 20).to_be_bytes().repeat(20);
        assert!(!bytes.windows(after.len()).any(|window| window == after));
        assert_eq!(finish(&path, Some(0)).unwrap(), None);
    }

    #[test]
    fn wherever_a_crash_cuts_a_file_off_it_is_finished_with_what_was_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        let mut before = 0;
        for len in (600..whole.len()).step_by(997) {
            std::fs::write(&path, &whole[..len]).unwrap();
            let played = finish(&path, None).unwrap().map_or(0, |it| it.milliseconds);
            assert!(played >= before, "{len}");
            before = played;
        }
        assert!(before >= 8_900, "{before}");
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for bytes in [&b""[..], b"hello", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x80"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(finish(&path, None).is_err());
        }
    }
}
