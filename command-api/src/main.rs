//! The process of `command-api`.

use anyhow::Context;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = service::Config::from_env()?;
    service::telemetry::init(&config.log);
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    command_api::serve(config, listener, service::shutdown::on_signal()).await
}
