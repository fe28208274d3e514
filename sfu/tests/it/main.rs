//! The SFU from outside: real sockets, real DTLS, an independent WebRTC implementation as client.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod client;
mod congestion;
mod encoder;
mod facts;
mod forwarding;
mod hostile;
mod peer;
mod player;
mod recording;
mod relay;
mod repair;
mod restart;
mod simulcast;
mod tickets;
mod whip;
mod world;
