//! The operator of a stack, who has a shell where it runs.

use std::path::Path;
use std::process::Output;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::program;

/// A command of the tool, against a stack by its data folder, as it ended.
pub async fn tried(data: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("roundtable")?);
    Ok(command.args(arguments).arg("--data").arg(data).output().await?)
}

/// A command that has to succeed; what it printed.
pub async fn run(data: &Path, arguments: &[&str]) -> Result<String> {
    let output = tried(data, arguments).await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}\n{printed}{wrong}", output.status);
    Ok(printed)
}

/// `roundtable admin grant`; what it printed.
pub async fn grant(data: &Path, user: &str, role: &str) -> Result<String> {
    run(data, &["admin", "grant", "--user", user, "--role", role]).await
}
