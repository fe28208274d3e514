//! The protocol: gRPC services over the engine.

mod append;
mod batch;
mod convert;
mod delete;
mod fault;
mod features;
mod gossip;
pub(crate) mod proto;
mod read;
mod request;
mod serve;
mod streams;
mod subscribe;

pub(crate) use serve::serve;
pub use serve::server;
