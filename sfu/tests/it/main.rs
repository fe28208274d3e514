//! The SFU from outside: real sockets, real DTLS, an independent WebRTC implementation as client.

mod browser;
mod client;
mod congestion;
mod forwarding;
mod hostile;
mod peer;
mod relay;
mod repair;
mod restart;
mod simulcast;
mod tickets;
mod whip;
mod world;
