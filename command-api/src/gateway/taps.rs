//! The subscriptions of the gateway at NATS: the ticks, and one for each audience.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event, Message, Subscriber};
use axum::extract::ws::Utf8Bytes;
use events::{Audience, Position};
use futures::{FutureExt, StreamExt};
use service::Config;
use tokio::sync::Notify;

use super::fanout::Effect;
use super::tick::Tick;

/// How many messages of one audience may wait between two ticks, or while the dispatcher catches
/// up. What does not fit is lost, which a tick shows.
const CAPACITY: usize = 16 * 1024;

/// How many subscriptions may wait for NATS to come back.
const COMMANDS: usize = 64 * 1024;

/// How long the dispatcher waits to hand a subscription to the client; only a client that is cut
/// off for long and has [`COMMANDS`] of them makes it wait at all.
const PATIENCE: Duration = Duration::from_millis(50);

const POSITION: &str = "Roundtable-Position";

/// The subscriptions.
pub(crate) struct Taps {
    client: Client,
    namespace: String,
    ticks: Subscriber,
    open: HashMap<Audience, Tap>,
}

struct Tap {
    subscriber: Subscriber,
    /// A frame that was taken out too early.
    next: Option<(Position, Utf8Bytes)>,
}

impl Taps {
    /// Connects, now or as soon as NATS is there. The notice is given when the connection was cut
    /// or could not keep up: something may have been missed.
    pub(crate) async fn connect(
        config: &Config,
        namespace: &str,
    ) -> anyhow::Result<(Self, Arc<Notify>)> {
        let alarm = Arc::new(Notify::new());
        let noticed = Arc::clone(&alarm);
        let client = service::nats::options(&config.nats_url)
            .name(format!("gateway {}", config.node))
            .retry_on_initial_connect()
            .subscription_capacity(CAPACITY)
            .client_capacity(COMMANDS)
            .reconnect_delay_callback(|attempt| {
                let milliseconds = 20_u64 << attempt.min(6);
                Duration::from_millis(milliseconds.min(1000))
            })
            .event_callback(move |event| {
                let noticed = Arc::clone(&noticed);
                async move {
                    match event {
                        Event::Connected | Event::SlowConsumer(_) => noticed.notify_one(),
                        Event::Disconnected => tracing::warn!("the connection to NATS is cut"),
                        other => tracing::debug!(event = %other, "NATS says something"),
                    }
                }
            })
            .connect(&config.nats_url)
            .await?;
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}.") };
        let ticks = client.subscribe(format!("{prefix}live.tick")).await?;
        Ok((Self { client, namespace: prefix, ticks, open: HashMap::new() }, alarm))
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// The next tick. `None` if the client was closed, which it never is while we live.
    pub(crate) async fn next_tick(&mut self) -> Option<Tick> {
        loop {
            let message = self.ticks.next().await?;
            match serde_json::from_slice(&message.payload) {
                Ok(tick) => return Some(tick),
                // The chain is broken then, so that the next tick makes the dispatcher catch up.
                Err(error) => tracing::error!(%error, "a tick has an unknown shape"),
            }
        }
    }

    /// Follows the dispatcher's audiences.
    pub(crate) async fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Subscribe(audience) => self.subscribe(audience).await,
                Effect::Unsubscribe(audience) => drop(self.open.remove(&audience)),
            }
        }
    }

    /// Subscribes again what could not be subscribed before.
    pub(crate) async fn complete(&mut self, audiences: impl Iterator<Item = Audience>) {
        let missing: Vec<_> = audiences.filter(|one| !self.open.contains_key(one)).collect();
        for audience in missing {
            self.subscribe(audience).await;
        }
    }

    async fn subscribe(&mut self, audience: Audience) {
        let subject = format!("{}{}", self.namespace, audience.subject());
        match tokio::time::timeout(PATIENCE, self.client.subscribe(subject)).await {
            Ok(Ok(subscriber)) => {
                self.open.insert(audience, Tap { subscriber, next: None });
            }
            Ok(Err(error)) => tracing::warn!(%error, "an audience could not be subscribed"),
            Err(_) => tracing::warn!("NATS takes no subscription now"),
        }
    }

    /// The frame of an audience at a position, if it has come; older ones are forgotten.
    ///
    /// NATS keeps the order of one connection, and the relay publishes a tick after its frames: at
    /// the time of a tick they are here, or lost.
    pub(crate) fn take(&mut self, audience: Audience, position: Position) -> Option<Utf8Bytes> {
        let tap = self.open.get_mut(&audience)?;
        loop {
            let (found, frame) = match tap.next.take() {
                Some(next) => next,
                // Without `unconstrained`, tokio would say "nothing there" after some 128 frames
                // to let other tasks have their turn.
                None => match tokio::task::unconstrained(tap.subscriber.next()).now_or_never()? {
                    Some(message) => match read(message) {
                        Some(next) => next,
                        None => continue,
                    },
                    None => return None,
                },
            };
            if found == position {
                return Some(frame);
            }
            if found > position {
                tap.next = Some((found, frame));
                return None;
            }
        }
    }
}

fn read(message: Message) -> Option<(Position, Utf8Bytes)> {
    let position = message.headers.as_ref()?.get(POSITION)?.as_str().parse().ok()?;
    Some((position, Utf8Bytes::try_from(message.payload).ok()?))
}
