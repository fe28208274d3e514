//! The store seen from outside, through its gRPC port and its program.

mod durability;
mod model;
mod reads;
mod restart;
mod serving;
mod subscriptions;
mod suite;
mod tail;

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
restart::restart_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
