//! Lists in Redis, each with the position of the read model it was read at.
//!
//! The projector deletes a list after the commit that changes it, and leaves the commit's position
//! as a mark: a reader that saw the moment before cannot put the old list back. Without Redis every
//! read goes to Postgres. What deletes which list is told in one table: projector, `caches.rs`.
//!
//! The lists hold ids, times and reasons, and nothing of what people call themselves: names and
//! pictures are read from Postgres for the page that is asked for ([`crate::person`]).

use std::sync::Arc;

use events::{Position, UserId};
use redis::{AsyncCommands, Script};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service::Redis;

/// The lists that are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Friends,
    Incoming,
    Outgoing,
    Recommended,
}

impl List {
    fn key(self, of: UserId) -> String {
        match self {
            Self::Friends => format!("friends:{of}"),
            Self::Incoming => format!("friend_requests:in:{of}"),
            Self::Outgoing => format!("friend_requests:out:{of}"),
            Self::Recommended => format!("recommended:{of}"),
        }
    }

    const fn seconds(self) -> u64 {
        match self {
            Self::Friends => 600,
            Self::Incoming | Self::Outgoing => 120,
            Self::Recommended => 300,
        }
    }
}

/// The position comes first: `fill.lua` finds it there.
#[derive(Serialize, Deserialize)]
struct Cached<T> {
    position: String,
    items: Vec<T>,
}

/// The cache.
#[derive(Clone)]
pub(crate) struct Cache {
    redis: Redis,
    fill: Arc<Script>,
}

impl Cache {
    /// A cache in this Redis.
    pub(crate) fn new(redis: Redis) -> Self {
        Self { redis, fill: Arc::new(Script::new(include_str!("fill.lua"))) }
    }

    /// A list, if it is there and not older than `after`.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        list: List,
        of: UserId,
        after: Position,
    ) -> Option<Vec<T>> {
        let get = |mut redis: redis::aio::ConnectionManager| async move {
            redis.get::<_, Option<Vec<u8>>>(list.key(of)).await
        };
        let found = self.redis.ask(get).await.ok()??;
        let cached: Cached<T> = serde_json::from_slice(&found).ok()?;
        (cached.position >= hex_of(after)).then_some(cached.items)
    }

    /// Keeps a list that was read from Postgres when the read model was at `position`.
    pub(crate) async fn fill<T: Serialize>(
        &self,
        list: List,
        of: UserId,
        position: Position,
        items: &[T],
    ) {
        #[derive(Serialize)]
        struct Filled<'a, T> {
            position: &'a str,
            items: &'a [T],
        }
        let (key, position) = (list.key(of), hex_of(position));
        let value = serde_json::to_vec(&Filled { position: &position, items })
            .expect("lists of ids and times are JSON");
        let mut call = self.fill.key(&key);
        call.key(format!("{key}:floor")).arg(position).arg(value).arg(list.seconds());
        let fill = |mut redis: redis::aio::ConnectionManager| async move {
            call.invoke_async::<i64>(&mut redis).await
        };
        // Without it the next reader asks Postgres, which is said in the log once.
        let _ = self.redis.ask(fill).await;
    }

    /// The connection, for what is not a cached list.
    pub(crate) const fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Whether Redis answers.
    pub(crate) async fn probe(&self) -> Result<String, String> {
        self.redis.probe().await
    }
}

/// The text whose order is the order of positions, as the projector writes it into the marks.
pub(crate) fn hex_of(position: Position) -> String {
    hex::encode(position.to_bytes())
}
