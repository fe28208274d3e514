//! The offer to a client that receives: one section for each track, in an order that never changes.

use std::fmt::Write;

use super::Own;
use super::extension;
use crate::room::codec::Codec;

/// The ids of extensions towards every subscriber.
pub(super) const LEVEL: u8 = 1;
pub(super) const TRANSPORT: u8 = 3;
const MID: u8 = 4;
pub(super) const TURNED: u8 = 13;
const DESCRIPTOR: u8 = 12;

/// A format as a subscriber knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    codec: Codec,
    parameters: String,
    payload_type: u8,
    again: Option<u8>,
}

/// The payload types towards one subscriber: the same format has the same one in all sections.
#[derive(Clone, Debug, Default)]
pub(crate) struct PayloadTypes {
    known: Vec<Known>,
}

impl PayloadTypes {
    /// The payload type of a format, and that of its retransmissions; `None` when there are no
    /// more.
    pub(crate) fn of(&mut self, codec: Codec, parameters: &str) -> Option<(u8, Option<u8>)> {
        // The parameters of RED name the payload type of the sender's own Opus.
        let parameters = if codec == Codec::Red { "" } else { parameters };
        let same = |known: &&Known| known.codec == codec && known.parameters == parameters;
        if let Some(known) = self.known.iter().find(same) {
            return Some((known.payload_type, known.again));
        }
        let mut free = (96..=127u8).chain(35..=63).filter(|number| !self.uses(*number));
        let usual = match codec {
            Codec::Opus => Some(111),
            Codec::Red => Some(63),
            _ => None,
        };
        let usual = usual.filter(|number| !self.uses(*number));
        let payload_type = usual.or_else(|| free.by_ref().find(|number| *number != 111))?;
        let again = match codec.is_audio() {
            true => None,
            false => Some(free.find(|number| *number != 111 && *number != payload_type)?),
        };
        let parameters = parameters.to_owned();
        self.known.push(Known { codec, parameters, payload_type, again });
        Some((payload_type, again))
    }

    fn uses(&self, number: u8) -> bool {
        let used = |known: &Known| known.payload_type == number || known.again == Some(number);
        self.known.iter().any(used)
    }
}

/// A section of the offer.
#[derive(Clone, Debug)]
pub(crate) struct LocalMedia {
    pub(crate) mid: String,
    pub(crate) audio: bool,
    /// The formats: codec, its parameters, its payload type, and that of retransmissions.
    pub(crate) formats: Vec<(Codec, String, u8, Option<u8>)>,
    /// What is sent, if anything is: the stream, its retransmissions, whose it is and which track.
    pub(crate) sent: Option<Sent>,
}

/// What is sent in a section.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) again: Option<u32>,
    pub(crate) stream: String,
    pub(crate) track: String,
}

/// The name of the section of data channels.
pub(crate) const DATA: &str = "data";

/// The offer of these sections, with that of data channels after so many of them, if at all.
pub(crate) fn offer(
    own: &Own<'_>,
    id: u64,
    version: u64,
    media: &[LocalMedia],
    data: Option<usize>,
) -> String {
    let mut mids: Vec<&str> = media.iter().map(|media| media.mid.as_str()).collect();
    if let Some(at) = data {
        mids.insert(at, DATA);
    }
    let mut text = own.session(id, version, &mids);
    let transport = own.transport("actpass");
    let port = own.addresses.first().map_or(9, std::net::SocketAddr::port);
    for (index, media) in media.iter().enumerate() {
        if data == Some(index) {
            text.push_str(&own.data(DATA, "actpass"));
        }
        section(&mut text, media, port, &transport).expect("a string takes all text");
    }
    if data == Some(media.len()) {
        text.push_str(&own.data(DATA, "actpass"));
    }
    text
}

fn section(text: &mut String, media: &LocalMedia, port: u16, transport: &str) -> std::fmt::Result {
    let types = media.formats.iter().flat_map(|(.., number, again)| [Some(*number), *again]);
    let types: Vec<String> = types.flatten().map(|number| number.to_string()).collect();
    let name = if media.audio { "audio" } else { "video" };
    write!(text, "m={name} {port} UDP/TLS/RTP/SAVPF {}\r\n", types.join(" "))?;
    write!(text, "c=IN IP4 0.0.0.0\r\n{transport}a=mid:{}\r\na=rtcp-mux\r\n", media.mid)?;
    text.push_str("a=rtcp-rsize\r\n");
    text.push_str(if media.sent.is_some() { "a=sendonly\r\n" } else { "a=inactive\r\n" });
    write!(text, "a=extmap:{TRANSPORT} {}\r\n", extension::TRANSPORT)?;
    write!(text, "a=extmap:{MID} {}\r\n", extension::MID)?;
    match media.audio {
        true => write!(text, "a=extmap:{LEVEL} {}\r\n", extension::LEVEL)?,
        false => write!(text, "a=extmap:{TURNED} {}\r\n", extension::TURNED)?,
    }
    if media.formats.iter().any(|(codec, ..)| *codec == Codec::Av1) {
        write!(text, "a=extmap:{DESCRIPTOR} {}\r\n", extension::DESCRIPTOR)?;
    }
    let opus = media.formats.iter().find(|(codec, ..)| *codec == Codec::Opus);
    for (codec, parameters, number, again) in &media.formats {
        let channels = if media.audio { "/2" } else { "" };
        write!(text, "a=rtpmap:{number} {}/{}{channels}\r\n", codec.name(), codec.clock())?;
        write!(text, "a=rtcp-fb:{number} transport-cc\r\n")?;
        if !media.audio {
            write!(text, "a=rtcp-fb:{number} nack\r\na=rtcp-fb:{number} nack pli\r\n")?;
            write!(text, "a=rtcp-fb:{number} ccm fir\r\n")?;
        }
        match (codec, opus) {
            (Codec::Red, Some((.., inner, _))) => {
                write!(text, "a=fmtp:{number} {inner}/{inner}\r\n")?;
            }
            _ if !parameters.is_empty() => write!(text, "a=fmtp:{number} {parameters}\r\n")?,
            _ => {}
        }
        if let Some(again) = again {
            write!(text, "a=rtpmap:{again} rtx/90000\r\na=fmtp:{again} apt={number}\r\n")?;
        }
    }
    let Some(sent) = &media.sent else { return Ok(()) };
    let Sent { ssrc, stream, track, .. } = sent;
    write!(text, "a=msid:{stream} {track}\r\n")?;
    if let Some(again) = sent.again {
        write!(text, "a=ssrc-group:FID {ssrc} {again}\r\n")?;
    }
    for ssrc in [Some(*ssrc), sent.again].into_iter().flatten() {
        write!(text, "a=ssrc:{ssrc} cname:{stream}\r\na=ssrc:{ssrc} msid:{stream} {track}\r\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_keeps_its_payload_type_and_no_two_share_one() {
        let mut types = PayloadTypes::default();
        let mut used = Vec::new();
        for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opus, Codec::Red] {
            let (number, again) = types.of(codec, "a=b").unwrap();
            assert_eq!(types.of(codec, "a=b"), Some((number, again)));
            assert_eq!(again.is_some(), !codec.is_audio());
            used.extend([Some(number), again].into_iter().flatten());
        }
        let all = used.len();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), all);
        let many = (0..100).filter_map(|profile| types.of(Codec::H264, &profile.to_string()));
        assert!(many.count() < 40, "they run out and are not shared");
    }
}
