//! The settings of the store.

use std::path::PathBuf;

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
    /// How many events' places the index holds in memory before they go to disk, about 100 bytes
    /// each; as many events, or 128 MiB of the log if that is less, are read again at open.
    pub index_memory_events: usize,
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
            recent_events: 1 << 17,
            index_memory_events: 1 << 18,
        }
    }
}
