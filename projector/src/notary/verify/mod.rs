//! Whether a log is as it was signed; and where it is not, what is wrong with it.
//!
//! It reads the log twice: first its checkpoints, then its events, in the order in which they lie
//! there. An event belongs to the segment that its position lies in. A segment whose events come to
//! the signed root is done with and forgotten; those that do not stay until the end, when they are
//! compared with the witnesses of their checkpoint, event by event.

mod chain;
mod fault;
mod order;
mod segment;

use ed25519_dalek::VerifyingKey;
use event_log::{EventLog, LogError, Stored};
use events::{Moment, Position};
use serde::{Deserialize, Serialize};

use super::checkpoint::{Signed, key_id};
use super::leaf::{Digest, Leaf};
use super::{STREAM, Tail, stream};
use chain::Chain;
pub use fault::{Fault, Kind};
use order::Order;
use segment::Seen;

/// How many checkpoints are read at once; each may be as large as 100 kB.
const CHECKPOINTS: usize = 16;

/// Verifies a log that is there, from its beginning.
///
/// # Errors
/// When the event store is away.
pub async fn of_log(
    log: &EventLog,
    keys: Vec<VerifyingKey>,
    known: Option<&Digest>,
) -> Result<Report, LogError> {
    let mut verifier = Checkpoints::of_log(log, keys).await?.read();
    let mut tail = Tail::after(Position::START);
    while let Some(page) = tail.page(log).await? {
        page.iter().for_each(|event| verifier.take(event));
    }
    Ok(verifier.end(known))
}

/// The first reading: all checkpoints.
pub struct Checkpoints {
    keys: Vec<VerifyingKey>,
    /// By key, in the order of their stream.
    signed: Vec<Vec<(u64, Position, Signed)>>,
    faults: Vec<Fault>,
}

impl Checkpoints {
    /// The checkpoints that one of these keys signed. Each key signs a chain of its own.
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        let signed = keys.iter().map(|_| vec![]).collect();
        Self { keys, signed, faults: vec![] }
    }

    /// All of them, of a log that is there.
    ///
    /// # Errors
    /// When the event store is away.
    pub async fn of_log(log: &EventLog, keys: Vec<VerifyingKey>) -> Result<Self, LogError> {
        let (mut checkpoints, mut next) = (Self::new(keys), 0);
        loop {
            let page = log.read_stored_stream(&stream(), next, CHECKPOINTS).await?;
            let Some(last) = page.last() else { return Ok(checkpoints) };
            next = last.revision + 1;
            page.iter().for_each(|event| checkpoints.take(event));
        }
    }

    /// Takes an event of the stream of checkpoints.
    pub fn take(&mut self, event: &Stored) {
        let mut fault = |what: String| self.faults.push(Fault::of(Kind::BadSignature, event, what));
        let signed = match Signed::read(event) {
            Ok(signed) => signed,
            Err(wrong) => return fault(wrong.to_owned()),
        };
        let by = |key: &&VerifyingKey| key_id(key) == signed.checkpoint.key;
        match self.keys.iter().position(|key| by(&key)) {
            None => {
                fault(format!("it is of the key {}, which was not given", signed.checkpoint.key));
            }
            Some(key) if !signed.is_signed_by(&self.keys[key]) => {
                fault("the key did not sign this".to_owned());
            }
            Some(key) => {
                if signed.witnesses.is_none() {
                    fault("its witnesses are not those it was signed with".to_owned());
                }
                self.signed[key].push((event.revision, event.position, signed));
            }
        }
    }

    /// The second reading, after all checkpoints were taken.
    pub fn read(self) -> Verifier {
        let mut faults = self.faults;
        let chains =
            self.signed.into_iter().map(|signed| Chain::new(signed, &mut faults)).collect();
        let after = Position::START;
        let (before, order) = (faults.len(), Order::default());
        Verifier { chains, order, faults, before, after, events: 0, read: 0, tail: 0 }
    }

    /// The second reading, from where another one was.
    ///
    /// # Errors
    /// When there are other checkpoints now before that place than there were: with the verifier at
    /// the beginning.
    pub fn resume(self, from: Halfway) -> Result<Verifier, Box<Verifier>> {
        let mut verifier = self.read();
        let Halfway { after, read, events, order, chains, faults } = from;
        let mut both = verifier.chains.iter().zip(&chains);
        if verifier.chains.len() != chains.len()
            || !both.all(|(chain, from)| chain.fits(from, after))
        {
            return Err(Box::new(verifier));
        }
        verifier.chains.iter_mut().zip(chains).for_each(|(chain, from)| chain.resume(from));
        verifier.faults.extend(faults);
        Ok(Verifier { after, read, events, order, ..verifier })
    }
}

/// How far a second reading is, to go on with it later. Who could write it could hide a fault.
#[derive(Debug, Serialize, Deserialize)]
pub struct Halfway {
    after: Position,
    read: u64,
    events: u64,
    order: Order,
    chains: Vec<chain::Halfway>,
    faults: Vec<Fault>,
}

/// The second reading: all events.
pub struct Verifier {
    chains: Vec<Chain>,
    order: Order,
    faults: Vec<Fault>,
    /// How many of them the first reading found.
    before: usize,
    /// The furthest event that was taken.
    after: Position,
    events: u64,
    read: u64,
    tail: u64,
}

impl Verifier {
    /// Takes the next event as it lies in the log, the checkpoints among them. Events of the store
    /// itself are nothing to it.
    pub fn take(&mut self, event: &Stored) {
        if event.is_system() {
            return;
        }
        self.read += 1;
        self.after = self.after.max(event.position);
        let seen = Seen::of(event, &Leaf::of(event));
        self.faults.extend(self.order.take(&seen));
        let mut covered = false;
        for chain in &mut self.chains {
            covered |= chain.take(&seen, &mut self.faults);
        }
        if covered {
            self.events += 1;
        } else if event.stream != STREAM && self.signed_up_to() < Some(event.position) {
            self.tail += 1;
        }
    }

    /// Notes that something in the log is no event that could be read.
    pub fn unreadable(&mut self, position: Option<Position>, detail: String) {
        let (kind, stream, revision) = (Kind::Changed, None, None);
        self.faults.push(Fault { kind, position, stream, revision, detail });
    }

    /// How many events were taken, and how many there are at least, as the checkpoints say.
    pub fn progress(&self) -> (u64, u64) {
        (self.read, self.expected().max(self.read))
    }

    /// The furthest event that was taken.
    pub const fn after(&self) -> Position {
        self.after
    }

    /// How far it is; `None` beyond what is signed, as later checkpoints may be about that.
    pub fn halfway(&self) -> Option<Halfway> {
        let after = self.after;
        let signed = self.signed_up_to().is_some_and(|last| after <= last);
        signed.then(|| Halfway {
            after,
            read: self.read,
            events: self.events,
            order: self.order.clone(),
            chains: self.chains.iter().map(|chain| chain.halfway(after)).collect(),
            faults: self.faults[self.before..].to_vec(),
        })
    }

    /// How many events the checkpoints cover, as they say.
    fn expected(&self) -> u64 {
        self.chains.iter().filter_map(|chain| chain.newest()).map(|at| at.total).max().unwrap_or(0)
    }

    fn signed_up_to(&self) -> Option<Position> {
        self.chains.iter().filter_map(|chain| chain.newest()).map(|newest| newest.last).max()
    }

    /// What came of it. A checkpoint that the auditor has seen before must be in the log still.
    pub fn end(mut self, known: Option<&Digest>) -> Report {
        for chain in &mut self.chains {
            chain.end(&mut self.faults);
        }
        if let Some(known) = known
            && !self.chains.iter().any(|chain| chain.has(known))
        {
            let what =
                format!("the checkpoint {}, which you know, is not here", hex::encode(known));
            self.faults.push(Fault::somewhere(Kind::Missing, what));
        }
        let newest = self.chains.iter().filter_map(Chain::newest_signed);
        let newest = newest.max_by_key(|signed| signed.checkpoint.last).map(Newest::of);
        if newest.is_none() && self.read > 0 {
            let what = "no checkpoint is signed with the key that was given".to_owned();
            self.faults.push(Fault::somewhere(Kind::Missing, what));
        }
        self.faults.sort_by_key(|fault| (fault.position, fault.kind));
        self.faults.dedup();
        Report { events: self.events, unsigned: self.tail, newest, faults: self.faults }
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Events that were compared with what was signed.
    pub events: u64,
    /// Events after the last checkpoint, which nobody signed yet.
    pub unsigned: u64,
    /// The newest checkpoint.
    pub newest: Option<Newest>,
    /// What is wrong, in the order of the log.
    pub faults: Vec<Fault>,
}

/// A checkpoint, for people to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// Its number.
    pub number: u64,
    /// Its hash, in hex: who keeps it can tell later whether the log was cut or replaced.
    pub hash: String,
    /// The position up to which everything is signed.
    pub last: Position,
    /// How many events that is.
    pub total: u64,
    /// When it was signed.
    pub time: Moment,
}

impl Newest {
    /// What is to be kept of a checkpoint.
    pub fn of(signed: &Signed) -> Self {
        let at = &signed.checkpoint;
        let hash = hex::encode(signed.hash);
        Self { number: at.number, hash, last: at.last, total: at.total, time: at.time }
    }
}
