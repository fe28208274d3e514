//! How a service is asked to end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by SIGTERM or SIGINT. A second signal ends the process at once.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        if next_signal().await.is_err() {
            return;
        }
        tracing::info!("asked to end: finishing what was begun");
        asked.cancel();
        if next_signal().await.is_ok() {
            tracing::warn!("asked again: ending at once");
            std::process::exit(130);
        }
    });
    token
}

async fn next_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
