//! Clients of other makers that join calls over WHIP and WHEP: the programs of `e2e/foreign`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::browsers::{PATIENCE, installed};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign");

/// How much of each picture and sound has to come, before it counts as seen and heard.
const PICTURES: u64 = 15;

/// Who made it.
#[derive(Clone, Copy, Debug)]
pub enum Make {
    /// WebRTC in Python alone.
    Aiortc,
    /// Debian's GStreamer, with `webrtcbin`.
    Gstreamer,
}

/// What it does.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Sends a picture and a sound, over WHIP.
    Publish,
    /// Receives two of each, over WHEP.
    View,
}

/// A client that runs.
#[derive(Debug)]
pub struct Foreign {
    make: Make,
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    /// Starts one.
    pub fn start(make: Make, role: Role, url: &str, ticket: &str) -> Result<Self> {
        let (python, program) = match make {
            Make::Aiortc => (installed("aiortc/bin/python")?, "aiortc_client.py"),
            // Its library is Debian's, for Debian's interpreter.
            Make::Gstreamer => (PathBuf::from("/usr/bin/python3"), "gstreamer_client.py"),
        };
        let role = match role {
            Role::Publish => "publish",
            Role::View => "view",
        };
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(python)
            .args(["-B", program, role, url, ticket])
            .current_dir(PROGRAMS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        Ok(Self { make, child, said })
    }

    /// What it says next.
    async fn report(&mut self) -> Result<Value> {
        let line = timeout(PATIENCE, self.said.next_line()).await.context("it is silent")??;
        let line = line.with_context(|| format!("{:?} has ended", self.make))?;
        let report: Value = serde_json::from_str(&line)?;
        ensure!(report["failed"].is_null(), "{:?}: {report}", self.make);
        Ok(report)
    }

    /// Waits until so many pictures and sounds come on, from now.
    pub async fn sees(&mut self, count: usize) -> Result<()> {
        let (before, begun) = (self.latest().await?, Instant::now());
        loop {
            let now = self.report().await?;
            if grown(&before, &now, "video") >= count && grown(&before, &now, "audio") >= count {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{:?}: {now}", self.make);
        }
    }

    /// What it says now: what it said before waits in the pipe.
    async fn latest(&mut self) -> Result<Value> {
        let mut latest = self.report().await?;
        while let Ok(next) = timeout(Duration::from_millis(100), self.report()).await {
            latest = next?;
        }
        Ok(latest)
    }

    /// Ends it as its user would: it says so to the SFU.
    pub async fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = timeout(Duration::from_secs(20), self.child.wait()).await;
        let status = status.context("it does not end")??;
        ensure!(status.success(), "{:?} ended with {status}", self.make);
        Ok(())
    }
}

/// Of how many tracks of a kind more came meanwhile.
fn grown(before: &Value, now: &Value, kind: &str) -> usize {
    let tracks = now["media"].as_array().map(Vec::as_slice).unwrap_or_default();
    let more = tracks.iter().enumerate().filter(|(index, track)| {
        let old = &before["media"][index];
        let frames = |track: &Value| track["frames"].as_u64().unwrap_or_default();
        let energy = |track: &Value| track["energy"].as_f64().unwrap_or_default();
        let louder = kind == "video" || energy(track) > energy(old) + 1e-4;
        track["kind"] == kind && frames(track) >= frames(old) + PICTURES && louder
    });
    more.count()
}
