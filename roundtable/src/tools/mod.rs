//! What the operator of a deployment does with it from the command line: one file for each command.
//!
//! A tool finds the deployment by a [`Place`], works on the log through the same seam as the
//! services, and prints for people, or with `--json` for programs.

pub mod admin;
pub mod erase;
pub mod hold;
pub mod parked;
pub mod place;
pub mod rebuild;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

pub use place::Place;

/// The tools.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the arguments of each are documented, for the terminal too")]
pub enum Tool {
    /// Appoint people, as the operator.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Work on the events that read models could not work on.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
    Rebuild(rebuild::RebuildArguments),
    Erase(erase::EraseArguments),
    /// Keep people and conversations for legal matters.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
}

impl Tool {
    /// Does what was asked for.
    ///
    /// # Errors
    /// When a server does not answer, or what was asked for cannot be done.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Admin(command) => admin::run(command).await,
            Self::Parked(command) => parked::run(command).await,
            Self::Rebuild(arguments) => rebuild::run(arguments).await,
            Self::Erase(arguments) => erase::run(arguments).await,
            Self::Hold(command) => hold::run(command).await,
        }
    }
}
