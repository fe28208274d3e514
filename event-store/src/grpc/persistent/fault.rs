//! What can go wrong with a group, in the words that clients know.

use tonic::Code;

use crate::{
    grpc::fault::Fault,
    persistent::{Ended, EventSource, GroupId, Problem},
};

/// A refused or failed call about a group.
#[derive(Debug)]
pub(crate) struct GroupFault {
    kind: Kind,
    stream: String,
    group: String,
}

#[derive(Debug)]
enum Kind {
    Missing,
    Exists,
    Full,
    Dropped,
    TooSlow,
    Failed(String),
}

impl GroupFault {
    pub(crate) fn code(&self) -> Code {
        match self.kind {
            Kind::Missing => Code::NotFound,
            Kind::Exists => Code::AlreadyExists,
            Kind::Full => Code::FailedPrecondition,
            Kind::Dropped => Code::Cancelled,
            Kind::TooSlow => Code::Aborted,
            Kind::Failed(_) => Code::Internal,
        }
    }

    pub(crate) fn message(&self) -> String {
        let Self { kind, stream, group } = self;
        match kind {
            Kind::Missing => {
                format!("Subscription group {group} on stream {stream} does not exist.")
            }
            Kind::Exists => format!("Subscription group {group} on stream {stream} exists."),
            Kind::Full => format!(
                "Maximum subscriptions reached for subscription group {group} on stream {stream}."
            ),
            Kind::Dropped => {
                format!("Subscription group {group} on stream {stream} was dropped.")
            }
            Kind::TooSlow => "Consumer too slow to take what it was sent.".to_owned(),
            Kind::Failed(reason) => {
                format!("Subscription group {group} on stream {stream} failed: {reason}")
            }
        }
    }

    /// What clients switch on, and about which group.
    pub(crate) fn keys(&self) -> Vec<(&'static str, String)> {
        let exception = match self.kind {
            Kind::Missing => "persistent-subscription-does-not-exist",
            Kind::Exists => "persistent-subscription-exists",
            Kind::Full => "maximum-subscribers-reached",
            Kind::Dropped => "persistent-subscription-dropped",
            Kind::TooSlow => return Vec::new(),
            Kind::Failed(_) => "persistent-subscription-failed",
        };
        let mut keys = vec![
            ("exception", exception.to_owned()),
            ("stream-name", self.stream.clone()),
            ("group-name", self.group.clone()),
        ];
        if let Kind::Failed(reason) = &self.kind {
            keys.push(("reason", reason.clone()));
        }
        keys
    }
}

fn about(kind: Kind, id: &GroupId) -> Fault {
    let (stream, group) = (id.source.name().to_owned(), id.group.clone());
    Fault::Group(GroupFault { kind, stream, group })
}

/// Why a call about the group failed.
pub(super) fn of(problem: Problem, id: &GroupId) -> Fault {
    match problem {
        Problem::Missing => about(Kind::Missing, id),
        Problem::Exists => about(Kind::Exists, id),
        Problem::Full => about(Kind::Full, id),
        Problem::Failed(reason) => about(Kind::Failed(reason), id),
        Problem::Bad(message) => Fault::BadRequest(message),
        Problem::Storage(message) => Fault::Storage(message),
        Problem::Lost(message) => Fault::Lost(message),
        Problem::Stopping => Fault::Stopping,
    }
}

/// Why a call about the groups of a source, or about all of them, failed.
pub(super) fn of_list(problem: Problem, source: Option<EventSource>) -> Fault {
    let source = source.unwrap_or(EventSource::All);
    of(problem, &GroupId { source, group: String::new() })
}

/// Why a subscription ended.
pub(super) fn of_end(ended: Ended, id: &GroupId) -> Fault {
    match ended {
        Ended::Dropped => about(Kind::Dropped, id),
        Ended::Deleted => about(Kind::Missing, id),
        Ended::TooSlow => about(Kind::TooSlow, id),
        Ended::Bad(message) => Fault::BadRequest(message),
        Ended::Lost(message) => Fault::Lost(message),
        Ended::Stopping => Fault::Stopping,
    }
}
