//! The settings of the store.

use std::{path::PathBuf, time::Duration};

/// Where the data lives and what is refused. [`Config::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the log; made when missing, and owned by one process at a time.
    pub data: PathBuf,
    /// Host and port that gossip tells clients; the address of the listener when `None`.
    pub advertise: Option<(String, u16)>,
    /// A segment file that has reached this many bytes is closed and a new one begun.
    pub segment_bytes: u64,
    /// The most bytes of one event: data, custom metadata and twice the characters of its type.
    pub max_event_bytes: usize,
    /// The most bytes of all events of one append.
    pub max_append_bytes: usize,
    /// How many events are remembered to recognise an append that is repeated with the expected
    /// version `any` or `stream exists`; about 40 bytes of memory each.
    pub recent_events: usize,
    /// A scavenge reads and writes no more than this many bytes in a second; 0 is no limit.
    pub scavenge_bytes_per_second: u64,
    /// A scavenge writes a segment anew only when that frees this many bytes, or a tenth of the
    /// segment; with 0, when there is anything at all to remove.
    pub scavenge_least_bytes: u64,
    /// A scavenge is started by itself when this time has passed since the last one, or since the
    /// store was opened.
    pub scavenge_every: Option<Duration>,
}

impl Config {
    /// The defaults, with the data in the given folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            advertise: None,
            segment_bytes: 256 << 20,
            max_event_bytes: 16 << 20,
            max_append_bytes: 64 << 20,
            recent_events: 1 << 18,
            scavenge_bytes_per_second: 32 << 20,
            scavenge_least_bytes: 1 << 20,
            scavenge_every: None,
        }
    }
}
