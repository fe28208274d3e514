//! What can go wrong between a client and a stack.

use std::time::Duration;

use thiserror::Error;

use super::{Bye, Refusal};

/// Why a call did not give what was asked for.
#[derive(Debug, Error)]
pub enum Error {
    /// The address is none that this client can speak to.
    #[error("`{0}` is not an address like http://127.0.0.1:8080 (TLS is not spoken here)")]
    Address(String),
    /// The API said no, over REST or in an error frame.
    #[error("refused: {0}")]
    Problem(Box<Refusal>),
    /// No answer over REST.
    #[error("no answer: {}", chain(.0))]
    Http(#[from] reqwest::Error),
    /// The WebSocket failed.
    #[error("the socket failed: {0}")]
    Socket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The socket is closed.
    #[error("the socket was closed{}", .0.as_ref().map(|bye| format!(": {bye}")).unwrap_or_default())]
    Closed(Option<Bye>),
    /// Nothing came in time.
    #[error("nothing came in {} ms", .0.as_millis())]
    Timeout(Duration),
    /// Something came that the API does not promise.
    #[error("unexpected: {0}")]
    Unexpected(String),
}

impl Error {
    /// The short name of the problem if the API said no, such as `email-taken`.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        match self {
            Self::Problem(refusal) => Some(refusal.slug()),
            Self::Address(_)
            | Self::Http(_)
            | Self::Socket(_)
            | Self::Closed(_)
            | Self::Timeout(_)
            | Self::Unexpected(_) => None,
        }
    }
}

impl From<tokio_tungstenite::tungstenite::Error> for Error {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// reqwest keeps the reason ("connection refused") in the sources of its errors.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
