//! The rules of expected revisions and of repeated appends, without any I/O of their own.

use uuid::Uuid;

/// What a writer believes about the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    /// The last event has this revision.
    Exact(u64),
    NoStream,
    Any,
    StreamExists,
}

/// What is true of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Current {
    pub(crate) last: Option<u64>,
    pub(crate) tombstoned: bool,
    pub(crate) soft_deleted: bool,
    /// Its metadata stream has events.
    pub(crate) has_metadata: bool,
}

/// An event that is in the stream already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) revision: u64,
    pub(crate) position: u64,
}

/// How the events of a stream are looked up.
pub(crate) trait Lookup {
    /// What can go wrong.
    type Error;

    /// A recent event of the stream with this id.
    fn by_id(&mut self, id: Uuid) -> Result<Option<Known>, Self::Error>;

    /// The event of the stream at this revision.
    fn by_revision(&mut self, revision: u64) -> Result<Option<Known>, Self::Error>;
}

/// What is to be done with an append.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    Write,
    /// It was done before, and this was its last event.
    Repeated(Known),
    /// There is nothing to write.
    Nothing,
    WrongVersion,
    Deleted,
}

/// Decides an append of events with these ids.
pub(crate) fn decide<L: Lookup>(
    expected: Expected,
    current: Current,
    ids: &[Uuid],
    lookup: &mut L,
) -> Result<Decision, L::Error> {
    let Some(first) = ids.first() else {
        let fits = matches(expected, current);
        return Ok(if fits { Decision::Nothing } else { Decision::WrongVersion });
    };
    if current.tombstoned {
        return Ok(Decision::Deleted);
    }
    let last = match expected {
        Expected::StreamExists if current.soft_deleted => return Ok(Decision::Deleted),
        Expected::StreamExists if current.last.is_none() && !current.has_metadata => {
            return Ok(Decision::WrongVersion);
        }
        Expected::Any | Expected::StreamExists => return weak(*first, ids, lookup),
        Expected::NoStream => None,
        Expected::Exact(revision) => Some(revision),
    };
    match last.cmp(&current.last) {
        std::cmp::Ordering::Equal => Ok(Decision::Write),
        std::cmp::Ordering::Greater => Ok(Decision::WrongVersion),
        std::cmp::Ordering::Less => {
            let decision = strong(last.map_or(0, |last| last + 1), ids, lookup)?;
            let revives = expected == Expected::NoStream && current.soft_deleted;
            Ok(decision.unwrap_or(if revives { Decision::Write } else { Decision::WrongVersion }))
        }
    }
}

/// Decides the soft deletion of a stream.
pub(crate) fn decide_delete(expected: Expected, current: Current) -> Decision {
    if current.tombstoned || (current.soft_deleted && expected == Expected::StreamExists) {
        return Decision::Deleted;
    }
    let revives = current.soft_deleted && expected == Expected::NoStream;
    if current.last.is_some() && (revives || matches(expected, current)) {
        Decision::Write
    } else {
        Decision::WrongVersion
    }
}

/// Decides the tombstoning of a stream, which may not exist.
pub(crate) fn decide_tombstone(expected: Expected, current: Current) -> Decision {
    if current.tombstoned {
        Decision::Deleted
    } else if matches(expected, current) || (current.soft_deleted && expected == Expected::NoStream)
    {
        Decision::Write
    } else {
        Decision::WrongVersion
    }
}

fn matches(expected: Expected, current: Current) -> bool {
    match expected {
        Expected::Any => true,
        Expected::NoStream => current.last.is_none(),
        Expected::StreamExists => {
            !current.soft_deleted && (current.last.is_some() || current.has_metadata)
        }
        Expected::Exact(revision) => current.last == Some(revision),
    }
}

/// Without a revision, only ids tell: all known is a repeat, some known is a mistake.
fn weak<L: Lookup>(first: Uuid, ids: &[Uuid], lookup: &mut L) -> Result<Decision, L::Error> {
    let Some(mut last) = lookup.by_id(first)? else { return Ok(Decision::Write) };
    for id in &ids[1..] {
        match lookup.by_id(*id)? {
            Some(known) => last = known,
            None => return Ok(Decision::WrongVersion),
        }
    }
    Ok(Decision::Repeated(last))
}

/// With a revision, a repeat is these ids at exactly the revisions they would get; `None` when
/// not even the first is there.
fn strong<L: Lookup>(
    from: u64,
    ids: &[Uuid],
    lookup: &mut L,
) -> Result<Option<Decision>, L::Error> {
    let mut last = None;
    for (id, revision) in ids.iter().zip(from..) {
        match lookup.by_revision(revision)? {
            Some(known) if known.id == *id => last = Some(known),
            _ => return Ok(last.map(|_| Decision::WrongVersion)),
        }
    }
    Ok(last.map(Decision::Repeated))
}
