//! Which cryptography speaks TLS: one for the whole process.

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// Chooses it, before the first connection by a URL with TLS. With the libraries of several clients
/// in one program, rustls cannot choose by itself, and would panic.
pub fn prepare() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker, with the same choice.
        drop(ring::default_provider().install_default());
    }
}
