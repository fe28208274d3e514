//! What a room does as time passes: feedback and reports, key frames, layers, who speaks, who is
//! gone.

use std::time::{Duration, Instant};

use super::allocate::{Wanted, allocate};
use super::codec::Part;
use super::event::{Event, ParticipantId, Role};
use super::speaker;
use super::{AWAY, Room, Surroundings};
use crate::media::transport::State;
use crate::rtp::rtcp;

/// How often each thing is done.
const FEEDBACK: Duration = Duration::from_millis(50);
const CONNECTIONS: Duration = Duration::from_millis(100);
const REPORTS: Duration = Duration::from_secs(1);
const STATS: Duration = Duration::from_secs(3);

/// A key frame that does not come within this time is not seen: the media may be encrypted end to
/// end, and is forwarded as it is.
const BLIND: Duration = Duration::from_secs(3);

/// The round trip to a publisher that is assumed before a retransmission is missed.
const ROUND_TRIP: Duration = Duration::from_millis(80);

/// A lost connection is kept this long.
const LOST: Duration = Duration::from_secs(30);

/// When each thing is due.
pub(crate) struct Due {
    feedback: Instant,
    connections: Instant,
    decide: Instant,
    reports: Instant,
    stats: Instant,
}

impl Due {
    pub(crate) fn new(now: Instant) -> Self {
        let (reports, stats) = (now + REPORTS, now + STATS);
        let (feedback, connections) = (now + FEEDBACK, now + CONNECTIONS);
        Self { feedback, connections, decide: now + speaker::TICK, reports, stats }
    }
}

fn is_due(at: &mut Instant, every: Duration, now: Instant) -> bool {
    let due = *at <= now;
    if due {
        *at = now + every;
    }
    due
}

impl Room {
    /// Time passed; to be called every few milliseconds.
    pub(crate) fn tick(&mut self, around: &mut Surroundings<'_>) {
        let now = around.now;
        self.ask_publishers(around);
        self.probe(around);
        self.tick_data(around);
        if is_due(&mut self.due.feedback, FEEDBACK, now) {
            self.feedback(around);
        }
        if is_due(&mut self.due.connections, CONNECTIONS, now) {
            self.connections(around);
        }
        if is_due(&mut self.due.decide, speaker::TICK, now) {
            if let Some(participant) = self.speakers.tick(now) {
                self.tell_all(|_| Some(Event::Speaker { participant }));
            }
            self.tell_too_high();
            self.tape_tick(now);
            let all: Vec<ParticipantId> = self.participants.keys().copied().collect();
            for id in all {
                self.allocate_for(id, now);
                self.want_key_frames(id);
            }
        }
        if is_due(&mut self.due.reports, REPORTS, now) {
            self.report_to_publishers(around);
            self.report_to_subscribers(around);
        }
        if is_due(&mut self.due.stats, STATS, now) {
            self.tell_stats(now);
        }
    }

    /// Tells publishers which of their layers are not forwarded.
    fn tell_too_high(&mut self) {
        for track in self.tracks.values_mut() {
            for (layer, height, most) in track.too_high() {
                let Some(owner) = self.participants.get_mut(&track.owner) else { continue };
                let track = track.id;
                owner.tell(Event::LayerRefused { track, layer, height, max_height: most });
            }
        }
    }

    /// Asks publishers for what is missing and for key frames.
    fn ask_publishers(&mut self, around: &mut Surroundings<'_>) {
        let now = around.now;
        for track in self.tracks.values_mut() {
            let key_frames = track.key_frames_due(now);
            let missing = track.layers.iter().any(|layer| !layer.reception.nacks.is_empty());
            if key_frames.is_empty() && !missing {
                continue;
            }
            let owner = self.participants.get_mut(&track.owner);
            let Some(publisher) = owner.and_then(|p| p.publisher.as_mut()) else { continue };
            let mut repeats = track.formats.iter().flat_map(|format| &format.feedback);
            let repeats = repeats.any(|feedback| feedback == "nack");
            let mut out = Vec::new();
            for ssrc in key_frames {
                rtcp::write_key_frame_request(&mut out, publisher.ssrc, ssrc);
            }
            for layer in &mut track.layers {
                let Some(ssrc) = layer.ssrc.filter(|_| !layer.reception.nacks.is_empty()) else {
                    continue;
                };
                let (due, _) = layer.reception.nacks.due(now, ROUND_TRIP);
                if repeats && !due.is_empty() {
                    rtcp::write_nack(&mut out, publisher.ssrc, ssrc, &due);
                }
            }
            if !out.is_empty() {
                publisher.transport.send_report(&out, around.out);
            }
        }
    }

    fn probe(&mut self, around: &mut Surroundings<'_>) {
        for id in std::mem::take(&mut self.probing) {
            self.probe_one(around, id, None);
        }
        for (id, needed) in std::mem::take(&mut self.due_probes) {
            self.probe_one(around, id, Some(needed));
        }
    }

    fn probe_one(&mut self, around: &mut Surroundings<'_>, id: ParticipantId, needed: Option<u64>) {
        let Some(subscriber) = self.participants.get_mut(&id).and_then(|p| p.subscriber.as_mut())
        else {
            return;
        };
        let bytes = subscriber.bandwidth.padding(needed, around.now);
        if subscriber.bandwidth.is_probing() {
            self.probing.insert(id);
        }
        if bytes > 0 {
            self.pad(around, id, bytes);
        }
    }

    /// Tells publishers what arrived and when.
    fn feedback(&mut self, around: &mut Surroundings<'_>) {
        for participant in self.participants.values_mut() {
            let Some(publisher) = &mut participant.publisher else { continue };
            while let Some(body) = publisher.arrivals.feedback() {
                let mut out = Vec::with_capacity(body.len() + 12);
                rtcp::write_transport(&mut out, publisher.ssrc, publisher.heard, &body);
                publisher.transport.send_report(&out, around.out);
            }
        }
    }

    /// Which connections are up, and who is gone for good.
    fn connections(&mut self, around: &mut Surroundings<'_>) {
        let now = around.now;
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for participant in self.participants.values_mut() {
            let (id, headless) = (participant.id, participant.is_headless());
            let mut alive = participant.away.is_none();
            for role in [Role::Publish, Role::Subscribe] {
                let Some(transport) = participant.transport(role) else { continue };
                if transport.tick(around.out, now) {
                    changed.push((id, role, transport.state));
                }
                let lost = transport.state == State::Lost && transport.ice.silent(now) > LOST;
                // Whoever came over WHIP has no signalling to be away from: the media says it.
                alive |= transport.state == State::Connected && headless;
                if transport.state == State::Failed || lost {
                    gone.push((id, Some(role)));
                }
            }
            if !alive && participant.away.is_some_and(|since| now - since > AWAY) {
                gone.push((id, None));
            }
        }
        changed.into_iter().for_each(|(id, role, state)| self.changed(id, role, state));
        for (id, role) in gone {
            match role {
                Some(Role::Publish) => self.unpublish(around, id),
                Some(Role::Subscribe) => {
                    if let Some(participant) = self.participants.get_mut(&id) {
                        participant.subscriber = None;
                    }
                }
                None => self.leave(around, id, "gone"),
            }
            self.record(around, id);
        }
    }

    /// Chooses the layers that a subscriber gets.
    pub(super) fn allocate_for(&mut self, id: ParticipantId, now: Instant) {
        let speaker = self.speakers.current();
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(subscriber) = &mut participant.subscriber else { return };
        let (mut indices, mut wanted) = (Vec::new(), Vec::new());
        let mut sound = 0;
        for (index, down) in subscriber.downs.iter_mut().enumerate() {
            let Some(track) = down.track.and_then(|track| self.tracks.get_mut(&track)) else {
                continue;
            };
            if down.audio {
                sound += down.rate.bits(now);
                continue;
            }
            let qualities = track.qualities(now);
            let priority = match (track.source.as_str(), Some(track.owner) == speaker) {
                ("screen", _) => 2,
                (_, true) => 1,
                (_, false) => 0,
            };
            let seen = down.visible && !track.muted;
            let highest = qualities.iter().rposition(|quality| quality.rank <= down.highest);
            let highest = seen.then_some(highest.unwrap_or(0));
            let forwarder = &down.forwarder;
            let current = qualities.iter().rposition(|quality| {
                Some(quality.layer) == forwarder.current()
                    && quality.part.is_within(forwarder.part())
            });
            let layers = qualities.iter().map(|quality| quality.bits).collect();
            wanted.push(Wanted { layers, highest, current, priority });
            indices.push((index, qualities));
        }
        let budget = subscriber.bandwidth.estimate().unwrap_or(u64::MAX / 4);
        let (given, missing) = allocate(budget.saturating_sub(sound), &wanted);
        let mut events = Vec::new();
        for (((index, qualities), given), wanted) in indices.into_iter().zip(given).zip(wanted) {
            let down = &mut subscriber.downs[index];
            let given = given.map(|at| (qualities[at].layer, qualities[at].part));
            // What is wanted but does not come yet is waited for, from the lowest.
            let current = down.forwarder.current().unwrap_or(0);
            down.forwarder.want_part(given.or(wanted.highest.map(|_| (current, Part::WHOLE))));
            if down.forwarder.waits_for().is_none() {
                down.waits = None;
            } else if down.answered && down.forwarder.current().is_none() {
                let since = *down.waits.get_or_insert(now);
                if now - since > BLIND {
                    down.forwarder.begin_anyhow();
                }
            }
            let current = down.forwarder.current();
            if let (Some(track), true) = (down.track, down.told != current) {
                down.told = current;
                let layers = self.tracks.get(&track).map(|track| &track.layers);
                let layer = current.and_then(|at| Some(layers?.get(at)?.name.clone()));
                events.push(Event::Layer { track, layer });
            }
        }
        if let Some(missing) = missing {
            self.due_probes.push((id, missing + sound));
        }
        events.into_iter().for_each(|event| participant.tell(event));
    }

    fn report_to_publishers(&mut self, around: &mut Surroundings<'_>) {
        let now = around.now;
        for participant in self.participants.values_mut() {
            let Some(publisher) = &mut participant.publisher else { continue };
            let mut blocks = Vec::new();
            for track in self.tracks.values_mut().filter(|track| track.owner == participant.id) {
                for layer in &mut track.layers {
                    let block = layer.ssrc.and_then(|ssrc| layer.reception.block(ssrc, now));
                    blocks.extend(block);
                }
            }
            if blocks.is_empty() {
                continue;
            }
            let mut out = Vec::new();
            rtcp::write_receiver_report(&mut out, publisher.ssrc, &blocks);
            rtcp::write_name(&mut out, publisher.ssrc, "roundtable");
            publisher.transport.send_report(&out, around.out);
        }
    }

    fn report_to_subscribers(&mut self, around: &mut Surroundings<'_>) {
        let ahead: std::collections::HashMap<ParticipantId, u64> = self
            .participants
            .values()
            .filter_map(|p| Some((p.id, p.publisher.as_ref()?.ahead?)))
            .collect();
        let ntp = around.clock.ntp(around.now);
        for participant in self.participants.values_mut() {
            let Some(subscriber) = &mut participant.subscriber else { continue };
            let mut out = Vec::new();
            for down in &subscriber.downs {
                let Some(track) = down.track.and_then(|track| self.tracks.get(&track)) else {
                    continue;
                };
                let layer = down.forwarder.current().and_then(|layer| track.layers.get(layer));
                let report = layer.and_then(|layer| layer.reception.report);
                let (Some(report), Some(shift)) = (report, down.forwarder.timestamp_shift()) else {
                    continue;
                };
                let Some(ahead) = ahead.get(&track.owner) else { continue };
                let clock = if track.audio { 48_000i128 } else { 90_000 };
                let passed = ntp.wrapping_sub(*ahead).wrapping_sub(report.ntp).cast_signed();
                #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
                let ticks = ((i128::from(passed) * clock) >> 32) as u32;
                let timestamp = report.timestamp.wrapping_add(ticks).wrapping_add(shift);
                let (packets, octets) = (down.packets, down.octets);
                rtcp::write_sender_report(&mut out, down.ssrc, ntp, timestamp, packets, octets);
                rtcp::write_name(&mut out, down.ssrc, &format!("participant-{}", track.owner));
                if out.len() > 1000 {
                    subscriber.transport.send_report(&out, around.out);
                    out.clear();
                }
            }
            if !out.is_empty() {
                subscriber.transport.send_report(&out, around.out);
            }
        }
    }
}
