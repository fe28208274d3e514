//! What can be told of a group and its subscribers.

use super::{GroupId, Settings, figures::Counted};

/// A group as it is now.
#[derive(Debug)]
pub(crate) struct GroupInfo {
    pub(crate) id: GroupId,
    pub(crate) settings: Settings,
    pub(crate) status: &'static str,
    pub(crate) connections: Vec<ConnectionInfo>,
    pub(crate) counted: Counted,
    /// The last place of the last durable checkpoint.
    pub(crate) checkpoint: Option<u64>,
    /// The last event there is.
    pub(crate) last_known: Option<u64>,
    /// The last place that was looked at.
    pub(crate) considered: Option<u64>,
    /// Something is finished.
    pub(crate) begun: bool,
    pub(crate) read_buffer: usize,
    pub(crate) live_buffer: usize,
    pub(crate) retry_buffer: usize,
    pub(crate) in_flight: usize,
    pub(crate) outstanding: usize,
    pub(crate) parked: u64,
}

impl GroupInfo {
    /// Whether the group has looked at the last event there is.
    pub(crate) fn read_to_end(&self, last_known: Option<u64>) -> bool {
        last_known <= self.considered
    }
}

/// A subscriber of a group as it is now.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    pub(crate) from: String,
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) counted: Counted,
    /// Milliseconds by name, when they are measured.
    pub(crate) latencies: Vec<(&'static str, u64)>,
    pub(crate) available_slots: usize,
    pub(crate) in_flight: usize,
}
