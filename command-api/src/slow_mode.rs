//! Slow mode: how long a member waits between two messages to a conversation.
//!
//! Each person has one token for each conversation, with the moment of their last message. It is
//! taken before the message is appended, atomically and for all nodes, in Redis; a message that
//! was not sent gives it back. Each node remembers its own last messages as well, which decide
//! while Redis is away, and which it holds against a Redis that has forgotten.

use std::time::{Duration, Instant};

use domain::conversation::{Action, Conversation};
use domain::message::Message;
use event_log::Outcome;
use events::{ConversationId, MessageId, StreamName, UserId};
use http::StatusCode;
use moka::ops::compute::Op;
use moka::sync::Cache;
use redis::Script;
use service::{Problem, Redis};
use uuid::Uuid;

use crate::App;
use crate::commands::Call;

/// How many last messages a node remembers for the time without Redis.
const REMEMBERED: u64 = 100_000;

/// Takes the token, or says in how many milliseconds it can be had; -1 for the command that has it.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait, age = tonumber(ARGV[2]), tonumber(ARGV[3])
local last = nil
local held = redis.call('GET', KEYS[1])
if held then
  local at, command = string.match(held, '^(%d+) (.+)$')
  if command == ARGV[1] then return -1 end
  last = tonumber(at)
end
if age >= 0 and (not last or now - age > last) then last = now - age end
if last and last + wait > now then return math.min(last + wait - now, wait) end
redis.call('SET', KEYS[1], string.format('%.0f %s', now, ARGV[1]), 'PX', wait)
return 0
";

/// Gives the token back, if the command still has it.
const GIVE_BACK: &str = r"
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%d+ (.+)$') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
";

type Who = (ConversationId, UserId);

/// The last messages that went through this node in slow mode.
#[derive(Clone, Debug)]
pub(crate) struct SlowMode(Cache<Who, Last>);

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    key: Uuid,
}

/// Whether a command may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It has the token.
    Taken,
    /// It had the token already.
    Repeat,
    /// Somebody else's command, or an earlier one of the same person, has it for so long.
    Wait(Duration),
}

/// Sends a message, at the pace of its conversation. A repeat of a command is not slowed, and a
/// message that was refused, or failed, counts for nothing.
pub(crate) async fn paced(
    app: &App,
    call: &Call,
    conversation: ConversationId,
    message: MessageId,
    send: impl Future<Output = Result<Outcome, Problem>>,
) -> Result<Outcome, Problem> {
    let Some(pace) = pace(app, conversation, call.actor).await? else { return send.await };
    let (slow_mode, redis, who) = (app.slow_mode(), app.redis(), (conversation, call.actor));
    // Of the message too: one key for many messages is no repeat.
    let token = Uuid::new_v5(&message.uuid(), call.key.as_bytes());
    match slow_mode.take(redis, who, token, pace).await {
        Turn::Taken => {
            let sent = send.await;
            if !sent.as_ref().is_ok_and(|sent| !sent.repeated) {
                slow_mode.give_back(redis, who, token).await;
            }
            sent
        }
        Turn::Repeat => send.await,
        Turn::Wait(left) => {
            // An older command that is repeated sends nothing, and is answered as it was.
            let known = app.log().load::<Message>(&StreamName::message(message)).await?;
            if known.state.sent().is_some() { send.await } else { Err(too_soon(left)) }
        }
    }
}

/// How long this person waits between two messages there. Who may not send at all is refused by
/// the message itself.
async fn pace(
    app: &App,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Duration>, Problem> {
    let known = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    let state = &known.state;
    let free = state.slow_mode() == 0
        || !state.has_member(user)
        || state.may(user, Action::IgnoreSlowMode);
    Ok((!free).then(|| Duration::from_secs(state.slow_mode().into())))
}

const fn too_soon(left: Duration) -> Problem {
    let title = "Members of this conversation wait between two messages";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "slow-mode", title).retry_after(left)
}

impl Default for SlowMode {
    fn default() -> Self {
        let longest = Duration::from_secs(domain::conversation::MAX_SLOW_MODE.into());
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(longest).build())
    }
}

impl SlowMode {
    async fn take(&self, redis: &Redis, who: Who, key: Uuid, pace: Duration) -> Turn {
        let last = self.0.get(&who);
        if last.is_some_and(|last| last.key == key) {
            return Turn::Repeat;
        }
        let age = last.and_then(|last| i64::try_from(last.at.elapsed().as_millis()).ok());
        let asked: Result<i64, _> = redis
            .ask(|mut connection| async move {
                Script::new(TAKE)
                    .key(name(redis, who))
                    .arg(key.to_string())
                    .arg(pace.as_millis().to_string())
                    .arg(age.unwrap_or(-1))
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        match asked {
            Ok(0) => {
                self.0.insert(who, Last { at: Instant::now(), key });
                Turn::Taken
            }
            Ok(left) => match u64::try_from(left) {
                Ok(left) => Turn::Wait(Duration::from_millis(left)),
                Err(_) => Turn::Repeat,
            },
            Err(service::redis::Away) => self.take_here(who, key, pace),
        }
    }

    /// What this node knows decides.
    fn take_here(&self, who: Who, key: Uuid, pace: Duration) -> Turn {
        let mut turn = Turn::Taken;
        self.0.entry(who).and_compute_with(|last| match last.map(|entry| entry.into_value()) {
            Some(last) if last.key == key => {
                turn = Turn::Repeat;
                Op::Nop
            }
            Some(last) if last.at.elapsed() < pace => {
                turn = Turn::Wait(pace.saturating_sub(last.at.elapsed()));
                Op::Nop
            }
            Some(_) | None => Op::Put(Last { at: Instant::now(), key }),
        });
        turn
    }

    async fn give_back(&self, redis: &Redis, who: Who, key: Uuid) {
        self.0.entry(who).and_compute_with(|last| match last {
            Some(last) if last.value().key == key => Op::Remove,
            Some(_) | None => Op::Nop,
        });
        let given: Result<i64, _> = redis
            .ask(|mut connection| async move {
                Script::new(GIVE_BACK)
                    .key(name(redis, who))
                    .arg(key.to_string())
                    .invoke_async(&mut connection)
                    .await
            })
            .await;
        if given.is_err() {
            // It runs out by itself.
            tracing::debug!("a token of slow mode was not given back");
        }
    }
}

fn name(redis: &Redis, (conversation, user): Who) -> String {
    redis.key(&format!("slow:{conversation}:{user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const NONE: Duration = Duration::ZERO;

    /// Redis that is waited for even when the machine stalls: without it each node decides alone.
    async fn patient_redis() -> Redis {
        let servers = servers::shared_for_tests().await.unwrap();
        let patience = Duration::from_secs(30);
        Redis::with_patience(&servers.redis_url, &servers::prefix(), patience).unwrap()
    }

    fn who(number: u128) -> Who {
        (ConversationId::new(Uuid::nil()), UserId::new(Uuid::from_u128(number)))
    }

    fn key(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn waits(turn: Turn) -> bool {
        matches!(turn, Turn::Wait(left) if left > NONE && left <= LONG)
    }

    async fn in_turn(slow_mode: &SlowMode, redis: &Redis) {
        let person = who(rand::random());
        assert_eq!(slow_mode.take(redis, person, key(1), LONG).await, Turn::Taken);
        assert!(waits(slow_mode.take(redis, person, key(2), LONG).await));
        assert_eq!(slow_mode.take(redis, person, key(1), LONG).await, Turn::Repeat);
        assert_eq!(slow_mode.take(redis, who(rand::random()), key(2), LONG).await, Turn::Taken);
        slow_mode.give_back(redis, person, key(2)).await;
        assert!(waits(slow_mode.take(redis, person, key(3), LONG).await), "it was not theirs");
        slow_mode.give_back(redis, person, key(1)).await;
        assert_eq!(slow_mode.take(redis, person, key(2), LONG).await, Turn::Taken);
    }

    #[tokio::test]
    async fn a_token_is_had_once_repeated_and_given_back() {
        let redis = patient_redis().await;
        in_turn(&SlowMode::default(), &redis).await;
    }

    #[tokio::test]
    async fn without_redis_the_node_itself_remembers() {
        let redis = Redis::new("redis://127.0.0.1:1", "").unwrap();
        in_turn(&SlowMode::default(), &redis).await;
    }

    #[tokio::test]
    async fn of_many_at_once_on_two_nodes_one_has_the_token() {
        let redis = patient_redis().await;
        let (nodes, person) = ([SlowMode::default(), SlowMode::default()], who(1));
        let tries =
            (0..40_u128).map(|n| nodes[usize::from(n % 2 == 0)].take(&redis, person, key(n), LONG));
        let turns = futures::future::join_all(tries).await;
        assert_eq!(turns.iter().filter(|turn| **turn == Turn::Taken).count(), 1, "{turns:?}");
    }

    #[tokio::test]
    async fn what_was_sent_without_redis_counts_when_it_is_back() {
        let redis = patient_redis().await;
        let (slow_mode, person) = (SlowMode::default(), who(1));
        assert_eq!(slow_mode.take_here(person, key(1), LONG), Turn::Taken);
        assert!(waits(slow_mode.take(&redis, person, key(2), LONG).await));
        assert_eq!(slow_mode.take(&redis, person, key(1), LONG).await, Turn::Repeat);
    }
}
