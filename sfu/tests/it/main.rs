//! The SFU from outside: real sockets, real DTLS, an independent WebRTC implementation as client.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod browser_codecs;
mod caps;
mod client;
mod clips;
mod codecs;
mod congestion;
mod data;
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
mod switching;
mod temporal;
mod tickets;
mod webrtc_rs;
mod whip;
mod world;
