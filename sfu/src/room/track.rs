//! A track of a publisher: its layers, what is kept of them, and when key frames are asked for.

use std::time::{Duration, Instant};

use crate::room::codec::{self, Codec, Vp8};
use crate::room::reception::Reception;
use crate::room::ring::{Ring, Stored};
use crate::rtp::Header;
use crate::sdp::{AcceptedMedia, Format};

/// Names a track in this process.
pub(crate) type TrackId = u32;

/// Packets that are kept of a layer of video: about two seconds.
const VIDEO: usize = 512;

/// Packets that are kept of a sound: a second.
const AUDIO: usize = 64;

/// A key frame of one layer is asked for at most this often, whoever wants it.
const KEY_FRAMES: Duration = Duration::from_millis(400);

/// A layer without packets for this long does not come.
const SILENT: Duration = Duration::from_millis(1500);

/// One quality of a track.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its name among layers; empty where there is one only.
    pub(crate) name: String,
    pub(crate) ssrc: Option<u32>,
    pub(crate) reception: Reception,
    pub(crate) ring: Ring,
    asked: Option<Instant>,
    wanted: bool,
    /// How high its picture is, if that is known.
    pub(crate) height: Option<u16>,
}

/// A track.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) owner: u64,
    pub(crate) mid: String,
    pub(crate) source: String,
    pub(crate) audio: bool,
    pub(crate) formats: Vec<Format>,
    pub(crate) level: Option<u8>,
    pub(crate) turned: Option<u8>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) muted: bool,
}

impl Track {
    /// A track that was agreed on.
    pub(crate) fn new(id: TrackId, owner: u64, media: &AcceptedMedia, source: String) -> Self {
        let clock = media.formats.first().map_or(90_000, |format| format.codec.clock());
        let names = if media.layers.is_empty() { &[String::new()][..] } else { &media.layers };
        let kept = if media.audio { AUDIO } else { VIDEO };
        let layers = names.iter().map(|name| Layer {
            name: name.clone(),
            ssrc: None,
            reception: Reception::new(clock),
            ring: Ring::new(kept),
            asked: None,
            wanted: false,
            height: None,
        });
        Self {
            id,
            owner,
            mid: media.mid.clone(),
            source,
            audio: media.audio,
            formats: media.formats.clone(),
            level: media.level,
            turned: media.turned,
            layers: layers.collect(),
            muted: false,
        }
    }

    /// The format of a payload type, and whether it is that of retransmissions.
    pub(crate) fn format(&self, payload_type: u8) -> Option<(&Format, bool)> {
        let own = self.formats.iter().find(|format| format.payload_type == payload_type);
        let again = || self.formats.iter().find(|format| format.again == Some(payload_type));
        own.map(|format| (format, false)).or_else(|| again().map(|format| (format, true)))
    }

    /// The layer of a name; the only one if there is one.
    pub(crate) fn layer(&self, name: Option<&str>) -> Option<usize> {
        match name {
            Some(name) => self.layers.iter().position(|layer| layer.name == name),
            None => (self.layers.len() == 1).then_some(0),
        }
    }

    /// Takes a decrypted packet of a layer, retransmitted ones included. Returns its extended
    /// number if it is new.
    pub(crate) fn take(
        &mut self,
        layer: usize,
        header: &Header,
        packet: &[u8],
        again: bool,
        now: Instant,
    ) -> Option<u64> {
        let (format, _) = self.format(header.payload_type)?;
        let (codec, payload_type) = (format.codec, format.payload_type);
        let mut payload = header.payload(packet)?;
        let mut number = header.sequence;
        if again {
            // The original number stands before the payload (RFC 4588).
            let (first, rest) = payload.split_at_checked(2)?;
            number = u16::from_be_bytes([first[0], first[1]]);
            payload = rest;
        }
        let (mut level, mut turned) = (None, None);
        for (id, value) in header.extensions(packet) {
            level = level.or(value.first().filter(|_| Some(id) == self.level).copied());
            turned = turned.or(value.first().filter(|_| Some(id) == self.turned).copied());
        }
        let layer = &mut self.layers[layer];
        let sequence = layer.reception.unwrap(number);
        let key_frame = !codec.is_audio() && codec::begins_key_frame(codec, payload);
        let stored = Stored {
            sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type,
            arrived: now,
            key_frame,
            vp8: if codec == Codec::Vp8 { Vp8::read(payload) } else { None },
            level,
            turned,
            payload: Vec::new(),
        };
        if !layer.ring.put(stored, payload) {
            return None;
        }
        if key_frame {
            layer.height = codec::height(codec, payload).or(layer.height);
            layer.wanted = false;
        }
        let whole = layer.reception.arrived(sequence, header.timestamp, packet.len(), now, again);
        if !whole && !codec.is_audio() {
            layer.wanted = true;
        }
        // Padding alone is forwarded as well: its place in the numbers must not stay empty.
        Some(sequence)
    }

    /// Somebody needs a key frame of a layer.
    pub(crate) fn want_key_frame(&mut self, layer: usize) {
        if !self.audio
            && let Some(layer) = self.layers.get_mut(layer)
        {
            layer.wanted = true;
        }
    }

    /// The streams of which key frames are to be asked for now.
    pub(crate) fn key_frames_due(&mut self, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        for layer in &mut self.layers {
            let Some(ssrc) = layer.ssrc.filter(|_| layer.wanted) else { continue };
            if layer.asked.is_none_or(|asked| now - asked >= KEY_FRAMES) {
                layer.asked = Some(now);
                // It is asked for again until one comes: `wanted` stays.
                due.push(ssrc);
            }
        }
        due
    }

    /// Bits a second of each layer, from the lowest; `None` where nothing comes.
    pub(crate) fn rates(&mut self, now: Instant) -> Vec<Option<u64>> {
        let rates = self.layers.iter_mut().map(|layer| {
            let comes = layer.reception.last.is_some_and(|last| now - last < SILENT);
            comes.then(|| layer.reception.bitrate(now))
        });
        rates.collect()
    }
}
