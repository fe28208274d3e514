//! A checkpoint: what a segment of the log came to, signed, and the text that is signed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, SecondsFormat};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use event_log::Stored;
use events::{Moment, Position};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::leaf::{Digest, Leaf};
use super::tree;

/// The type of the events that hold checkpoints.
pub const EVENT_TYPE: &str = "notary.checkpoint";
/// The first line of what is signed.
const FORMAT: &str = "roundtable-checkpoint/1";
/// Bytes of a witness.
const WITNESS: usize = 16;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its place among the checkpoints of its key, from 0.
    pub number: u64,
    /// How many events its segment has.
    pub events: u64,
    /// How many events this segment and those before it have.
    pub total: u64,
    /// Where the first event of the segment stands.
    pub first: Position,
    /// Where the last event of the segment stands.
    pub last: Position,
    /// The root of the Merkle tree over the segment.
    pub root: Digest,
    /// The head of the hash chain over all events up to the last one.
    pub chain: Digest,
    /// SHA-256 of the witnesses.
    pub witnesses: Digest,
    /// [`hash`](Signed::hash) of the checkpoint before, zeros for the first.
    pub previous: Digest,
    /// When it was signed, by the clock of the notary.
    pub time: Moment,
    /// Which key signed it: [`key_id`].
    pub key: String,
}

/// Helps to find what does not fit: where an event stands, and the beginning of its content's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The commit position.
    pub position: u64,
    /// The first 8 bytes of the digest.
    pub content: [u8; 8],
}

impl Witness {
    /// Of an event.
    pub fn of(position: Position, leaf: &Leaf) -> Self {
        let content = *leaf.content.first_chunk().expect("a digest is longer");
        Self { position: position.commit, content }
    }
}

/// The witnesses of a segment as bytes.
pub fn to_bytes(witnesses: &[Witness]) -> Vec<u8> {
    let bytes = |witness: &Witness| {
        let mut bytes = [0; WITNESS];
        bytes[..8].copy_from_slice(&witness.position.to_be_bytes());
        bytes[8..].copy_from_slice(&witness.content);
        bytes
    };
    witnesses.iter().flat_map(bytes).collect()
}

fn from_bytes(bytes: &[u8]) -> Option<Vec<Witness>> {
    let (witnesses, rest) = bytes.as_chunks::<WITNESS>();
    let witness = |bytes: &[u8; WITNESS]| {
        let (position, content) = bytes.split_at(8);
        Witness {
            position: u64::from_be_bytes(position.try_into().expect("these are 8")),
            content: content.try_into().expect("these are 8"),
        }
    };
    rest.is_empty().then(|| witnesses.iter().map(witness).collect())
}

/// A short name of a public key: the first 16 hexadecimal digits of its SHA-256.
pub fn key_id(key: &VerifyingKey) -> String {
    hex::encode(&Sha256::digest(key.as_bytes())[..8])
}

impl Checkpoint {
    /// The checkpoint of a segment that follows `before`.
    pub(super) fn after(
        before: Option<&Signed>,
        segment: &[(Position, Leaf)],
        witnesses: &[u8],
        time: Moment,
        key: &VerifyingKey,
    ) -> Self {
        let (first, last) = (&segment[0], &segment[segment.len() - 1]);
        let events = segment.len() as u64;
        let start = before.map_or([0; 32], |before| before.checkpoint.chain);
        Self {
            number: before.map_or(0, |before| before.checkpoint.number + 1),
            events,
            total: before.map_or(0, |before| before.checkpoint.total) + events,
            first: first.0,
            last: last.0,
            root: tree::root(segment.iter().map(|(_, leaf)| leaf.digest).collect()),
            chain: segment.iter().fold(start, |head, (_, leaf)| tree::link(&head, &leaf.digest)),
            witnesses: Sha256::digest(witnesses).into(),
            previous: before.map_or([0; 32], |before| before.hash),
            time,
            key: key_id(key),
        }
    }

    /// What is signed: one form, to the byte.
    pub fn text(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name}: {value}").expect("text grows");
        };
        line("number", &self.number);
        line("events", &self.events);
        line("total", &self.total);
        line("first", &self.first);
        line("last", &self.last);
        line("root", &hex::encode(self.root));
        line("chain", &hex::encode(self.chain));
        line("witnesses", &hex::encode(self.witnesses));
        line("previous", &hex::encode(self.previous));
        line("time", &self.time.to_rfc3339_opts(SecondsFormat::Micros, true));
        line("key", &self.key);
        text
    }

    /// Reads what [`text`](Self::text) wrote, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(FORMAT)?.strip_prefix('\n')?.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        let read = Self {
            number: value("number")?.parse().ok()?,
            events: value("events")?.parse().ok()?,
            total: value("total")?.parse().ok()?,
            first: value("first")?.parse().ok()?,
            last: value("last")?.parse().ok()?,
            root: digest(value("root")?)?,
            chain: digest(value("chain")?)?,
            witnesses: digest(value("witnesses")?)?,
            previous: digest(value("previous")?)?,
            time: DateTime::parse_from_rfc3339(value("time")?).ok()?.to_utc(),
            key: value("key")?.to_owned(),
        };
        (read.text() == text).then_some(read)
    }
}

/// A digest as text.
pub fn digest(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok()?;
    Some(digest)
}

/// The data of an event that holds a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    checkpoint: String,
    signature: String,
    witnesses: String,
}

/// A checkpoint with its signature.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// SHA-256 of its text.
    pub hash: Digest,
    /// The witnesses of its events; `None` if they are not those it was signed with.
    pub witnesses: Option<Vec<Witness>>,
    text: String,
    signature: Signature,
    encoded_witnesses: String,
}

impl Signed {
    /// Signs a segment.
    pub(super) fn sign(
        before: Option<&Self>,
        segment: &[(Position, Leaf)],
        time: Moment,
        key: &SigningKey,
    ) -> Self {
        let witnesses: Vec<_> =
            segment.iter().map(|(position, leaf)| Witness::of(*position, leaf)).collect();
        let bytes = to_bytes(&witnesses);
        let public = key.verifying_key();
        let checkpoint = Checkpoint::after(before, segment, &bytes, time, &public);
        let text = checkpoint.text();
        Self {
            hash: Sha256::digest(&text).into(),
            signature: key.sign(text.as_bytes()),
            checkpoint,
            witnesses: Some(witnesses),
            text,
            encoded_witnesses: BASE64_STANDARD.encode(bytes),
        }
    }

    /// The checkpoint that an event holds. Its signature is still to be looked at.
    ///
    /// # Errors
    /// What is wrong, when it holds none.
    pub fn read(event: &Stored) -> Result<Self, &'static str> {
        let json = event.content_type == "application/json";
        if event.event_type != EVENT_TYPE || !json || !event.metadata.is_empty() {
            return Err("it is no checkpoint");
        }
        let data: Data =
            serde_json::from_slice(&event.data).map_err(|_| "it holds no checkpoint")?;
        let checkpoint = Checkpoint::parse(&data.checkpoint).ok_or("its text is not as written")?;
        let signature = BASE64_STANDARD.decode(&data.signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        let bytes = BASE64_STANDARD.decode(&data.witnesses).unwrap_or_default();
        let signed = <Digest>::from(Sha256::digest(&bytes)) == checkpoint.witnesses;
        let witnesses = from_bytes(&bytes)
            .filter(|known| signed && known.len() as u64 == checkpoint.events && !known.is_empty());
        let read = Self {
            hash: Sha256::digest(&data.checkpoint).into(),
            checkpoint,
            witnesses,
            signature: signature.ok_or("its signature is none")?,
            text: data.checkpoint,
            encoded_witnesses: data.witnesses,
        };
        match read.id() == event.id {
            true => Ok(read),
            false => Err("its id is not that of its text"),
        }
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verify_strict(self.text.as_bytes(), &self.signature).is_ok()
    }

    /// The id of its event, which follows from its text.
    pub fn id(&self) -> Uuid {
        Builder::from_custom_bytes(*self.hash.first_chunk().expect("a digest is longer"))
            .into_uuid()
    }

    pub(super) fn data(&self) -> Data {
        Data {
            checkpoint: self.text.clone(),
            signature: BASE64_STANDARD.encode(self.signature.to_bytes()),
            witnesses: self.encoded_witnesses.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            number: 3,
            events: 2,
            total: 9,
            first: Position::at(100),
            last: Position { commit: 200, prepare: 190 },
            root: [1; 32],
            chain: [2; 32],
            witnesses: [3; 32],
            previous: [4; 32],
            time: Moment::from_timestamp(1_700_000_000, 5000).unwrap(),
            key: "0123456789abcdef".to_owned(),
        }
    }

    #[test]
    fn the_text_has_one_form() {
        let text = checkpoint().text();
        assert_eq!(Checkpoint::parse(&text), Some(checkpoint()));
        assert_eq!(text.lines().next(), Some("roundtable-checkpoint/1"));
        assert!(text.contains("\nlast: 200/190\n") && text.ends_with("key: 0123456789abcdef\n"));
        assert!(text.contains("\ntime: 2023-11-14T22:13:20.000005Z\n"), "{text}");
        for other in [
            text.replace("number: 3", "number: 03"),
            text.replace("number: 3", "number:  3"),
            text.replace("first: 100", "first: 100/100"),
            text.replace("root: 01", "root: 0A"),
            text.replace("Z\n", "+00:00\n"),
            text.replace('\n', "\r\n"),
            format!("{text}more: 1\n"),
            text.trim_end().to_owned(),
            text.replace("/1\n", "/2\n"),
        ] {
            assert_eq!(Checkpoint::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn witnesses_come_back() {
        let witnesses = vec![
            Witness { position: 1, content: [7; 8] },
            Witness { position: u64::MAX, content: [0; 8] },
        ];
        assert_eq!(from_bytes(&to_bytes(&witnesses)), Some(witnesses));
        assert_eq!(from_bytes(&[0; 15]), None);
    }
}
