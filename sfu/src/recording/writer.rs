//! The thread of a recording: packets in order, frames out of them, and files.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::depacket::{Assembler, Picture};
use super::opus;
use super::order::Order;
use super::spool::{Folder, Slate};
use super::take::{Sound, Take};
use super::webm::Pictures;
use super::{About, Packet};
use crate::room::Who;
use crate::room::codec::Codec;
use crate::room::track::TrackId;

/// Packets that wait for the disk.
const QUEUE: usize = 4096;

/// How often what is missing is given up.
const LOOK: Duration = Duration::from_millis(100);

/// Who begins to send has both sound and pictures within this time; what comes later begins another
/// file.
const BOTH: Duration = Duration::from_millis(2500);

/// A track without packets for this long gives its place in a file to the next one.
const GONE: Duration = Duration::from_millis(800);

/// What a writer has done when it ends.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Files that were begun.
    pub(super) files: usize,
    /// Why not everything was written.
    pub(super) failed: Option<String>,
}

/// Starts the thread of a recording. It ends when all senders are gone, and answers then.
pub(super) fn start(
    folder: Folder,
    slate: Slate,
) -> io::Result<(SyncSender<Packet>, JoinHandle<Written>)> {
    let (queue, packets) = sync_channel(QUEUE);
    let writer = Writer {
        folder,
        slate,
        tracks: HashMap::new(),
        sources: HashMap::new(),
        begun: Vec::new(),
        written: Written::default(),
    };
    let name = "recording".to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || writer.run(&packets))?;
    Ok((queue, thread))
}

struct Writer {
    folder: Folder,
    slate: Slate,
    tracks: HashMap<TrackId, Line>,
    sources: HashMap<(Who, String), Source>,
    /// The files.
    begun: Vec<PathBuf>,
    written: Written,
}

/// The packets of a track.
struct Line {
    about: Arc<About>,
    order: Order,
    pictures: Option<Assembler>,
    source: (Who, String),
    /// Where the sound goes on, by its timestamps.
    heard: Option<u32>,
    /// When its last packet came.
    last: Instant,
}

/// What goes into one file after the other.
#[derive(Default)]
struct Source {
    take: Option<Take>,
    /// What there was before it was known what is in the file.
    opening: Option<Opening>,
    /// The tracks it has now.
    sound: Option<TrackId>,
    picture: Option<TrackId>,
}

struct Opening {
    begun: Instant,
    /// What pictures there are, as the last key frame tells.
    what: Option<Pictures>,
    /// Whether the file before had sound.
    sound: bool,
    frames: Vec<Frame>,
}

enum Frame {
    Sound(Sound),
    Picture(TrackId, Picture),
}

impl Frame {
    fn arrived(&self) -> Instant {
        match self {
            Self::Sound(sound) => sound.arrived,
            Self::Picture(_, picture) => picture.arrived,
        }
    }
}

impl Writer {
    fn run(mut self, packets: &Receiver<Packet>) -> Written {
        let mut looked = Instant::now();
        loop {
            match packets.recv_timeout(LOOK) {
                Ok(packet) => self.take(packet),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look(Some(looked));
            }
            if self.written.failed.is_some() {
                break;
            }
        }
        self.look(None);
        for (_, source) in std::mem::take(&mut self.sources) {
            self.end(source);
        }
        let released = self.folder.release(&self.begun);
        self.check(released);
        self.written.files = self.begun.len();
        self.written
    }

    fn take(&mut self, packet: Packet) {
        let about = packet.about.clone();
        if !self.tracks.contains_key(&about.track) {
            let source = self.place(&about, packet.arrived);
            let (order, last) = (Order::default(), packet.arrived);
            let line =
                Line { about: about.clone(), order, pictures: None, source, heard: None, last };
            self.tracks.insert(about.track, line);
        }
        let Some(line) = self.tracks.get_mut(&about.track) else { return };
        line.last = packet.arrived;
        line.order.put(packet);
        self.drain(about.track, Some(Instant::now()));
    }

    /// The file that a new track belongs to: of two cameras of one device the second one has its own.
    fn place(&mut self, about: &About, now: Instant) -> (Who, String) {
        let mut key = (about.of, file_of(&about.source));
        let alive = |track: &TrackId| {
            self.tracks
                .get(track)
                .is_some_and(|line| now.saturating_duration_since(line.last) < GONE)
        };
        let taken = self.sources.get(&key).is_some_and(|known| {
            let place = if about.audio { known.sound } else { known.picture };
            place.as_ref().is_some_and(alive)
        });
        if taken {
            key.1 = format!("{}-{}", key.1, about.track);
        }
        let source = self.sources.entry(key.clone()).or_default();
        let place = if about.audio { &mut source.sound } else { &mut source.picture };
        *place = Some(about.track);
        key
    }

    /// Goes on with what waited long enough; with everything, if there is no time.
    fn look(&mut self, now: Option<Instant>) {
        let tracks: Vec<TrackId> = self.tracks.keys().copied().collect();
        for track in tracks {
            self.drain(track, now);
        }
        for (key, source) in std::mem::take(&mut self.sources) {
            let source = self.open_late(&key, source, now);
            self.sources.insert(key, source);
        }
    }

    fn drain(&mut self, track: TrackId, now: Option<Instant>) {
        let Some(line) = self.tracks.get_mut(&track) else { return };
        let mut frames = Vec::new();
        while let Some((packet, gap)) = line.order.next(now) {
            match line.about.audio {
                true => line.sounds(packet, &mut frames),
                false => line.pictures(&packet, gap, &mut frames),
            }
        }
        if frames.is_empty() {
            return;
        }
        let key = line.source.clone();
        let Some(mut source) = self.sources.remove(&key) else { return };
        for frame in frames {
            let added = self.add(&key, &mut source, frame);
            self.check(added);
        }
        self.sources.insert(key, source);
    }

    /// Puts a frame where it belongs: into the file that is open, or one that is to be.
    fn add(&mut self, key: &(Who, String), source: &mut Source, frame: Frame) -> io::Result<()> {
        let fits = source.take.as_ref().is_some_and(|take| match &frame {
            Frame::Sound(_) => take.has_sound(),
            Frame::Picture(_, picture) => take
                .what
                .as_ref()
                .is_some_and(|what| picture.key.as_ref().is_none_or(|key| key.codec == what.codec)),
        });
        if fits && let Some(take) = &mut source.take {
            return match frame {
                Frame::Sound(sound) => take.sound(sound),
                Frame::Picture(track, picture) => take.picture(track, picture),
            };
        }
        let before = source.take.take();
        let (arrived, pictures) = (frame.arrived(), source.picture);
        let opening = source.opening.get_or_insert_with(|| {
            let sound = before.as_ref().is_some_and(Take::has_sound);
            Opening { begun: arrived, what: None, sound, frames: Vec::new() }
        });
        match &frame {
            Frame::Sound(_) => opening.sound = true,
            Frame::Picture(_, Picture { key: Some(what), .. }) => opening.what = Some(what.clone()),
            // A file begins with a key frame, or without pictures.
            Frame::Picture(..) if opening.what.is_none() => {
                if let Some(line) = pictures.and_then(|track| self.tracks.get(&track)) {
                    line.about.needs_key.store(true, Ordering::Relaxed);
                }
                return before.map_or(Ok(()), Take::close);
            }
            Frame::Picture(..) => {}
        }
        opening.begun = opening.begun.min(arrived);
        opening.frames.push(frame);
        if let Some(before) = before {
            before.close()?;
        }
        if opening.sound && opening.what.is_some() {
            return self.open(key, source);
        }
        Ok(())
    }

    /// Opens the file of a source that has only sound, or only pictures, and had time enough.
    fn open_late(
        &mut self,
        key: &(Who, String),
        mut source: Source,
        now: Option<Instant>,
    ) -> Source {
        let late = source.opening.as_ref().is_some_and(|opening| {
            now.is_none_or(|now| now.saturating_duration_since(opening.begun) > BOTH)
        });
        if late {
            let opened = self.open(key, &mut source);
            self.check(opened);
        }
        source
    }

    fn open(&mut self, (of, name): &(Who, String), source: &mut Source) -> io::Result<()> {
        let Some(opening) = source.opening.take() else { return Ok(()) };
        let Opening { begun, what, sound, mut frames } = opening;
        let path: PathBuf = self.folder.begin(&self.slate, *of, name, begun)?;
        self.begun.push(path.clone());
        let mut take = Take::begin(&path, begun, what, sound)?;
        // Sound first: pictures are placed beside it.
        frames.sort_by_key(|frame| matches!(frame, Frame::Picture(..)));
        for frame in frames {
            match frame {
                Frame::Sound(sound) => take.sound(sound)?,
                Frame::Picture(track, picture) => take.picture(track, picture)?,
            }
        }
        source.take = Some(take);
        Ok(())
    }

    fn end(&mut self, source: Source) {
        if let Some(take) = source.take {
            metrics::counter!("roundtable_sfu_recording_bytes_total").increment(take.bytes());
            let closed = take.close();
            self.check(closed);
        }
    }

    fn check(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            tracing::error!(%error, "a recording cannot be written any more");
            let reason = format!("the disk of the SFU node: {}", error.kind());
            self.written.failed.get_or_insert(reason);
        }
    }
}

impl Line {
    fn sounds(&mut self, packet: Packet, frames: &mut Vec<Frame>) {
        let Packet { timestamp, captured, arrived, payload, .. } = packet;
        let track = self.about.track;
        let mut hear = |data: &[u8], older: u32| {
            let timestamp = timestamp.wrapping_sub(older);
            let known =
                self.heard.is_some_and(|heard| timestamp.wrapping_sub(heard).cast_signed() < 0);
            // What is repeated and came already is not needed; a jump back of the sender's is not that.
            if older > 0 && (known || self.heard.is_none()) {
                return;
            }
            self.heard = Some(timestamp.wrapping_add(opus::ticks(data)));
            let captured = captured.map(|at| at.wrapping_sub((u64::from(older) << 32) / 48_000));
            let data = data.to_vec();
            frames.push(Frame::Sound(Sound { track, data, timestamp, captured, arrived }));
        };
        match packet.codec {
            Codec::Red => {
                for (older, data) in opus::redundant(&payload) {
                    hear(data, older);
                }
            }
            _ => hear(&payload, 0),
        }
    }

    fn pictures(&mut self, packet: &Packet, gap: bool, frames: &mut Vec<Frame>) {
        let known = self.pictures.take().filter(|known| known.codec() == packet.codec);
        let mut assembler = known.unwrap_or_else(|| Assembler::new(packet.codec));
        let taken = assembler.take(packet, gap);
        let track = self.about.track;
        frames.extend(taken.into_iter().flatten().map(|it| Frame::Picture(track, it)));
        if assembler.needs_key() {
            self.about.needs_key.store(true, Ordering::Relaxed);
        }
        self.pictures = Some(assembler);
    }
}

/// The file that a source belongs to: camera and microphone are heard and seen together, and so are a
/// shared screen and its sound.
fn file_of(source: &str) -> String {
    match source {
        "microphone" | "camera" => "camera".to_owned(),
        _ if source.starts_with("screen") => "screen".to_owned(),
        other => other.to_owned(),
    }
}
