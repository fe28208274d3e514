//! Asks a running store for a scavenge, for schedules and operators.

use std::time::Duration;

use tonic::transport::Endpoint;
use uuid::Uuid;

use crate::grpc::proto::operations::{
    StartScavengeReq, operations_client::OperationsClient, start_scavenge_req::Options,
};

/// A store that does not answer for longer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why no scavenge was started.
#[derive(Debug, thiserror::Error)]
pub enum ScavengeError {
    /// Nothing accepts connections there.
    #[error("no event store can be reached")]
    Unreachable(#[source] tonic::transport::Error),
    /// The store refuses, or what answers is not a store.
    #[error("the event store does not start a scavenge")]
    Refused(#[source] Box<tonic::Status>),
    /// The answer holds no id.
    #[error("the event store does not tell which scavenge it started")]
    Nameless,
}

/// Connects to `host:port` and starts a scavenge there. Returns its id, or the id of the one that is
/// at work already; the stream `$scavenges-<id>` tells what becomes of it.
///
/// # Errors
///
/// When the store cannot be reached, or refuses.
pub async fn scavenge(address: &str) -> Result<Uuid, ScavengeError> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(ScavengeError::Unreachable)?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .connect()
        .await
        .map_err(ScavengeError::Unreachable)?;
    let request =
        StartScavengeReq { options: Some(Options { thread_count: 1, start_from_chunk: 0 }) };
    let answer = OperationsClient::new(channel).start_scavenge(request).await;
    let answer = answer.map_err(|status| ScavengeError::Refused(Box::new(status)))?;
    Uuid::parse_str(&answer.into_inner().scavenge_id).map_err(|_| ScavengeError::Nameless)
}
