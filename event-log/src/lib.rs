//! The one seam to the event store: load, decide, append; read; follow; seal and open.
//!
//! Nothing else talks to the store, and nothing but this crate sees sealed data or keys.
//!
//! - **A state is never older than it claims.** [`EventLog::load`] asks the store;
//!   [`EventLog::state`] answers from memory only if the follower was at the head of the log less
//!   than a second ago.
//! - **A command has its effect once.** Its key is remembered by the stream, and its event ids
//!   follow from its key, so that neither a client nor this crate can append it twice.
//! - **No personal data is written in plain.** Everything marked `$personal` is sealed with the
//!   key of its subject before it leaves the process.

mod append;
mod cache;
mod codec;
mod connect;
mod context;
mod erasures;
mod error;
mod fold;
mod follower;
mod idempotency;
mod open;
mod past;
mod read;
mod recorded;
mod secrets;
mod stored;
mod subscribe;
mod transact;
mod vault;
mod vault_copy;

use std::sync::Arc;
use std::time::Duration;

use domain::Decider;
use events::{Position, StreamName};
use futures::Stream;
use sqlx::PgPool;

use cache::States;
use connect::Store;
use follower::Follower;

pub use context::{Context, Outcome};
pub use erasures::erased;
pub use error::{Dependency, LogError, OpenError, TransactError, Unavailable};
pub use fold::Loaded;
pub use open::Opened;
pub use past::{Cause, Seals};
pub use recorded::Recorded;
pub use secrets::Secrets;
pub use stored::{Noted, Stored};
pub use vault::Vault;
pub use vault_copy::{KeyCopy, VaultCopyError, copy_vault, restore_vault};

/// The most bytes of one event: data, metadata and type. NATS, which carries every event, refuses
/// messages of 1 MB.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// How long one try of an append may take.
pub(crate) const APPEND_WITHIN: Duration = Duration::from_secs(2);

/// Where the log is, and the keys to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `esdb://host:2113?tls=false`.
    pub eventstore_url: String,
    /// For the key vault: a role that may make the schema `vault`.
    pub postgres: PgPool,
    /// The keys of the deployment.
    pub secrets: Secrets,
}

/// The log. Cheap to clone; one for each process is enough.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    vault: Vault,
    states: States,
    follower: Follower,
    secrets: Secrets,
}

impl EventLog {
    /// Connects to the store, trying for half a minute, and begins to follow the log. Postgres may
    /// be away; what needs its keys is then unavailable.
    ///
    /// # Errors
    /// If the store does not answer, or the URL is none.
    pub async fn connect(config: Config) -> Result<Self, Unavailable> {
        let Config { eventstore_url, postgres, secrets } = config;
        let store = Store::connect(&eventstore_url).await?;
        let vault = Vault::new(postgres, &secrets.master);
        if let Err(error) = vault.prepare().await {
            tracing::warn!(%error, "starting without the key vault");
        }
        erasures::settle(store.clone(), vault.clone()).await;
        let states = States::new();
        let follower = Follower::start(store.clone(), states.clone(), vault.clone())
            .await
            .map_err(Unavailable::store)?;
        Ok(Self { inner: Arc::new(Inner { store, vault, states, follower, secrets }) })
    }

    /// The state of a stream as it is now. The store is asked, though only for what is new.
    ///
    /// # Errors
    /// If the store is away, or an event of the stream cannot be read. A vault that is away is no
    /// error: see [`Loaded::sealed`].
    pub async fn load<D: Decider>(&self, stream: &StreamName) -> Result<Loaded<D>, LogError> {
        let visit = self.states().visit(stream);
        Ok(self.fold::<D>(&visit, stream).await?.loaded())
    }

    /// As [`load`](Self::load), for a stream that is asked about once: what of it is not in memory
    /// yet stays out of it. Twenty thousand who only listen should not fill it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn glance<D: Decider>(&self, stream: &StreamName) -> Result<Loaded<D>, LogError> {
        let visit = self.states().visit(stream);
        match visit.state::<D>() {
            Some(_) => Ok(self.fold::<D>(&visit, stream).await?.loaded()),
            None => Ok(self.read_further::<D>(stream, Arc::default()).await?.loaded()),
        }
    }

    /// The state of a stream as it was less than a second ago, mostly without asking the store:
    /// for decisions that look at another stream, and for reading one's session.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn state<D: Decider>(&self, stream: &StreamName) -> Result<Loaded<D>, LogError> {
        let visit = self.states().visit(stream);
        if let Some(folded) = visit.state::<D>()
            && self.may_serve(&folded)
            && self.inner.follower.is_fresh().await
        {
            // The follower may have brought something while it was asked.
            return Ok(visit.state::<D>().unwrap_or(folded).loaded());
        }
        Ok(self.fold::<D>(&visit, stream).await?.loaded())
    }

    /// Decides a command on a stream and appends what comes of it, at the revision it was decided
    /// on; decides again if somebody else was faster. The same context has an effect once.
    ///
    /// # Errors
    /// See [`TransactError`]. After `Unavailable` the command may have been carried out: the same
    /// context again tells.
    pub async fn transact<D: Decider>(
        &self,
        stream: &StreamName,
        command: &D::Command,
        context: &Context,
    ) -> Result<Outcome, TransactError<D::Rejection>> {
        self.decide_and_append::<D>(stream, command, context).await
    }

    /// As [`transact`](Self::transact), for a stream that nobody is likely to have written: the
    /// stream is read only if there is something in it, or the command is rejected.
    ///
    /// # Errors
    /// As [`transact`](Self::transact).
    pub async fn transact_new<D: Decider>(
        &self,
        stream: &StreamName,
        command: &D::Command,
        context: &Context,
    ) -> Result<Outcome, TransactError<D::Rejection>> {
        self.decide_and_append_new::<D>(stream, command, context).await
    }

    /// Whether this process has followed the log to where it was less than a second ago: part of
    /// being ready. While it has not, [`state`](Self::state) reads streams.
    pub async fn is_current(&self) -> bool {
        self.inner.follower.is_fresh().await
    }

    /// Where the last event stands, not counting those of the store itself; `START` if there is
    /// none.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn head(&self) -> Result<Position, LogError> {
        Ok(self.store().head().await?)
    }

    /// Up to `max` events after a position (`START`: from the first one), in the order of the log,
    /// without those of the store itself. Empty only at the end of the log.
    ///
    /// # Errors
    /// If the store is away, or there is no event at the position.
    pub async fn read_all(&self, after: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        Ok(self.store().read_all(after, max).await?)
    }

    /// The events of one stream, from a revision on; none if there is no such stream.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
    ) -> Result<Vec<Recorded>, LogError> {
        Ok(self.store().read_stream(stream, from).await?)
    }

    /// Every event after a position, those to come included, in the order of the log, without
    /// those of the store itself. Goes on by itself when the store was away; an error is the last
    /// item, and means that waiting would not help.
    pub fn subscribe_all(
        &self,
        after: Position,
    ) -> impl Stream<Item = Result<Recorded, LogError>> + Send + 'static + use<> {
        subscribe::subscribe_all(self.store().clone(), after)
    }

    /// What a recorded event says, its personal data open or erased.
    ///
    /// # Errors
    /// If it is ours and cannot be read, or the keys cannot be fetched.
    pub async fn open(&self, recorded: &Recorded) -> Result<Opened, OpenError> {
        open::open(self.vault(), recorded).await
    }

    /// What a recorded event says, its personal data still sealed: needs no keys.
    ///
    /// # Errors
    /// If it is ours and cannot be read.
    pub fn open_sealed(&self, recorded: &Recorded) -> Result<Opened, OpenError> {
        open::open_sealed(recorded)
    }

    /// The keys of persons.
    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// The keys of the deployment.
    pub fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn states(&self) -> &States {
        &self.inner.states
    }
}
