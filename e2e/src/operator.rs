//! The operator of a stack, who has a shell where it runs.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::program;

/// A command of the tool, against a stack by its data folder, as it ended.
pub async fn tried(data: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("roundtable")?);
    Ok(command.args(arguments).arg("--data").arg(data).output().await?)
}

/// A command that is killed as soon as `is_there` says that it is far enough; whether it was. One that is
/// done before that was not.
pub async fn killed(data: &Path, arguments: &[&str], is_there: impl Fn() -> bool) -> Result<bool> {
    let mut command = Command::new(program("roundtable")?);
    command.args(arguments).arg("--data").arg(data).kill_on_drop(true);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    loop {
        if is_there() {
            let in_time = child.try_wait()?.is_none();
            child.kill().await?;
            return Ok(in_time);
        }
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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
