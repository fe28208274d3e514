//! The notary: follows the log and signs what is in it, so that nobody can change it unnoticed.
//!
//! It hashes every event exactly as it is stored, those of the store itself excepted, and appends
//! **checkpoints** to a stream of its own: the root of a Merkle tree over the events since the last
//! one, the head of a hash chain over all of them, and the hash of the checkpoint before, signed
//! with a key that signs nothing else. `docs/audit.md` has the format, [`verify`] checks it.
//!
//! - **Never a fork.** A checkpoint is appended with the expected revision of its stream, so of two
//!   notaries one is refused and takes up what the other signed. The advisory lock only spares them
//!   the work.
//! - **Nothing to lose.** What a notary remembers is in its last checkpoint.
//! - **Checkpoints are events too**, and the next checkpoint covers them as it covers all others. But
//!   they alone are nothing new: a silent log stays silent.

pub mod checkpoint;
pub mod export;
pub mod leaf;
mod tail;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod verify;

use std::convert::Infallible;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use event_log::{EventLog, LogError, Noted};
use events::{Position, StreamName};
use service::numbers::NOTARY_EVERY;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;

use crate::runner::claim;
use checkpoint::Signed;
use leaf::Leaf;
pub use tail::{Tail, newest};

/// The stream of checkpoints. Its category is none of the domain's: whoever projects or relays the
/// log treats it like any other foreign stream.
pub const STREAM: &str = "notary-checkpoints";

/// The most events of one checkpoint: its witnesses stay far below what an event may hold.
pub const SEGMENT: usize = 4096;
/// How many events are read at once.
pub(crate) const PAGE: usize = 1024;
/// After a failure, the next try is after this long.
const PAUSE: Duration = Duration::from_millis(500);

/// The name of the stream of checkpoints.
pub fn stream() -> StreamName {
    StreamName::recorded(STREAM)
}

/// How a notary works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `ROUNDTABLE_NOTARY_EVERY`: how often it signs what is new, in seconds; 5 by default.
    pub every: Duration,
    /// The most events of one checkpoint.
    pub segment: usize,
}

impl Settings {
    /// The usual ones, but for what the environment says.
    ///
    /// # Errors
    /// When a variable is wrong; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        Ok(Self { every: Duration::from_secs(NOTARY_EVERY.from_env()?), segment: SEGMENT })
    }
}

/// One notary.
#[derive(Clone)]
pub struct Notary {
    log: EventLog,
    key: SigningKey,
    settings: Settings,
}

/// Why a notary could not go on for now.
#[derive(Debug, Error)]
pub enum NotaryError {
    /// The event store is away, or refuses.
    #[error("the log cannot be read or written")]
    Log(#[from] LogError),
    /// Postgres is away, and the claim with it.
    #[error("the claim is lost")]
    Claim(#[from] sqlx::Error),
    /// Another notary signs.
    #[error("another notary signed first")]
    Overtaken,
}

/// Where a notary stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its last checkpoint.
    signed: Option<Signed>,
    /// The revision of the last event in its stream.
    revision: Option<u64>,
    /// What is read next.
    tail: Tail,
    /// What was read and is not signed.
    pending: Vec<(Position, Leaf)>,
    /// Whether something of that is no checkpoint.
    news: bool,
}

impl Notary {
    /// A notary that signs with this Ed25519 seed.
    pub fn new(log: EventLog, seed: &[u8; 32], settings: Settings) -> Self {
        Self { log, key: SigningKey::from_bytes(seed), settings }
    }

    /// Signs whenever no other process does, until it is dropped.
    pub async fn run(self, postgres: PgConnectOptions) {
        let mut failing = false;
        loop {
            let error = match claim::claim(&postgres, "notary").await {
                Ok(mut db) => {
                    failing = false;
                    let Err(error) = self.work(&mut db).await;
                    error
                }
                Err(error) => error.into(),
            };
            if !failing && !matches!(error, NotaryError::Overtaken) {
                tracing::warn!(error = &error as &dyn std::error::Error, "the notary pauses");
            }
            failing = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn work(&self, db: &mut PgConnection) -> Result<Infallible, NotaryError> {
        let mut place = self.take_up().await?;
        loop {
            // The claim ends with its connection.
            sqlx::query("select 1").execute(&mut *db).await?;
            while self.sign_next(&mut place).await? == self.settings.segment {}
            tokio::time::sleep(self.settings.every).await;
        }
    }

    /// Where the last checkpoint of this key left off.
    ///
    /// # Errors
    /// When the event store is away.
    pub async fn take_up(&self) -> Result<Place, LogError> {
        let (revision, signed) = newest(&self.log, &self.key.verifying_key()).await?;
        let after = signed.as_ref().map_or(Position::START, |signed| signed.checkpoint.last);
        Ok(Place { signed, revision, tail: Tail::after(after), pending: vec![], news: false })
    }

    /// Signs what is new, at most one segment of it, and says how many events that were.
    ///
    /// # Errors
    /// When the event store is away, or another notary signed: then the place is to be taken up
    /// again.
    pub async fn sign_next(&self, place: &mut Place) -> Result<usize, NotaryError> {
        self.gather(place).await?;
        if !place.news {
            return Ok(0);
        }
        let segment = &place.pending[..place.pending.len().min(self.settings.segment)];
        let now = service::clock::now();
        let signed = Signed::sign(place.signed.as_ref(), segment, now, &self.key);
        let (stream, data) = (stream(), signed.data());
        let noted =
            self.log.note(&stream, place.revision, signed.id(), checkpoint::EVENT_TYPE, &data);
        if noted.await? == Noted::Conflict {
            return Err(NotaryError::Overtaken);
        }
        let last = &signed.checkpoint;
        metrics::counter!("roundtable_notary_events").increment(last.events);
        metrics::gauge!("roundtable_notary_position").set(last.last.commit as f64);
        tracing::debug!(number = last.number, events = last.events, last = %last.last, "signed");
        let signed_now = segment.len();
        place.pending.drain(..signed_now);
        place.news &= !place.pending.is_empty();
        place.revision = Some(place.revision.map_or(0, |revision| revision + 1));
        place.signed = Some(signed);
        Ok(signed_now)
    }

    /// Reads on, until there is enough for a segment or no more.
    async fn gather(&self, place: &mut Place) -> Result<(), LogError> {
        while place.pending.len() < self.settings.segment {
            let Some(page) = place.tail.page(&self.log).await? else { break };
            for event in page.iter().filter(|event| !event.is_system()) {
                place.pending.push((event.position, Leaf::of(event)));
                place.news |= event.stream != STREAM;
            }
        }
        Ok(())
    }
}
