//! A track of a publisher: its layers, what is kept of them, and when key frames are asked for.

use std::time::{Duration, Instant};

use crate::room::codec::descriptor::{Descriptor, Structure};
use crate::room::codec::{self, Codec, Key};
use crate::room::quality::Parts;
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
    /// Whether its publisher was told that it is higher than may be.
    told: bool,
    /// What it said of its layers in dependency descriptors.
    structure: Option<Structure>,
    /// What comes of its own temporal and spatial layers.
    pub(crate) parts: Parts,
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
    pub(crate) descriptor: Option<u8>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) muted: bool,
    /// The highest picture that is forwarded, in lines.
    pub(crate) most: Option<u16>,
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
            told: false,
            structure: None,
            parts: Parts::default(),
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
            descriptor: media.descriptor,
            layers: layers.collect(),
            muted: false,
            most: None,
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
        let (mut level, mut turned, mut descriptor) = (None, None, None);
        for (id, value) in header.extensions(packet) {
            level = level.or(value.first().filter(|_| Some(id) == self.level).copied());
            turned = turned.or(value.first().filter(|_| Some(id) == self.turned).copied());
            descriptor = descriptor.or(Some(value).filter(|_| Some(id) == self.descriptor));
        }
        let layer = &mut self.layers[layer];
        let sequence = layer.reception.unwrap(number);
        let mut look = codec::look(codec, payload);
        let descriptor = descriptor.filter(|_| codec == Codec::Av1);
        if let Some(bytes) = descriptor {
            layer.describe(bytes, &mut look);
        }
        let key_frame = !codec.is_audio()
            && match look.key {
                Key::Begins => true,
                Key::No => false,
                Key::IfFirst => layer.is_first(sequence, header.timestamp),
            };
        let stored = Stored {
            sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type,
            arrived: now,
            key_frame,
            numbers: look.numbers,
            place: look.place,
            descriptor: descriptor.map(Box::from),
            level,
            turned,
            payload: Vec::new(),
        };
        if !layer.ring.put(stored, payload) {
            return None;
        }
        if key_frame {
            layer.height = look.height.or(layer.height);
            layer.wanted = false;
        }
        layer.parts.add(look.place.part, packet.len(), now);
        let whole = layer.reception.arrived(sequence, header.timestamp, packet.len(), now, again);
        if !whole && !codec.is_audio() {
            layer.wanted = true;
        }
        if layer.is_above(self.most) {
            return None;
        }
        // Padding alone is forwarded as well: its place in the numbers must not stay empty.
        Some(sequence)
    }

    /// Somebody needs a key frame of a layer.
    pub(crate) fn want_key_frame(&mut self, layer: usize) {
        // What is too high is not forwarded with a key frame either.
        if !self.audio
            && let Some(layer) = self.layers.get_mut(layer)
            && !layer.is_above(self.most)
        {
            layer.wanted = true;
        }
    }

    /// The layers that are not forwarded because they are higher than may be, where their publisher
    /// was not told that yet: name, height, and what is permitted.
    pub(crate) fn too_high(&mut self) -> Vec<(String, u16, u16)> {
        let mut found = Vec::new();
        for layer in &mut self.layers {
            let is_above = layer.is_above(self.most);
            if is_above && !layer.told {
                let (height, most) = (layer.height.unwrap_or(0), self.most.unwrap_or(0));
                found.push((layer.name.clone(), height, most));
            }
            layer.told = is_above;
        }
        found
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
}

impl Layer {
    /// Whether something comes.
    pub(crate) fn comes(&self, now: Instant) -> bool {
        self.reception.last.is_some_and(|last| now - last < SILENT)
    }

    /// Whether its picture is higher than may be.
    pub(crate) fn is_above(&self, most: Option<u16>) -> bool {
        self.height.zip(most).is_some_and(|(height, most)| height > most)
    }

    /// What a dependency descriptor says of a packet is believed more than its payload.
    fn describe(&mut self, bytes: &[u8], look: &mut codec::Look) {
        let Some(read) = Descriptor::read(bytes, self.structure.as_ref()) else { return };
        look.key = if read.key_frame { Key::Begins } else { Key::No };
        look.place = read.place;
        if let Some(structure) = read.structure {
            look.height = structure.height.or(look.height);
            if self.structure.as_ref() != Some(&structure) {
                self.structure = Some(structure);
            }
        }
    }

    /// Whether no packet of the same picture came before this one.
    fn is_first(&self, sequence: u64, timestamp: u32) -> bool {
        match self.ring.get(sequence.wrapping_sub(1)) {
            Some(before) => before.timestamp != timestamp,
            // What is missing before it may be the begin of the picture.
            None => self.reception.last.is_none(),
        }
    }
}
