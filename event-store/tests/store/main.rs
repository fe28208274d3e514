//! The store seen from outside, through its gRPC port and its program.

mod backup;
mod crash;
mod durability;
mod ledger;
mod load;
mod model;
mod random;
mod reads;
mod rewritten;
mod segments;
mod serving;
mod subscriptions;
mod suite;
mod tail;
mod tool;
mod verify;

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
