//! How every process connects to NATS.

use async_nats::{ConnectOptions, ServerAddr};

/// Options with the user and the password of the URL, which `async_nats` reads and then ignores.
#[must_use]
pub fn options(url: &str) -> ConnectOptions {
    crate::tls::prepare();
    // A URL that is none is refused by the connection, with a better message.
    let Ok(address) = url.parse::<ServerAddr>() else { return ConnectOptions::new() };
    match (address.username(), address.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        (Some(token), None) => ConnectOptions::with_token(token.to_owned()),
        (None, _) => ConnectOptions::new(),
    }
}
