//! One of our programs as a child process.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::Rng;
use tokio::process::{Child, Command};

/// A program that runs, and dies with the test.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts one of the workspace's programs; what it prints goes to `{logs}/{name}.log`.
    pub fn start(
        name: &str,
        program: impl Into<PathBuf>,
        arguments: &[&str],
        environment: &[(&str, String)],
        logs: &Path,
    ) -> Result<Self> {
        let program = program.into();
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let environment: Vec<_> =
            environment.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let log = logs.join(format!("{name}.log"));
        let child = spawn(&program, &arguments, &environment, &log)?;
        Ok(Self { name: name.to_owned(), program, arguments, environment, log, child })
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as a crash would (SIGKILL), and waits until it is gone.
    pub async fn kill(&mut self) {
        // An error means that it is gone already, which is what is wanted.
        let _ = self.child.kill().await;
    }

    /// Sends a signal, by its name without SIG.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} has ended", self.name))?;
        let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().await?;
        anyhow::ensure!(status.success(), "kill -s {signal} {pid}: {status}");
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits until it has, as an operator would.
    pub async fn stop(&mut self) -> Result<std::process::ExitStatus> {
        self.signal("TERM").await?;
        match tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not stop within 30 s\n{}", self.name, self.printed()),
        }
    }

    /// Starts it again, after it was killed or stopped.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await;
        self.child = spawn(&self.program, &self.arguments, &self.environment, &self.log)?;
        Ok(())
    }

    /// It and all processes that it started, and they.
    pub fn family(&self) -> Family {
        Family::of(self.pid())
    }

    /// The end of what it printed.
    pub fn printed(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until `url` answers with success.
    pub async fn ready(&mut self, url: &str) -> Result<()> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}\n{}", self.name, self.printed());
            }
            if Instant::now() > deadline {
                bail!("{} was not ready at {url} within 60 s\n{}", self.name, self.printed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `setpriv` makes the kernel end the program when this process ends, however it does.
fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(String, String)],
    log: &Path,
) -> Result<Child> {
    let out = File::options().create(true).append(true).open(log)?;
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(arguments)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(std::process::Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))
}

/// The path of one of the workspace's programs, built beside this test.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("tests lie in target/*/deps")?;
    let program = folder.join(name);
    anyhow::ensure!(
        program.exists(),
        "{} is not built: `make test` builds it, or `cargo build --bins`",
        program.display()
    );
    Ok(program)
}

/// An address on loopback that nobody has, for TCP and UDP. The system gives its port to nobody who
/// connects, so that it is still free when a program that is only being started, or started again,
/// comes to listen there.
pub fn free_address() -> Result<String> {
    /// What was given out, and may not be listened on yet.
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let given: u16 = range.split_whitespace().next().context("a range of ports")?.parse()?;
    let mut random = rand::rng();
    let mut taken = TAKEN.lock().expect("no panic");
    let port = (0..1000)
        .map(|_| random.random_range(given / 2..given))
        .filter(|port| !taken.contains(port))
        .find(|&port| {
            let at = (Ipv4Addr::LOCALHOST, port);
            TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
        });
    let port = port.context("no port is free")?;
    taken.insert(port);
    Ok(format!("127.0.0.1:{port}"))
}

/// The owner's URL with the reader's role, whose password `migrate` takes from it.
pub fn reader_url(owner: &str) -> Result<String> {
    let (scheme, rest) = owner.split_once("://").context("a URL")?;
    let (_, host) = rest.rsplit_once('@').context("a URL with a user")?;
    Ok(format!("{scheme}://roundtable_reader:reader-of-a-test@{host}"))
}

/// Processes that belong together, remembered while they run.
#[derive(Debug)]
pub struct Family {
    members: Vec<u32>,
}

impl Family {
    fn of(ancestor: Option<u32>) -> Self {
        let parents = parents();
        let mut members: Vec<u32> = ancestor.into_iter().collect();
        let mut next = 0;
        while let Some(&parent) = members.get(next) {
            members.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        Self { members }
    }

    /// How many they were.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Waits until none of them runs any more.
    pub async fn gone(&self, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        loop {
            let running = parents();
            let left: Vec<_> = self
                .members
                .iter()
                .filter(|member| running.iter().any(|(pid, _)| pid == *member))
                .map(|pid| format!("{pid} ({})", name_of(*pid)))
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "still there: {}", left.join(", "));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Every process that runs, and its parent. One that ended and was not asked for is not running.
fn parents() -> Vec<(u32, u32)> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return vec![] };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything; state and parent follow it.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        (state != "Z").then_some((pid, parent))
    })
    .collect()
}

fn name_of(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}
