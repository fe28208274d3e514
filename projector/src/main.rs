//! `roundtable-projector`: the relay and the projections as a process.

use anyhow::Context;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = service::Config::from_env()?;
    service::telemetry::init(&config.log);
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    projector::serve(config, listener, service::shutdown::on_signal()).await
}
