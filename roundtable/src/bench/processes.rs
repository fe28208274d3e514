//! What the processes of the stack use, as the kernel counts it (proc(5)).

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Of a clock tick, in microseconds: `USER_HZ` is 100 wherever Linux shows it to programs.
const TICK: u64 = 10_000;

/// By the name of the process: `roundtable`, `postgres` (all of them together), `redis`, `nats`,
/// and `load_generator`, which is this one.
pub(super) type ByProcess<T> = BTreeMap<&'static str, T>;

/// The processes of one stack.
pub(super) struct Processes {
    stack: u32,
}

/// One process, from `/proc/PID/stat`.
struct Stat {
    pid: u32,
    parent: u32,
    name: String,
    own_ticks: u64,
    /// Of children that ended and were waited for.
    ended_ticks: u64,
}

impl Processes {
    /// Those of the stack whose main process this is.
    pub(super) fn of(stack: u32) -> Self {
        Self { stack }
    }

    /// Processor time so far, in microseconds.
    pub(super) fn cpu_us(&self) -> ByProcess<u64> {
        let mut used = ByProcess::new();
        for (label, stat) in self.family() {
            // The stack starts its servers; what it waited for is not its own work.
            let ended = if label == "postgres" { stat.ended_ticks } else { 0 };
            *used.entry(label).or_default() += (stat.own_ticks + ended) * TICK;
        }
        if let Some(own) = stat(std::process::id()) {
            used.insert("load_generator", own.own_ticks * TICK);
        }
        used
    }

    /// Resident memory, in MiB. What processes share (Postgres' buffers) is counted once.
    pub(super) fn rss_mb(&self) -> ByProcess<f64> {
        let mut used = ByProcess::<f64>::new();
        for (label, stat) in self.family() {
            *used.entry(label).or_default() += resident_kb(stat.pid) as f64 / 1024.0;
        }
        used.values_mut().for_each(|mb| *mb = (*mb * 10.0).round() / 10.0);
        used
    }

    fn family(&self) -> Vec<(&'static str, Stat)> {
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all: HashMap<u32, Stat> = numbers
            .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
            .map(|stat| (stat.pid, stat))
            .collect();
        let belongs = |mut pid: u32| {
            while pid > 1 {
                if pid == self.stack {
                    return true;
                }
                pid = all.get(&pid).map_or(0, |stat| stat.parent);
            }
            false
        };
        let ours: Vec<u32> = all.keys().copied().filter(|pid| belongs(*pid)).collect();
        let mut all = all;
        ours.into_iter()
            .filter_map(|pid| all.remove(&pid))
            .map(|stat| (label(&stat, self.stack), stat))
            .collect()
    }
}

/// Processor time of one process so far, in microseconds.
pub(super) fn own_cpu_us(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.own_ticks * TICK)
}

/// The processors that this process may use.
pub(super) fn processors() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|one| set.is_set(*one).unwrap_or(false)).collect())
}

/// Keeps a process on some of them: all threads that it has, and so those that they make.
pub(super) fn keep_on(pid: u32, processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor)?;
    }
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse()?;
        match sched_setaffinity(Pid::from_raw(thread), &set) {
            // It has ended since.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("a process is not kept on its processors"),
        }
    }
    Ok(())
}

/// Resident memory of a process, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("the kernel does not tell its memory")? * 1024)
}

fn label(stat: &Stat, stack: u32) -> &'static str {
    match &*stat.name {
        _ if stat.pid == stack => "roundtable",
        "postgres" => "postgres",
        "redis-server" => "redis",
        "nats-server" => "nats",
        _ => "other",
    }
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name is in parentheses and may hold anything, so the fields are counted from its end.
fn parse(line: &str) -> Option<Stat> {
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // proc(5) counts from 1 with the pid; after the name the first is field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: u32::try_from(number(4)?).ok()?,
        name: name.to_owned(),
        own_ticks: number(14)? + number(15)?,
        ended_ticks: number(16)? + number(17)?,
    })
}

/// The proportional share where the kernel tells it, else what is resident.
fn resident_kb(pid: u32) -> u64 {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 9 1 1";
        let stat = parse(line).unwrap();
        assert_eq!((stat.pid, stat.parent, &*stat.name), (42, 7, "a) b (c"));
        assert_eq!((stat.own_ticks, stat.ended_ticks), (110, 150));
    }

    #[test]
    fn this_process_uses_memory_and_is_its_own_family() {
        let processes = Processes::of(std::process::id());
        assert!(processes.rss_mb()["roundtable"] > 0.0);
        assert!(processes.cpu_us().contains_key("load_generator"));
    }
}
