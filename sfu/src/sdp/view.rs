//! The answer to a client that offers to receive (WHEP).

use std::fmt::Write;

use super::extension;
use super::offer::{LocalMedia, Sent};
use super::read::{Description, Direction, Format, Kind, Media};
use super::{Extensions, Own};
use crate::room::codec::Codec;

/// Whether something can be sent in a section that a client offers.
pub(crate) fn receives(media: &Media) -> bool {
    let wants = matches!(media.direction, Direction::Receive | Direction::Both);
    matches!(media.kind, Kind::Audio | Kind::Video)
        && !media.rejected
        && wants
        && !usable(media).is_empty()
}

/// The formats of a section that may be sent.
pub(crate) fn usable(media: &Media) -> Vec<Format> {
    let audio = media.kind == Kind::Audio;
    let fits = |format: &&Format| {
        let whole =
            format.codec != Codec::H264 || format.parameters.contains("packetization-mode=1");
        format.codec.is_audio() == audio && whole
    };
    media.formats.iter().filter(fits).cloned().collect()
}

/// The ids under which the client knows extensions.
pub(crate) fn extensions(offer: &Description) -> Extensions {
    let find = |uri| offer.media.iter().find_map(|media| media.extension(uri));
    Extensions {
        transport: find(extension::TRANSPORT),
        level: find(extension::LEVEL),
        turned: find(extension::TURNED),
        descriptor: find(extension::DESCRIPTOR),
    }
}

/// Answers: `sent` has what is sent in each section, in the order of the offer.
pub(crate) fn answer_view(
    offer: &Description,
    own: &Own<'_>,
    id: u64,
    sent: &[Option<LocalMedia>],
) -> String {
    let taken = offer.media.iter().zip(sent).filter(|(_, sent)| sent.is_some());
    let mids: Vec<&str> = taken.map(|(media, _)| media.mid.as_str()).collect();
    let mut text = own.session(id, 1, &mids);
    let setup = if offer.setup == "passive" { "active" } else { "passive" };
    let transport = own.transport(setup);
    for (media, sent) in offer.media.iter().zip(sent) {
        section(&mut text, media, sent.as_ref(), own, &transport).expect("a string takes all text");
    }
    text
}

fn section(
    text: &mut String,
    media: &Media,
    sent: Option<&LocalMedia>,
    own: &Own<'_>,
    transport: &str,
) -> std::fmt::Result {
    let (name, protocol) = (&media.name, &media.protocol);
    let Some(local) = sent else {
        write!(text, "m={name} 0 {protocol} {}\r\nc=IN IP4 0.0.0.0\r\n", media.formats_line)?;
        return write!(text, "a=mid:{}\r\na=inactive\r\n", media.mid);
    };
    let formats = usable(media);
    let types = formats.iter().flat_map(|format| [Some(format.payload_type), format.again]);
    let types: Vec<String> = types.flatten().map(|number| number.to_string()).collect();
    let port = own.addresses.first().map_or(9, std::net::SocketAddr::port);
    write!(text, "m={name} {port} {protocol} {}\r\nc=IN IP4 0.0.0.0\r\n", types.join(" "))?;
    write!(text, "{transport}a=mid:{}\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=sendonly\r\n", media.mid)?;
    for uri in [extension::TRANSPORT, extension::LEVEL, extension::TURNED, extension::DESCRIPTOR] {
        if let Some(id) = media.extension(uri) {
            write!(text, "a=extmap:{id} {uri}\r\n")?;
        }
    }
    for format in &formats {
        super::answer::describe(text, format);
    }
    let Some(Sent { ssrc, again, stream, track }) = &local.sent else { return Ok(()) };
    write!(text, "a=msid:{stream} {track}\r\n")?;
    if let Some(again) = again {
        write!(text, "a=ssrc-group:FID {ssrc} {again}\r\n")?;
    }
    for ssrc in [Some(*ssrc), *again].into_iter().flatten() {
        write!(text, "a=ssrc:{ssrc} cname:{stream}\r\na=ssrc:{ssrc} msid:{stream} {track}\r\n")?;
    }
    Ok(())
}
