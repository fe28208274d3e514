//! DTLS with one peer: the handshake, whose certificate must be the one of the SDP, and the keys
//! that it gives to SRTP (RFC 5763, RFC 5764).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_srtp::protection_profile::ProtectionProfile;
use sha2::{Digest, Sha256, Sha384, Sha512};
use thiserror::Error;

use crate::media::srtp::{Srtp, SrtpError};

/// The endpoint of the library knows peers by address; here the peer stays the same whatever its
/// address is.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// How long until a lost flight is sent again.
const FLIGHT: Duration = Duration::from_millis(200);

/// Handshakes that are not done by then are given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The certificate of this process, and how it shakes hands.
pub(crate) struct Identity {
    provider: Arc<dyn RTCCryptoProvider>,
    server: Arc<HandshakeConfig>,
    client: Arc<HandshakeConfig>,
    /// SHA-256 of the certificate, as SDP writes it.
    pub(crate) fingerprint: String,
}

impl Identity {
    /// A new one, for as long as the process lives.
    ///
    /// # Errors
    /// When the library cannot make a certificate.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let provider =
            rtc_crypto::default_provider().map_err(|error| anyhow::anyhow!("{error}"))?;
        let names = vec!["roundtable-sfu".to_owned()];
        let certificate = Certificate::generate_self_signed(names, provider.crypto())?;
        let fingerprint = colons(&Sha256::digest(&certificate.certificate[0]));
        let config = |is_client| {
            ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                // The first that both know: AES-GCM costs a third of AES-CM with HMAC.
                .with_srtp_protection_profiles(vec![
                    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                ])
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                // Nobody signs these certificates: their fingerprint is compared instead.
                .with_insecure_skip_verify(true)
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                .with_flight_interval(FLIGHT)
                .build(is_client, Some(PEER))
        };
        let (server, client) = (Arc::new(config(false)?), Arc::new(config(true)?));
        Ok(Self { provider, server, client, fingerprint })
    }

    pub(crate) fn crypto(&self) -> &dyn rtc_crypto::RTCCrypto {
        self.provider.crypto()
    }
}

/// What the SDP says the peer's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// `sha-256`, for example.
    pub(crate) algorithm: String,
    pub(crate) digest: Vec<u8>,
}

impl Fingerprint {
    fn is_of(&self, certificate: &[u8]) -> bool {
        let digest = match self.algorithm.as_str() {
            "sha-256" => Sha256::digest(certificate).to_vec(),
            "sha-384" => Sha384::digest(certificate).to_vec(),
            "sha-512" => Sha512::digest(certificate).to_vec(),
            _ => return false,
        };
        rtc_crypto::constant_time_eq(&digest, &self.digest)
    }
}

/// Why a connection ends before it began.
#[derive(Debug, Error)]
pub(crate) enum DtlsError {
    #[error("the handshake failed")]
    Handshake(#[source] rtc_shared::error::Error),
    #[error("the certificate is not the one of the SDP")]
    Certificate,
    #[error("there are no keys for SRTP")]
    Keys(#[from] SrtpError),
}

/// What a datagram brought.
#[derive(Default)]
pub(crate) struct Read {
    /// The keys, when the handshake is done.
    pub(crate) srtp: Option<Srtp>,
    /// The peer said that it ends.
    pub(crate) closed: bool,
    /// Packets of SCTP.
    pub(crate) data: Vec<BytesMut>,
}

/// The association with one peer.
pub(crate) struct Dtls {
    endpoint: Endpoint,
    is_client: bool,
    begun: Instant,
    started: bool,
    connected: bool,
}

impl Dtls {
    /// Nothing was sent yet.
    pub(crate) fn new(identity: &Identity, is_client: bool, now: Instant) -> Self {
        let server = (!is_client).then(|| identity.server.clone());
        let endpoint = Endpoint::new(PEER, TransportProtocol::UDP, server);
        Self { endpoint, is_client, begun: now, started: false, connected: false }
    }

    /// The peer can be reached: a client begins.
    pub(crate) fn start(&mut self, identity: &Identity, now: Instant) -> Result<(), DtlsError> {
        if self.is_client && !self.started {
            self.started = true;
            let begun = self.endpoint.connect(now, PEER, identity.client.clone(), None);
            begun.map_err(DtlsError::Handshake)?;
        }
        Ok(())
    }

    /// Takes a datagram of the peer.
    pub(crate) fn read(
        &mut self,
        identity: &Identity,
        expected: &Fingerprint,
        datagram: &[u8],
        now: Instant,
    ) -> Result<Read, DtlsError> {
        let read = self.endpoint.read(now, PEER, None, BytesMut::from(datagram));
        let events = match read {
            Ok(events) => events,
            // One bad record of anybody must not end a connection that stands.
            Err(_) if self.connected => return Ok(Read::default()),
            Err(error) => return Err(DtlsError::Handshake(error)),
        };
        let mut result = Read::default();
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    result.srtp = Some(self.keys(identity, expected)?);
                    self.connected = true;
                }
                EndpointEvent::PeerClosed => result.closed = true,
                EndpointEvent::ApplicationData(packet) => result.data.push(packet),
                _ => {}
            }
        }
        Ok(result)
    }

    fn keys(&self, identity: &Identity, expected: &Fingerprint) -> Result<Srtp, DtlsError> {
        let state = self.endpoint.get_connection_state(PEER).ok_or(DtlsError::Certificate)?;
        match state.peer_certificates.first() {
            Some(certificate) if expected.is_of(certificate) => {}
            _ => return Err(DtlsError::Certificate),
        }
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => {
                ProtectionProfile::Aes128CmHmacSha1_80
            }
            _ => return Err(DtlsError::Keys(SrtpError::Profile)),
        };
        let len = 2 * (profile.key_len() + profile.salt_len());
        let material = state
            .export_keying_material("EXTRACTOR-dtls_srtp", &[], len)
            .map_err(DtlsError::Handshake)?;
        Ok(Srtp::new(profile, material.as_ref(), self.is_client, identity.crypto())?)
    }

    /// Whether this side shook hands, or will, as the client.
    pub(crate) fn is_client(&self) -> bool {
        self.is_client
    }

    /// Encrypts a packet of SCTP for the peer.
    pub(crate) fn write(&mut self, packet: &[u8], now: Instant) {
        if self.connected
            && let Err(error) = self.endpoint.write(now, PEER, packet)
        {
            tracing::debug!(%error, "a packet of SCTP was not sent");
        }
    }

    /// What is to be sent to the peer.
    pub(crate) fn outgoing(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    /// Sends again what was lost; fails when the handshake takes too long.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), DtlsError> {
        if self.connected {
            return Ok(());
        }
        if self.endpoint.poll_timeout(&PEER).is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(PEER, now).map_err(DtlsError::Handshake)?;
        }
        Ok(())
    }

    /// Whether the handshake is not done and should be.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        !self.connected && now - self.begun > PATIENCE
    }

    /// Tells the peer that it ends.
    pub(crate) fn close(&mut self, now: Instant) {
        if let Err(error) = self.endpoint.close(now) {
            tracing::debug!(%error, "a connection did not close well");
        }
    }
}

/// Bytes as SDP writes fingerprints.
fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::new().unwrap());

    fn own() -> Fingerprint {
        let digest = IDENTITY.fingerprint.split(':');
        let digest = digest.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        Fingerprint { algorithm: "sha-256".to_owned(), digest }
    }

    /// Shakes hands; `change` may alter what goes from one to the other. Returns both sides' keys.
    fn shake(
        expected: &Fingerprint,
        mut change: impl FnMut(&mut Vec<u8>),
    ) -> Result<(Option<Srtp>, Option<Srtp>), DtlsError> {
        let now = Instant::now();
        let mut client = Dtls::new(&IDENTITY, true, now);
        let mut server = Dtls::new(&IDENTITY, false, now);
        client.start(&IDENTITY, now)?;
        let (mut ours, mut theirs) = (None, None);
        for _ in 0..20 {
            while let Some(datagram) = client.outgoing() {
                let mut datagram = datagram.to_vec();
                change(&mut datagram);
                let read = server.read(&IDENTITY, expected, &datagram, now)?;
                theirs = theirs.or(read.srtp);
            }
            while let Some(datagram) = server.outgoing() {
                let read = client.read(&IDENTITY, expected, &datagram, now)?;
                ours = ours.or(read.srtp);
            }
        }
        Ok((ours, theirs))
    }

    #[test]
    fn two_shake_hands_and_have_keys() {
        let (ours, theirs) = shake(&own(), |_| {}).unwrap();
        assert!(ours.is_some() && theirs.is_some());
    }

    #[test]
    fn a_certificate_that_the_sdp_does_not_name_is_refused() {
        let mut other = own();
        other.digest[3] ^= 1;
        assert!(matches!(shake(&other, |_| {}), Err(DtlsError::Certificate)));
        let unknown = Fingerprint { algorithm: "sha-1".to_owned(), ..own() };
        assert!(matches!(shake(&unknown, |_| {}), Err(DtlsError::Certificate)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_make_the_server_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 1..200),
            kind in 20u8..26, shape in any::<bool>(),
        ) {
            if shape && bytes.len() > 13 {
                let len = u16::try_from(bytes.len() - 13).unwrap();
                bytes[..3].copy_from_slice(&[kind, 254, 253]);
                bytes[3..11].fill(0);
                bytes[11..13].copy_from_slice(&len.to_be_bytes());
            }
            let now = Instant::now();
            let mut server = Dtls::new(&IDENTITY, false, now);
            let read = server.read(&IDENTITY, &own(), &bytes, now);
            prop_assert!(read.map_or(true, |read| read.srtp.is_none()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Handshakes with a byte changed, or cut off, at any place of any flight.
        #[test]
        fn a_changed_handshake_breaks_nothing(
            flight in 0usize..6, at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut count = 0;
            let _ = shake(&own(), |datagram| {
                if count == flight {
                    let at = at.index(datagram.len());
                    if cut { datagram.truncate(at) } else { datagram[at] = to }
                }
                count += 1;
            });
        }
    }
}
