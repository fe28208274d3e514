//! Asks a running store whether it answers, for health checks.

use std::time::Duration;

use tonic::transport::Endpoint;

use crate::grpc::proto::{
    gossip::gossip_client::GossipClient,
    server_features::server_features_client::ServerFeaturesClient,
};

/// A health check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a store is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Nothing accepts connections there.
    #[error("no event store can be reached")]
    Unreachable(#[source] tonic::transport::Error),
    /// What answers is not a working store.
    #[error("the event store does not answer")]
    Silent(#[source] Box<tonic::Status>),
    /// It answers, but is not the leader of anything.
    #[error("the event store has no living member")]
    NotAlive,
}

/// Connects to `host:port` and makes the calls a client makes first.
///
/// # Errors
///
/// When the store cannot be reached or does not answer as it should within three seconds.
pub async fn check(address: &str) -> Result<(), CheckError> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(CheckError::Unreachable)?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .connect()
        .await
        .map_err(CheckError::Unreachable)?;
    let silent = |status| CheckError::Silent(Box::new(status));
    ServerFeaturesClient::new(channel.clone()).get_supported_methods(()).await.map_err(silent)?;
    let members = GossipClient::new(channel).read(()).await.map_err(silent)?.into_inner().members;
    if members.iter().any(|member| member.is_alive) { Ok(()) } else { Err(CheckError::NotAlive) }
}
