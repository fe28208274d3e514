//! Who has a socket on some node now, for those who have to notice when the last one is lost.
//!
//! Each gateway keeps one set of the people it serves, and says once a second that it lives: that
//! costs one question to Redis for a node and two for a person's stay, however many sockets are
//! idle. A node that dies says so no more, and what it said is not believed after
//! [`BELIEVED`].
//!
//! Who is served is a person, and also a device (a log-in): a call has to know which of somebody's
//! devices is lost. The ids of both are UUIDs, and stand in the same set.

use std::time::Duration;

use events::UserId;
use events::call::Participant;
use redis::Script;
use uuid::Uuid;

use crate::Redis;
use crate::redis::Away;

/// How often a gateway says that it lives.
pub const BEAT: Duration = Duration::from_secs(1);

/// How long it is believed.
pub const BELIEVED: Duration = Duration::from_secs(5);

/// The clock is that of Redis, which all nodes share.
const HERE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
local came = tonumber(ARGV[3])
for i = 4, #ARGV do
  if i <= 3 + came then redis.call('SADD', KEYS[2], ARGV[i])
  else redis.call('SREM', KEYS[2], ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[2], 60000)
return redis.call('SCARD', KEYS[2])
";

const ANYWHERE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')
local found = {}
for i = 2, #ARGV do
  found[i - 1] = 0
  for _, node in ipairs(nodes) do
    if redis.call('SISMEMBER', ARGV[1] .. node, ARGV[i]) == 1 then
      found[i - 1] = 1
      break
    end
  end
end
return found
";

/// Who has a socket somewhere. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    redis: Redis,
}

impl Connections {
    /// As this Redis knows it.
    pub const fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// A node lives, and these people and devices came to it and went from it. Returns how many it serves, as
    /// Redis knows it: another number than the node's own says that Redis forgot something.
    ///
    /// # Errors
    /// [`Away`]: nothing was said, or it was and the answer was lost. To say it again does no harm.
    pub async fn here(&self, node: &str, came: &[Uuid], went: &[Uuid]) -> Result<usize, Away> {
        let script = Script::new(HERE);
        let mut call = script.prepare_invoke();
        call.key(self.nodes()).key(self.people(node)).arg(node).arg(millis(BELIEVED));
        call.arg(came.len());
        for one in came.iter().chain(went) {
            call.arg(one.to_string());
        }
        self.redis
            .ask(|mut connection| async move { call.invoke_async(&mut connection).await })
            .await
    }

    /// A node serves nobody any more.
    ///
    /// # Errors
    /// [`Away`]; it is soon not believed any more in any case.
    pub async fn gone(&self, node: &str) -> Result<(), Away> {
        let mut pipe = redis::pipe();
        pipe.atomic().zrem(self.nodes(), node).ignore().del(self.people(node)).ignore();
        self.redis
            .ask(|mut connection| async move { pipe.query_async(&mut connection).await })
            .await
    }

    /// Of each of these people, whether they have a socket on some node that lives.
    ///
    /// # Errors
    /// [`Away`]: then nobody knows.
    pub async fn anywhere(&self, users: &[UserId]) -> Result<Vec<bool>, Away> {
        self.found(users.iter().map(|user| user.uuid())).await
    }

    /// Of each of these devices, whether it has a socket on some node that lives.
    ///
    /// # Errors
    /// [`Away`]: then nobody knows.
    pub async fn devices(&self, devices: &[Participant]) -> Result<Vec<bool>, Away> {
        self.found(devices.iter().map(|one| one.device.uuid())).await
    }

    async fn found(&self, ids: impl Iterator<Item = Uuid>) -> Result<Vec<bool>, Away> {
        let script = Script::new(ANYWHERE);
        let mut call = script.prepare_invoke();
        call.key(self.nodes()).arg(self.people(""));
        for id in ids {
            call.arg(id.to_string());
        }
        let found: Vec<u8> = self
            .redis
            .ask(|mut connection| async move { call.invoke_async(&mut connection).await })
            .await?;
        Ok(found.into_iter().map(|one| one == 1).collect())
    }

    fn nodes(&self) -> String {
        self.redis.key("room-devices")
    }

    fn people(&self, node: &str) -> String {
        self.redis.key(&format!("room-devices:{node}"))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
