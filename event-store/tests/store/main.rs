//! The store seen from outside, through its gRPC port and its program.

mod access;
mod backup;
mod certificates;
mod checks;
mod configured;
mod corpus;
mod crash;
mod deadlines;
mod disk;
mod durability;
mod errors;
mod ledger;
mod limits;
mod load;
mod model;
mod mutate;
mod persistent;
mod random;
mod raw;
mod reads;
mod restart;
mod rewritten;
mod scavenge;
mod segments;
mod serving;
mod sessions;
mod stage;
mod subscriptions;
mod suite;
mod tail;
mod tls;
mod tool;
mod users;
mod verify;
mod wakes;
mod wire;

/// Where the generated clients look for their codec.
mod grpc {
    pub(crate) mod codec {
        pub(crate) use tonic::codec::ProstCodec as CountingCodec;
    }
}
#[path = "../../src/grpc/proto.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of the protocol")]
mod proto;

/// The client of the tests that are for each of them.
use eventstore as client;

/// What an append expects of its stream.
use client::StreamState as State;

/// Appends behind this revision, or to a stream that is not there.
fn at_revision(last: Option<u64>) -> client::AppendToStreamOptions {
    let state = last.map_or(State::NoStream, State::StreamRevision);
    client::AppendToStreamOptions::default().stream_state(state)
}

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
restart::restart_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
