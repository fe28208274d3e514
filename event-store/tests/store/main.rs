//! The store seen from outside, through its gRPC port and its program.

mod checks;
mod corpus;
mod deadlines;
mod durability;
mod limits;
mod model;
mod mutate;
/// Where the generated clients look for their codec.
mod grpc {
    pub(crate) mod codec {
        pub(crate) use tonic::codec::ProstCodec as CountingCodec;
    }
}
#[path = "../../src/grpc/proto.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of the protocol")]
mod proto;
mod raw;
mod reads;
mod serving;
mod sessions;
mod subscriptions;
mod suite;
mod tail;
mod wakes;
mod wire;

suite::client_suite!(eventstore, StreamState::StreamRevision, stream_state, stream_id());
