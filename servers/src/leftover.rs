//! Pid files: a server that outlived its parent is ended by the next start, and nothing else is.

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Error, Kind, data::Data, procfs};

/// Writes down which process the server is: boot, pid and start time name exactly one.
pub(crate) fn record(data: &Data, kind: Kind, pid: i32) -> Result<(), Error> {
    if let Some(process) = procfs::stat(pid) {
        let line = format!("{} {} {}\n", procfs::boot_id(), pid, process.started);
        data.write(&pid_file(kind), &line)?;
    }
    Ok(())
}

/// Ends the server that an earlier parent left behind, if it is still there.
///
/// `family` is the folder that Postgres and its children work in: they are found there even when
/// the server itself is gone and they are not.
pub(crate) async fn end(data: &Data, kind: Kind, family: Option<&Path>) -> Result<(), Error> {
    if let Some(pid) = data.read(&pid_file(kind))?.and_then(|line| living(&line, kind)) {
        tracing::warn!(server = kind.name(), pid, "ending a server that an earlier run left");
        end_process(pid, gentle(kind)).await;
    }
    if let Some(folder) = family {
        end_family(folder).await;
    }
    Ok(())
}

fn pid_file(kind: Kind) -> String {
    format!("{}.pid", kind.name())
}

/// The signal that makes it close its files and end without waiting for its clients.
fn gentle(kind: Kind) -> Signal {
    match kind {
        Kind::Postgres => Signal::SIGINT,
        Kind::Redis | Kind::Nats => Signal::SIGTERM,
    }
}

/// The pid in the line, if it is still the same process and one of ours.
fn living(line: &str, kind: Kind) -> Option<i32> {
    let mut words = line.split_whitespace();
    let (boot, pid, started) = (words.next()?, words.next()?, words.next()?);
    let process = procfs::stat(pid.parse().ok()?)?;
    let same = boot == procfs::boot_id() && started.parse() == Ok(process.started);
    // `setpriv` is what it is called in the moment before it becomes the server.
    let ours = process.name == kind.program() || process.name == "setpriv";
    (same && ours).then_some(process.pid)
}

async fn end_process(pid: i32, gentle: Signal) {
    let Some(before) = procfs::stat(pid) else { return };
    let is_there = || procfs::stat(pid).is_some_and(|now| now.started == before.started);
    for signal in [Signal::SIGCONT, gentle] {
        let _ = kill(Pid::from_raw(pid), signal);
    }
    for _ in 0..500 {
        if !is_there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    while is_there() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn end_family(folder: &Path) {
    let mut orphans = procfs::working_in(folder, Kind::Postgres.program());
    if !orphans.is_empty() {
        tracing::warn!(count = orphans.len(), "ending what is left of an earlier PostgreSQL");
    }
    while !orphans.is_empty() {
        for pid in orphans {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        orphans = procfs::working_in(folder, Kind::Postgres.program());
    }
}
