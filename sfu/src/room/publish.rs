//! Those who send: their offer, their tracks, and whose a stream is.

use std::collections::HashMap;
use std::time::Instant;

use rand::Rng;
use thiserror::Error;

use super::event::{Event, ParticipantId, Role};
use super::reception::Rate;
use super::track::{Track, TrackId};
use super::{Room, Surroundings, shown};
use crate::data::CHANNELS;
use crate::media::transport::Transport;
use crate::rtp::Header;
use crate::rtp::twcc::Recorder;
use crate::sdp::{Accepted, AcceptedMedia, Bounds, Description, Own, ReadError, accept};

/// Bits a second of one publisher, above which nothing more is taken: far more than what the
/// answers ask for, so that only who ignores them meets it.
pub(super) const MOST: u64 = 30_000_000;

/// Streams of one publisher that are told apart.
const STREAMS: usize = 64;

/// Why an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("nobody like that is in the room")]
    Unknown,
    #[error("the ticket does not permit this")]
    Forbidden,
    #[error("the description cannot be read: {0}")]
    Description(#[from] ReadError),
    #[error("the certificate changed: leave and join again")]
    Certificate,
    #[error("there is no track like that")]
    NoTrack,
    #[error("the room is full")]
    Full,
    #[error("the answer is to an offer that is not open")]
    Serial,
}

/// Where a stream belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) track: TrackId,
    pub(super) layer: usize,
    /// Whether it repeats packets of the layer's own stream.
    pub(super) again: bool,
}

/// The sending side of a participant.
pub(crate) struct Publisher {
    pub(super) transport: Transport,
    pub(super) streams: HashMap<u32, Stream>,
    /// The ids of extensions.
    pub(super) mid: Option<u8>,
    pub(super) rid: Option<u8>,
    pub(super) repaired: Option<u8>,
    pub(super) wide: Option<u8>,
    pub(super) arrivals: Recorder,
    /// What comes, all streams together.
    pub(super) rate: Rate,
    /// A stream of the publisher: Chromium ignores feedback that names none.
    pub(super) heard: u32,
    /// This side's name in reports.
    pub(super) ssrc: u32,
    session: u64,
    version: u64,
    /// By how much this side's clock is ahead of the publisher's, in NTP units.
    pub(super) ahead: Option<u64>,
}

impl Publisher {
    fn new(now: Instant) -> Self {
        Self {
            transport: Transport::new(now),
            streams: HashMap::new(),
            mid: None,
            rid: None,
            repaired: None,
            wide: None,
            arrivals: Recorder::new(now),
            rate: Rate::default(),
            heard: 0,
            ssrc: rand::rng().random(),
            session: rand::rng().random::<u64>() >> 2,
            version: 0,
            ahead: None,
        }
    }

    /// Where a packet belongs, by its stream or by what its extensions say.
    pub(super) fn stream(
        &mut self,
        header: &Header,
        packet: &[u8],
        owner: ParticipantId,
        tracks: &mut std::collections::BTreeMap<TrackId, Track>,
    ) -> Option<Stream> {
        if let Some(stream) = self.streams.get(&header.ssrc) {
            return Some(*stream);
        }
        let text = |wanted: Option<u8>| {
            let mut all = header.extensions(packet);
            let (_, value) = all.find(|(id, _)| Some(*id) == wanted)?;
            std::str::from_utf8(value).ok()
        };
        let mid = text(self.mid)?;
        let track = tracks.values_mut().find(|track| track.owner == owner && track.mid == mid)?;
        let (repaired, rid) = (text(self.repaired), text(self.rid));
        let (_, by_type) = track.format(header.payload_type)?;
        let again = repaired.is_some() || by_type;
        let layer = track.layer(repaired.or(rid))?;
        if self.streams.len() >= STREAMS {
            return None;
        }
        if !again {
            track.layers[layer].ssrc = Some(header.ssrc);
        }
        let stream = Stream { track: track.id, layer, again };
        self.streams.insert(header.ssrc, stream);
        Some(stream)
    }
}

impl Room {
    /// Somebody offers to send; the same again changes or restarts it. Returns the answer.
    pub(crate) fn publish(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        description: &Description,
        sources: &HashMap<String, String>,
    ) -> Result<String, Refused> {
        let participant = self.participants.get_mut(&id).ok_or(Refused::Unknown)?;
        if !participant.rights.publish {
            return Err(Refused::Forbidden);
        }
        let now = around.now;
        let publisher = participant.publisher.get_or_insert_with(|| Publisher::new(now));
        publisher.version += 1;
        let restarted = publisher.transport.remember(&description.credentials.name);
        if restarted {
            publisher.transport.ice.restart();
        }
        let own = Own {
            fingerprint: &around.identity.fingerprint,
            name: &publisher.transport.ice.local.name,
            password: &publisher.transport.ice.local.password,
            addresses: around.addresses,
        };
        let (session, version) = (publisher.session, publisher.version);
        let height = around.bounds.height.into_iter().chain(participant.rights.height).min();
        let data = !participant.headless;
        let bounds = Bounds { height, data, ..around.bounds };
        let accepted = accept(description, &own, session, version, bounds);
        let same = publisher.transport.describe(
            around.identity,
            &description.fingerprint,
            accepted.is_client,
            now,
        );
        if !same {
            return Err(Refused::Certificate);
        }
        publisher.mid = accepted.mid;
        publisher.rid = accepted.rid;
        publisher.repaired = accepted.repaired;
        publisher.wide = accepted.transport;
        match accepted.data {
            Some(longest) => {
                publisher.transport.carry_data(CHANNELS, longest, now);
                self.talking.insert((id, Role::Publish));
            }
            None => self.end_data(around, id, "closed"),
        }
        let Accepted { media, sdp, .. } = accepted;
        self.reconcile(around, id, &media, sources);
        for track in self.tracks.values_mut().filter(|track| track.owner == id) {
            track.most = height;
        }
        Ok(sdp)
    }

    /// Makes the tracks of a publisher those that were agreed on.
    fn reconcile(
        &mut self,
        around: &mut Surroundings<'_>,
        id: ParticipantId,
        media: &[AcceptedMedia],
        sources: &HashMap<String, String>,
    ) {
        let gone: Vec<TrackId> = self
            .tracks
            .values()
            .filter(|track| track.owner == id && !media.iter().any(|m| m.mid == track.mid))
            .map(|track| track.id)
            .collect();
        gone.into_iter().for_each(|track| self.end_track(track));
        let mut began = Vec::new();
        for media in media {
            let known = self.tracks.values_mut().find(|t| t.owner == id && t.mid == media.mid);
            let track = match known {
                Some(track) => {
                    track.formats.clone_from(&media.formats);
                    track.id
                }
                None => {
                    let usual = if media.audio { "microphone" } else { "camera" };
                    let source = sources.get(&media.mid).map_or(usual, String::as_str);
                    let source = source.chars().take(32).collect();
                    let track = Track::new(around.ids.next(), id, media, source);
                    began.push(track.id);
                    self.tracks.insert(track.id, track);
                    began[began.len() - 1]
                }
            };
            self.register(id, track, media);
        }
        for track in &began {
            let event = Event::TrackBegan(shown(&self.tracks[track]));
            self.tell_all(|_| Some(event.clone()));
        }
        if !began.is_empty() {
            self.offer_all(around);
        }
    }

    /// Streams that the description names are known before their first packet.
    fn register(&mut self, id: ParticipantId, track: TrackId, media: &AcceptedMedia) {
        let publisher = self.participants.get_mut(&id).and_then(|p| p.publisher.as_mut());
        let (Some(publisher), Some(known)) = (publisher, self.tracks.get_mut(&track)) else {
            return;
        };
        if known.layers.len() != 1 {
            return;
        }
        if let Some((ssrc, again)) = media.streams.first() {
            known.layers[0].ssrc = Some(*ssrc);
            publisher.streams.insert(*ssrc, Stream { track, layer: 0, again: false });
            if let Some(again) = again {
                publisher.streams.insert(*again, Stream { track, layer: 0, again: true });
            }
        }
    }

    /// Somebody mutes a track, or not any more.
    pub(crate) fn mute(
        &mut self,
        id: ParticipantId,
        track: TrackId,
        muted: bool,
    ) -> Result<(), Refused> {
        let known = self.tracks.get_mut(&track).filter(|track| track.owner == id);
        let known = known.ok_or(Refused::NoTrack)?;
        if known.muted != muted {
            known.muted = muted;
            // What is seen again begins with a key frame, wherever it is seen.
            if !muted {
                (0..known.layers.len()).for_each(|layer| known.want_key_frame(layer));
            }
            self.tell_all(|_| Some(Event::TrackMuted { track, muted }));
        }
        Ok(())
    }

    /// A publisher ends, and its tracks with it.
    pub(super) fn unpublish(&mut self, around: &mut Surroundings<'_>, id: ParticipantId) {
        let owned = self.tracks.values().filter(|track| track.owner == id);
        let owned: Vec<TrackId> = owned.map(|track| track.id).collect();
        owned.into_iter().for_each(|track| self.end_track(track));
        self.end_data(around, id, "left");
        if let Some(participant) = self.participants.get_mut(&id)
            && let Some(mut publisher) = participant.publisher.take()
        {
            publisher.transport.close(around.out, around.now);
        }
    }

    fn end_track(&mut self, track: TrackId) {
        self.tracks.remove(&track);
        self.pending.retain(|pending| pending.track != track);
        for participant in self.participants.values_mut() {
            if let Some(publisher) = &mut participant.publisher {
                publisher.streams.retain(|_, stream| stream.track != track);
            }
            if let Some(subscriber) = &mut participant.subscriber {
                subscriber.drop_track(track);
            }
            participant.tell(Event::TrackEnded { track });
        }
    }

    /// Whether this connection is there.
    pub(crate) fn transport(&mut self, id: ParticipantId, role: Role) -> Option<&mut Transport> {
        self.participants.get_mut(&id)?.transport(role)
    }
}
