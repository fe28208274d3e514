//! The query-api process: configuration, logs, a listener, and the reads.

use std::process::ExitCode;

use service::check::Process;
use service::{Config, shutdown, telemetry};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    service::memory::small_pages();
    if let Some(checked) = service::check::asked(Process::Reader, &[]).await {
        return Ok(checked);
    }
    let config = Config::from_env()?;
    telemetry::init(&config.log);
    let listener = TcpListener::bind(&config.listen).await?;
    query_api::serve(config, listener, shutdown::on_signal()).await?;
    Ok(ExitCode::SUCCESS)
}
