//! `roundtable up --check-config`: what the stack would run with.

use std::process::ExitCode;

use anyhow::Result;
use service::check::{self, Process, Said};

use crate::UpArguments;

/// Prints it; the status says whether the stack would start and work.
pub(crate) async fn run(arguments: &UpArguments) -> Result<ExitCode> {
    let servers = &arguments.servers;
    let report = check::check(Process::Stack, &sfu::OWN_SETTINGS, |name| {
        let url = |url: &Option<String>| url.clone();
        let value = match name {
            "ROUNDTABLE_POSTGRES_URL" => url(&servers.postgres_url),
            "ROUNDTABLE_POSTGRES_READER_URL" => url(&servers.postgres_reader_url),
            "ROUNDTABLE_REDIS_URL" => url(&servers.redis_url),
            "ROUNDTABLE_NATS_URL" => url(&servers.nats_url),
            "ROUNDTABLE_EVENTSTORE_URL" => url(&servers.eventstore_url),
            "ROUNDTABLE_LISTEN" => Some(arguments.listen.to_string()),
            "ROUNDTABLE_SECRETS" => {
                arguments.secrets.as_ref().map(|path| path.display().to_string())
            }
            "ROUNDTABLE_LOG" => Some(arguments.log.clone()),
            _ => environment(name),
        };
        let source = match environment(name) {
            Some(known) if value.as_ref() == Some(&known) => "environment",
            _ => "command line, or its default",
        };
        Some(Said { value: value?, source })
    })
    .await;
    Ok(report.print())
}

#[expect(clippy::disallowed_methods, reason = "the settings are what is checked")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
