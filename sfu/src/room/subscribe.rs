//! Those who receive: what is offered to them, and what they want of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;

use super::bandwidth::Bandwidth;
use super::codec::Codec;
use super::data::Carried;
use super::event::{Event, ParticipantId, Role, Section};
use super::forward::Forwarder;
use super::reception::Rate;
use super::stats::Reported;
use super::track::{Track, TrackId};
use super::{Refused, Room, Surroundings};
use crate::media::transport::Transport;
use crate::rtp::nack::Allowance;
use crate::sdp::{
    Description, Extensions, Format, Kind, LocalMedia, Own, PayloadTypes, Sent, offer,
};

/// Packets of which it is known when they were last sent again.
const REPEATS: usize = 128;

/// A packet is sent again at most this often.
const TIMES: u8 = 5;

/// A packet that was sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    pub(super) sequence: u64,
    at: Instant,
    times: u8,
}

/// A payload type of the publisher as the subscriber knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) again: Option<u8>,
    pub(super) codec: Codec,
}

/// What is sent of one track to one subscriber: a section of the offer.
pub(crate) struct Down {
    pub(super) mid: String,
    pub(super) audio: bool,
    pub(super) track: Option<TrackId>,
    pub(super) ssrc: u32,
    pub(super) again: Option<u32>,
    /// The next number of retransmissions.
    pub(super) again_next: u16,
    pub(super) types: Vec<Mapped>,
    formats: Vec<(Codec, String, u8, Option<u8>)>,
    pub(super) forwarder: Forwarder,
    /// The first offer that has what it carries now.
    offered_in: Option<u64>,
    /// Whether the client knows of it.
    pub(super) answered: bool,
    /// Whether it is seen, and the highest layer that is wanted.
    pub(super) visible: bool,
    pub(super) highest: usize,
    /// Since when a key frame is waited for.
    pub(super) waits: Option<Instant>,
    pub(super) allowance: Allowance,
    repeats: Vec<Repeat>,
    pub(super) packets: u32,
    pub(super) octets: u32,
    pub(super) rate: Rate,
    pub(super) reported: Reported,
    pub(super) repeated: u64,
    /// The layer that the client was told of.
    pub(super) told: Option<usize>,
    /// What the client offered to receive, where it is the one that offers.
    pub(super) offered: Vec<Format>,
}

impl Down {
    pub(super) fn new(mid: String, audio: bool) -> Self {
        Self {
            mid,
            audio,
            track: None,
            ssrc: 0,
            again: None,
            again_next: rand::rng().random(),
            types: Vec::new(),
            formats: Vec::new(),
            forwarder: Forwarder::new(if audio { 48_000 } else { 90_000 }, !audio),
            offered_in: None,
            answered: false,
            visible: true,
            highest: usize::MAX,
            waits: None,
            allowance: Allowance::new(0.3, 150_000.0),
            repeats: Vec::new(),
            packets: 0,
            octets: 0,
            rate: Rate::default(),
            reported: Reported::default(),
            repeated: 0,
            told: None,
            offered: Vec::new(),
        }
    }

    /// Begins to carry a track, under new streams: nothing of the one before is confused with it.
    fn carry(&mut self, track: &Track, types: &mut PayloadTypes) -> bool {
        let mut mapped = Vec::new();
        let mut formats = Vec::new();
        for format in &track.formats {
            let Some((to, again)) = types.of(format.codec, &format.parameters) else {
                return false;
            };
            mapped.push(Mapped { from: format.payload_type, to, again, codec: format.codec });
            formats.push((format.codec, format.parameters.clone(), to, again));
        }
        let fresh = Self::new(std::mem::take(&mut self.mid), self.audio);
        *self = Self {
            track: Some(track.id),
            ssrc: rand::rng().random(),
            again: (!track.audio).then(|| rand::rng().random()),
            types: mapped,
            formats,
            ..fresh
        };
        self.forwarder.want(Some(0));
        true
    }

    /// Whether a packet may be sent again now; it is then known to have been.
    pub(super) fn may_repeat(&mut self, sequence: u64, bytes: usize, now: Instant) -> bool {
        const APART: Duration = Duration::from_millis(25);
        let at = usize::try_from(sequence).unwrap_or(0) % REPEATS;
        if self.repeats.is_empty() {
            self.repeats = vec![Repeat { sequence: 0, at: now, times: 0 }; REPEATS];
        }
        let known = &mut self.repeats[at];
        if known.sequence != sequence {
            *known = Repeat { sequence, at: now, times: 0 };
        } else if known.times >= TIMES || now - known.at < APART {
            return false;
        }
        if !self.allowance.take(bytes) {
            return false;
        }
        (known.at, known.times) = (now, known.times + 1);
        self.repeated += 1;
        true
    }

    fn section(&self) -> LocalMedia {
        let sent = self.track.map(|track| Sent {
            ssrc: self.ssrc,
            again: self.again,
            stream: format!("track-{track}"),
            track: format!("track-{track}"),
        });
        let (mid, audio, formats) = (self.mid.clone(), self.audio, self.formats.clone());
        LocalMedia { mid, audio, formats, sent }
    }
}

/// The receiving side of a participant.
pub(crate) struct Subscriber {
    pub(super) transport: Transport,
    pub(super) downs: Vec<Down>,
    pub(super) by_track: BTreeMap<TrackId, usize>,
    pub(super) by_stream: BTreeMap<u32, usize>,
    types: PayloadTypes,
    pub(super) bandwidth: Bandwidth,
    session: u64,
    serial: u64,
    /// The offer that is not answered yet, and its number.
    open: Option<(u64, Event)>,
    /// Whether there is more to offer as soon as it is.
    again: bool,
    /// The ids of extensions.
    pub(super) extensions: Extensions,
    /// Whether its sections are those that the client offered, and no others.
    pub(super) fixed: bool,
    /// Data channels, where the client asked for them.
    pub(super) data: Option<Carried>,
}

impl Subscriber {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            transport: Transport::new(now),
            downs: Vec::new(),
            by_track: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            types: PayloadTypes::default(),
            bandwidth: Bandwidth::new(now),
            session: rand::rng().random::<u64>() >> 2,
            serial: 0,
            open: None,
            again: false,
            extensions: Extensions::default(),
            fixed: false,
            data: None,
        }
    }

    /// Gives each track a section; returns whether anything changed.
    pub(super) fn arrange(&mut self, me: ParticipantId, tracks: &BTreeMap<TrackId, Track>) -> bool {
        let mut changed = false;
        for track in tracks.values() {
            if track.owner == me || self.by_track.contains_key(&track.id) {
                continue;
            }
            let free = |down: &Down| down.track.is_none() && down.audio == track.audio;
            if self.fixed {
                let carries = |down: &mut Down| free(down) && down.carry_fixed(track);
                if let Some(at) = self.downs.iter_mut().position(carries) {
                    self.by_track.insert(track.id, at);
                }
                continue;
            }
            let at = self.downs.iter().position(free).unwrap_or_else(|| {
                self.downs.push(Down::new(self.downs.len().to_string(), track.audio));
                self.downs.len() - 1
            });
            let (old, old_again) = (self.downs[at].ssrc, self.downs[at].again);
            if !self.downs[at].carry(track, &mut self.types) {
                continue;
            }
            self.by_stream.remove(&old);
            old_again.map(|again| self.by_stream.remove(&again));
            self.by_stream.insert(self.downs[at].ssrc, at);
            self.by_track.insert(track.id, at);
            changed = true;
        }
        changed
    }

    /// A track ended: its section is free for another.
    pub(super) fn drop_track(&mut self, track: TrackId) {
        if let Some(at) = self.by_track.remove(&track) {
            if !self.fixed {
                self.by_stream.remove(&self.downs[at].ssrc);
            }
            (self.downs[at].track, self.downs[at].answered) = (None, false);
        }
    }

    /// Makes the next offer, unless one is open; `None` if there is nothing to offer yet.
    fn offer(
        &mut self,
        around: &Surroundings<'_>,
        tracks: &BTreeMap<TrackId, Track>,
    ) -> Option<Event> {
        if self.open.is_some() {
            self.again = true;
            return None;
        }
        if self.downs.is_empty() && self.data.is_none() || self.fixed {
            return None;
        }
        self.serial += 1;
        self.again = false;
        for down in self.downs.iter_mut().filter(|down| down.track.is_some()) {
            down.offered_in.get_or_insert(self.serial);
        }
        let local = &self.transport.ice.local;
        let own = Own {
            fingerprint: &around.identity.fingerprint,
            name: &local.name,
            password: &local.password,
            addresses: around.addresses,
        };
        let media: Vec<LocalMedia> = self.downs.iter().map(Down::section).collect();
        let sections = self.downs.iter().filter_map(|down| {
            let track = down.track?;
            let participant = tracks.get(&track)?.owner;
            Some(Section { mid: down.mid.clone(), track, participant })
        });
        let sections = sections.collect();
        let data = self.data.as_ref().map(|data| data.section);
        let sdp = offer(&own, self.session, self.serial, &media, data);
        let event = Event::Offer { serial: self.serial, sdp, sections };
        self.open = Some((self.serial, event.clone()));
        Some(event)
    }

    /// The offer that is not answered yet: who is back may not have got it.
    pub(super) fn open_offer(&self) -> Option<Event> {
        self.open.as_ref().map(|(_, event)| event.clone())
    }
}

impl Room {
    /// Somebody wants to receive what others send.
    pub(crate) fn subscribe(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        data: bool,
    ) -> Result<(), Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        if !participant.rights.subscribe {
            return Err(Refused::Forbidden);
        }
        let now = around.now;
        let subscriber = participant.subscriber.get_or_insert_with(|| Subscriber::new(now));
        if data {
            // All tracks that are there have their sections first.
            subscriber.arrange(id, &self.tracks);
            let section = subscriber.downs.len();
            subscriber.data.get_or_insert_with(|| Carried::new(section));
            self.tell_channels(id);
        }
        self.offer_to(around, id, true);
        Ok(())
    }

    /// Offers everybody what is new.
    pub(super) fn offer_all(&mut self, around: &mut Surroundings<'_>) {
        let all: Vec<ParticipantId> = self.participants.keys().copied().collect();
        all.into_iter().for_each(|id| self.offer_to(around, id, false));
    }

    fn offer_to(&mut self, around: &mut Surroundings<'_>, id: ParticipantId, anyhow: bool) {
        let Some(participant) = self.participants.get_mut(&id) else { return };
        let Some(subscriber) = &mut participant.subscriber else { return };
        if (subscriber.arrange(id, &self.tracks) || anyhow)
            && let Some(event) = subscriber.offer(around, &self.tracks)
        {
            participant.tell(event);
        }
    }

    /// Somebody answers an offer.
    pub(crate) fn answer(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        serial: u64,
        description: &Description,
    ) -> Result<(), Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        let subscriber = participant.subscriber.as_mut().ok_or(Refused::Unknown)?;
        if subscriber.open.as_ref().is_none_or(|(open, _)| *open != serial) {
            return Err(Refused::Serial);
        }
        let (fingerprint, is_client) = (&description.fingerprint, description.setup == "passive");
        subscriber.transport.remember(&description.credentials.name);
        if !subscriber.transport.describe(around.identity, fingerprint, is_client, around.now) {
            return Err(Refused::Certificate);
        }
        subscriber.transport.begin(around.identity, around.out, around.now);
        subscriber.open = None;
        subscriber.extensions.answered(description);
        let section = subscriber.data.as_ref().map(|data| data.section);
        let data = section.and_then(|at| description.media.get(at)).filter(|data| !data.rejected);
        if let Some(longest) = data.and_then(|data| data.data) {
            subscriber.transport.carry_data(0, longest, around.now);
            self.talking.insert((id, Role::Subscribe));
        }
        let media = description.media.iter().enumerate();
        let media = media.filter(|(at, _)| Some(*at) != section).map(|(_, media)| media);
        for (down, media) in subscriber.downs.iter_mut().zip(media) {
            let takes = !media.rejected && media.kind != Kind::Other && media.mid == down.mid;
            // What came into the section after this offer is in one that follows.
            let offered = down.offered_in.is_some_and(|first| first <= serial);
            if takes && down.track.is_some() && offered && !down.answered {
                down.answered = true;
                down.waits = (!down.audio).then_some(around.now);
            }
        }
        if subscriber.again {
            self.offer_to(around, id, true);
        }
        self.want_key_frames(id);
        Ok(())
    }

    /// Somebody's network changed: the next offer has new credentials.
    pub(crate) fn restart(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
    ) -> Result<(), Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        let subscriber = participant.subscriber.as_mut().ok_or(Refused::Unknown)?;
        subscriber.transport.ice.restart();
        // An offer that was lost with the signalling is not waited for.
        subscriber.open = None;
        self.offer_to(around, id, true);
        Ok(())
    }

    /// Somebody wants a track in another quality, or does not see it.
    pub(crate) fn prefer(
        &mut self,
        id: ParticipantId,
        track: TrackId,
        visible: Option<bool>,
        highest: Option<usize>,
        now: Instant,
    ) -> Result<(), Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        let subscriber = participant.subscriber.as_mut().ok_or(Refused::Unknown)?;
        let at = *subscriber.by_track.get(&track).ok_or(Refused::NoTrack)?;
        let down = &mut subscriber.downs[at];
        down.visible = visible.unwrap_or(down.visible);
        down.highest = highest.unwrap_or(down.highest);
        self.allocate_for(id, now);
        self.want_key_frames(id);
        Ok(())
    }

    /// Asks for the key frames that a subscriber waits for. Not before it is connected: the frame
    /// would come too early, and the next is asked for only a while later.
    pub(super) fn want_key_frames(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else { return };
        let Some(subscriber) = &participant.subscriber else { return };
        if subscriber.transport.srtp.is_none() {
            return;
        }
        for down in &subscriber.downs {
            if let (Some(track), Some(layer)) = (down.track, down.forwarder.waits_for())
                && down.answered
                && let Some(track) = self.tracks.get_mut(&track)
            {
                track.want_key_frame(layer);
            }
        }
    }
}
