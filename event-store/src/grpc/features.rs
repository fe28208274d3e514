//! ServerFeatures: which calls this server answers, in the lower case that clients compare with.

use tonic::{Request, Response, Status};

use super::proto::server_features::{
    SupportedMethod, SupportedMethods, server_features_server::ServerFeatures,
};

/// The version of the protocol that is spoken; clients read three numbers.
const VERSION: &str = "25.1.0";

const METHODS: &[(&str, &str, &[&str])] = &[
    ("event_store.client.streams.streams", "read", &["position", "events"]),
    ("event_store.client.streams.streams", "append", &[]),
    ("event_store.client.streams.streams", "delete", &[]),
    ("event_store.client.streams.streams", "tombstone", &[]),
    ("event_store.client.streams.streams", "batchappend", &["deadline_duration"]),
    ("event_store.client.users.users", "create", &[]),
    ("event_store.client.users.users", "update", &[]),
    ("event_store.client.users.users", "delete", &[]),
    ("event_store.client.users.users", "disable", &[]),
    ("event_store.client.users.users", "enable", &[]),
    ("event_store.client.users.users", "details", &[]),
    ("event_store.client.users.users", "changepassword", &[]),
    ("event_store.client.users.users", "resetpassword", &[]),
    ("event_store.client.gossip.gossip", "read", &[]),
    ("event_store.client.server_features.serverfeatures", "getsupportedmethods", &[]),
];

/// The service; it has no state.
pub(crate) struct Service;

#[tonic::async_trait]
impl ServerFeatures for Service {
    async fn get_supported_methods(
        &self,
        _: Request<()>,
    ) -> Result<Response<SupportedMethods>, Status> {
        let methods = METHODS.iter().map(|(service, method, features)| SupportedMethod {
            method_name: (*method).to_owned(),
            service_name: (*service).to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        });
        Ok(Response::new(SupportedMethods {
            methods: methods.collect(),
            event_store_server_version: VERSION.to_owned(),
        }))
    }
}
