//! What the operator of a deployment does with it from the command line: one file for each command.
//!
//! A tool finds the deployment by a [`Place`], works on the log through the same seam as the
//! services, and prints for people, or with `--json` for programs.

pub mod admin;
pub mod attachments;
pub mod audit;
pub mod backup;
mod bookmark;
pub mod compliance;
pub mod erase;
pub mod events;
pub mod explain;
pub mod export;
pub mod hold;
mod keep;
mod lock;
pub mod parked;
pub mod place;
mod progress;
pub mod rebuild;
pub mod replay;
pub mod state;
mod stop;
mod sweep;
pub mod webhooks;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

pub use place::Place;

/// The tools: first those that look, then those that change something.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the arguments of each are documented, for the terminal too")]
pub enum Tool {
    /// Read the log: list events, or follow it.
    #[command(subcommand)]
    Events(events::EventsCommand),
    State(state::StateArguments),
    Explain(explain::ExplainArguments),
    /// Prove that nobody changed the log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Compliance(compliance::ComplianceArguments),
    Export(export::ExportArguments),
    Replay(replay::ReplayArguments),
    Rebuild(rebuild::RebuildArguments),
    /// Work on the events that read models could not work on.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
    /// See what became of webhooks, and tell them again.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    Backup(backup::BackupArguments),
    Restore(backup::RestoreArguments),
    Erase(erase::EraseArguments),
    /// Keep people and conversations for legal matters.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Appoint people, as the operator.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
}

impl Tool {
    /// Does what was asked for.
    ///
    /// # Errors
    /// When a server does not answer, or what was asked for cannot be done.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Events(command) => events::run(command).await,
            Self::State(arguments) => state::run(arguments).await,
            Self::Explain(arguments) => explain::run(arguments).await,
            Self::Audit(command) => audit::run(command).await,
            Self::Compliance(arguments) => compliance::run(arguments).await,
            Self::Export(arguments) => export::run(arguments).await,
            Self::Replay(arguments) => replay::run(arguments).await,
            Self::Rebuild(arguments) => rebuild::run(arguments).await,
            Self::Parked(command) => parked::run(command).await,
            Self::Webhooks(command) => webhooks::run(command).await,
            Self::Backup(arguments) => backup::run(arguments).await,
            Self::Restore(arguments) => backup::restore(arguments).await,
            Self::Erase(arguments) => erase::run(arguments).await,
            Self::Hold(command) => hold::run(command).await,
            Self::Admin(command) => admin::run(command).await,
        }
    }
}
