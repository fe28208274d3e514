//! Where somebody logged in before.
//!
//! Wrong passwords from strangers use up what an account has of attempts. Who logged in from an
//! address before has attempts of their own there, and is not locked out by them.

use redis::AsyncCommands;
use sha2::{Digest, Sha256};

use super::Client;
use crate::Redis;

/// How long a place is known after the last log-in from it, in seconds: 90 days.
const KNOWN_SECONDS: u64 = 90 * 24 * 60 * 60;

/// An account at a place, as Redis knows it: neither can be read out of it.
fn name(account: &str, client: Client) -> String {
    format!("place:{}", hex::encode(Sha256::digest(format!("{account} {client}"))))
}

/// Remembers it. Failing at that keeps nobody out.
pub(super) async fn remember(redis: &Redis, account: &str, client: Client) {
    let key = redis.key(&name(account, client));
    let set = |mut redis: redis::aio::ConnectionManager| async move {
        redis.set_ex::<_, _, ()>(key, 1, KNOWN_SECONDS).await
    };
    // The connection has said so in the log.
    let _ = redis.ask(set).await;
}

/// Whether it is known; a stranger's place while Redis is away.
pub(super) async fn is_known(redis: &Redis, account: &str, client: Client) -> bool {
    let key = redis.key(&name(account, client));
    let exists = |mut redis: redis::aio::ConnectionManager| async move { redis.exists(key).await };
    redis.ask(exists).await.unwrap_or(false)
}
