//! Invalidation of the lists that query-api caches in Redis, right after the commit that changed
//! them.
//!
//! The key is deleted and `{key}:floor` is set to the position of the commit, below which nothing
//! may be cached any more. With Redis away the newest floor of each key is kept and tried again;
//! the time to live of what is cached bounds how stale it can be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::Position;
use redis::Script;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::subjects::Subjects;

/// How many keys wait for Redis at most.
const PENDING: usize = 10_000;
/// How many keys go to Redis at once.
const AT_ONCE: usize = 256;
/// With Redis away, the next try is after this long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last ones may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a floor is kept: as long as anything older may be in the hands of a reader.
const FLOOR_SECONDS: u64 = 600;

/// For each key: unless a newer floor is there, set the floor and delete what is cached. Positions
/// are hex of a fixed length, so they compare as texts.
const SCRIPT: &str = r"
for _, key in ipairs(KEYS) do
  local floor = redis.call('GET', key .. ':floor')
  local new = ARGV[_]
  if not floor or floor < new then
    redis.call('SET', key .. ':floor', new, 'EX', ARGV[#ARGV])
    redis.call('DEL', key)
  end
end
";

/// The keys that have to be invalidated. Cheap to clone.
#[derive(Clone, Default)]
pub struct Invalidations {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<HashMap<String, Position>>,
    sweeps: Mutex<Vec<Sweep>>,
    some: Notify,
}

/// All keys with these beginnings are stale, as far as they are older than the floor.
struct Sweep {
    beginnings: &'static [&'static str],
    floor: Position,
    done: oneshot::Sender<()>,
}

impl Invalidations {
    /// Whatever is cached under these keys, and is older than the position, is stale.
    pub fn mark(&self, keys: Vec<String>, position: Position) {
        if keys.is_empty() {
            return;
        }
        self.put(keys.into_iter().map(|key| (key, position)));
        self.shared.some.notify_one();
    }

    /// Whatever is cached under keys with these beginnings, and is older than the floor, is stale.
    /// Waits until that is so, however long Redis is away.
    pub(crate) async fn sweep(&self, beginnings: &'static [&'static str], floor: Position) {
        let (done, answer) = oneshot::channel();
        let sweep = Sweep { beginnings, floor, done };
        self.shared.sweeps.lock().expect("no panic holds it").push(sweep);
        self.shared.some.notify_one();
        // Without an answer the process ends, and the next one sweeps.
        let _ = answer.await;
    }

    /// Marks when it is dropped: however the work ended that may have changed what is cached, even if
    /// nobody learnt whether it was committed.
    pub(crate) fn mark_later(&self, keys: Vec<String>, position: Position) -> Later<'_> {
        Later { invalidations: self, keys, position }
    }

    fn put(&self, keys: impl Iterator<Item = (String, Position)>) {
        let mut pending = self.shared.pending.lock().expect("no panic holds it");
        for (key, position) in keys {
            if pending.len() >= PENDING && !pending.contains_key(&key) {
                metrics::counter!("roundtable_cache_invalidations_dropped").increment(1);
                continue;
            }
            let floor = pending.entry(key).or_insert(position);
            *floor = position.max(*floor);
        }
    }

    /// Brings what is marked to Redis, until nobody marks any more and the last is there. With Redis
    /// away at the end, what is left is given up after a second: what is cached ages.
    pub async fn run(self, redis: redis::Client, names: Subjects, last: CancellationToken) {
        self.run_until(redis, names, last, FAREWELL).await;
    }

    /// As [`run`](Self::run), but the last ones may take so long.
    pub async fn run_until(
        self,
        redis: redis::Client,
        names: Subjects,
        last: CancellationToken,
        farewell: Duration,
    ) {
        let farewell = async {
            last.cancelled().await;
            tokio::time::sleep(farewell).await;
        };
        tokio::select! {
            () = self.work(redis, names, &last) => {}
            () = farewell => tracing::warn!("some caches were not invalidated: Redis is away"),
        }
    }

    async fn work(&self, redis: redis::Client, names: Subjects, last: &CancellationToken) {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(PAUSE))
            .set_response_timeout(Some(PAUSE));
        let redis = match ConnectionManager::new_lazy_with_config(redis, config) {
            Ok(redis) => redis,
            Err(error) => {
                tracing::error!(%error, "no caches are invalidated");
                return;
            }
        };
        let script = Script::new(SCRIPT);
        loop {
            let sweep = self.shared.sweeps.lock().expect("no panic holds it").pop();
            if let Some(sweep) = sweep {
                match swept(&script, &redis, &names, &sweep).await {
                    Ok(()) => drop(sweep.done.send(())),
                    Err(error) => {
                        tracing::warn!(%error, "caches wait for their invalidation");
                        self.shared.sweeps.lock().expect("no panic holds it").push(sweep);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
            let floors = self.take();
            if floors.is_empty() {
                if !self.shared.sweeps.lock().expect("no panic holds it").is_empty() {
                    continue;
                }
                if last.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = self.shared.some.notified() => {}
                    () = last.cancelled() => {}
                }
                continue;
            }
            if let Err(error) = send(&script, &redis, &names, &floors).await {
                tracing::warn!(%error, keys = floors.len(), "caches wait for their invalidation");
                self.put(floors.into_iter());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn take(&self) -> Vec<(String, Position)> {
        let mut pending = self.shared.pending.lock().expect("no panic holds it");
        let keys: Vec<String> = pending.keys().take(AT_ONCE).cloned().collect();
        keys.into_iter().filter_map(|key| pending.remove_entry(&key)).collect()
    }
}

/// See [`Invalidations::mark_later`].
pub(crate) struct Later<'a> {
    invalidations: &'a Invalidations,
    keys: Vec<String>,
    position: Position,
}

impl Drop for Later<'_> {
    fn drop(&mut self) {
        self.invalidations.mark(std::mem::take(&mut self.keys), self.position);
    }
}

/// Invalidates all keys with some beginnings. A key that comes meanwhile may be left out.
async fn swept(
    script: &Script,
    redis: &ConnectionManager,
    names: &Subjects,
    sweep: &Sweep,
) -> redis::RedisResult<()> {
    for beginning in sweep.beginnings {
        // What is matched has no special characters: letters, underscores and colons.
        let beginning = names.key(beginning);
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{beginning}*")).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut redis.clone()).await?;
            let lists = keys.iter().filter(|key| !key.ends_with(":floor"));
            let mut call = script.prepare_invoke();
            let mut some = false;
            for key in lists {
                some = true;
                call.key(key).arg(hex::encode(sweep.floor.to_bytes()));
            }
            if some {
                call.arg(FLOOR_SECONDS);
                call.invoke_async::<()>(&mut redis.clone()).await?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

async fn send(
    script: &Script,
    redis: &ConnectionManager,
    names: &Subjects,
    floors: &[(String, Position)],
) -> redis::RedisResult<()> {
    let mut call = script.prepare_invoke();
    for (key, position) in floors {
        call.key(names.key(key)).arg(hex::encode(position.to_bytes()));
    }
    call.arg(FLOOR_SECONDS);
    call.invoke_async(&mut redis.clone()).await
}
