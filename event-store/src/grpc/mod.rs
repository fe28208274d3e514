//! The protocol: gRPC services over the engine.

mod access;
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
mod users;

pub(crate) use fault::Fault;
pub(crate) use serve::serve;
pub(crate) use streams::blocking;
