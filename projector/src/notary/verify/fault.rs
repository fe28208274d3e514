//! What may be wrong with a log, and where.

use std::fmt;

use event_log::Stored;
use events::Position;
use serde::{Deserialize, Serialize};

use super::super::STREAM;
use super::segment::Seen;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something else was signed at this place.
    Changed,
    /// What was signed is not there.
    Missing,
    /// It was not signed.
    Inserted,
    /// It was signed, at another place.
    Reordered,
    /// A checkpoint that the notary did not sign.
    BadSignature,
    /// A checkpoint that does not follow the one before.
    BrokenChain,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::BadSignature => "bad signature",
            Self::BrokenChain => "broken chain",
        })
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Where in the log.
    pub position: Option<Position>,
    /// The stream, as far as it is known: of what is missing only the place is.
    pub stream: Option<String>,
    /// The place in the stream.
    pub revision: Option<u64>,
    /// More about it, for people.
    pub detail: String,
}

impl Fault {
    pub(super) fn of(kind: Kind, event: &Stored, detail: String) -> Self {
        let stream = Some(event.stream.clone());
        let (position, revision) = (Some(event.position), Some(event.revision));
        Self { kind, position, stream, revision, detail }
    }

    pub(super) fn seen(kind: Kind, seen: &Seen, detail: impl Into<String>) -> Self {
        let (position, stream) = (Some(seen.position), Some(seen.stream.to_string()));
        Self { kind, position, stream, revision: Some(seen.revision), detail: detail.into() }
    }

    pub(super) fn at(kind: Kind, position: Position, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, position: Some(position), stream: None, revision: None, detail }
    }

    /// About a checkpoint, by the place of its event.
    pub(super) fn checkpoint(kind: Kind, at: (u64, Position), detail: impl Into<String>) -> Self {
        let (stream, detail) = (Some(STREAM.to_owned()), detail.into());
        Self { kind, position: Some(at.1), stream, revision: Some(at.0), detail }
    }

    pub(super) fn somewhere(kind: Kind, detail: String) -> Self {
        Self { kind, position: None, stream: None, revision: None, detail }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind)?;
        if let Some(position) = self.position {
            write!(f, " position {position},")?;
        }
        if let (Some(stream), Some(revision)) = (&self.stream, self.revision) {
            write!(f, " revision {revision} of {stream:?},")?;
        }
        write!(f, " {}", self.detail)
    }
}
