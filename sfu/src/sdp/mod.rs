//! Session descriptions (RFC 8866, RFC 8829) as far as an SFU needs them: what a client says, read
//! within bounds, and what is said to it.

mod answer;
mod offer;
mod read;
mod view;

pub(crate) use answer::{Accepted, AcceptedMedia, Bounds, accept};
pub(crate) use offer::{LocalMedia, PayloadTypes, Sent, offer};
pub(crate) use read::{Description, Format, Kind, ReadError};
pub(crate) use view::{answer_view, extensions as view_extensions, receives, usable};

/// Extensions of RTP headers that are understood.
pub(crate) mod extension {
    pub(crate) const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
    pub(crate) const TRANSPORT: &str =
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    pub(crate) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    pub(crate) const REPAIRED: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
    pub(crate) const TURNED: &str = "urn:3gpp:video-orientation";
    pub(crate) const DESCRIPTOR: &str =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
}

/// The ids under which one subscriber knows extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extensions {
    pub(crate) transport: Option<u8>,
    pub(crate) level: Option<u8>,
    pub(crate) turned: Option<u8>,
    /// Of the dependency descriptor, which not every client knows.
    pub(crate) descriptor: Option<u8>,
}

impl Extensions {
    /// What an answer to an offer of ours says.
    pub(crate) fn answered(&mut self, answer: &Description) {
        let mut sections = answer.media.iter();
        self.descriptor = sections.find_map(|media| media.extension(extension::DESCRIPTOR));
    }
}

impl Default for Extensions {
    fn default() -> Self {
        use offer::{LEVEL, TRANSPORT, TURNED};
        let (transport, level, turned) = (Some(TRANSPORT), Some(LEVEL), Some(TURNED));
        Self { transport, level, turned, descriptor: None }
    }
}

/// What this side says of itself in every description.
pub(crate) struct Own<'a> {
    /// SHA-256 of the certificate.
    pub(crate) fingerprint: &'a str,
    /// Name and password of ICE.
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
    /// Where it is reached.
    pub(crate) addresses: &'a [std::net::SocketAddr],
}

impl Own<'_> {
    /// The lines of a session before its media.
    fn session(&self, id: u64, version: u64, mids: &[&str]) -> String {
        let mut text = format!("v=0\r\no=- {id} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
        text.push_str("a=ice-lite\r\n");
        if !mids.is_empty() {
            text.push_str(&format!("a=group:BUNDLE {}\r\n", mids.join(" ")));
        }
        text.push_str("a=msid-semantic: WMS *\r\na=extmap-allow-mixed\r\n");
        text
    }

    /// The section of data channels.
    fn data(&self, mid: &str, setup: &str) -> String {
        let port = self.addresses.first().map_or(9, std::net::SocketAddr::port);
        format!(
            "m=application {port} UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n{}\
             a=mid:{mid}\r\na=sctp-port:5000\r\na=max-message-size:{}\r\n",
            self.transport(setup),
            crate::data::MESSAGE,
        )
    }

    /// The lines about the transport, which each media has.
    fn transport(&self, setup: &str) -> String {
        let mut text = format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n",
            self.name, self.password, self.fingerprint
        );
        for (index, address) in self.addresses.iter().enumerate() {
            let priority = 2_130_706_431 - index * 256;
            let (ip, port) = (address.ip(), address.port());
            text.push_str(&format!(
                "a=candidate:{} 1 udp {priority} {ip} {port} typ host\r\n",
                index + 1
            ));
        }
        text.push_str("a=end-of-candidates\r\n");
        text
    }
}
