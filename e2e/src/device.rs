//! A device that is looked after all the time, as apps do: it answers heartbeats whatever the test
//! is busy with, and keeps every frame until it is asked for.

use anyhow::{Context, Result};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use roundtable::client::Socket;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::talk::PATIENCE;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A socket, and the task that reads it.
#[derive(Debug)]
pub struct Device {
    frames: mpsc::UnboundedReceiver<Value>,
    writer: SplitSink<Stream, Message>,
    task: JoinHandle<()>,
}

impl Device {
    /// Opens a socket, shows a token, and reads until `ready`.
    pub async fn open(url: &str, token: &str) -> Result<Self> {
        let stream = Socket::connect(url).await?;
        let (mut writer, mut reader) = stream.split();
        let (sender, frames) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            // Reading answers pings as well.
            while let Some(Ok(message)) = reader.next().await {
                if let Message::Text(text) = message
                    && let Ok(frame) = serde_json::from_str(&text)
                {
                    let _ = sender.send(frame);
                }
            }
        });
        let auth = json!({ "op": "auth", "token": token }).to_string();
        writer.send(Message::text(auth)).await?;
        let mut device = Self { frames, writer, task };
        while device.frame().await?["op"] != "ready" {}
        Ok(device)
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        Ok(self.writer.send(Message::text(frame.to_string())).await?)
    }

    /// The next frame that came, or comes.
    pub async fn frame(&mut self) -> Result<Value> {
        let next = timeout(PATIENCE, self.frames.recv()).await;
        next.context("no frame came")?.context("the socket ended")
    }

    /// Cuts the connection, as a tunnel does: no close frame, no last words.
    pub async fn cut(mut self) {
        self.task.abort();
        // Both halves have to go for the connection to be closed.
        let _ = (&mut self.task).await;
    }

    /// Reads to the end of the socket; returns its `bye`, if there was one.
    pub async fn end(&mut self) -> Result<Option<Value>> {
        let mut bye = None;
        while let Some(frame) = timeout(PATIENCE, self.frames.recv()).await? {
            if frame["op"] == "bye" {
                bye = Some(frame);
            }
        }
        Ok(bye)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}
