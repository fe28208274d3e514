//! Reads what the kernel says about processes, from `/proc`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// The program's name, at most 15 bytes of it.
    pub(crate) name: String,
    /// In clock ticks since the machine started: with the pid it names one process.
    pub(crate) started: u64,
}

/// The living process `pid`; a zombie is dead.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): `pid (name) state ppid ... starttime ...`; the name may hold blanks and brackets.
fn parse(line: &str) -> Option<Stat> {
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X" | "x") {
        return None;
    }
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Every living process.
pub(crate) fn all() -> Vec<Stat> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// The processes of `name` that work in `folder`: for Postgres, the server and all its children.
pub(crate) fn working_in(folder: &Path, name: &str) -> Vec<i32> {
    let Ok(folder) = fs::canonicalize(folder) else { return Vec::new() };
    all()
        .into_iter()
        .filter(|process| process.name == name)
        .filter(|process| working_folder(process.pid).is_some_and(|cwd| cwd == folder))
        .map(|process| process.pid)
        .collect()
}

/// Whether every thread of `pid` is stopped by a signal: the kernel stops them one by one.
pub(crate) fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        // One that has just ended does not run either.
        let Ok(line) = fs::read_to_string(thread.path().join("stat")) else { return true };
        line.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
    })
}

/// The direct children of `pid`.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    all().into_iter().filter(|process| process.parent == pid).map(|process| process.pid).collect()
}

fn working_folder(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// Changes with every start of the machine, after which pids and start times begin anew.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_blanks_and_brackets() {
        let line = "42 (a) (b c) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1";
        let stat = parse(line).unwrap();
        assert_eq!(stat, Stat { pid: 42, parent: 7, name: "a) (b c".to_owned(), started: 12345 });
    }

    #[test]
    fn a_zombie_is_dead() {
        assert_eq!(parse("42 (x) Z 7 42 42 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 12345 1"), None);
    }

    #[test]
    fn this_process_is_alive() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(stat(own).map(|process| process.pid), Some(own));
    }
}
