//! A file of one person's source, such as camera and microphone together: when each sound and each
//! picture is in it.
//!
//! Sound is the clock: it is laid end to end, pauses are filled with silence, and pictures are placed
//! beside the sound that was captured with them, as the sender reports of both tell. Before they do,
//! and where there is no sound, the time of arrival places the first picture, and timestamps the rest.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::depacket::Picture;
use super::opus;
use super::webm::{AUDIO, Pictures, VIDEO, Webm};
use crate::room::track::TrackId;

/// Ticks of sound in a second and in a millisecond.
const SECOND: i64 = 48_000;
const MILLISECOND: i64 = 48;

/// A sender's clock is believed as long as it is not further off than this, in milliseconds.
const BELIEVED: i64 = 3000;

/// A sound that is to be written.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) track: TrackId,
    pub(super) data: Vec<u8>,
    pub(super) timestamp: u32,
    pub(super) captured: Option<u64>,
    pub(super) arrived: Instant,
}

/// A file that is written.
#[derive(Debug)]
pub(super) struct Take {
    webm: Webm,
    begun: Instant,
    sound: Option<Clock>,
    pictures: Option<Shown>,
    pub(super) what: Option<Pictures>,
}

/// Where the sound is.
#[derive(Debug, Default)]
struct Clock {
    /// The end of the last sound, in ticks since the begin of the file.
    end: i64,
    last: Option<LastSound>,
    /// A moment of capture (NTP), and where it is in the file, in ticks.
    captured: Option<(u64, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct LastSound {
    track: TrackId,
    /// The timestamp that the next one has.
    next: u32,
    arrived: Instant,
}

/// Where the pictures are.
#[derive(Debug, Default)]
struct Shown {
    /// Of a track a timestamp, and where it is in the file, in milliseconds.
    base: Option<(TrackId, u32, i64)>,
    last: Option<u64>,
}

impl Take {
    /// Begins a file, whose time begins at `begun`.
    pub(super) fn begin(
        path: &Path,
        begun: Instant,
        what: Option<Pictures>,
        sound: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            webm: Webm::create(path, what.as_ref(), sound)?,
            begun,
            sound: sound.then(Clock::default),
            pictures: what.is_some().then(Shown::default),
            what,
        })
    }

    /// Whether there is sound in it.
    pub(super) fn has_sound(&self) -> bool {
        self.sound.is_some()
    }

    /// Bytes written.
    pub(super) fn bytes(&self) -> u64 {
        self.webm.bytes
    }

    /// Adds a sound; silence takes the place of what is missing before it.
    pub(super) fn sound(&mut self, sound: Sound) -> io::Result<()> {
        let Some(clock) = &mut self.sound else { return Ok(()) };
        let len = opus::ticks(&sound.data);
        if len == 0 {
            return Ok(());
        }
        let arrived = since(self.begun, sound.arrived) * MILLISECOND - clock.end;
        let missing = match clock.last.filter(|last| last.track == sound.track) {
            None => arrived,
            Some(last) => {
                let ahead = i64::from(sound.timestamp.wrapping_sub(last.next).cast_signed());
                let passed = since(last.arrived, sound.arrived) * MILLISECOND + 2 * SECOND;
                // It overlaps what is there: it came again, or too late.
                if (-5 * SECOND..0).contains(&ahead) {
                    return Ok(());
                }
                // More cannot be missing than has passed, whatever the timestamps say.
                if ahead > passed || ahead < 0 { arrived } else { ahead }
            }
        };
        clock.end = silence(&mut self.webm, clock.end, missing)?;
        if let Some(captured) = sound.captured {
            clock.captured = Some((captured, clock.end));
        }
        let time = u64::try_from(clock.end / MILLISECOND).unwrap_or(0);
        clock.end += i64::from(len);
        let (track, next) = (sound.track, sound.timestamp.wrapping_add(len));
        clock.last = Some(LastSound { track, next, arrived: sound.arrived });
        self.webm.block(AUDIO, time, true, sound.data)
    }

    /// Adds a picture.
    pub(super) fn picture(&mut self, track: TrackId, picture: Picture) -> io::Result<()> {
        let Some(shown) = &mut self.pictures else { return Ok(()) };
        let arrived = since(self.begun, picture.arrived);
        let known = shown.base.filter(|(of, ..)| *of == track);
        let (_, first, base) = known.unwrap_or((track, picture.timestamp, arrived));
        shown.base = Some((track, first, base));
        let passed = i64::from(picture.timestamp.wrapping_sub(first).cast_signed()) / 90;
        let mut by_timestamp = base + passed;
        if (by_timestamp - arrived).abs() > BELIEVED {
            // The timestamps jumped, or wrapped: they count from here on.
            shown.base = Some((track, picture.timestamp, arrived));
            by_timestamp = arrived;
        }
        let beside = self.sound.as_ref().and_then(|clock| {
            let (captured, ticks) = clock.captured?;
            let later = picture.captured?.wrapping_sub(captured).cast_signed();
            let later = i64::try_from((i128::from(later) * 1000 + (1 << 31)) >> 32).ok()?;
            let time = ticks / MILLISECOND + later;
            ((time - arrived).abs() <= BELIEVED).then_some(time)
        });
        let time = u64::try_from(beside.unwrap_or(by_timestamp)).unwrap_or(0);
        let time = time.max(shown.last.map_or(0, |last| last + 1));
        shown.last = Some(time);
        self.webm.block(VIDEO, time, picture.key.is_some(), picture.data)
    }

    /// Writes what waits. The file is finished elsewhere.
    pub(super) fn close(self) -> io::Result<()> {
        self.webm.close()
    }
}

/// Fills ticks with silence, and returns where it ends: less than the shortest packet may be missing.
fn silence(webm: &mut Webm, mut at: i64, mut missing: i64) -> io::Result<i64> {
    for (len, packet) in opus::SILENCE {
        let len = i64::from(len);
        while missing >= len {
            let time = u64::try_from(at / MILLISECOND).unwrap_or(0);
            webm.block(AUDIO, time, true, packet.to_vec())?;
            at += len;
            missing -= len;
        }
    }
    Ok(at)
}

/// Milliseconds from one moment to another.
fn since(begun: Instant, at: Instant) -> i64 {
    i64::try_from(at.saturating_duration_since(begun).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recording::ebml::{self, id};
    use crate::room::codec::Codec;

    fn take(folder: &Path, begun: Instant) -> Take {
        let (codec, private) = (Codec::Vp8, Vec::new());
        let what = Pictures { codec, width: 320, height: 180, private };
        Take::begin(&folder.join("a"), begun, Some(what), true).unwrap()
    }

    /// The times and the lengths of the blocks of a track, in the order of the file.
    fn blocks(folder: &Path, track: u8) -> Vec<(i64, usize)> {
        let bytes = std::fs::read(folder.join("a")).unwrap();
        let (_, head, size) = ebml::head(&bytes).unwrap();
        let segment = &bytes[head + usize::try_from(size.unwrap()).unwrap() + 12..];
        let mut found = Vec::new();
        for (_, cluster) in ebml::elements(segment).filter(|(it, _)| *it == id::CLUSTER) {
            let mut begun = 0;
            for (kind, block) in ebml::elements(cluster) {
                if kind == id::TIMESTAMP {
                    begun = ebml::read_uint(block).cast_signed();
                } else if block[0] == 0x80 | track {
                    let relative = i16::from_be_bytes([block[1], block[2]]);
                    found.push((begun + i64::from(relative), block.len() - 4));
                }
            }
        }
        found
    }

    fn sound(number: u32, arrived: Instant, captured: Option<u64>) -> Sound {
        Sound { track: 2, data: vec![0x78; 20], timestamp: number * 960, captured, arrived }
    }

    #[test]
    fn what_is_missing_of_the_sound_is_silence() {
        let (folder, begun) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut take = take(folder.path(), begun);
        let at = |number: u32| begun + Duration::from_millis(20 * u64::from(number));
        for number in [0, 1, 4, 4, 3, 5] {
            take.sound(sound(number, at(number), None)).unwrap();
        }
        // The timestamps jump by hours, in no time.
        take.sound(Sound { timestamp: 1 << 30, ..sound(0, at(6), None) }).unwrap();
        take.close().unwrap();
        let blocks = blocks(folder.path(), 2);
        let times: Vec<i64> = (0..).map(|number| number * 20).take(blocks.len()).collect();
        assert_eq!(blocks.iter().map(|block| block.0).collect::<Vec<_>>(), times);
        let lens: Vec<usize> = blocks.iter().take(6).map(|block| block.1).collect();
        assert_eq!(lens, [20, 20, 3, 3, 20, 20]);
        assert_eq!(blocks.len(), 7);
    }

    #[test]
    fn a_picture_is_beside_the_sound_that_was_captured_with_it() {
        let (folder, begun) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut take = take(folder.path(), begun);
        let ntp = |millis: u64| (1 << 40) + (millis << 32) / 1000;
        for number in 0..50 {
            let arrived = begun + Duration::from_millis(20 * u64::from(number));
            take.sound(sound(number, arrived, Some(ntp(20 * u64::from(number))))).unwrap();
        }
        // Captured at 500 ms, on the way for 300 ms.
        let mut picture = |captured: Option<u64>, timestamp, arrived| {
            let arrived = begun + Duration::from_millis(arrived);
            let data = vec![1; 8];
            take.picture(1, Picture { data, key: None, timestamp, captured, arrived }).unwrap();
        };
        picture(Some(ntp(500)), 7, 800);
        picture(Some(ntp(540)), 7 + 3600, 830);
        // A clock that is off by an hour is not believed.
        picture(Some(ntp(3_600_000)), 7 + 9000, 900);
        take.close().unwrap();
        let times: Vec<i64> = blocks(folder.path(), 1).iter().map(|block| block.0).collect();
        assert_eq!(times, [500, 540, 900]);
    }
}
