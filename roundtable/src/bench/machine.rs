//! The machine that the figures are of.

use std::{fmt, fs};

use serde::{Deserialize, Serialize};

/// What a figure means nothing without.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Machine {
    /// Processors this process may use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mb: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, memory_mb, kernel, cpu } = self;
        write!(f, "{cpu}, {cores} cores, {memory_mb} MiB, Linux {kernel}")
    }
}

impl Machine {
    pub(super) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mb: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        }
    }
}

/// When a report is made (RFC 3339).
#[expect(clippy::disallowed_methods, reason = "the report says when it was measured")]
pub(super) fn date() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The value of the first line `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_known() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_mb > 0 && !machine.kernel.is_empty());
    }
}
