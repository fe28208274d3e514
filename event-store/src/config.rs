//! The settings of the store.

use std::{fmt, net::SocketAddr, path::PathBuf};

use crate::Error;

/// Where the data lives and what is refused. [`Config::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the log; made when missing, and owned by one process at a time.
    pub data: PathBuf,
    /// Host and port that gossip tells clients; the address of the listener when `None`.
    pub advertise: Option<(String, u16)>,
    /// A segment file that has reached this many bytes is closed and a new one begun.
    pub segment_bytes: u64,
    /// The most bytes of one event: data, custom metadata and twice the characters of its type.
    pub max_event_bytes: usize,
    /// The most bytes of all events of one append.
    pub max_append_bytes: usize,
    /// How many events are remembered to recognise an append that is repeated with the expected
    /// version `any` or `stream exists`; about 40 bytes of memory each.
    pub recent_events: usize,
    /// How many events' places the index holds in memory before they go to disk, about 100 bytes
    /// each; as many events, or 128 MiB of the log if that is less, are read again at open.
    pub index_memory_events: usize,
    /// Serve TLS with this certificate, and nothing else; clear text when `None`.
    pub tls: Option<TlsFiles>,
    /// Ask callers who they are, and keep to access control lists. With `None` (insecure mode)
    /// everybody may do everything, and credentials are not looked at.
    pub credentials: Option<Credentials>,
}

/// Where the certificate of the server is.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// How callers are asked who they are. There is no default password.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The first password of the user `admin`, who may do everything. Wanted when there is no such
    /// user yet, and not looked at when there is.
    pub admin_password: Option<Password>,
    /// The same for the user `ops`, who runs the store; without it there is no such user.
    pub ops_password: Option<Password>,
    /// Take passwords without TLS on addresses that others can reach too.
    pub in_clear: bool,
}

/// A secret: it is in no log and no debug output.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

impl Config {
    /// The defaults, with the data in the given folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            advertise: None,
            segment_bytes: 256 << 20,
            max_event_bytes: 16 << 20,
            max_append_bytes: 64 << 20,
            recent_events: 1 << 17,
            index_memory_events: 1 << 18,
            tls: None,
            credentials: None,
        }
    }

    /// Whether the store may be served at this address.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] when passwords would cross a network in clear text.
    pub fn permits(&self, address: SocketAddr) -> Result<(), Error> {
        let in_clear = self.credentials.as_ref().is_some_and(|credentials| !credentials.in_clear)
            && self.tls.is_none();
        if in_clear && !address.ip().to_canonical().is_loopback() {
            return Err(Error::Configuration(format!(
                "passwords would come to {address} in clear text: configure TLS, listen on a \
                 loopback address, or say that this is wanted"
            )));
        }
        Ok(())
    }
}
