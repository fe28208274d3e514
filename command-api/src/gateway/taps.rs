//! The subscriptions of the gateway at NATS: the ticks, and one for each audience.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Client, Event, Message, Subscriber};
use axum::extract::ws::Utf8Bytes;
use events::{Audience, Position};
use futures::StreamExt;
use service::Config;
use tokio::sync::Notify;

use super::bells::{Bell, Tower};
use super::fanout::Effect;
use super::tick::Tick;
use super::whispers::{self, Whisper};

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
    /// The name of this process, as whispers have it.
    instance: String,
    ticks: Subscriber,
    open: HashMap<Audience, Tap>,
    tower: Arc<Tower>,
    whispers: Vec<Whisper>,
}

struct Tap {
    subscriber: Subscriber,
    /// Rings when a message has come.
    bell: Arc<Bell>,
    /// Frames that came and wait for their tick.
    frames: VecDeque<(Position, Utf8Bytes)>,
}

/// What the dispatcher has to look at.
pub(crate) enum Heard {
    /// The next link of the chain.
    Tick(Tick),
    /// There are [whispers](Taps::take_whispers).
    Whispers,
}

impl Taps {
    /// Connects, now or as soon as NATS is there. The notice is given when the connection was cut
    /// or could not keep up: something may have been missed.
    pub(crate) async fn connect(
        config: &Config,
        namespace: &str,
        instance: &str,
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
        let taps = Self {
            client,
            namespace: prefix,
            instance: instance.to_owned(),
            ticks,
            open: HashMap::new(),
            tower: Arc::default(),
            whispers: Vec::new(),
        };
        Ok((taps, alarm))
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// What comes next; `last` is up to where everything was dispatched. `None` if the client was
    /// closed, which it never is while we live. May be cancelled without losing anything.
    pub(crate) async fn next(&mut self, last: Position) -> Option<Heard> {
        loop {
            tokio::select! {
                message = self.ticks.next() => match serde_json::from_slice(&message?.payload) {
                    Ok(tick) => return Some(Heard::Tick(tick)),
                    // The chain is broken then, so that the next tick makes the dispatcher catch up.
                    Err(error) => tracing::error!(%error, "a tick has an unknown shape"),
                },
                () = self.tower.rung() => {
                    for audience in self.tower.take() {
                        self.empty(audience, last);
                    }
                    if !self.whispers.is_empty() {
                        return Some(Heard::Whispers);
                    }
                }
            }
        }
    }

    /// What was whispered and has been found since the last time.
    pub(crate) fn take_whispers(&mut self) -> Vec<Whisper> {
        std::mem::take(&mut self.whispers)
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
                let bell = Bell::new(audience, Arc::clone(&self.tower));
                self.open.insert(audience, Tap { subscriber, bell, frames: VecDeque::new() });
                // From now on it rings.
                self.empty(audience, Position::START);
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
        self.empty(audience, Position::START);
        let tap = self.open.get_mut(&audience)?;
        while let Some((found, _)) = tap.frames.front() {
            if *found > position {
                return None;
            }
            let (found, frame) = tap.frames.pop_front()?;
            if found == position {
                return Some(frame);
            }
        }
        None
    }

    /// Takes in what has come for an audience: frames up to `last` were dispatched already.
    fn empty(&mut self, audience: Audience, last: Position) {
        let Some(tap) = self.open.get_mut(&audience) else { return };
        let waker = tap.bell.answer();
        let mut context = Context::from_waker(&waker);
        loop {
            // Without `unconstrained`, tokio would say "nothing there" after some 128 frames to let
            // other tasks have their turn.
            let next = pin!(tokio::task::unconstrained(tap.subscriber.next()));
            let Poll::Ready(Some(message)) = next.poll(&mut context) else { return };
            match position(&message) {
                Some(position) if position <= last => {}
                Some(position) => {
                    if tap.frames.len() >= CAPACITY {
                        tap.frames.pop_front();
                    }
                    let Ok(frame) = Utf8Bytes::try_from(message.payload) else { continue };
                    tap.frames.push_back((position, frame));
                }
                None => {
                    let from = whispers::own_socket(message.headers.as_ref(), &self.instance);
                    let Ok(frame) = Utf8Bytes::try_from(message.payload) else { continue };
                    self.whispers.push(Whisper { audience, frame, from });
                }
            }
        }
    }
}

fn position(message: &Message) -> Option<Position> {
    message.headers.as_ref()?.get(POSITION)?.as_str().parse().ok()
}
