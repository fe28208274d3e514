//! The protocol: gRPC services over the engine.

mod access;
mod append;
mod batch;
pub(crate) mod codec;
mod convert;
mod deadline;
mod delete;
mod fault;
mod features;
mod gossip;
mod operations;
mod persistent;
pub(crate) mod proto;
mod read;
mod request;
mod serve;
mod sessions;
mod streams;
mod subscribe;
mod users;

pub(crate) use fault::Fault;
pub(crate) use serve::serve;
pub use serve::server;
pub(crate) use streams::blocking;
