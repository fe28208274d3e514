//! Who has a socket on some node now, for those who have to notice when the last one is lost.
//!
//! Each gateway keeps one set of the people it serves, and says once a second that it lives: that
//! costs one question to Redis for a node and two for a person's stay, however many sockets are
//! idle. A node that dies says so no more, and what it said is not believed after
//! [`BELIEVED`]. When all were silent at once, and none said good-bye, the machine or Redis stood still
//! rather than that all died: who is not known to be somewhere is nowhere only after somebody lives
//! again, and each had the time to say so.
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

/// When no node said anything for so long, all of them are heard before anybody is taken for gone.
const SILENCE: Duration = Duration::from_millis(3500);

/// For how long a node is remembered beside others that live, and whom it served.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The clock is that of Redis, which all nodes share.
const HERE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last and now - (last - ARGV[2]) > tonumber(ARGV[3]) then
  redis.call('SET', KEYS[3], '', 'PX', ARGV[2])
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[4])
local came = tonumber(ARGV[5])
for i = 6, #ARGV do
  if i <= 5 + came then redis.call('SADD', KEYS[2], ARGV[i])
  else redis.call('SREM', KEYS[2], ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return redis.call('SCARD', KEYS[2])
";

/// For each 1 or 0, or -1 while nobody knows.
const ANYWHERE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')
local silent = redis.call('EXISTS', KEYS[2]) == 1
  or #nodes == 0 and redis.call('ZCARD', KEYS[1]) > 0
local found = {}
for i = 2, #ARGV do
  found[i - 1] = silent and -1 or 0
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
        call.key(self.nodes()).key(self.people(node)).key(self.quiet()).arg(node);
        call.arg(millis(BELIEVED)).arg(millis(SILENCE)).arg(millis(REMEMBERED)).arg(came.len());
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
        call.key(self.nodes()).key(self.quiet()).arg(self.people(""));
        for id in ids {
            call.arg(id.to_string());
        }
        let found: Vec<i8> = self
            .redis
            .ask(|mut connection| async move { call.invoke_async(&mut connection).await })
            .await?;
        let known = |one| match one {
            -1 => Err(Away),
            one => Ok(one == 1),
        };
        found.into_iter().map(known).collect()
    }

    fn nodes(&self) -> String {
        self.redis.key("room-devices")
    }

    fn quiet(&self) -> String {
        self.redis.key("room-devices-quiet")
    }

    fn people(&self, node: &str) -> String {
        self.redis.key(&format!("room-devices:{node}"))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use redis::AsyncCommands;

    use super::*;

    #[tokio::test]
    async fn after_all_were_silent_each_is_heard_before_anybody_is_gone() {
        let url = &servers::shared_for_tests().await.unwrap().redis_url;
        let redis = Redis::with_patience(url, &servers::prefix(), REMEMBERED).unwrap();
        let connections = Connections::new(redis.clone());
        let [ada, ben, cleo] = [1, 2, 3].map(|id| UserId::from(Uuid::from_u128(id)));
        // Nobody ever said anything: nobody is anywhere.
        assert_eq!(connections.anywhere(&[ada]).await, Ok(vec![false]));
        connections.here("one", &[ada.uuid()], &[]).await.unwrap();
        connections.here("two", &[ben.uuid()], &[]).await.unwrap();
        let all = [ada, ben, cleo];
        assert_eq!(connections.anywhere(&all).await, Ok(vec![true, true, false]));

        // All stood still: what they said is too old, and who they were is remembered.
        let client = redis::Client::open(url.as_str()).unwrap();
        let mut direct = client.get_multiplexed_async_connection().await.unwrap();
        let (nodes, quiet) = (connections.nodes(), connections.quiet());
        let _: () = direct.zadd_multiple(&nodes, &[(1, "one"), (1, "two")]).await.unwrap();
        assert_eq!(connections.anywhere(&[ada]).await, Err(Away));
        // The first that is heard again speaks for its own, and not against others. What is believed for
        // seconds is so for ever here: the machine of a test may stand still, too.
        let for_ever = u32::MAX as u64 * 1_000_000;
        connections.here("one", &[], &[]).await.unwrap();
        assert!(direct.persist::<_, bool>(&quiet).await.unwrap());
        let _: () = direct.zadd(&nodes, "one", for_ever).await.unwrap();
        assert_eq!(connections.anywhere(&[ada]).await, Ok(vec![true]));
        assert_eq!(connections.anywhere(&[ben]).await, Err(Away));
        connections.here("two", &[], &[]).await.unwrap();
        let _: () = direct.zadd(&nodes, "two", for_ever).await.unwrap();
        assert_eq!(connections.anywhere(&[ada, ben]).await, Ok(vec![true, true]));
        assert_eq!(connections.anywhere(&[cleo]).await, Err(Away));
        // Then it is known again who is nowhere.
        let _: () = direct.del(&quiet).await.unwrap();
        assert_eq!(connections.anywhere(&all).await, Ok(vec![true, true, false]));
        connections.gone("one").await.unwrap();
        connections.gone("two").await.unwrap();
        assert_eq!(connections.anywhere(&all).await, Ok(vec![false; 3]));
    }
}
