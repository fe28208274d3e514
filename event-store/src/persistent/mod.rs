//! Persistent subscriptions: groups of consumers that share a stream, or the whole log, and whose
//! progress the server keeps.
//!
//! `group` holds the rules as a state machine without I/O and without a clock. A `runner` task for
//! each group feeds it with what was read, said and written; `subsystem` keeps the groups. What a
//! group must not forget stands in ordinary streams, named in `names`.

mod book;
mod config;
mod figures;
mod group;
mod info;
mod io;
mod names;
mod progress;
mod runner;
mod settings;
mod source;
mod strategy;
mod subscriber;
mod subscription;
mod subsystem;

pub(crate) use group::Nack;
pub(crate) use info::{ConnectionInfo, GroupInfo};
pub(crate) use names::{EventSource, GroupId};
pub(crate) use settings::{Definition, FilterRule, Settings, StartFrom, Subject};
pub(crate) use strategy::Strategy;
pub(crate) use subscription::{Ended, Event, Peer, Said, Subscription, Voice};
pub(crate) use subsystem::Subsystem;

/// Why a call about a group is refused.
#[derive(Debug)]
pub(crate) enum Problem {
    /// There is no such group.
    Missing,
    /// There is one already.
    Exists,
    /// It has as many subscribers as it may have.
    Full,
    /// What is asked for cannot be done, for this reason.
    Failed(String),
    /// The request makes no sense.
    Bad(String),
    /// The log does not take what has to be written.
    Storage(String),
    /// The log cannot be read.
    Lost(String),
    /// The server is shutting down.
    Stopping,
}
