//! The selective forwarding unit: media of calls, received once and forwarded to everybody.
//!
//! - **Media** ([`media`]): one thread for each core, with its own socket and rooms. A room lives on
//!   one thread, so nothing is shared and nothing is locked.
//! - **Rooms** ([`room`]): tracks, layers, who gets what. No decoding: packets are decrypted once,
//!   kept for a while, and encrypted for each subscriber with a header of its own.
//! - **Signalling** ([`signal`]): a WebSocket, WHIP and WHEP; tickets are all that is trusted.

mod app;
mod data;
mod facts;
mod media;
mod recording;
mod room;
mod rtp;
mod sdp;
mod settings;
mod signal;

pub use app::{App, serve};
pub use settings::{OWN_SETTINGS, Settings};
pub use signal::Signalling;
