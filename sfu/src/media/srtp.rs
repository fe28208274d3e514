//! SRTP with one peer (RFC 3711, RFC 7714), bounded in what strangers can make it remember.

use std::collections::HashSet;

use bytes::BytesMut;
use rtc_crypto::RTCCrypto;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;
use thiserror::Error;

use crate::rtp::{FIXED, Header, be32};

/// Streams of one peer that are decrypted. The library remembers a stream before it knows that a
/// packet is genuine, so the number of strange ones is bounded here.
const STREAMS: usize = 96;

/// How far back packets may come once.
const WINDOW: usize = 1024;

#[derive(Debug, Error)]
pub(crate) enum SrtpError {
    #[error("no protection profile is known to both")]
    Profile,
    #[error("the keys are of the wrong length")]
    Keys(#[source] rtc_shared::error::Error),
}

/// The keys of one connection, in both directions.
pub(crate) struct Srtp {
    inbound: Context,
    outbound: Context,
    streams: HashSet<u32>,
    reporters: HashSet<u32>,
    /// How far from the end of SRTCP the word with its index begins.
    index: usize,
    /// Stands for any header of the same length: the library asks it for nothing else but the
    /// stream and the number.
    header: rtc_rtp::Header,
}

impl Srtp {
    /// From what DTLS exports: the keys and salts of client and server (RFC 5764, section 4.2).
    pub(crate) fn new(
        profile: ProtectionProfile,
        material: &[u8],
        is_client: bool,
        crypto: &dyn RTCCrypto,
    ) -> Result<Self, SrtpError> {
        let (key, salt) = (profile.key_len(), profile.salt_len());
        if material.len() < 2 * (key + salt) {
            return Err(SrtpError::Profile);
        }
        let (keys, salts) = material.split_at(2 * key);
        let (client, server) =
            ((&keys[..key], &salts[..salt]), (&keys[key..], &salts[salt..2 * salt]));
        let (ours, theirs) = if is_client { (client, server) } else { (server, client) };
        let outbound = Context::new(ours.0, ours.1, profile, None, None, crypto);
        let inbound = Context::new(
            theirs.0,
            theirs.1,
            profile,
            Some(srtp_replay_protection(WINDOW)),
            Some(srtcp_replay_protection(WINDOW)),
            crypto,
        );
        Ok(Self {
            inbound: inbound.map_err(SrtpError::Keys)?,
            outbound: outbound.map_err(SrtpError::Keys)?,
            streams: HashSet::new(),
            reporters: HashSet::new(),
            index: 4 + profile.rtcp_auth_tag_len(),
            header: rtc_rtp::Header::default(),
        })
    }

    /// Decrypts an RTP packet; `None` if it is not genuine, or came before.
    pub(crate) fn open(&mut self, packet: &[u8], header: &Header) -> Option<BytesMut> {
        if !admit(&mut self.streams, header.ssrc) {
            return None;
        }
        self.stand_for(header.len, header.ssrc, header.sequence);
        self.inbound.decrypt_rtp_with_header(packet, &self.header).ok()
    }

    /// Encrypts an RTP packet whose header has this length.
    pub(crate) fn seal(
        &mut self,
        packet: &[u8],
        len: usize,
        ssrc: u32,
        sequence: u16,
    ) -> Option<BytesMut> {
        self.stand_for(len, ssrc, sequence);
        self.outbound.encrypt_rtp_with_header(packet, &self.header).ok()
    }

    /// Decrypts RTCP packets.
    pub(crate) fn open_report(&mut self, packet: &[u8]) -> Option<BytesMut> {
        // The library does not authenticate what says that it is not encrypted. In WebRTC everything
        // is (RFC 8827, section 6.5), so that a packet without the flag is a forged one.
        let flag = packet.get(packet.len().checked_sub(self.index)?)? & 0x80;
        if flag == 0 || !admit(&mut self.reporters, be32(packet, 4)?) {
            return None;
        }
        self.inbound.decrypt_rtcp(packet).ok()
    }

    /// Encrypts RTCP packets.
    pub(crate) fn seal_report(&mut self, packet: &[u8]) -> Option<BytesMut> {
        self.outbound.encrypt_rtcp(packet).ok()
    }

    fn stand_for(&mut self, len: usize, ssrc: u32, sequence: u16) {
        self.header.csrc.resize((len - FIXED) / 4, 0);
        self.header.ssrc = ssrc;
        self.header.sequence_number = sequence;
    }
}

fn admit(known: &mut HashSet<u32>, ssrc: u32) -> bool {
    if known.contains(&ssrc) {
        return true;
    }
    let room = known.len() < STREAMS;
    if room {
        known.insert(ssrc);
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Outgoing, write_header};
    use proptest::prelude::*;

    fn pair(profile: ProtectionProfile) -> (Srtp, Srtp) {
        let provider = rtc_crypto::default_provider().unwrap();
        let material: Vec<u8> = (0..60).collect();
        let one = |is_client| Srtp::new(profile, &material, is_client, provider.crypto()).unwrap();
        (one(true), one(false))
    }

    fn packet(ssrc: u32, sequence: u16) -> (Vec<u8>, usize) {
        let mut packet = Vec::new();
        let header = Outgoing { marker: false, payload_type: 96, sequence, timestamp: 1, ssrc };
        let len = write_header(&mut packet, header, &[(3, &[1, 2, 3]), (4, b"mid")]);
        packet.extend_from_slice(b"some payload");
        (packet, len)
    }

    #[test]
    fn what_one_seals_the_other_opens_once() {
        for profile in [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::Aes128CmHmacSha1_80] {
            let (mut client, mut server) = pair(profile);
            for sequence in [65_534u16, 65_535, 0, 1] {
                let (plain, len) = packet(7, sequence);
                let sealed = client.seal(&plain, len, 7, sequence).unwrap();
                let header = Header::read(&sealed).unwrap();
                assert_eq!(server.open(&sealed, &header).unwrap(), plain);
                assert!(server.open(&sealed, &header).is_none(), "it came before");
            }
        }
    }

    #[test]
    fn a_flood_of_strange_streams_is_not_remembered() {
        let (_, mut server) = pair(ProtectionProfile::AeadAes128Gcm);
        for ssrc in 0..10_000 {
            let (strange, _) = packet(ssrc, 1);
            let header = Header::read(&strange).unwrap();
            assert!(server.open(&strange, &header).is_none());
        }
        assert_eq!(server.streams.len(), STREAMS);
    }

    #[test]
    fn a_report_that_says_it_is_not_encrypted_is_refused() {
        for profile in [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::Aes128CmHmacSha1_80] {
            let (mut client, mut server) = pair(profile);
            let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
            let sealed = client.seal_report(&report).unwrap();
            assert_eq!(server.open_report(&sealed).unwrap()[..], report);
            let mut forged = report.to_vec();
            forged.extend_from_slice(&[0; 30]);
            assert!(server.open_report(&forged).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for profile in [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::Aes128CmHmacSha1_80] {
                let (_, mut server) = pair(profile);
                prop_assert!(server.open_report(&bytes).is_none());
                if let Some(header) = Header::read(&bytes) {
                    prop_assert!(server.open(&bytes, &header).is_none());
                }
            }
        }
    }
}
