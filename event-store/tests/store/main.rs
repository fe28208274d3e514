//! The store seen from outside, through its gRPC port and its program.

mod access;
mod backup;
mod certificates;
mod configured;
mod crash;
mod disk;
mod durability;
mod ledger;
mod load;
mod model;
mod random;
mod reads;
mod rewritten;
mod scavenge;
mod segments;
mod serving;
mod stage;
mod subscriptions;
mod suite;
mod tail;
mod tls;
mod tool;
mod users;
mod verify;

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
