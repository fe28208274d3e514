//! Receipts are written behind: a cursor goes into a buffer in Redis, where a newer one takes its
//! place, and every few seconds one node takes the buffer and appends what is in it.
//!
//! - **Nothing is lost.** The buffer is taken by renaming it, in one script, to a claim with a lease.
//!   An entry leaves the claim after it was appended; a claim whose node died is adopted by another.
//! - **Nothing is doubled.** The decider of a receipt appends a cursor only if it is further than the
//!   last one, so a claim that is worked on twice changes nothing.
//! - **Nobody reads a stale count of their own.** How far a person has read is also kept beside the
//!   buffer, where `query-api` looks.
//! - **Without Redis** a receipt is appended at once.

mod flush;

use std::sync::Arc;
use std::time::Duration;

use domain::receipt::Kind;
use event_log::EventLog;
use events::{ConversationId, LoginId, MessageId, Position, UserId};
use redis::Script;
use service::Redis;
use service::redis::Away;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use flush::append;

/// The cursors that wait to be appended, by person, conversation and kind.
const BUFFER: &str = "{receipts}:buffer";
/// The claims, by the end of their lease.
const CLAIMS: &str = "{receipts}:claims";
/// When the buffer was last taken.
const TAKEN: &str = "{receipts}:taken";

/// How long a person's own cursors are kept: longer than any flush may be late.
const OWN_SECONDS: u64 = 86_400;

/// A cursor of somebody in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Who.
    pub(crate) user: UserId,
    /// Where.
    pub(crate) conversation: ConversationId,
    /// Received, or read.
    pub(crate) kind: Kind,
    /// The newest message that was received or read.
    pub(crate) message: MessageId,
    /// The position of that message.
    pub(crate) upto: Position,
    /// The revision of the conversation by which the person is in it.
    pub(crate) decided_on: Option<u64>,
    /// The request that moved it there: what its event is told to follow from.
    pub(crate) request: Uuid,
    /// The API token that it came with, where it was one.
    pub(crate) token: Option<LoginId>,
}

/// The buffer of one deployment, as one process sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receipts {
    redis: Redis,
    scripts: Arc<Scripts>,
}

struct Scripts {
    put: Script,
    claim: Script,
    settle: Script,
}

impl Receipts {
    /// The buffer.
    pub(crate) fn new(redis: Redis) -> Self {
        let scripts = Scripts {
            put: Script::new(include_str!("put.lua")),
            claim: Script::new(include_str!("claim.lua")),
            settle: Script::new(include_str!("settle.lua")),
        };
        Self { redis, scripts: Arc::new(scripts) }
    }

    /// Flushes every `period`, until the shutdown and once more after it.
    pub(crate) fn follow(
        &self,
        log: EventLog,
        period: Duration,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) {
        tasks.spawn(flush::run(self.clone(), log, period, shutdown));
    }

    /// Puts a cursor into the buffer. Says whether it is new: one that is as far may be there.
    ///
    /// # Errors
    /// [`Away`]: then it has to be appended at once.
    pub(crate) async fn put(&self, cursor: &Cursor) -> Result<bool, Away> {
        let mut call = self.scripts.put.key(self.redis.key(BUFFER));
        call.key(self.redis.key(&own(cursor.user)))
            .arg(cursor.field())
            .arg(cursor.value())
            .arg(match cursor.kind {
                Kind::Read => cursor.conversation.to_string(),
                Kind::Delivered => String::new(),
            })
            .arg(OWN_SECONDS);
        self.redis.ask(|mut redis| async move { call.invoke_async(&mut redis).await }).await
    }
}

/// How far somebody has read each conversation, at least: `query-api` reads the same key.
fn own(user: UserId) -> String {
    format!("{{receipts}}:own:{user}")
}

impl Cursor {
    /// What it is called in the buffer: only one of this name waits there.
    fn field(&self) -> String {
        let kind = match self.kind {
            Kind::Delivered => 'd',
            Kind::Read => 'r',
        };
        format!("{}:{}:{kind}", self.conversation, self.user)
    }

    /// The rest of it, its position first.
    fn value(&self) -> String {
        let position = hex::encode(self.upto.to_bytes());
        let revision = self.decided_on.map(|revision| revision.to_string());
        let (message, revision) = (self.message, revision.unwrap_or_default());
        let token = self.token.map(|token| token.to_string()).unwrap_or_default();
        format!("{position}:{message}:{revision}:{}:{token}", self.request)
    }

    /// Reads what [`Cursor::field`] and [`Cursor::value`] wrote.
    fn parse(field: &str, value: &str) -> Option<Self> {
        let mut names = field.split(':');
        let mut parts = value.split(':');
        let cursor = Self {
            conversation: names.next()?.parse().ok()?,
            user: names.next()?.parse().ok()?,
            kind: match names.next()? {
                "d" => Kind::Delivered,
                "r" => Kind::Read,
                _ => return None,
            },
            upto: Position::from_bytes(&hex::decode(parts.next()?).ok()?)?,
            message: parts.next()?.parse().ok()?,
            decided_on: match parts.next()? {
                "" => None,
                revision => Some(revision.parse().ok()?),
            },
            request: parts.next()?.parse().ok()?,
            token: match parts.next()? {
                "" => None,
                token => Some(token.parse().ok()?),
            },
        };
        (names.next().is_none() && parts.next().is_none()).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_the_buffer_as_it_went_in() {
        let token = Some(Uuid::from_u128(5).into());
        for (kind, decided_on, token) in
            [(Kind::Read, Some(7), None), (Kind::Delivered, None, token)]
        {
            let cursor = Cursor {
                user: Uuid::from_u128(1).into(),
                conversation: Uuid::from_u128(2).into(),
                kind,
                message: Uuid::from_u128(3).into(),
                upto: Position::at(1 << 40),
                decided_on,
                request: Uuid::from_u128(4),
                token,
            };
            assert_eq!(Cursor::parse(&cursor.field(), &cursor.value()), Some(cursor));
        }
        assert_eq!(Cursor::parse("a:b:c", "1"), None);
    }

    #[test]
    fn positions_in_the_buffer_compare_as_text() {
        let text = |position| hex::encode(Position::at(position).to_bytes());
        assert!(text(9) < text(10) && text(255) < text(256) && text(1) < text(u64::MAX));
    }
}
