//! Offers as browsers write them, with things missing, and with anything in them.

use super::*;
use crate::sdp::{Bounds, Own, accept};
use proptest::prelude::*;

/// An offer of sound and of a picture in three layers, as a browser writes it.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
    a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=sendonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=ssrc:77 cname:x\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\n\
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=rtpmap:96 VP8/90000\r\n\
    a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
    a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n";

fn answer(offer: &Description) -> String {
    let own = Own { fingerprint: "00", name: "name", password: "password", addresses: &[] };
    accept(offer, &own, 1, 1, Bounds::default()).sdp
}

#[test]
fn an_offer_of_a_browser_is_read_and_answered() {
    let offer = Description::read(OFFER).unwrap();
    assert_eq!(offer.media.len(), 2);
    assert_eq!(offer.media[0].streams, [(77, None)]);
    assert_eq!(offer.media[1].layers, ["q", "f"]);
    let video = &offer.media[1].formats[0];
    assert_eq!((video.codec, video.payload_type, video.again), (Codec::Vp8, 96, Some(97)));
    let answer = answer(&offer);
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
        "a=simulcast:recv q;f",
        "a=setup:passive",
        "a=recvonly",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line} is not in {answer}");
    }
    assert!(!answer.contains("G722"));
}

#[test]
fn a_section_of_data_channels_is_taken_once_and_only_where_there_are_any() {
    let section = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
        a=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";
    let read = |more: &str| {
        let offer = OFFER.replace("BUNDLE 0 1", "BUNDLE 0 1 2 3");
        Description::read(&format!("{offer}{more}")).unwrap()
    };
    let own = Own { fingerprint: "00", name: "name", password: "password", addresses: &[] };
    let bounds = Bounds { data: true, ..Bounds::default() };
    let twice = format!("{section}{}", section.replace("mid:2", "mid:3"));
    let accepted = accept(&read(&twice), &own, 1, 1, bounds);
    assert_eq!(accepted.data, Some(262_144));
    assert!(accepted.sdp.contains("a=group:BUNDLE 0 1 2\r\n"), "{}", accepted.sdp);
    let taken = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    assert_eq!(accepted.sdp.matches(taken).count(), 1);
    assert!(accepted.sdp.contains("a=sctp-port:5000\r\na=max-message-size:65536\r\n"));
    assert!(accepted.sdp.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    let refused = accept(&read(section), &own, 1, 1, Bounds::default());
    assert!(refused.data.is_none() && refused.sdp.contains("m=application 0 "));
    for (from, to, longest) in [
        ("a=max-message-size:262144\r\n", "", Some(65_536)),
        ("262144", "0", Some(u64::MAX)),
        ("a=sctp-port:5000\r\n", "", None),
        ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", None),
    ] {
        let offer = read(&section.replace(from, to));
        assert_eq!(offer.media[2].data, longest, "{from} as {to}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let without = |text: &str| {
        let kept = OFFER.lines().filter(|line| !line.contains(text));
        Description::read(&kept.collect::<Vec<_>>().join("\r\n")).unwrap_err()
    };
    assert_eq!(without("ice-ufrag"), ReadError::NoCredentials);
    assert_eq!(without("ice-pwd"), ReadError::NoCredentials);
    assert_eq!(without("fingerprint"), ReadError::NoFingerprint);
    assert_eq!(without("rtcp-mux"), ReadError::NotBundled);
    assert_eq!(without("BUNDLE"), ReadError::NotBundled);
    assert_eq!(without("v=0"), ReadError::Malformed);
    assert_eq!(Description::read(&"x".repeat(LONGEST + 1)).unwrap_err(), ReadError::TooLong);
    let many = format!("{OFFER}{}", "m=audio 9 a 1\r\na=rtcp-mux\r\n".repeat(SECTIONS));
    assert_eq!(Description::read(&many).unwrap_err(), ReadError::TooLong);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = Description::read(&text);
        let _ = Description::read(&format!("v=0\r\n{text}"));
    }

    /// Whatever a client writes into a line, an answer has no line of its own making.
    #[test]
    fn a_changed_offer_is_refused_or_answered_in_form(
        line in 0usize..40, word in "[ -~]{0,40}", at in any::<prop::sample::Index>(),
    ) {
        let mut lines: Vec<String> = OFFER.lines().map(str::to_owned).collect();
        let line = line % lines.len();
        let place = at.index(lines[line].len() + 1);
        lines[line].insert_str(place, &word);
        if let Ok(offer) = Description::read(&lines.join("\r\n")) {
            for line in answer(&offer).split("\r\n").filter(|line| !line.is_empty()) {
                prop_assert!(line.as_bytes()[1] == b'=', "{}", line);
                prop_assert!(!line.contains('\n'));
            }
        }
    }
}
