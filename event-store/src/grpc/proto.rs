//! The messages and services that were generated from `proto/`.
#![expect(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    clippy::large_enum_variant,
    reason = "generated code; the .proto files hold the comments"
)]

pub mod google {
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}

pub mod event_store {
    pub mod client {
        tonic::include_proto!("event_store.client");

        pub mod streams {
            tonic::include_proto!("event_store.client.streams");
        }

        pub mod gossip {
            tonic::include_proto!("event_store.client.gossip");
        }

        pub mod server_features {
            tonic::include_proto!("event_store.client.server_features");
        }

        pub mod users {
            tonic::include_proto!("event_store.client.users");
        }
    }
}

pub(crate) use event_store::client as shared;
pub(crate) use event_store::client::{gossip, server_features, streams, users};
