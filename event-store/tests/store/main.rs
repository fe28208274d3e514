//! The store seen from outside, through its gRPC port and its program.

mod access;
mod certificates;
mod configured;
mod disk;
mod durability;
mod model;
mod reads;
mod restart;
mod serving;
mod stage;
mod subscriptions;
mod suite;
mod tail;
mod tls;
mod users;

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
restart::restart_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
