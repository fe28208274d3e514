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

        pub mod persistent_subscriptions {
            tonic::include_proto!("event_store.client.persistent_subscriptions");
        }

        pub mod gossip {
            tonic::include_proto!("event_store.client.gossip");
        }

        pub mod operations {
            tonic::include_proto!("event_store.client.operations");
        }

        pub mod server_features {
            tonic::include_proto!("event_store.client.server_features");
        }

        pub mod users {
            tonic::include_proto!("event_store.client.users");
        }
    }
}

pub mod kurrentdb {
    pub mod rpc {
        tonic::include_proto!("kurrentdb.rpc");
    }

    pub mod protocol {
        pub mod v2 {
            pub mod streams {
                tonic::include_proto!("kurrentdb.protocol.v2.streams");

                pub mod errors {
                    tonic::include_proto!("kurrentdb.protocol.v2.streams.errors");
                }
            }
        }
    }
}

/// Messages that hold passwords show the login name and nothing else.
macro_rules! discreet {
    ($($request:ident),+) => {
        $(impl std::fmt::Debug for event_store::client::users::$request::Options {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "Options {{ login_name: {:?}, .. }}", self.login_name)
            }
        })+
    };
}

discreet!(create_req, update_req, change_password_req, reset_password_req);

pub(crate) use event_store::client as shared;
pub(crate) use event_store::client::{
    gossip, operations, persistent_subscriptions as persistent, server_features, streams, users,
};
pub(crate) use kurrentdb::{
    protocol::v2::streams::{self as sessions, errors as session_errors},
    rpc as standard,
};
