//! The same suite with the original `eventstore` client, in a process of its own: the client panics
//! when another one installed a TLS provider before it.

#[path = "store/restart.rs"]
mod restart;
#[path = "store/serving.rs"]
#[expect(dead_code, reason = "the other test program uses the rest")]
mod serving;
#[path = "store/suite.rs"]
mod suite;

suite::client_suite!(eventstore_original, ExpectedRevision::Exact, expected_revision, stream_id);
restart::restart_suite!(eventstore_original, ExpectedRevision::Exact, expected_revision, stream_id);
