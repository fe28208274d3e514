//! The SFU from outside: real sockets, real DTLS, an independent WebRTC implementation as client.

mod browser;
mod client;
mod forwarding;
mod peer;
mod relay;
mod repair;
mod simulcast;
mod tickets;
mod whip;
mod world;
