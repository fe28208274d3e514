//! The settings of a group, as they are kept and checked.

use serde::{Deserialize, Serialize};

use super::{EventSource, Problem, strategy::Strategy};
use crate::filter::{self, Filter};

/// Where a group begins, which is inclusive.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StartFrom {
    Start,
    End,
    At(u64),
}

impl StartFrom {
    /// The way clients expect to be told, where -1 is the end.
    pub(crate) fn show(self, source: &EventSource) -> String {
        match (self, source) {
            (Self::Start, _) => source.show(0),
            (Self::At(place), _) => source.show(place),
            (Self::End, EventSource::Stream(_)) => "-1".to_owned(),
            (Self::End, EventSource::All) => "C:-1/P:-1".to_owned(),
        }
    }
}

/// What can be set for a group. Times are milliseconds, sizes are events.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) start_from: StartFrom,
    pub(crate) resolve_links: bool,
    pub(crate) extra_statistics: bool,
    /// How long a consumer may take for an event; 0 is for ever.
    pub(crate) message_timeout: u32,
    /// How often an event is sent again before it is parked.
    pub(crate) max_retry_count: u32,
    pub(crate) checkpoint_after: u32,
    pub(crate) min_checkpoint_count: u32,
    pub(crate) max_checkpoint_count: u32,
    /// 0 is any number.
    pub(crate) max_subscriber_count: u32,
    pub(crate) live_buffer_size: u32,
    pub(crate) read_batch_size: u32,
    pub(crate) history_buffer_size: u32,
    pub(crate) strategy: Strategy,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.read_batch_size == 0 {
            return Err(Problem::Failed("The read batch size must be greater than 0.".to_owned()));
        }
        if self.read_batch_size >= self.history_buffer_size {
            let reason = "The read batch size must be less than the history buffer size.";
            return Err(Problem::Failed(reason.to_owned()));
        }
        Ok(())
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Subject {
    Stream,
    Type,
}

/// A filter as it is kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterRule {
    pub(crate) on: Subject,
    pub(crate) regex: String,
    pub(crate) prefixes: Vec<String>,
}

impl FilterRule {
    pub(crate) fn build(&self) -> Result<Filter, Problem> {
        let on = match self.on {
            Subject::Stream => filter::Subject::Stream,
            Subject::Type => filter::Subject::Type,
        };
        Filter::new(on, &self.regex, self.prefixes.clone())
            .map_err(|error| Problem::Bad(format!("the filter's expression is wrong: {error}")))
    }
}

/// All that makes a group what it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Definition {
    pub(crate) settings: Settings,
    pub(crate) filter: Option<FilterRule>,
    /// Where the group begins as long as it has no checkpoint. What `End` meant is fixed when the
    /// group is made: a restart before the first checkpoint must not skip anything.
    pub(crate) begin: u64,
}
