//! `roundtable-projector`: the relay and the projections as a process.

use std::process::ExitCode;

use anyhow::Context;
use service::check::Process;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    service::memory::small_pages();
    if let Some(checked) = service::check::asked(Process::Service, &[]).await {
        return Ok(checked);
    }
    let config = service::Config::from_env()?;
    service::telemetry::init(&config.log);
    let listener = TcpListener::bind(&config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    projector::serve(config, listener, service::shutdown::on_signal()).await?;
    Ok(ExitCode::SUCCESS)
}
