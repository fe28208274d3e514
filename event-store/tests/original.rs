//! The same suite with the original `eventstore` client, in a process of its own: the client panics
//! when another one installed a TLS provider before it.

#[path = "store/persistent/mod.rs"]
mod persistent;
#[path = "store/serving.rs"]
mod serving;
#[path = "store/suite.rs"]
mod suite;

/// The client of the tests that are for each of them.
use eventstore_original as client;

/// Appends behind this revision, or to a stream that is not there.
fn at_revision(last: Option<u64>) -> client::AppendToStreamOptions {
    use client::ExpectedRevision as State;
    let state = last.map_or(State::NoStream, State::Exact);
    client::AppendToStreamOptions::default().expected_revision(state)
}

suite::client_suite!(eventstore_original, ExpectedRevision::Exact, expected_revision, stream_id);
