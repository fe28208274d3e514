//! The server: its limits, its services, and how it comes to an end.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use uuid::Uuid;

use super::{
    features, gossip, operations, persistent,
    proto::{
        gossip::gossip_server::GossipServer, operations::operations_server::OperationsServer,
        persistent::persistent_subscriptions_server::PersistentSubscriptionsServer,
        server_features::server_features_server::ServerFeaturesServer,
        sessions::streams_service_server::StreamsServiceServer,
        streams::streams_server::StreamsServer, users::users_server::UsersServer,
    },
    sessions, streams, users,
};
use crate::{Error, access::Gate, engine::Engine, net, persistent::Subsystem, tls::Tls};

/// The most bytes of what a consumer says at once: thousands of acknowledgements.
const LARGEST_WORD: usize = 1 << 20;
/// A client keeps all its calls on one connection, so they are many.
const CALLS: u32 = 100_000;
/// How many calls of a connection may be given up before the server came to them, until the connection
/// is taken for an attack (a rapid reset, CVE-2023-44487) and ended: a store that stood still for a while finds all
/// the calls that their clients lost patience with, and must not punish them for it.
const GIVEN_UP: usize = 1024;
/// What one call may have in flight before the other side takes it in.
const CALL_WINDOW: u32 = 1 << 20;
/// The same for all calls of a connection.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Clients give up on a connection after as long; so does the server.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long calls may take to end once the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// A server with the store's limits and windows, and no service yet.
pub fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(CALLS)
        .http2_max_pending_accept_reset_streams(Some(GIVEN_UP))
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
}

/// Serves until the shutdown, and then until calls have ended or their time is up.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    access: Arc<Gate>,
    tls: Option<Arc<Tls>>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    // A client may end this server, and nothing else that its owner ends with the same token.
    let shutdown = shutdown.child_token();
    let address = listener.local_addr().map_err(Error::io("examine", "the listener"))?;
    engine.config.permits(address)?;
    let (host, port) = engine
        .config
        .advertise
        .clone()
        .unwrap_or_else(|| (address.ip().to_string(), address.port()));
    // Chunks of writes may be large; single events are limited further on.
    let largest_message = engine.config.max_append_bytes.saturating_add(1 << 20);
    let gossip = gossip::Service { engine: Arc::clone(&engine), instance: new_id(), host, port };
    let users = users::Service { access: Arc::clone(&access) };
    let operations = operations::Service {
        engine: Arc::clone(&engine),
        access: Arc::clone(&access),
        shutdown: shutdown.clone(),
    };
    let sessions = sessions::Service {
        engine: Arc::clone(&engine),
        access: Arc::clone(&access),
        shutdown: shutdown.clone(),
    };
    let groups_end = shutdown.child_token();
    let groups = Subsystem::start(Arc::clone(&engine), groups_end.clone()).await?;
    let persistent = persistent::Service {
        engine: Arc::clone(&engine),
        access: Arc::clone(&access),
        subsystem: Arc::clone(&groups),
    };
    let streams = streams::Service { engine, access, shutdown: shutdown.clone() };
    let serving = server()
        .add_service(StreamsServer::new(streams).max_decoding_message_size(largest_message))
        .add_service(StreamsServiceServer::new(sessions).max_decoding_message_size(largest_message))
        .add_service(
            PersistentSubscriptionsServer::new(persistent).max_decoding_message_size(LARGEST_WORD),
        )
        .add_service(ServerFeaturesServer::new(features::Service))
        .add_service(GossipServer::new(gossip))
        .add_service(UsersServer::new(users))
        .add_service(OperationsServer::new(operations))
        .serve_with_incoming_shutdown(
            net::incoming(listener, tls),
            shutdown.clone().cancelled_owned(),
        );
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served.map_err(Error::Transport),
        () = deadline => {
            tracing::warn!("some calls did not end in time and are cut off");
            Ok(())
        }
    };
    // Also when the server failed: the groups must not outlive it.
    groups_end.cancel();
    groups.stopped().await;
    served
}

#[expect(clippy::disallowed_methods, reason = "the server is the edge that names this instance")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}
