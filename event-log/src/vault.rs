//! The keys of persons: one data key each, in Postgres, wrapped by the master key.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use events::{Position, UserId};
use moka::sync::Cache;
use sqlx::PgPool;
use tokio::sync::OnceCell;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Unavailable;

/// How long a key is used without looking whether it was destroyed meanwhile by another process.
const TIME_TO_LIVE: Duration = Duration::from_secs(15 * 60);
/// About 200 bytes each.
const MAX_CACHED: u64 = 200_000;
/// Longer than a healthy Postgres takes, shorter than a client waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often a Postgres that was away is asked again.
const PROBE_EVERY: Duration = Duration::from_millis(250);

pub(crate) const NONCE: usize = 24;

/// The keys of persons. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    postgres: PgPool,
    master: Arc<XChaCha20Poly1305>,
    cached: Cache<UserId, Key>,
    prepared: Arc<OnceCell<()>>,
    away: Arc<AtomicBool>,
    /// Whether it knows every erasure of the log.
    settled: Arc<AtomicBool>,
}

/// A key, or that there is none any more.
#[derive(Clone)]
pub(crate) enum Key {
    Usable(Arc<XChaCha20Poly1305>),
    Destroyed,
}

impl Vault {
    pub(crate) fn new(postgres: PgPool, master: &[u8; 32]) -> Self {
        Self {
            postgres,
            master: Arc::new(XChaCha20Poly1305::new(master.into())),
            cached: Cache::builder().max_capacity(MAX_CACHED).time_to_live(TIME_TO_LIVE).build(),
            prepared: Arc::default(),
            away: Arc::default(),
            settled: Arc::default(),
        }
    }

    /// Whether it hands out no keys now: Postgres did not answer the last time and has not since, or
    /// the erasures of the log are not applied yet.
    pub fn is_away(&self) -> bool {
        self.does_not_answer() || self.must_be_settled().is_err()
    }

    fn does_not_answer(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Destroys a person's key: everything that was sealed with it is gone, in the log, in every
    /// backup and copy of it. Other processes forget the key within 15 minutes, or when they are
    /// told by the log.
    ///
    /// # Errors
    /// When Postgres is away; nothing is destroyed then.
    pub async fn destroy(&self, subject: UserId) -> Result<(), Unavailable> {
        self.ask(async {
            // A person without a key gets a destroyed one, so that none is made later.
            sqlx::query(
                "insert into vault.person_key (subject, wrapped, destroyed_at)
                 values ($1, null, now())
                 on conflict (subject) do update set wrapped = null, destroyed_at = now()
                 where vault.person_key.destroyed_at is null",
            )
            .bind(subject.uuid())
            .execute(&self.postgres)
            .await
        })
        .await?;
        self.cached.insert(subject, Key::Destroyed);
        Ok(())
    }

    /// Uses the key of a person no more, who is erased as the log says; whoever destroys it may
    /// not have come to that yet.
    pub(crate) fn bury(&self, subject: UserId) {
        self.cached.insert(subject, Key::Destroyed);
    }

    /// Up to where the erasures of the log are applied.
    pub(crate) async fn settled_to(&self) -> Result<Position, Unavailable> {
        let query = sqlx::query_scalar("select position from vault.erasures_applied");
        let bytes: Option<Vec<u8>> = self.ask(query.fetch_optional(&self.postgres)).await?;
        Ok(bytes.and_then(|bytes| Position::from_bytes(&bytes)).unwrap_or(Position::START))
    }

    /// Says that all erasures up to there are applied.
    pub(crate) async fn settle_to(&self, position: Position) -> Result<(), Unavailable> {
        self.ask(
            sqlx::query(
                "insert into vault.erasures_applied (position) values ($1)
                 on conflict (one) do update set position = $1",
            )
            .bind(position.to_bytes())
            .execute(&self.postgres),
        )
        .await?;
        Ok(())
    }

    /// Keys may be used from now on.
    pub(crate) fn open_for_all(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Whether its connections are closed for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.postgres.is_closed()
    }

    fn must_be_settled(&self) -> Result<(), Unavailable> {
        match self.settled.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Unavailable::vault("the erasures of the log are not applied yet")),
        }
    }

    /// Makes the schema, where it is missing.
    pub(crate) async fn prepare(&self) -> Result<(), Unavailable> {
        self.ask(async { Ok(()) }).await
    }

    /// The key to seal with, made if the person has none.
    pub(crate) async fn to_seal(&self, subject: UserId) -> Result<Key, Unavailable> {
        if let Some(key) = self.cached.get(&subject) {
            return Ok(key);
        }
        let key = match self.fetch(subject).await? {
            Some(key) => key,
            None => self.create(subject).await?,
        };
        // Whoever was buried meanwhile stays so.
        Ok(self.cached.entry(subject).or_insert(key).into_value())
    }

    /// The key to open with. A person without a key has nothing that could be opened.
    pub(crate) async fn to_open(&self, subject: UserId) -> Result<Key, Unavailable> {
        if let Some(key) = self.cached.get(&subject) {
            return Ok(key);
        }
        let Some(key) = self.fetch(subject).await? else {
            // A key is durable before anything sealed with it is: this vault is older than the log.
            tracing::error!(user.id = %subject, "the vault has no key for what is in the log");
            return Ok(Key::Destroyed);
        };
        // Whoever was buried meanwhile stays so.
        Ok(self.cached.entry(subject).or_insert(key).into_value())
    }

    async fn fetch(&self, subject: UserId) -> Result<Option<Key>, Unavailable> {
        self.must_be_settled()?;
        let row: Option<(Option<Vec<u8>>,)> = self
            .ask(
                sqlx::query_as("select wrapped from vault.person_key where subject = $1")
                    .bind(subject.uuid())
                    .fetch_optional(&self.postgres),
            )
            .await?;
        match row {
            None => Ok(None),
            Some((None,)) => Ok(Some(Key::Destroyed)),
            Some((Some(wrapped),)) => self.unwrap_key(subject.uuid(), &wrapped).map(Some),
        }
    }

    async fn create(&self, subject: UserId) -> Result<Key, Unavailable> {
        let data_key = Zeroizing::new(rand::random::<[u8; 32]>());
        let wrapped = encrypt(&self.master, subject.uuid().as_bytes(), data_key.as_slice());
        self.ask(
            sqlx::query(
                "insert into vault.person_key (subject, wrapped) values ($1, $2)
                 on conflict (subject) do nothing",
            )
            .bind(subject.uuid())
            .bind(wrapped)
            .execute(&self.postgres),
        )
        .await?;
        // Another process may have been first: the row decides.
        let row = self.fetch(subject).await?;
        row.ok_or_else(|| Unavailable::vault("a key that was just made is gone"))
    }

    fn unwrap_key(&self, subject: Uuid, wrapped: &[u8]) -> Result<Key, Unavailable> {
        let data_key = decrypt(&self.master, subject.as_bytes(), wrapped).map(Zeroizing::new);
        let data_key = data_key.filter(|key| key.len() == 32).ok_or_else(|| {
            Unavailable::vault("a key cannot be unwrapped: the master key is another one")
        })?;
        Ok(Key::Usable(Arc::new(XChaCha20Poly1305::new(data_key.as_slice().into()))))
    }

    /// Asks Postgres, but not while it is known to be away: a queue of callers that each wait for
    /// a timeout would stop the relay.
    async fn ask<T>(
        &self,
        question: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> Result<T, Unavailable> {
        if self.does_not_answer() {
            return Err(Unavailable::vault("Postgres did not answer a moment ago"));
        }
        let answer = async {
            self.prepared.get_or_try_init(|| make_schema(&self.postgres)).await?;
            question.await
        };
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.went_away(error)),
            Err(elapsed) => Err(self.went_away(elapsed)),
        }
    }

    fn went_away(&self, error: impl std::error::Error) -> Unavailable {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the key vault does not answer");
            let (away, postgres) = (self.away.clone(), self.postgres.clone());
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(PROBE_EVERY).await;
                    let probe = sqlx::query("select 1").execute(&postgres);
                    if matches!(tokio::time::timeout(ANSWER_WITHIN, probe).await, Ok(Ok(_))) {
                        break;
                    }
                    if postgres.is_closed() {
                        return;
                    }
                }
                away.store(false, Ordering::Relaxed);
                tracing::info!("the key vault answers again");
            });
        }
        Unavailable::vault(error)
    }
}

/// Several statements in one simple query are one transaction.
pub(crate) async fn make_schema(postgres: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(include_str!("vault.sql")).execute(postgres).await?;
    Ok(())
}

/// A random nonce and the ciphertext (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha-03).
pub(crate) fn encrypt(key: &XChaCha20Poly1305, bound_to: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce = rand::random::<[u8; NONCE]>();
    let sealed = key
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: bound_to })
        .expect("an event is far shorter than the cipher's limit");
    [nonce.as_slice(), &sealed].concat()
}

/// What [`encrypt`] sealed, unless it was changed or bound to something else.
pub(crate) fn decrypt(key: &XChaCha20Poly1305, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    key.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: bound_to }).ok()
}
