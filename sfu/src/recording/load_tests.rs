//! A disk that does not keep up: packets are dropped and counted, forwarding does not notice, and the
//! file has every picture of before and after.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use uuid::Uuid;

use super::spool::{Folder, Slate};
use super::{Packet, Tape, finish, writer};
use crate::room::Who;
use crate::room::codec::Codec;
use crate::room::track::Track;
use crate::rtp::Header;
use crate::sdp::{AcceptedMedia, Format};

/// Packets that fit.
const QUEUE: usize = 8;

/// The most of a picture in one packet: small, so that there are many.
const PAYLOAD: usize = 150;

/// Twelve pictures, of which the first is a key frame.
fn pictures() -> Vec<&'static [u8]> {
    let mut rest = &include_bytes!("../../tests/clips/vp8-180.ivf")[32..];
    let mut pictures = Vec::new();
    while let Some((head, after)) = rest.split_at_checked(12) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let (picture, after) = after.split_at(usize::try_from(len).unwrap());
        pictures.push(picture);
        rest = after;
    }
    pictures
}

/// A camera in a room that is recorded.
struct Camera {
    track: Track,
    tape: Tape,
    of: Who,
    begun: Instant,
    packets: u16,
    pictures: u32,
}

impl Camera {
    fn new(tape: Tape, of: Who) -> Self {
        let format = Format {
            payload_type: 96,
            codec: Codec::Vp8,
            parameters: String::new(),
            again: None,
            feedback: Vec::new(),
        };
        let media = AcceptedMedia {
            mid: "0".to_owned(),
            audio: false,
            formats: vec![format],
            layers: Vec::new(),
            streams: Vec::new(),
            level: None,
            turned: None,
            descriptor: None,
        };
        let track = Track::new(1, 7, &media, "camera".to_owned());
        Self { track, tape, of, begun: Instant::now(), packets: 0, pictures: 0 }
    }

    /// Sends a picture, and does something after each of its packets.
    fn send(&mut self, picture: &[u8], mut then: impl FnMut()) {
        let now = self.begun + Duration::from_millis(40) * self.pictures;
        let last = picture.chunks(PAYLOAD).count() - 1;
        for (index, part) in picture.chunks(PAYLOAD).enumerate() {
            let marker = if index == last { 0x80 } else { 0 };
            let mut packet = vec![0x80, 96 | marker];
            packet.extend_from_slice(&(1000 + self.packets).to_be_bytes());
            packet.extend_from_slice(&(self.pictures * 3600).to_be_bytes());
            packet.extend_from_slice(&7u32.to_be_bytes());
            packet.push(if index == 0 { 0x10 } else { 0 });
            packet.extend_from_slice(part);
            self.packets += 1;
            let header = Header::read(&packet).unwrap();
            let sequence = self.track.take(0, &header, &packet, false, now).unwrap();
            let stored = self.track.layers[0].ring.get(sequence).unwrap();
            self.tape.take(&self.track, self.of, 0, stored);
            then();
        }
        self.pictures += 1;
    }
}

/// Hands on what waits. Returns how many packets that were.
fn drain(queue: &Receiver<Packet>, writer: &SyncSender<Packet>) -> u16 {
    let all = queue.try_iter().map(|packet| writer.send(packet).unwrap());
    u16::try_from(all.count()).unwrap()
}

/// The pictures of a file, once ffmpeg has decoded all of it without a complaint.
fn frames(file: &Path) -> usize {
    let read = |command: &mut Command| {
        let done = command.arg(file).output().expect("`scripts/deps tests` installs ffmpeg");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && said.is_empty(), "{said}");
        done.stdout
    };
    let probe = ["-v", "error", "-count_frames", "-show_streams", "-of", "json"];
    let probed: Value = serde_json::from_slice(&read(Command::new("ffprobe").args(probe))).unwrap();
    probed["streams"][0]["nb_read_frames"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_and_the_file_goes_on_with_the_next_key_frame() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path(), "node").unwrap();
    let slate = Slate {
        call: Uuid::from_u128(1).into(),
        conversation: Uuid::from_u128(2).into(),
        recording: Uuid::from_u128(3).into(),
    };
    let of = Who { user: Uuid::from_u128(4).into(), device: Uuid::from_u128(5) };
    let (disk, thread) = writer::start(folder.clone(), slate).unwrap();
    let (queue, waiting) = sync_channel(QUEUE);
    let tape = Tape::new(slate.recording, [of.user].into(), queue);
    let mut camera = Camera::new(tape, of);
    let recorder = PrometheusBuilder::new().build_recorder();
    let (clip, mut written) = (pictures(), 0);
    let mut dropped = 0;
    metrics::with_local_recorder(&recorder, || {
        for keeps_up in [true, false, true] {
            for picture in clip.iter().chain(&clip) {
                camera.send(picture, || {
                    if keeps_up {
                        written += drain(&waiting, &disk);
                    }
                });
            }
            if !keeps_up {
                let before = written;
                written += drain(&waiting, &disk);
                assert_eq!(usize::from(written - before), QUEUE);
            }
        }
        let text = recorder.handle().render();
        let line = text.lines().find(|line| line.starts_with("roundtable_sfu_recording_dropped"));
        dropped = line.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    });
    // Packets that no key frame came before are not offered to the queue at all.
    assert!(dropped >= 1 && written + dropped <= camera.packets, "{dropped}, {written}");
    drop((disk, camera));
    let written = thread.join().unwrap();
    assert_eq!((written.files, written.failed), (1, None));
    let files = folder.waiting().unwrap();
    let [(file, _)] = &files[..] else { panic!("it is one file") };
    let finished = finish::finish(file, None).unwrap().unwrap();
    assert!((2800..3000).contains(&finished.milliseconds), "{finished:?}");
    // All of the first and the last two clips, and what was whole of the two between.
    let frames = frames(file);
    assert!((48..72).contains(&frames), "{frames}");
}
