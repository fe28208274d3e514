//! The model: what a store of three streams and some links has to answer, as lists.

use eventstore::StreamState;

use super::Outcome;

/// The stream that holds links and nothing else.
pub(crate) const LINKS: &str = "links";

pub(crate) fn name(stream: u8) -> String {
    format!("stream-{stream}")
}

#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) ids: Vec<u128>,
    max_count: Option<u64>,
    before: u64,
    /// Events of its metadata.
    metadata: u64,
    pub(crate) tombstoned: bool,
}

/// An event of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Logged {
    pub(crate) stream: String,
    pub(crate) kind: String,
    pub(crate) revision: u64,
}

/// What metadata may say of a stream; other keys change nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) max_count: Option<u64>,
    pub(crate) max_age: Option<u64>,
    pub(crate) before: Option<u64>,
    pub(crate) other_keys: bool,
    /// Not even JSON.
    pub(crate) garbage: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) streams: [Stream; 3],
    /// Where the events of the stream of links point.
    pub(crate) links: Vec<(u8, u64)>,
    pub(crate) log: Vec<Logged>,
}

pub(crate) const DELETED: u64 = i64::MAX as u64;

impl Stream {
    fn last(&self) -> Option<u64> {
        (self.ids.len() as u64).checked_sub(1)
    }

    pub(crate) fn soft_deleted(&self) -> bool {
        self.before == DELETED
    }

    fn holds(&self, state: StreamState) -> bool {
        match state {
            StreamState::Any => true,
            StreamState::NoStream => self.ids.is_empty(),
            StreamState::StreamExists => {
                !self.soft_deleted() && (!self.ids.is_empty() || self.metadata > 0)
            }
            StreamState::StreamRevision(revision) => self.last() == Some(revision),
        }
    }

    /// The revision of the last event when these ids were all written before.
    fn repeated(&self, state: StreamState, ids: &[u128]) -> Result<Option<u64>, ()> {
        let from = match state {
            StreamState::NoStream => 0,
            StreamState::StreamRevision(revision) => revision as usize + 1,
            StreamState::Any | StreamState::StreamExists => {
                let known = |id: &u128| self.ids.iter().rposition(|known| known == id);
                return match known(&ids[0]) {
                    None => Ok(None),
                    Some(_) if ids.iter().all(|id| known(id).is_some()) => {
                        Ok(known(ids.last().expect("not empty")).map(|at| at as u64))
                    }
                    Some(_) => Err(()),
                };
            }
        };
        let there = self.ids.get(from..).unwrap_or_default();
        if there.first() != Some(&ids[0]) {
            Ok(None)
        } else if there.starts_with(ids) {
            Ok(Some((from + ids.len()) as u64 - 1))
        } else {
            Err(())
        }
    }

    /// Whether a read finds it.
    pub(crate) fn is_present(&self) -> bool {
        !self.tombstoned && !self.soft_deleted() && !self.ids.is_empty()
    }

    pub(crate) fn visible(&self) -> Vec<u64> {
        let count = self.ids.len() as u64;
        let first = self.max_count.map_or(0, |most| count.saturating_sub(most)).max(self.before);
        (first.min(count)..count).collect()
    }
}

impl Model {
    pub(crate) fn append(&mut self, at: u8, state: StreamState, ids: &[u128]) -> Outcome {
        let stream = &mut self.streams[usize::from(at)];
        let wrong = Outcome::Wrong(stream.last());
        if ids.is_empty() {
            return match stream.holds(state) {
                true => stream.last().map_or(Outcome::Done, Outcome::Revision),
                false => wrong,
            };
        }
        if stream.tombstoned || (state == StreamState::StreamExists && stream.soft_deleted()) {
            return Outcome::Deleted;
        }
        if state == StreamState::StreamExists && !stream.holds(state) {
            return wrong;
        }
        let exact = matches!(state, StreamState::NoStream | StreamState::StreamRevision(_));
        if !(exact && stream.holds(state)) {
            match stream.repeated(state, ids) {
                Ok(Some(revision)) => return Outcome::Revision(revision),
                Err(()) => return wrong,
                Ok(None) => {}
            }
            let revives = state == StreamState::NoStream && stream.soft_deleted();
            if exact && !revives {
                return wrong;
            }
        }
        if stream.soft_deleted() {
            stream.before = stream.ids.len() as u64;
            self.log_metadata(at);
        }
        let stream = &mut self.streams[usize::from(at)];
        for id in ids {
            let revision = stream.ids.len() as u64;
            self.log.push(Logged { stream: name(at), kind: "kind".to_owned(), revision });
            stream.ids.push(*id);
        }
        Outcome::Revision(stream.ids.len() as u64 - 1)
    }

    pub(crate) fn rules(&mut self, at: u8, rules: &Rules) {
        let stream = &mut self.streams[usize::from(at)];
        let said = !rules.garbage;
        stream.max_count = rules.max_count.filter(|count| said && *count > 0);
        stream.before = rules.before.filter(|_| said).unwrap_or(0);
        self.log_metadata(at);
    }

    pub(crate) fn link(&mut self, to: u8, revision: u64) {
        let at = self.links.len() as u64;
        self.log.push(Logged { stream: LINKS.to_owned(), kind: "$>".to_owned(), revision: at });
        self.links.push((to, revision));
    }

    /// The id of the event behind each link; none for one that cannot be seen.
    pub(crate) fn resolved(&self) -> Vec<Option<u128>> {
        let target = |(to, revision): &(u8, u64)| {
            let stream = &self.streams[usize::from(*to)];
            let seen = stream.is_present() && stream.visible().contains(revision);
            seen.then(|| stream.ids[*revision as usize])
        };
        self.links.iter().map(target).collect()
    }

    fn log_metadata(&mut self, at: u8) {
        let stream = &mut self.streams[usize::from(at)];
        let (name, revision) = (format!("$${}", name(at)), stream.metadata);
        self.log.push(Logged { stream: name, kind: "$metadata".to_owned(), revision });
        stream.metadata += 1;
    }

    pub(crate) fn delete(&mut self, at: u8, state: StreamState) -> Outcome {
        let stream = &mut self.streams[usize::from(at)];
        if stream.tombstoned || (state == StreamState::StreamExists && stream.soft_deleted()) {
            return Outcome::Deleted;
        }
        let again = state == StreamState::NoStream && stream.soft_deleted();
        if stream.ids.is_empty() || !(again || stream.holds(state)) {
            return Outcome::WrongDelete;
        }
        stream.before = DELETED;
        self.log_metadata(at);
        Outcome::Done
    }

    pub(crate) fn tombstone(&mut self, at: u8, state: StreamState) -> Outcome {
        let stream = &mut self.streams[usize::from(at)];
        if stream.tombstoned {
            return Outcome::Deleted;
        }
        let again = state == StreamState::NoStream && stream.soft_deleted();
        if !(again || stream.holds(state)) {
            return Outcome::WrongDelete;
        }
        stream.tombstoned = true;
        let kind = "$streamDeleted".to_owned();
        self.log.push(Logged { stream: name(at), kind, revision: i64::MAX as u64 });
        Outcome::Done
    }
}
