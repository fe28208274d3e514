//! What the operator of a deployment does with it from the command line: one file for each command.
//!
//! A tool finds the deployment by a [`Place`], works on the log through the same seam as the
//! services, and prints for people, or with `--json` for programs.

pub mod admin;
pub mod place;
pub mod webhooks;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

pub use place::Place;

/// The tools.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Appoint people, as the operator.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// See what became of webhooks, and tell them again.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
}

impl Tool {
    /// Does what was asked for.
    ///
    /// # Errors
    /// When a server does not answer, or what was asked for cannot be done.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Admin(command) => admin::run(command).await,
            Self::Webhooks(command) => webhooks::run(command).await,
        }
    }
}
