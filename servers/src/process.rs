//! A child process that dies with this one, and is never signalled after it was reaped.

use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::{Pid, User},
};
use tokio::sync::{oneshot, watch};

use crate::{
    error::{Context, Error},
    procfs,
};

/// A command whose process gets SIGKILL when this process ends, however it ends.
///
/// `setpriv` of util-linux asks the kernel for that (prctl(2), `PR_SET_PDEATHSIG`) after it took
/// on the other user and before it becomes the program, so no unsafe code is needed here. Not a
/// gentler signal: a paused server would never see it, and all three servers lose nothing that
/// they acknowledged when they are killed.
///
/// The child is in a process group of its own: Ctrl-C is for this process, which stops the
/// servers after everybody who still needs them.
pub(crate) fn bound_to_us(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig").arg("KILL");
    if let Some(user) = user {
        command.arg("--reuid").arg(user.uid.to_string());
        command.arg("--regid").arg(user.gid.to_string());
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program).process_group(0);
    command
}

/// A running child. Dropping it kills it, and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    reaped: Arc<Reaped>,
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Postgres only: its folder. Its children leave the process group, and are known by it.
    family: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Reaped {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Process {
    /// Starts `command`; `family` is the working folder by which its own children are known.
    pub(crate) async fn start(command: Command, family: Option<PathBuf>) -> Result<Self, Error> {
        let program = PathBuf::from(command.get_program());
        let (reply, answer) = oneshot::channel();
        spawner().send((command, reply)).expect("the spawning thread lives as long as the process");
        let child = answer
            .await
            .expect("the spawning thread answers every command")
            .context("could not start a program (setpriv is in the package util-linux)", program)?;
        Ok(Self::watch(child, family))
    }

    fn watch(child: Child, family: Option<PathBuf>) -> Self {
        let pid = Pid::from_raw(child.id().cast_signed());
        let reaped = Arc::new(Reaped::default());
        let (told, ended) = watch::channel(None);
        let mark = Arc::clone(&reaped);
        thread::spawn(move || told.send_replace(Some(reap(child, pid, &mark))));
        Self { pid, reaped, ended, family }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, if it did.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits until it ended.
    pub(crate) async fn ended(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await;
        // The reaping thread always sends before it goes away.
        status.ok().and_then(|status| *status).unwrap_or_default()
    }

    /// Sends a signal to the process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let reaped = self.reaped.flag.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It may be a zombie already: then there is nothing left to signal.
            let _ = kill(self.pid, signal);
        }
    }

    /// Sends a signal to the process first, then to its children, so that it makes no new ones.
    pub(crate) fn signal_family(&self, signal: Signal) {
        // Once it is reaped its pid, and so the children of that pid, may be somebody else's.
        let ended = self.status().is_some();
        let children = if ended { Vec::new() } else { procfs::children(self.pid()) };
        self.signal(signal);
        for child in children.into_iter().chain(self.relatives()) {
            if child != self.pid() {
                let _ = kill(Pid::from_raw(child), signal);
            }
        }
    }

    /// Asks with each signal in turn, and kills in the end. Returns when all of it is gone.
    pub(crate) async fn stop(&self, steps: &[(Signal, Duration)]) {
        self.signal_family(Signal::SIGCONT);
        for (signal, patience) in steps {
            self.signal(*signal);
            if tokio::time::timeout(*patience, self.ended()).await.is_ok() {
                break;
            }
        }
        self.kill().await;
    }

    /// Ends it at once, with its children. Returns when all of it is gone.
    pub(crate) async fn kill(&self) {
        self.signal_family(Signal::SIGKILL);
        self.ended().await;
        while !self.relatives().is_empty() {
            self.signal_family(Signal::SIGKILL);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn relatives(&self) -> Vec<i32> {
        self.family.as_deref().map(|f| procfs::working_in(f, "postgres")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_family(Signal::SIGKILL);
        if self.status().is_none() {
            let reaped = self.reaped.flag.lock().unwrap_or_else(PoisonError::into_inner);
            // SIGKILL takes milliseconds; the limit is for a process stuck in the kernel.
            let limit = Duration::from_secs(5);
            drop(self.reaped.changed.wait_timeout_while(reaped, limit, |reaped| !*reaped));
        }
    }
}

/// Waits for the child without reaping it, then reaps it while nobody can signal it.
fn reap(mut child: Child, pid: Pid, mark: &Reaped) -> ExitStatus {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
    let mut reaped = mark.flag.lock().unwrap_or_else(PoisonError::into_inner);
    let status = child.wait().unwrap_or_default();
    *reaped = true;
    mark.changed.notify_all();
    status
}

type Order = (Command, oneshot::Sender<io::Result<Child>>);

/// The one thread that starts children. The kernel sends the death signal when the *thread* that
/// forked ends, so it must live as long as the process; threads of the runtime do not.
fn spawner() -> &'static mpsc::Sender<Order> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("servers-spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    if let Err(Ok(child)) = reply.send(command.spawn()) {
                        // Nobody waits any more: the start was cancelled.
                        drop(Process::watch(child, None));
                    }
                }
            })
            .expect("a process that cannot start a thread cannot start servers either");
        orders
    })
}
