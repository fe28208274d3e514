//! TLS: the server's certificate, and how a health check recognises it.
//!
//! The provider of cryptography is named here and is not made the process's own: clients in the
//! same process have theirs.

use std::{
    path::Path,
    sync::{Arc, RwLock},
};

use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{
            CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature,
            verify_tls13_signature,
        },
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};

use crate::{Error, config::TlsFiles};

/// HTTP/2, the only protocol spoken.
const ALPN: &[u8] = b"h2";

/// The certificate that is served, which can be read anew while the store runs.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) fn open(files: TlsFiles) -> Result<Self, Error> {
        let current = RwLock::new(Arc::new(server(&files)?));
        Ok(Self { files, current })
    }

    /// Reads the files again, for connections to come. It blocks for a moment.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] when they cannot be used; the certificate stays as it was.
    pub fn reload(&self) -> Result<(), Error> {
        let renewed = Arc::new(server(&self.files)?);
        *self.current.write().expect("no panic while the certificate is locked") = renewed;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().expect("no panic while the certificate is locked");
        TlsAcceptor::from(Arc::clone(&current))
    }
}

fn server(files: &TlsFiles) -> Result<ServerConfig, Error> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, "holds no private key", &error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.certificate, "does not go with the key", &error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(path, "holds no certificates", &error))?;
    if chain.is_empty() {
        let message = format!("{} holds no certificates", path.display());
        return Err(Error::Configuration(message));
    }
    Ok(chain)
}

fn wrong(path: &Path, what: &str, error: &dyn std::error::Error) -> Error {
    Error::Configuration(format!("{} {what}: {error}", path.display()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Connects to the server that holds the certificate in the file, whatever its name and its issuer
/// are: a health check knows the server by its certificate.
pub(crate) fn connector(certificate: &Path) -> Result<TlsConnector, Error> {
    let expected = chain(certificate)?.remove(0);
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { expected, algorithms }))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes one certificate, and nothing else.
#[derive(Debug)]
struct Pinned {
    expected: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the server has another certificate".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
