//! The protocol: gRPC services over the engine.

mod append;
mod batch;
pub(crate) mod codec;
mod convert;
mod deadline;
mod delete;
mod fault;
mod features;
mod gossip;
pub(crate) mod proto;
mod read;
mod request;
mod serve;
mod sessions;
mod streams;
mod subscribe;

pub(crate) use serve::serve;
