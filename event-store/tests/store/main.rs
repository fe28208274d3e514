//! The store seen from outside, through its gRPC port and its program.

mod checks;
mod deadlines;
mod durability;
mod limits;
mod model;
#[path = "../../src/grpc/proto.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of the protocol")]
mod proto;
mod reads;
mod serving;
mod sessions;
mod subscriptions;
mod suite;
mod tail;
mod wakes;

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
