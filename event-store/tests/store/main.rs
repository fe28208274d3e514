//! The store seen from outside, through its gRPC port and its program.

mod durability;
mod model;
mod persistent;
mod reads;
mod serving;
mod subscriptions;
mod suite;
mod tail;

/// The client of the tests that are for each of them.
use eventstore as client;

/// Appends behind this revision, or to a stream that is not there.
fn at_revision(last: Option<u64>) -> client::AppendToStreamOptions {
    use client::StreamState as State;
    let state = last.map_or(State::NoStream, State::StreamRevision);
    client::AppendToStreamOptions::default().stream_state(state)
}

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
