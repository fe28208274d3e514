//! A process of this same program that serves what is measured.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{processes, store::ready_at};

const START: Duration = Duration::from_secs(120);

/// What is measured. Dropping it kills it.
pub(super) struct Served {
    name: &'static str,
    process: Child,
    pub(super) address: String,
    /// Kept open, so that what it still says does not end it.
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    /// Starts `bench serve` of this name, with these variables, and waits until it is ready.
    pub(super) async fn start<V: AsRef<OsStr>>(
        name: &'static str,
        folder: &Path,
        variables: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Result<Self> {
        let log = folder.join(name).with_extension("log");
        let program = std::env::current_exe().context("this program does not know its path")?;
        let mut process = Command::new(program)
            .args(["bench", "serve", name, "--listen", "127.0.0.1:0"])
            .env("ROUNDTABLE_LISTEN", "127.0.0.1:0")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the {name} cannot be started"))?;
        let mut stdout = BufReader::new(process.stdout.take().context("it has no output")?);
        let mut line = String::new();
        let read = timeout(START, stdout.read_line(&mut line)).await;
        let address = read.ok().and_then(Result::ok).and_then(|_| ready_at(&line));
        let address = address.map(str::to_owned).with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("the {name} did not become ready; it said:\n{said}")
        })?;
        Ok(Self { name, process, address, _stdout: stdout })
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        processes::resident(self.pid()?)
    }

    /// Processor time so far, in microseconds.
    pub(super) fn cpu_us(&self) -> Result<u64> {
        processes::own_cpu_us(self.pid()?).context("the kernel does not tell its time")
    }

    pub(super) fn pid(&self) -> Result<u32> {
        self.process.id().with_context(|| format!("the {} has ended", self.name))
    }
}
