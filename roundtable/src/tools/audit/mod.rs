//! `roundtable audit`: whether the log is as it was signed.

mod export;
mod key;
mod lines;
mod status;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What an auditor does with the log.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the arguments of each say what it does, also for `--help`")]
pub enum AuditCommand {
    Verify(verify::VerifyArguments),
    Export(export::ExportArguments),
    Status(status::StatusArguments),
    Key(key::KeyArguments),
}

/// Does it, and says what came of it.
///
/// # Errors
/// When the log does not answer, a file cannot be used, or there is no key.
pub async fn run(command: AuditCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    match command {
        AuditCommand::Verify(arguments) => verify::run(arguments).await,
        AuditCommand::Export(arguments) => export::run(arguments).await,
        AuditCommand::Status(arguments) => status::run(arguments).await,
        AuditCommand::Key(arguments) => key::run(&arguments),
    }
}
