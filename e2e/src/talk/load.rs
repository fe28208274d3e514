//! Senders at a steady rate, who try again until they are told that it is recorded.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use events::{ConversationId, MessageId, Position};
use roundtable::client::{Error, Refusal, Socket, key, new_id};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::{Group, Ledger, PATIENCE, Person};

/// How long to wait before trying again, whatever the server would like: tests are short.
const PAUSE: Duration = Duration::from_millis(100);

/// Everybody in a group talks, over sockets.
#[derive(Debug)]
pub struct Load {
    /// What was acknowledged.
    pub ledger: Ledger,
    talking: watch::Sender<bool>,
    senders: JoinSet<Result<()>>,
}

impl Load {
    /// Each person begins to send one message in every `each`, at the addresses in turn.
    pub fn start(group: &Group, urls: &[&str], each: Duration) -> Self {
        let ledger = Ledger::default();
        let talking = watch::Sender::new(true);
        let mut senders = JoinSet::new();
        for (index, person) in group.people.iter().enumerate() {
            let sender = Sender {
                person: person.clone(),
                url: urls[index % urls.len()].to_owned(),
                conversation: group.conversation,
                ledger: ledger.clone(),
                socket: None,
            };
            senders.spawn(sender.talk(each, talking.subscribe()));
        }
        Self { ledger, talking, senders }
    }

    /// Lets everybody finish what they are saying. All of it is acknowledged then.
    pub async fn stop(mut self) -> Result<Ledger> {
        self.talking.send_replace(false);
        while let Some(ended) = self.senders.join_next().await {
            ended??;
        }
        Ok(self.ledger)
    }
}

struct Sender {
    person: Person,
    url: String,
    conversation: ConversationId,
    ledger: Ledger,
    socket: Option<Socket>,
}

impl Sender {
    async fn talk(mut self, each: Duration, mut talking: watch::Receiver<bool>) -> Result<()> {
        let mut beat = interval(each);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            tokio::select! {
                biased;
                _ = talking.wait_for(|talking| !talking) => break,
                _ = beat.tick() => {}
            }
            let message = MessageId::new(new_id());
            let text = format!("{} says {number}", self.person.name);
            let position = self.say(message, &text).await;
            let position = position.with_context(|| text.clone())?;
            self.ledger.acknowledge(message, position);
        }
        Ok(())
    }

    /// Sends one message until it is acknowledged: always the same one, under the same key.
    async fn say(&mut self, message: MessageId, text: &str) -> Result<Position> {
        let key = key();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wrong = match self.attempt(key, message, text).await {
                Ok(position) => return Ok(position),
                Err(Error::Problem(refusal)) if may_pass(&refusal) => {
                    self.ledger.postpone();
                    Error::Problem(refusal)
                }
                Err(Error::Problem(refusal)) => bail!("refused for good: {refusal}"),
                Err(Error::Unexpected(what)) => bail!("unexpected: {what}"),
                Err(broken) => {
                    if self.socket.take().is_some() {
                        self.ledger.reconnect();
                    }
                    broken
                }
            };
            if Instant::now() > deadline {
                return Err(wrong).context("not acknowledged in time");
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt(
        &mut self,
        key: Uuid,
        message: MessageId,
        text: &str,
    ) -> Result<Position, Error> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(Socket::open(&self.url, self.person.token(), None).await?),
        };
        let fields = json!({
            "conversation": self.conversation, "message": message, "text": text,
        });
        let result = socket.command_with_key(key, "message.send", fields).await?;
        let position = result["position"].as_str().and_then(|position| position.parse().ok());
        position.ok_or_else(|| Error::Unexpected(format!("a result without position: {result}")))
    }
}

/// Whether the same request may be accepted later.
fn may_pass(refusal: &Refusal) -> bool {
    refusal.status == 503 || refusal.status == 429
}
