//! Statistics: to each participant those of its own connections, and to the metrics all of them, by
//! direction and kind, so that what is exported does not grow with the number of calls.

use std::time::{Duration, Instant};

use super::event::{Event, ReceivedStats, SentStats};
use super::reception::middle;
use super::subscribe::{Down, Subscriber};
use super::track::Track;
use super::{Participant, Room};
use crate::rtp::rtcp::Block;

/// What a subscriber's reports say of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported {
    /// Packets that did not arrive, retransmissions not counted.
    lost: u64,
    /// Of the packets since the report before, from 0 to 1.
    loss: f64,
    jitter: Duration,
    round_trip: Option<Duration>,
}

impl Reported {
    /// Reads a block that came at an NTP time, about a stream with so many ticks a second.
    pub(super) fn read(block: &Block, ntp: u64, clock: u32) -> Self {
        // The time of the last sender report that arrived there, and how long it was kept there
        // (RFC 3550, section 6.4.1), in 65536ths of a second.
        let trip = middle(ntp).wrapping_sub(block.last_report).wrapping_sub(block.delay);
        // What is longer than ten seconds is no time but a clock that was set, or an invention.
        let is_time = block.last_report != 0 && trip < 10 << 16;
        Self {
            lost: u64::try_from(block.lost).unwrap_or(0),
            loss: f64::from(block.fraction) / 256.0,
            jitter: Duration::from_secs_f64(f64::from(block.jitter) / f64::from(clock)),
            round_trip: is_time.then(|| Duration::from_secs_f64(f64::from(trip) / 65_536.0)),
        }
    }
}

impl Room {
    /// Tells everybody about their connections, and the metrics about all.
    pub(super) fn tell_stats(&mut self, now: Instant) {
        for participant in self.participants.values_mut() {
            let own = self.tracks.values_mut().filter(|track| track.owner == participant.id);
            let sent: Vec<SentStats> = own.flat_map(|track| sent(track, now)).collect();
            let (mut received, mut available, mut trip) = (Vec::new(), None, None);
            if let Some(Subscriber { bandwidth, downs, .. }) = &mut participant.subscriber {
                available = bandwidth.estimate();
                for down in downs {
                    let track = down.track.and_then(|track| self.tracks.get(&track));
                    received.extend(track.map(|track| down.stats(track, now)));
                    trip = trip.max(down.reported.round_trip);
                }
            }
            show(&sent, &received, available, trip);
            if !sent.is_empty() || !received.is_empty() {
                let round_trip_ms = trip.map(millis);
                participant.tell(Event::Stats { sent, received, available, round_trip_ms });
            }
        }
    }
}

fn sent(track: &mut Track, now: Instant) -> Vec<SentStats> {
    let (id, audio) = (track.id, track.audio);
    let layers = track.layers.iter_mut().map(|layer| {
        let (packets, lost) = layer.reception.counts();
        SentStats {
            track: id,
            layer: layer.name.clone(),
            audio,
            packets,
            lost,
            loss: layer.reception.loss(),
            jitter_ms: millis(layer.reception.jitter()),
            bits_per_second: layer.reception.bitrate(now),
            height: layer.height,
        }
    });
    layers.collect()
}

impl Down {
    fn stats(&mut self, track: &Track, now: Instant) -> ReceivedStats {
        let layer = self.forwarder.current().and_then(|at| track.layers.get(at));
        let part = self.forwarder.part();
        ReceivedStats {
            track: track.id,
            layer: layer.map(|layer| layer.name.clone()).unwrap_or_default(),
            audio: track.audio,
            packets: self.packets.into(),
            lost: self.reported.lost,
            repeated: self.repeated,
            loss: self.reported.loss,
            jitter_ms: millis(self.reported.jitter),
            round_trip_ms: self.reported.round_trip.map(millis),
            bits_per_second: self.rate.bits(now),
            // Of a stream that is sent whole its own layers are no restriction.
            spatial: part.spatial_limit(),
            temporal: part.temporal_limit(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Adds the figures of one participant to the metrics.
fn show(
    sent: &[SentStats],
    received: &[ReceivedStats],
    available: Option<u64>,
    trip: Option<Duration>,
) {
    #[expect(clippy::cast_precision_loss, reason = "bits a second are far below 2^52")]
    let add = |direction: &'static str, audio: bool, loss: f64, jitter: f64, bits: u64| {
        let kind = if audio { "audio" } else { "video" };
        let labels = [("direction", direction), ("kind", kind)];
        metrics::histogram!("roundtable_sfu_loss_ratio", &labels).record(loss);
        metrics::histogram!("roundtable_sfu_jitter_seconds", &labels).record(jitter / 1000.0);
        metrics::histogram!("roundtable_sfu_stream_bits_per_second", &labels).record(bits as f64);
    };
    for one in sent.iter().filter(|one| one.bits_per_second > 0) {
        add("received", one.audio, one.loss, one.jitter_ms, one.bits_per_second);
    }
    for one in received.iter().filter(|one| one.bits_per_second > 0) {
        add("sent", one.audio, one.loss, one.jitter_ms, one.bits_per_second);
    }
    if let Some(trip) = trip {
        metrics::histogram!("roundtable_sfu_round_trip_seconds").record(trip.as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "bits a second are far below 2^52")]
    if let Some(available) = available {
        metrics::histogram!("roundtable_sfu_link_bits_per_second").record(available as f64);
    }
}

impl Participant {
    /// Takes what a subscriber reports of one of its streams.
    pub(super) fn reported(&mut self, block: &Block, ntp: u64) {
        let Some(subscriber) = &mut self.subscriber else { return };
        let Some(at) = subscriber.by_stream.get(&block.ssrc) else { return };
        let down = &mut subscriber.downs[*at];
        let clock = if down.audio { 48_000 } else { 90_000 };
        down.reported = Reported::read(block, ntp, clock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(last_report: u32, delay: u32) -> Block {
        let (ssrc, highest) = (1, 0);
        Block { ssrc, fraction: 64, lost: 7, highest, jitter: 900, last_report, delay }
    }

    #[test]
    fn a_report_tells_loss_jitter_and_the_round_trip() {
        // 250 ms after the report was sent; it was kept for 150 of them.
        let sent = 1000u64 << 32;
        let now = sent + (1u64 << 30);
        let read = Reported::read(&block(middle(sent), 9830), now, 90_000);
        assert_eq!((read.lost, read.loss, read.jitter), (7, 0.25, Duration::from_millis(10)));
        assert_eq!(millis(read.round_trip.unwrap()), 100.0);
    }

    #[test]
    fn an_invented_time_is_none() {
        let now = 1000u64 << 32;
        assert_eq!(Reported::read(&block(0, 0), now, 90_000).round_trip, None);
        assert_eq!(Reported::read(&block(middle(now) + 70_000, 0), now, 1).round_trip, None);
        assert_eq!(Reported::read(&block(5, u32::MAX), now, 90_000).round_trip, None);
    }
}
