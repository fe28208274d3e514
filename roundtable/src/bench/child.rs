//! The stack under test: a process of its own, on ports of its own, in a temporary folder.

use std::{fs::File, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::up::READY;

const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

/// A stack that ends when this ends, and leaves nothing behind.
pub(super) struct ChildStack {
    url: String,
    process: Child,
    /// The stack runs until this is closed: by us, or by the kernel if we are killed. It then
    /// cleans up, so it is not killed itself.
    stdin: Option<ChildStdin>,
    /// Kept open, so that what the stack still says does not end it.
    _stdout: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl ChildStack {
    /// Starts `roundtable up`, this same program, and waits until it is ready.
    pub(super) async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("roundtable-bench-").tempdir()?;
        let log = folder.path().join("stack.log");
        let program = std::env::current_exe().context("this program does not know its path")?;
        let mut command = Command::new(program);
        command.args(["up", "--listen", "127.0.0.1:0", "--throw-away", "--until-stdin-closes"]);
        command.arg("--data").arg(folder.path().join("data"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        // What is measured is a stack with servers of its own, whatever the shell points to.
        for server in ["POSTGRES", "POSTGRES_READER", "REDIS", "NATS", "EVENTSTORE"] {
            command.env_remove(format!("ROUNDTABLE_{server}_URL"));
        }
        // Everybody comes from one address here. The limits are asked all the same: that they cost
        // is part of what is measured.
        command.env("ROUNDTABLE_LIMITS", "all=1000000/s");
        command.env_remove("ROUNDTABLE_LISTEN").env_remove("ROUNDTABLE_SECRETS");
        let mut process = command.spawn().context("could not start a stack")?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().context("the stack has no output")?;
        let mut stdout = BufReader::new(stdout);
        let url = match timeout(START, address(&mut stdout)).await {
            Ok(Ok(Some(url))) => url,
            Ok(Ok(None)) | Err(_) => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("the stack did not become ready; it said:\n{said}");
            }
            Ok(Err(error)) => return Err(error.into()),
        };
        Ok(Self { url, process, stdin, _stdout: stdout, _folder: folder })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Stops it and waits until it is gone.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.stdin.take());
        match timeout(STOP, self.process.wait()).await {
            Ok(status) => anyhow::ensure!(status?.success(), "the stack did not stop cleanly"),
            Err(_) => self.process.kill().await?,
        }
        Ok(())
    }
}

/// The address in the line that says that the stack is ready.
async fn address(stdout: &mut BufReader<ChildStdout>) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    while stdout.read_line(&mut line).await? > 0 {
        if let Some(address) = line.trim().strip_prefix(READY) {
            return Ok(address.split_whitespace().next().map(str::to_owned));
        }
        line.clear();
    }
    Ok(None)
}
