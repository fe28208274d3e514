//! The erasures of the log, applied to the vault before any of its keys is used.
//!
//! A vault that was restored from a backup may hold keys that were destroyed since. The log knows:
//! whoever connects first applies what the vault has not seen, and only then are keys handed out.

use std::collections::BTreeSet;
use std::time::Duration;

use events::{Position, UserId};
use serde::Deserialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::connect::{Store, is_away};
use crate::{Unavailable, Vault};

/// The stored name of the event that says that somebody was erased.
const ERASED: &str = "user.erased";
/// Events that are read at once.
const PAGE: usize = 4096;
/// How often it is tried while a server is away.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Whom {
    user: UserId,
}

/// Who is erased by an event of this type with this data.
pub(crate) fn erased_by(event_type: &str, data: &[u8]) -> Option<UserId> {
    if event_type != ERASED {
        return None;
    }
    serde_json::from_slice::<Whom>(data).ok().map(|whom| whom.user)
}

/// Lets the vault serve once it knows every erasure; later, while a server is away.
pub(crate) async fn settle(store: Store, vault: Vault) {
    match apply(&store, &vault).await {
        Ok(()) => vault.open_for_all(),
        Err(error) => {
            tracing::warn!(%error, "the keys of people wait for the erasures of the log");
            tokio::spawn(async move {
                while let Err(error) = apply(&store, &vault).await {
                    tracing::debug!(%error, "the erasures of the log are not applied yet");
                    tokio::time::sleep(RETRY).await;
                    if vault.is_closed() {
                        return;
                    }
                }
                vault.open_for_all();
            });
        }
    }
}

/// Everybody who is erased.
///
/// # Errors
/// When Postgres is away, or has no vault.
pub async fn erased(postgres: &PgPool) -> sqlx::Result<BTreeSet<UserId>> {
    let subjects: Vec<Uuid> =
        sqlx::query_scalar("select subject from vault.person_key where destroyed_at is not null")
            .fetch_all(postgres)
            .await?;
    Ok(subjects.into_iter().map(UserId::new).collect())
}

#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Vault(#[from] Unavailable),
    #[error(transparent)]
    Store(#[from] eventstore::Error),
}

async fn apply(store: &Store, vault: &Vault) -> Result<(), ApplyError> {
    let begun = vault.settled_to().await?;
    let end = match apply_after(store, vault, begun).await? {
        Some(end) => end,
        // The log was restored from a backup that is older than the vault.
        None => apply_after(store, vault, Position::START).await?.unwrap_or(Position::START),
    };
    if end != begun {
        vault.settle_to(end).await?;
    }
    Ok(())
}

/// Answers with the end of the log, or with nothing if no event stands where it should begin.
async fn apply_after(
    store: &Store,
    vault: &Vault,
    begin: Position,
) -> Result<Option<Position>, ApplyError> {
    let mut after = begin;
    loop {
        let (erased, ends) = match store.erasures(after, PAGE).await {
            Err(error) if begin != Position::START && !is_away(&error) => return Ok(None),
            page => page?,
        };
        match ends {
            Some((first, _)) if after != Position::START && first != after => return Ok(None),
            None if after != Position::START => return Ok(None),
            Some((_, last)) if last > after => after = last,
            Some(_) | None => return Ok(Some(after)),
        }
        for user in erased {
            vault.destroy(user).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use events::{Event, UserEvent};

    use super::*;

    #[test]
    fn an_erasure_is_known_by_its_type_and_names_one_person() {
        let ada = UserId::new(Uuid::from_u128(0xada));
        let event = UserEvent::Erased { user: ada, by: ada, conversations: vec![], names: vec![] };
        let data = event.to_data().to_string();
        assert_eq!(erased_by(event.event_type(), data.as_bytes()), Some(ada));
        assert_eq!(erased_by("user.onboarded", data.as_bytes()), None);
        assert_eq!(erased_by(ERASED, b"{}"), None);
    }
}
