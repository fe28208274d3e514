//! What a recording takes in its room: of each track the best layer, without a jump in its numbers, into
//! a bounded queue. It runs on the media thread and waits for nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Instant;

use events::{RecordingId, UserId};

use super::{About, Packet};
use crate::room::Who;
use crate::room::codec::Codec;
use crate::room::forward::Forwarder;
use crate::room::reception::Report;
use crate::room::ring::Stored;
use crate::room::track::{Track, TrackId};

/// What is recorded in a room.
pub(crate) struct Tape {
    recording: RecordingId,
    /// Those who agreed, and nobody else.
    users: BTreeSet<UserId>,
    queue: SyncSender<Packet>,
    tracks: HashMap<TrackId, Taped>,
    /// The writer gave up.
    over: bool,
}

struct Taped {
    about: Arc<About>,
    forwarder: Forwarder,
    audio: bool,
}

impl Tape {
    pub(super) fn new(
        recording: RecordingId,
        users: BTreeSet<UserId>,
        queue: SyncSender<Packet>,
    ) -> Self {
        Self { recording, users, queue, tracks: HashMap::new(), over: false }
    }

    /// Which recording it is, as long as there is somebody who writes it.
    pub(super) fn recording(&self) -> Option<RecordingId> {
        (!self.over).then_some(self.recording)
    }

    /// From now on these are recorded.
    pub(super) fn of(&mut self, users: BTreeSet<UserId>) {
        self.users = users;
    }

    /// A packet that is forwarded.
    pub(crate) fn take(&mut self, track: &Track, of: Who, layer: usize, packet: &Stored) {
        if self.over || !self.users.contains(&of.user) {
            return;
        }
        let Some((format, _)) = track.format(packet.payload_type) else { return };
        let taped = self.tracks.entry(track.id).or_insert_with(|| Taped::new(track, of));
        let ahead = |from: usize, to: usize| {
            let (from, to) =
                (track.layers[from].reception.report?, track.layers[to].reception.report?);
            Some(from.ahead(&to, format.codec.clock()))
        };
        let Some(rewritten) = taped.forwarder.take(layer, packet, ahead) else { return };
        let report = track.layers[layer].reception.report;
        let taken = Packet {
            about: taped.about.clone(),
            codec: format.codec,
            sequence: rewritten.sequence,
            timestamp: rewritten.timestamp,
            marker: packet.marker,
            captured: report.map(|report| captured(&report, packet.timestamp, format.codec)),
            arrived: packet.arrived,
            payload: packet.payload.clone(),
        };
        match self.queue.try_send(taken) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!("roundtable_sfu_recording_dropped_total").increment(1);
                taped.forwarder.begin_another();
            }
            Err(TrySendError::Disconnected(_)) => self.over = true,
        }
    }

    /// Time passed: chooses layers, and asks for the key frames that are needed.
    pub(crate) fn tick(&mut self, track: &mut Track, now: Instant) {
        let Some(taped) = self.tracks.get_mut(&track.id) else { return };
        if track.muted {
            // What comes afterwards goes on from here.
            taped.forwarder.begin_another();
        }
        if track.muted || taped.audio {
            return;
        }
        let qualities = track.qualities(now);
        let current = taped.forwarder.current();
        let comes = qualities.iter().rev().find(|quality| quality.bits.is_some());
        let best = comes.map(|quality| quality.layer).or(current).unwrap_or(0);
        taped.forwarder.want(Some(best));
        let asked = taped.about.needs_key.swap(false, Ordering::Relaxed);
        if let Some(layer) = taped.forwarder.waits_for().or(current.filter(|_| asked)) {
            track.want_key_frame(layer);
        }
    }

    /// Forgets the tracks that are not there any more.
    pub(crate) fn keep(&mut self, is_there: impl Fn(TrackId) -> bool) {
        self.tracks.retain(|track, _| is_there(*track));
    }
}

impl Taped {
    fn new(track: &Track, of: Who) -> Self {
        let clock = if track.audio { 48_000 } else { 90_000 };
        let mut forwarder = Forwarder::new(clock, !track.audio);
        forwarder.want(Some(0));
        let about = About {
            track: track.id,
            of,
            source: track.source.clone(),
            audio: track.audio,
            needs_key: AtomicBool::new(false),
        };
        Self { about: Arc::new(about), forwarder, audio: track.audio }
    }
}

/// When a timestamp was, by the sender's clock.
fn captured(report: &Report, timestamp: u32, codec: Codec) -> u64 {
    let ticks = i64::from(timestamp.wrapping_sub(report.timestamp).cast_signed());
    report.ntp.wrapping_add_signed((ticks << 32) / i64::from(codec.clock()))
}
