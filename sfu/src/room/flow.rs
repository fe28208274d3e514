//! Packets through a room: in from publishers, out to subscribers, and what subscribers report.

use super::event::{ParticipantId, Role};
use super::publish;
use super::reception::Report;
use super::sending::Sending;
use super::subscribe::{Down, Subscriber};
use super::{Pending, Room, Surroundings};
use crate::rtp::{Header, be16, rtcp};

impl Room {
    /// A datagram of a peer that is no check.
    pub(crate) fn receive(
        &mut self,
        around: &mut Surroundings<'_>,
        (id, role): (ParticipantId, Role),
        datagram: &[u8],
    ) {
        match datagram {
            [20..=63, ..] => self.handshake(around, id, role, datagram),
            // The packet types of RTCP lie where payload types of RTP may not (RFC 5761).
            [128..=191, 192..=223, ..] => self.reports(around, id, role, datagram),
            [128..=191, ..] if role == Role::Publish => self.media(around, id, datagram),
            _ => {}
        }
    }

    fn handshake(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        role: Role,
        datagram: &[u8],
    ) {
        let Some(transport) = self.transport(id, role) else { return };
        let before = transport.state;
        let heard = transport.hear(around.identity, datagram, around.out, around.now);
        let state = transport.state;
        if state != before {
            self.changed(id, role, state);
        }
        if heard.connected {
            self.record(around, id);
        }
        if heard.connected && role == Role::Subscribe {
            self.allocate_for(id, around.now);
            self.want_key_frames(id);
        }
        self.hear_data(around, id, role);
        if heard.closed {
            match role {
                Role::Publish => self.unpublish(around, id),
                Role::Subscribe => {
                    if let Some(participant) = self.participants.get_mut(&id) {
                        participant.subscriber = None;
                    }
                }
            }
            self.record(around, id);
        }
    }

    fn media(&mut self, around: &mut Surroundings<'_>, id: ParticipantId, datagram: &[u8]) {
        let Some(header) = Header::read(datagram) else { return };
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(publisher) = &mut participant.publisher else { return };
        let now = around.now;
        publisher.rate.add(datagram.len(), now);
        if publisher.rate.bits(now) > publish::MOST {
            return;
        }
        let Some(srtp) = &mut publisher.transport.srtp else { return };
        let Some(packet) = srtp.open(datagram, &header) else { return };
        if let Some(wide) = publisher.wide {
            let mut extensions = header.extensions(&packet);
            if let Some((_, number)) = extensions.find(|(id, _)| *id == wide)
                && let Some(number) = be16(number, 0)
            {
                publisher.arrivals.arrived(number, now);
                publisher.heard = header.ssrc;
            }
        }
        let Some(stream) = publisher.stream(&header, &packet, id, &mut self.tracks) else { return };
        let Some(track) = self.tracks.get_mut(&stream.track) else { return };
        let Some(sequence) = track.take(stream.layer, &header, &packet, stream.again, now) else {
            return;
        };
        if track.audio
            && let Some(stored) = track.layers[stream.layer].ring.get(sequence)
            && let Some(level) = stored.level
            && !track.muted
        {
            self.speakers.hear(id, level, now);
        }
        if !track.muted {
            let (track, layer, order) = (track.id, stream.layer, self.pending.len());
            self.pending.push(Pending { track, layer, order, sequence });
        }
    }

    /// Whether anything waits to be forwarded.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Forwards what came in this batch: subscriber by subscriber, so that what goes to one leaves
    /// in one piece.
    pub(crate) fn flush(&mut self, around: &mut Surroundings<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable();
        self.tape_pending(&pending);
        for participant in self.participants.values_mut() {
            let Some(Subscriber { transport, downs, by_track, bandwidth, extensions, .. }) =
                &mut participant.subscriber
            else {
                continue;
            };
            let (Some(srtp), Some(to)) = (&mut transport.srtp, transport.ice.chosen()) else {
                continue;
            };
            let mut rest = &pending[..];
            while let Some(first) = rest.first() {
                let len = rest.iter().take_while(|other| other.track == first.track).count();
                let (these, others) = rest.split_at(len);
                rest = others;
                let Some(down) = by_track.get(&first.track).map(|at| &mut downs[*at]) else {
                    continue;
                };
                let Some(track) = self.tracks.get(&first.track) else { continue };
                if !down.answered {
                    continue;
                }
                let mut sending = Sending {
                    srtp: &mut *srtp,
                    bandwidth: &mut *bandwidth,
                    out: &mut *around.out,
                    scratch: &mut self.scratch,
                    ids: *extensions,
                    now: around.now,
                };
                these.iter().for_each(|one| sending.forward(down, track, *one));
            }
            if !around.out.is_empty() {
                around.out.send(to);
            }
        }
        pending.clear();
        self.pending = pending;
    }

    fn reports(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        role: Role,
        datagram: &[u8],
    ) {
        let Some(transport) = self.transport(id, role) else { return };
        let Some(srtp) = &mut transport.srtp else { return };
        let Some(packet) = srtp.open_report(datagram) else { return };
        for report in rtcp::read(&packet) {
            match (role, report) {
                (Role::Publish, rtcp::Packet::Sender { ssrc, ntp, timestamp, .. }) => {
                    self.sender_report(around, id, ssrc, ntp, timestamp);
                }
                (
                    Role::Subscribe,
                    rtcp::Packet::Receiver { blocks } | rtcp::Packet::Sender { blocks, .. },
                ) => {
                    let ntp = around.clock.ntp(around.now);
                    if let Some(participant) = self.participants.get_mut(&id) {
                        blocks.for_each(|block| participant.reported(&block, ntp));
                    }
                }
                (Role::Subscribe, rtcp::Packet::Nack { ssrc, lost }) => {
                    self.repeat(around, id, ssrc, lost);
                }
                (Role::Subscribe, rtcp::Packet::KeyFrame { ssrc }) => self.key_frame(id, ssrc),
                (Role::Subscribe, rtcp::Packet::Transport(body)) => {
                    let subscriber =
                        self.participants.get_mut(&id).and_then(|p| p.subscriber.as_mut());
                    if let Some(subscriber) = subscriber {
                        subscriber.bandwidth.feedback(body, around.now);
                    }
                }
                _ => {}
            }
        }
    }

    fn sender_report(
        &mut self,
        around: &Surroundings<'_>,
        id: ParticipantId,
        ssrc: u32,
        ntp: u64,
        timestamp: u32,
    ) {
        let publisher = self.participants.get_mut(&id).and_then(|p| p.publisher.as_mut());
        let Some(publisher) = publisher else { return };
        // The smallest difference is that of the fastest report; a little more each time, so that
        // a clock that drifts is followed.
        let ahead = around.clock.ntp(around.now).wrapping_sub(ntp);
        let before = publisher.ahead.unwrap_or(ahead);
        let slower = ahead.wrapping_sub(before).cast_signed();
        let step = slower.min(1 << 18);
        publisher.ahead = Some(before.wrapping_add_signed(step));
        let Some(stream) = publisher.streams.get(&ssrc).filter(|stream| !stream.again) else {
            return;
        };
        if let Some(track) = self.tracks.get_mut(&stream.track) {
            let report = Report { ntp, timestamp, arrived: around.now };
            track.layers[stream.layer].reception.report = Some(report);
        }
    }

    fn key_frame(&mut self, id: ParticipantId, ssrc: u32) {
        let Some(subscriber) = self.participants.get(&id).and_then(|p| p.subscriber.as_ref())
        else {
            return;
        };
        let Some(down) = subscriber.by_stream.get(&ssrc).map(|at| &subscriber.downs[*at]) else {
            return;
        };
        let layer = down.forwarder.current().or(down.forwarder.target());
        if let (Some(layer), Some(track)) = (layer, down.track)
            && let Some(track) = self.tracks.get_mut(&track)
        {
            track.want_key_frame(layer);
        }
    }

    /// Sends again what a subscriber misses, within limits.
    fn repeat(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        ssrc: u32,
        lost: rtcp::Lost<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(Subscriber { transport, downs, by_stream, bandwidth, extensions, .. }) =
            &mut participant.subscriber
        else {
            return;
        };
        let Some(down) = by_stream.get(&ssrc).map(|at| &mut downs[*at]) else { return };
        let Some(track) = down.track.and_then(|track| self.tracks.get(&track)) else { return };
        let (Some(srtp), Some(to)) = (&mut transport.srtp, transport.ice.chosen()) else { return };
        let mut sending = Sending {
            srtp,
            bandwidth,
            out: &mut *around.out,
            scratch: &mut self.scratch,
            ids: *extensions,
            now: around.now,
        };
        let mut budget = 64;
        lost.for_each(|number| {
            if budget > 0 && sending.again(down, track, number) {
                budget -= 1;
            }
        });
        if !around.out.is_empty() {
            around.out.send(to);
        }
    }

    /// Repeats recent packets to find out what the link bears.
    pub(super) fn pad(&mut self, around: &mut Surroundings<'_>, id: ParticipantId, bytes: usize) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(Subscriber { transport, downs, bandwidth, extensions, .. }) =
            &mut participant.subscriber
        else {
            return;
        };
        let (Some(srtp), Some(to)) = (&mut transport.srtp, transport.ice.chosen()) else { return };
        let carries = |down: &&mut Down| !down.audio && down.again.is_some() && down.packets > 20;
        let Some(down) = downs.iter_mut().find(carries) else { return };
        let Some(track) = down.track.and_then(|track| self.tracks.get(&track)) else { return };
        let mut sending = Sending {
            srtp,
            bandwidth,
            out: &mut *around.out,
            scratch: &mut self.scratch,
            ids: *extensions,
            now: around.now,
        };
        let mut left = bytes.min(40_000);
        // The last ones in turn: whoever has them drops them, and an earlier loss is repaired.
        for back in (0..40u64).cycle().take(200) {
            let sent = sending.padding(down, track, back);
            if sent == 0 && back == 0 || sent >= left {
                break;
            }
            left -= sent;
        }
        if !around.out.is_empty() {
            around.out.send(to);
        }
    }
}
