//! Asks a running store whether it answers, for health checks.

use std::{io, path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::grpc::proto::{
    gossip::gossip_client::GossipClient,
    server_features::server_features_client::ServerFeaturesClient,
};
use crate::{Error, tls};

/// A health check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a store is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file of the certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] Error),
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

/// Connects to `host:port` and makes the calls a client makes first: over TLS to the server that
/// holds the certificate in the file (its name and issuer do not matter), or in clear text when
/// there is none.
///
/// # Errors
///
/// When the store cannot be reached or does not answer as it should within three seconds.
pub async fn check(address: &str, certificate: Option<&Path>) -> Result<(), CheckError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(CheckError::Unreachable)?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    let channel = match certificate {
        None => endpoint.connect().await.map_err(CheckError::Unreachable)?,
        Some(certificate) => secure(&endpoint, address, certificate).await?,
    };
    let silent = |status| CheckError::Silent(Box::new(status));
    ServerFeaturesClient::new(channel.clone()).get_supported_methods(()).await.map_err(silent)?;
    let members = GossipClient::new(channel).read(()).await.map_err(silent)?.into_inner().members;
    if members.iter().any(|member| member.is_alive) { Ok(()) } else { Err(CheckError::NotAlive) }
}

async fn secure(
    endpoint: &Endpoint,
    address: &str,
    certificate: &Path,
) -> Result<Channel, CheckError> {
    let connector = tls::connector(certificate)?;
    let address = address.to_owned();
    let connect = service_fn(move |_| {
        let (connector, address) = (connector.clone(), address.clone());
        async move {
            // The server has one certificate, whatever name it is called by.
            let name = ServerName::try_from("localhost").expect("it is a name");
            let stream = TcpStream::connect(address).await?;
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    endpoint.connect_with_connector(connect).await.map_err(CheckError::Unreachable)
}
