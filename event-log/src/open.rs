//! From what lies in the log to events of the domain.

use events::{Category, DomainEvent, Envelope, Metadata};
use serde_json::Value;

use crate::codec::{self, Sealed};
use crate::erasures;
use crate::{OpenError, Recorded, Vault};

/// What a recorded event is.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are ours")]
pub enum Opened {
    /// One of ours.
    Ours(Envelope<DomainEvent>),
    /// Somebody else's: everyone skips it, and positions advance over it.
    Foreign,
}

pub(crate) async fn open(vault: &Vault, recorded: &Recorded) -> Result<Opened, OpenError> {
    let Some((category, metadata)) = recorded.ours() else { return Ok(Opened::Foreign) };
    // Whoever reads in the order of the log opens nothing of an erased person after their erasure,
    // even while the vault still has their key.
    if let Some(user) = erasures::erased_by(&recorded.event_type, recorded.data.get().as_bytes()) {
        vault.bury(user);
    }
    let data = open_data(vault, recorded).await?;
    decode(recorded, category, metadata, data)
}

pub(crate) fn open_sealed(recorded: &Recorded) -> Result<Opened, OpenError> {
    let Some((category, metadata)) = recorded.ours() else { return Ok(Opened::Foreign) };
    decode(recorded, category, metadata, parse(recorded)?)
}

/// The data with its personal data open, or erased.
pub(crate) async fn open_data(vault: &Vault, recorded: &Recorded) -> Result<Value, OpenError> {
    let mut data = parse(recorded)?;
    if has_sealed(recorded) {
        codec::open(vault, recorded.id, &mut data).await.map_err(|sealed| match sealed {
            Sealed::VaultAway(away) => OpenError::VaultUnavailable(away),
            Sealed::Broken(reason) => OpenError::Poison(reason.to_owned()),
        })?;
    }
    Ok(data)
}

/// The data as it lies there.
pub(crate) fn parse(recorded: &Recorded) -> Result<Value, OpenError> {
    serde_json::from_str(recorded.data.get()).map_err(|error| OpenError::Poison(error.to_string()))
}

/// Spares the walk through data that cannot have anything sealed in it.
fn has_sealed(recorded: &Recorded) -> bool {
    recorded.data.get().contains("\"$sealed\"")
}

fn decode(
    recorded: &Recorded,
    category: Category,
    metadata: Metadata,
    data: Value,
) -> Result<Opened, OpenError> {
    let version = metadata.schema_version;
    let event = DomainEvent::from_data(category, &recorded.event_type, version, data)
        .map_err(|error| OpenError::Poison(error.to_string()))?;
    Ok(Opened::Ours(recorded.envelope(metadata, event)))
}
