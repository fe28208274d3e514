//! Sealing and opening of personal data in the JSON of events, whatever events they are.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use events::{EventId, UserId};
use serde_json::{Value, json};

use crate::vault::{Key, decrypt, encrypt};
use crate::{Unavailable, Vault};

/// Why data could not be sealed.
pub(crate) enum SealError {
    Unavailable(Unavailable),
    Erased,
}

/// Why data could not be opened.
pub(crate) enum Sealed {
    /// The keys cannot be fetched.
    VaultAway(Unavailable),
    /// The ciphertext is not what was sealed for this event.
    Broken(&'static str),
}

/// Replaces every `{"$personal": {"subject", "value"}}` by `{"$sealed": {"subject", "data"}}`.
pub(crate) async fn seal(vault: &Vault, id: EventId, data: &mut Value) -> Result<(), SealError> {
    let mut keys = BTreeMap::new();
    for subject in subjects(data, PERSONAL).ok_or(SealError::Erased)? {
        match vault.to_seal(subject).await.map_err(SealError::Unavailable)? {
            Key::Usable(key) => keys.insert(subject, key),
            Key::Destroyed => return Err(SealError::Erased),
        };
    }
    each_marked(data, PERSONAL, &mut |subject, inner| {
        let plain = inner["value"].to_string();
        let sealed = encrypt(&keys[&subject], id.uuid().as_bytes(), plain.as_bytes());
        let data = STANDARD_NO_PAD.encode(sealed);
        Ok(json!({ SEALED: { "subject": subject, "data": data } }))
    })
    .unwrap_or_else(|_: &str| unreachable!("sealing cannot fail once the keys are there"));
    Ok(())
}

/// Replaces every `{"$sealed": ..}` by `{"$personal": ..}`, or by `{"$erased": {"subject"}}` if the
/// key was destroyed. The data is unchanged if the vault is away.
pub(crate) async fn open(vault: &Vault, id: EventId, data: &mut Value) -> Result<(), Sealed> {
    let mut keys = BTreeMap::new();
    for subject in subjects(data, SEALED).ok_or(Sealed::Broken(NO_SUBJECT))? {
        keys.insert(subject, vault.to_open(subject).await.map_err(Sealed::VaultAway)?);
    }
    each_marked(data, SEALED, &mut |subject, inner| {
        let Key::Usable(key) = &keys[&subject] else {
            return Ok(json!({ "$erased": { "subject": subject } }));
        };
        let sealed = inner["data"].as_str().and_then(|text| STANDARD_NO_PAD.decode(text).ok());
        let value: Option<Value> = sealed
            .and_then(|sealed| decrypt(key, id.uuid().as_bytes(), &sealed))
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        let value = value.ok_or("its sealed data was changed, or belongs to another event")?;
        Ok(json!({ PERSONAL: { "subject": subject, "value": value } }))
    })
    .map_err(Sealed::Broken)
}

const PERSONAL: &str = "$personal";
const SEALED: &str = "$sealed";
const NO_SUBJECT: &str = "its personal data has no subject";

/// The subjects of everything marked, in order; `None` if one is missing.
fn subjects(data: &mut Value, mark: &str) -> Option<Vec<UserId>> {
    let mut found = Vec::new();
    each_marked(data, mark, &mut |subject, inner| {
        if !found.contains(&subject) {
            found.push(subject);
        }
        Ok(json!({ mark: inner }))
    })
    .ok()?;
    Some(found)
}

/// Replaces every object whose only key is the mark.
fn each_marked(
    value: &mut Value,
    mark: &str,
    replace: &mut impl FnMut(UserId, Value) -> Result<Value, &'static str>,
) -> Result<(), &'static str> {
    match value {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key(mark) => {
            let inner = fields[mark].take();
            let subject = inner["subject"].as_str().and_then(|text| text.parse().ok());
            *value = replace(subject.ok_or(NO_SUBJECT)?, inner)?;
            Ok(())
        }
        Value::Object(fields) => {
            fields.values_mut().try_for_each(|field| each_marked(field, mark, replace))
        }
        Value::Array(items) => items.iter_mut().try_for_each(|it| each_marked(it, mark, replace)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
