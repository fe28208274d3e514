//! The answer to a client that offers to send.

use std::net::SocketAddr;

use super::Own;
use super::extension;
use super::read::{Description, Direction, Format, Kind, Media};
use crate::room::codec::Codec;

/// What was agreed on for one section.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedMedia {
    pub(crate) mid: String,
    /// Whether it is sound.
    pub(crate) audio: bool,
    /// The formats that may come: one codec, and RED beside Opus.
    pub(crate) formats: Vec<Format>,
    pub(crate) layers: Vec<String>,
    pub(crate) streams: Vec<(u32, Option<u32>)>,
    pub(crate) level: Option<u8>,
    pub(crate) turned: Option<u8>,
    pub(crate) descriptor: Option<u8>,
}

/// What was agreed on.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) media: Vec<AcceptedMedia>,
    /// The ids of extensions that all sections share.
    pub(crate) mid: Option<u8>,
    pub(crate) rid: Option<u8>,
    pub(crate) repaired: Option<u8>,
    pub(crate) transport: Option<u8>,
    /// The longest message of data channels that the client takes, where it may have channels.
    pub(crate) data: Option<u64>,
    /// Whether this side shakes hands as the client.
    pub(crate) is_client: bool,
    pub(crate) sdp: String,
}

/// What bounds a publisher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bits a second of one picture, all layers together.
    pub(crate) video: u64,
    /// Bits a second of one sound.
    pub(crate) audio: u64,
    /// Sections that are accepted at once.
    pub(crate) sections: usize,
    /// The highest picture, in lines; none at all with 0.
    pub(crate) height: Option<u16>,
    /// Whether data channels are accepted.
    pub(crate) data: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { video: 6_000_000, audio: 256_000, sections: 16, height: None, data: false }
    }
}

/// Answers an offer.
pub(crate) fn accept(
    offer: &Description,
    own: &Own<'_>,
    id: u64,
    version: u64,
    bounds: Bounds,
) -> Accepted {
    let is_client = offer.setup == "passive";
    let setup = if is_client { "active" } else { "passive" };
    let mut accepted = Accepted {
        media: Vec::new(),
        mid: None,
        rid: None,
        repaired: None,
        transport: None,
        data: None,
        is_client,
        sdp: String::new(),
    };
    let mut sections = String::new();
    let mut mids: Vec<&str> = Vec::new();
    let mut taken = 0;
    for media in &offer.media {
        if let Some(longest) = media.data
            && bounds.data
            && accepted.data.is_none()
            && !media.rejected
        {
            accepted.data = Some(longest);
            mids.push(&media.mid);
            sections.push_str(&own.data(&media.mid, setup));
            continue;
        }
        let formats = chosen(media);
        let sends = matches!(media.direction, Direction::Send | Direction::Both);
        let is_media = matches!(media.kind, Kind::Audio | Kind::Video) && !formats.is_empty();
        let is_forbidden = media.kind == Kind::Video && bounds.height == Some(0);
        if media.rejected || !is_media || is_forbidden || taken == bounds.sections {
            sections.push_str(&rejected(media));
            continue;
        }
        taken += 1;
        mids.push(&media.mid);
        sections.push_str(&section(media, &formats, own, setup, sends, bounds));
        accepted.mid = accepted.mid.or(media.extension(extension::MID));
        accepted.rid = accepted.rid.or(media.extension(extension::RID));
        accepted.repaired = accepted.repaired.or(media.extension(extension::REPAIRED));
        accepted.transport = accepted.transport.or(media.extension(extension::TRANSPORT));
        if sends {
            accepted.media.push(AcceptedMedia {
                mid: media.mid.clone(),
                audio: media.kind == Kind::Audio,
                formats,
                layers: media.layers.clone(),
                streams: media.streams.clone(),
                level: media.extension(extension::LEVEL),
                turned: media.extension(extension::TURNED),
                descriptor: media.extension(extension::DESCRIPTOR),
            });
        }
    }
    accepted.sdp = own.session(id, version, &mids) + &sections;
    accepted
}

/// A section that is not taken. Its format must be one of those that were offered, and there are
/// clients that want every format described.
fn rejected(media: &Media) -> String {
    let (name, protocol) = (&media.name, &media.protocol);
    let known = media.formats.first().map(|format| Format { again: None, ..format.clone() });
    let line = known.as_ref().map(|format| format.payload_type.to_string());
    let line = line.as_ref().unwrap_or(&media.formats_line);
    let mut text = format!("m={name} 0 {protocol} {line}\r\nc=IN IP4 0.0.0.0\r\n");
    text.push_str(&format!("a=mid:{}\r\na=inactive\r\n", media.mid));
    if let Some(format) = &known {
        describe(&mut text, format);
    }
    text
}

/// The first codec that is known, and RED beside Opus: a publisher does not change in between.
fn chosen(media: &Media) -> Vec<Format> {
    let audio = media.kind == Kind::Audio;
    let fits = |format: &&Format| {
        let whole =
            format.codec != Codec::H264 || format.parameters.contains("packetization-mode=1");
        format.codec.is_audio() == audio && whole
    };
    let mut known = media.formats.iter().filter(fits);
    if audio {
        let known: Vec<Format> = known.cloned().collect();
        let opus = known.iter().any(|format| format.codec == Codec::Opus);
        let mut seen = Vec::new();
        let mut chosen = Vec::new();
        for format in known.into_iter().filter(|_| opus) {
            if !seen.contains(&format.codec) {
                seen.push(format.codec);
                chosen.push(format);
            }
        }
        return chosen;
    }
    known.next().cloned().into_iter().collect()
}

fn section(
    media: &Media,
    formats: &[Format],
    own: &Own<'_>,
    setup: &str,
    sends: bool,
    bounds: Bounds,
) -> String {
    let audio = media.kind == Kind::Audio;
    let types: Vec<String> = formats
        .iter()
        .flat_map(|format| [Some(format.payload_type), format.again])
        .flatten()
        .map(|number| number.to_string())
        .collect();
    let port = own.addresses.first().map_or(9, SocketAddr::port);
    let (name, protocol) = (&media.name, &media.protocol);
    let mut text =
        format!("m={name} {port} {protocol} {}\r\nc=IN IP4 0.0.0.0\r\n", types.join(" "));
    let most = if audio { bounds.audio } else { bounds.video };
    text.push_str(&format!("b=TIAS:{most}\r\n"));
    text.push_str(&own.transport(setup));
    text.push_str(&format!("a=mid:{}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n", media.mid));
    text.push_str(if sends { "a=recvonly\r\n" } else { "a=inactive\r\n" });
    let known = [
        extension::LEVEL,
        extension::TRANSPORT,
        extension::MID,
        extension::RID,
        extension::REPAIRED,
        extension::TURNED,
    ];
    // Other codecs say in their payloads what it would.
    let described = formats.iter().any(|format| format.codec == Codec::Av1);
    for uri in known.into_iter().chain(described.then_some(extension::DESCRIPTOR)) {
        if let Some(id) = media.extension(uri) {
            text.push_str(&format!("a=extmap:{id} {uri}\r\n"));
        }
    }
    for format in formats {
        describe(&mut text, format);
    }
    if sends && !media.layers.is_empty() {
        for layer in &media.layers {
            // What a layer may be (RFC 8851).
            let most = bounds.height.map(|height| format!(" max-height={height}"));
            text.push_str(&format!("a=rid:{layer} recv{}\r\n", most.unwrap_or_default()));
        }
        text.push_str(&format!("a=simulcast:recv {}\r\n", media.layers.join(";")));
    }
    text
}

pub(super) fn describe(text: &mut String, format: &Format) {
    let (number, codec) = (format.payload_type, format.codec);
    let channels = if codec.is_audio() { "/2" } else { "" };
    text.push_str(&format!("a=rtpmap:{number} {}/{}{channels}\r\n", codec.name(), codec.clock()));
    let understood = ["nack", "nack pli", "ccm fir", "transport-cc"];
    for feedback in format.feedback.iter().filter(|known| understood.contains(&known.as_str())) {
        text.push_str(&format!("a=rtcp-fb:{number} {feedback}\r\n"));
    }
    if !format.parameters.is_empty() {
        text.push_str(&format!("a=fmtp:{number} {}\r\n", format.parameters));
    }
    if let Some(again) = format.again {
        text.push_str(&format!("a=rtpmap:{again} rtx/90000\r\na=fmtp:{again} apt={number}\r\n"));
    }
}
