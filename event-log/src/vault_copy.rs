//! The key vault as a copy outside of Postgres: for backups.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use events::Moment;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use thiserror::Error;
use uuid::Uuid;

use crate::Secrets;
use crate::vault::{decrypt, make_schema};

/// Rows that are inserted at once.
const ROWS: usize = 4096;

/// The key of one person as the vault has it: wrapped by the master key, or destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyCopy {
    subject: Uuid,
    /// In base64; none once the key is destroyed.
    wrapped: Option<String>,
    created_at: Moment,
    destroyed_at: Option<Moment>,
}

/// Why a copy is not put into a vault.
#[derive(Debug, Error)]
pub enum VaultCopyError {
    /// Keys that are there are never replaced.
    #[error("the key vault of this database holds keys already")]
    NotEmpty,
    /// They could not be used.
    #[error("the key of {0} cannot be unwrapped: the master key is another one")]
    OtherMaster(Uuid),
    /// Postgres is away, or refuses.
    #[error("PostgreSQL does not answer as it should")]
    Postgres(#[from] sqlx::Error),
}

/// All keys as they are at one moment, wrapped as they are there.
///
/// # Errors
/// When Postgres is away, or has no vault.
pub async fn copy_vault(postgres: &PgPool) -> sqlx::Result<Vec<KeyCopy>> {
    type Row = (Uuid, Option<Vec<u8>>, Moment, Option<Moment>);
    let rows: Vec<Row> = sqlx::query_as(
        "select subject, wrapped, created_at, destroyed_at from vault.person_key order by subject",
    )
    .fetch_all(postgres)
    .await?;
    let copy = |(subject, wrapped, created_at, destroyed_at): Row| KeyCopy {
        subject,
        wrapped: wrapped.map(|wrapped| BASE64_STANDARD.encode(wrapped)),
        created_at,
        destroyed_at,
    };
    Ok(rows.into_iter().map(copy).collect())
}

/// Whether a restore that was interrupted has put this copy into the vault. Keys may have been destroyed
/// since, even of people who are not in the copy.
fn is_copy(
    there: &HashMap<Uuid, Option<Vec<u8>>>,
    keys: &[KeyCopy],
    wrapped: &[Option<Vec<u8>>],
) -> bool {
    let ours: HashSet<Uuid> = keys.iter().map(|key| key.subject).collect();
    let mut copies = keys.iter().zip(wrapped);
    copies.all(|(key, bytes)| {
        there.get(&key.subject).is_some_and(|there| there.is_none() || there == bytes)
    }) && there.iter().all(|(subject, key)| key.is_none() || ours.contains(subject))
}

/// Puts a copy into an empty vault, as a whole or not at all; one that is there already stays. What was erased since the copy was
/// made is destroyed again by whoever connects to the log first, before any key is used.
///
/// # Errors
/// When the vault is not empty, a key was wrapped by another master key, or Postgres is away.
pub async fn restore_vault(
    postgres: &PgPool,
    secrets: &Secrets,
    keys: &[KeyCopy],
) -> Result<(), VaultCopyError> {
    let master = XChaCha20Poly1305::new((&secrets.master).into());
    let mut wrapped = Vec::with_capacity(keys.len());
    for key in keys {
        let bytes = key.wrapped.as_ref().map(|text| BASE64_STANDARD.decode(text));
        let bytes = bytes.transpose().ok().flatten();
        let opens = |bytes: &Vec<u8>| decrypt(&master, key.subject.as_bytes(), bytes).is_some();
        if bytes.is_none() != key.wrapped.is_none() || !bytes.as_ref().is_none_or(opens) {
            return Err(VaultCopyError::OtherMaster(key.subject));
        }
        wrapped.push(bytes);
    }
    make_schema(postgres).await?;
    let mut transaction = postgres.begin().await?;
    sqlx::query("lock table vault.person_key").execute(&mut *transaction).await?;
    let there: HashMap<Uuid, Option<Vec<u8>>> =
        sqlx::query_as("select subject, wrapped from vault.person_key")
            .fetch_all(&mut *transaction)
            .await?
            .into_iter()
            .collect();
    if !there.is_empty() && !is_copy(&there, keys, &wrapped) {
        return Err(VaultCopyError::NotEmpty);
    }
    let left = if there.is_empty() { keys } else { &[] };
    for (keys, wrapped) in left.chunks(ROWS).zip(wrapped.chunks(ROWS)) {
        sqlx::query(
            "insert into vault.person_key (subject, wrapped, created_at, destroyed_at)
             select * from unnest($1::uuid[], $2::bytea[], $3::timestamptz[], $4::timestamptz[])",
        )
        .bind(keys.iter().map(|key| key.subject).collect::<Vec<_>>())
        .bind(wrapped)
        .bind(keys.iter().map(|key| key.created_at).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.destroyed_at).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    // A log of another time may stand behind this vault: all its erasures count again.
    sqlx::query("delete from vault.erasures_applied").execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
