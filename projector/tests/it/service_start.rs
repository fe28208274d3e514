//! The service as a whole: it starts, says what it depends on, works, and ends.

use service::{Config, Secrets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, SECRETS, World};

async fn fetch(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: projector\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_service_is_ready_counts_its_work_and_ends() {
    let world = World::new().await;
    let keys = tempfile::tempdir().unwrap();
    for (name, key) in [("master", SECRETS.master), ("deployment", SECRETS.deployment)] {
        std::fs::write(keys.path().join(format!("{name}.key")), hex::encode(key)).unwrap();
    }
    Secrets::generate(keys.path()).unwrap();
    let config = Config::read(|name| match name {
        "ROUNDTABLE_POSTGRES_URL" | "ROUNDTABLE_POSTGRES_READER_URL" => {
            Some(world.database.url.clone())
        }
        "ROUNDTABLE_REDIS_URL" => Some(world.servers.redis_url.clone()),
        // NATS may be away, and its names are not of this test alone.
        "ROUNDTABLE_NATS_URL" => Some("nats://127.0.0.1:1".to_owned()),
        "ROUNDTABLE_EVENTSTORE_URL" => Some(world.store_url.clone()),
        "ROUNDTABLE_LISTEN" => Some("127.0.0.1:0".to_owned()),
        "ROUNDTABLE_SECRETS" => Some(keys.path().display().to_string()),
        "ROUNDTABLE_FILES_URL" => Some(keys.path().join("files").display().to_string()),
        _ => None,
    })
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let service = tokio::spawn(projector::serve(config, listener, shutdown.clone()));
    world.group(crate::world::person("ada"), &[]).await;
    let ready = fetch(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"degraded\""), "{ready}");
    world.settle().await;
    let metrics = fetch(address, "/metrics").await;
    assert!(metrics.contains("roundtable_projection_events{projection=\"message\"}"), "{metrics}");
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, service).await.unwrap().unwrap().unwrap();
}
