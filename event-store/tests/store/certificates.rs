//! Certificates for tests: an issuer of our own, and servers named `localhost` and 127.0.0.1.

use std::path::{Path, PathBuf};

use event_store::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An issuer, and the folder that its certificates are in.
pub(crate) struct Issuer {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // A name of its own: OpenSSL takes what bears the name of its issuer for self-signed.
        params.distinguished_name.push(DnType::CommonName, "an issuer for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("it is written");
        Self { folder, issuer }
    }

    /// The certificate that clients trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate for a server, in files of this name.
    pub(crate) fn server(&self, name: &str) -> TlsFiles {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("the names are names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = format!("{}{}", certificate.pem(), self.issuer.pem());
        let write = |suffix: &str, pem: &str| {
            let path = self.folder.path().join(format!("{name}{suffix}"));
            std::fs::write(&path, pem).expect("it is written");
            path
        };
        TlsFiles { certificate: write(".pem", &chain), key: write(".key", &key.serialize_pem()) }
    }
}

/// Where a client finds a store that speaks TLS. It waits as long as it does in clear text.
pub(crate) fn url(credentials: &str, port: u16, ca: &Path) -> String {
    let ca = ca.display();
    let patience = "discoveryInterval=1&defaultDeadline=120000";
    format!("esdb://{credentials}localhost:{port}?{patience}&tlsCaFile={ca}")
}
