//! The operator of a stack, who has a shell where it runs.

use std::path::Path;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::program;

/// `roundtable admin grant`, against a stack by its data folder; what it printed.
pub async fn grant(data: &Path, user: &str, role: &str) -> Result<String> {
    let output = Command::new(program("roundtable")?)
        .args(["admin", "grant", "--user", user, "--role", role, "--data"])
        .arg(data)
        .output()
        .await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "admin grant: {}\n{printed}{wrong}", output.status);
    Ok(printed)
}
