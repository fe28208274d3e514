//! Frames that are of this moment only: who is there, who types. They go to the audiences' subjects
//! on core NATS, beside the frames of events, and are stored nowhere.
//!
//! They carry no position, so they are no part of the order of the log, and of the chain of ticks:
//! nobody waits for one, and nobody notices that one was lost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Subscriber};
use axum::extract::ws::Utf8Bytes;
use events::{Audience, LoginId};
use rand::Rng;

use super::SocketId;

/// The header that names the socket a frame is from: `{instance} {number}`.
const FROM: &str = "Roundtable-From";

/// How long NATS may take to have taken everything.
const PATIENCE: Duration = Duration::from_secs(2);

/// A name that no other process has, nor had.
pub(crate) fn instance(node: &str) -> String {
    format!("{node}-{}", hex::encode(rand::rng().random::<[u8; 8]>()))
}

/// Where they are said. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Whispers {
    client: Client,
    prefix: Arc<str>,
    instance: Arc<str>,
}

/// One that came.
#[derive(Debug)]
pub(crate) struct Whisper {
    pub(crate) audience: Audience,
    pub(crate) frame: Utf8Bytes,
    /// The socket of this gateway that it is from, which does not get it.
    pub(crate) from: Option<SocketId>,
}

impl Whispers {
    pub(crate) fn new(client: Client, namespace: &str, instance: &str) -> Self {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}.") };
        Self { client, prefix: prefix.into(), instance: instance.into() }
    }

    /// The name of this process.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Says something to everybody in an audience, but for the socket that it is from.
    ///
    /// # Errors
    /// If NATS is away: what waits for it is of another moment when it is back.
    pub(crate) async fn say(
        &self,
        audience: Audience,
        frame: String,
        from: Option<SocketId>,
    ) -> anyhow::Result<()> {
        ensure!(self.client.connection_state() == State::Connected, "NATS is away");
        let subject = format!("{}{}", self.prefix, audience.subject());
        let mut headers = HeaderMap::new();
        if let Some(SocketId(socket)) = from {
            headers.insert(FROM, format!("{} {socket}", self.instance));
        }
        Ok(self.client.publish_with_headers(subject, headers, frame.into()).await?)
    }

    /// Tells a device, at whichever node it is, that there is something in its mailbox. Should that
    /// be lost, it looks by itself soon.
    pub(crate) async fn ring(&self, device: LoginId) {
        if self.client.connection_state() == State::Connected
            && let Err(error) = self.client.publish(self.bell_of(device), "".into()).await
        {
            tracing::debug!(%error, "a device is not told that it has mail");
        }
    }

    /// What rings when something comes for a device; nothing, if NATS takes no subscription now.
    pub(crate) async fn bell(&self, device: LoginId) -> Option<Subscriber> {
        let bell = self.client.subscribe(self.bell_of(device)).await.ok()?;
        // From now on it rings; should NATS be away, it rings from when it is back.
        if let Err(error) = self.flush().await {
            tracing::debug!(%error, "a device hears late that it has mail");
        }
        Some(bell)
    }

    fn bell_of(&self, device: LoginId) -> String {
        format!("{}live.device.{device}", self.prefix)
    }

    /// Waits until NATS has all that was said.
    ///
    /// # Errors
    /// If it does not take it.
    pub(crate) async fn flush(&self) -> anyhow::Result<()> {
        let flushed = tokio::time::timeout(PATIENCE, self.client.flush()).await;
        flushed.context("NATS does not take it")??;
        Ok(())
    }
}

/// The socket of this process that a frame is from.
pub(super) fn own_socket(headers: Option<&HeaderMap>, instance: &str) -> Option<SocketId> {
    let (of, socket) = headers?.get(FROM)?.as_str().split_once(' ')?;
    (of == instance).then(|| socket.parse().ok().map(SocketId))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_of_this_process_is_its_own() {
        let mut headers = HeaderMap::new();
        assert_eq!(own_socket(Some(&headers), "a"), None);
        headers.insert(FROM, "a 7");
        assert_eq!(own_socket(Some(&headers), "a"), Some(SocketId(7)));
        assert_eq!(own_socket(Some(&headers), "b"), None);
        assert_eq!(own_socket(None, "a"), None);
        assert_ne!(instance("node"), instance("node"));
    }
}
