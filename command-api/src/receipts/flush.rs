//! Taking the buffer, and appending what is in it.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::receipt::{Command, Kind, Receipt, Rejection};
use event_log::{Context, EventLog, Outcome, TransactError};
use events::{ConversationId, StreamName, UserId};
use futures::{StreamExt, stream};
use redis::AsyncCommands;
use service::redis::Away;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BUFFER, CLAIMS, Cursor, Receipts, TAKEN};

/// How long a claim belongs to the one who took it, from the last entry that was appended.
const LEASE: Duration = Duration::from_secs(10);
/// How many streams are appended to at once.
const AT_ONCE: usize = 32;
/// After so many entries the lease is renewed.
const CHUNK: usize = 512;

/// Flushes every `period`, and a last time after the shutdown: what is left then is another node's.
pub(super) async fn run(
    receipts: Receipts,
    log: EventLog,
    period: Duration,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        receipts.flush(&log, period, false).await;
    }
    receipts.flush(&log, period, true).await;
}

impl Receipts {
    /// Takes the buffer, if it is time, and whatever was left by others, and appends it.
    async fn flush(&self, log: &EventLog, period: Duration, at_once: bool) {
        while let Ok(Some(claim)) = self.claim(period, at_once).await {
            match self.append_claim(log, &claim).await {
                Ok(0) => {}
                // Nothing is lost: the lease runs out, and somebody takes it up again.
                Ok(left) => {
                    tracing::warn!(left, "receipts could not be appended yet");
                    return;
                }
                Err(Away) => return,
            }
        }
    }

    async fn claim(&self, period: Duration, at_once: bool) -> Result<Option<String>, Away> {
        #[expect(clippy::disallowed_methods, reason = "names a claim, which nothing else does")]
        let name = format!("{{receipts}}:claimed:{}", Uuid::new_v4());
        let mut call = self.scripts.claim.key(self.redis.key(BUFFER));
        call.key(self.redis.key(CLAIMS))
            .key(self.redis.key(TAKEN))
            .key(self.redis.key(&name))
            .arg(milliseconds(LEASE))
            // Nodes tick at different moments: a little early is not too early.
            .arg(milliseconds(period.mul_f64(0.9)))
            .arg(u8::from(at_once));
        self.redis.ask(|mut redis| async move { call.invoke_async(&mut redis).await }).await
    }

    /// Appends a claim, some entries at a time. Says how many are left.
    async fn append_claim(&self, log: &EventLog, claim: &str) -> Result<i64, Away> {
        let key = claim.to_owned();
        let entries: Vec<(String, String)> =
            self.redis.ask(|mut redis| async move { redis.hgetall(key).await }).await?;
        let mut left = 0;
        let mut people = by_person(entries).into_iter().peekable();
        while people.peek().is_some() {
            let some: Vec<_> = people.by_ref().take(CHUNK).collect();
            let settled: Vec<Vec<String>> = stream::iter(some)
                .map(|entries| settle(log.clone(), entries))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            left = self.settle(claim, settled.concat()).await?;
        }
        Ok(left)
    }

    async fn settle(&self, claim: &str, fields: Vec<String>) -> Result<i64, Away> {
        let mut call = self.scripts.settle.key(claim);
        call.key(self.redis.key(CLAIMS)).arg(milliseconds(LEASE)).arg(fields);
        self.redis.ask(|mut redis| async move { call.invoke_async(&mut redis).await }).await
    }
}

/// An entry of a claim: its field, and the cursor, if it can be read.
type Entry = (String, Option<Cursor>);

/// The entries of each person in each conversation together. Reading comes before receiving, which
/// it implies, so that mostly one event is enough.
fn by_person(entries: Vec<(String, String)>) -> Vec<Vec<Entry>> {
    let mut people: BTreeMap<Option<(ConversationId, UserId)>, Vec<Entry>> = BTreeMap::new();
    for (field, value) in entries {
        let cursor = Cursor::parse(&field, &value);
        let whose = cursor.map(|cursor| (cursor.conversation, cursor.user));
        people.entry(whose).or_default().push((field, cursor));
    }
    for entries in people.values_mut() {
        entries.sort_by_key(|(_, cursor)| cursor.map(|cursor| cursor.kind == Kind::Delivered));
    }
    people.into_values().collect()
}

/// Appends the cursors of one person in one conversation. Says which are settled.
async fn settle(log: EventLog, entries: Vec<Entry>) -> Vec<String> {
    let mut settled = vec![];
    for (field, cursor) in entries {
        let result = match cursor {
            Some(cursor) => append(&log, &cursor).await.map(|_| ()),
            None => {
                tracing::error!(field, "an entry of the receipt buffer has an unknown shape");
                Ok(())
            }
        };
        match result {
            // An erased person has read nothing.
            Ok(()) | Err(TransactError::Erased) => settled.push(field),
            Err(TransactError::Unavailable(_) | TransactError::Contention) => break,
            Err(
                error @ (TransactError::Rejected(_)
                | TransactError::KeyReused
                | TransactError::TooLarge
                | TransactError::Failed(_)),
            ) => {
                tracing::error!(%error, field, "a receipt cannot be appended, and never can be");
                metrics::counter!("roundtable_receipts_refused_total").increment(1);
                settled.push(field);
            }
        }
    }
    settled
}

/// Appends a cursor, if it is further than the last one.
pub(crate) async fn append(
    log: &EventLog,
    cursor: &Cursor,
) -> Result<Outcome, TransactError<Rejection>> {
    let Cursor { user, conversation, kind, message, upto, decided_on, request, token } = *cursor;
    // Who puts a cursor into the buffer was in the conversation, and the message too.
    let command = Command { kind, conversation, user, message, upto, member: true };
    let name = format!("{kind:?} {conversation} {upto}");
    let key = Uuid::new_v5(&user.uuid(), name.as_bytes());
    let context = Context {
        actor: user,
        key,
        body_hash: log.secrets().name_digest("body", &name),
        correlation: request,
        causation: request,
        now: service::clock::now(),
        decided_on,
        token,
    };
    log.transact::<Receipt>(&StreamName::receipt(conversation, user), &command, &context).await
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
