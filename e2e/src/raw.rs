//! A socket without manners: sends anything, and tells exactly what came back.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use roundtable::client::Socket;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as WireError, Message, error::ProtocolError};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::contract;
use crate::talk::PATIENCE;

/// A bare WebSocket to the gateway.
#[derive(Debug)]
pub struct Raw {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// The end of a socket.
#[derive(Debug)]
pub struct End {
    /// The `bye` frame that said why, if one did.
    pub bye: Option<Value>,
    /// The code of the close frame, if there was one.
    pub code: Option<u16>,
}

impl Raw {
    /// Opens it and reads the `hello`.
    pub async fn connect(url: &str) -> Result<(Self, Value)> {
        let mut raw = Self { stream: Socket::connect(url).await? };
        let hello = raw.frame().await?;
        anyhow::ensure!(hello["op"] == "hello", "the first frame is no hello: {hello}");
        Ok((raw, hello))
    }

    /// Opens it and shows a token; reads until `ready`.
    pub async fn open(url: &str, token: &str) -> Result<Self> {
        let (mut raw, _) = Self::connect(url).await?;
        raw.send(&json!({ "op": "auth", "token": token })).await?;
        raw.until("ready").await?;
        Ok(raw)
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.send_text(frame.to_string()).await
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<()> {
        Ok(self.stream.send(Message::text(text.into())).await?)
    }

    /// Sends bytes that are no text.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        Ok(self.stream.send(Message::binary(bytes)).await?)
    }

    /// The next frame, whatever its `op`, if it is as the description of the gateway has it.
    pub async fn frame(&mut self) -> Result<Value> {
        loop {
            let next = timeout(PATIENCE, self.stream.next()).await.context("no frame came")?;
            match next.context("the socket ended")?? {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text)?;
                    contract::check(&frame)?;
                    return Ok(frame);
                }
                Message::Close(frame) => bail!("the socket was closed: {frame:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The next frame that is no notification, nor a receipt that is told before its event: those
    /// come a while after their cause.
    pub async fn frame_in_order(&mut self) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            let kind = frame["type"].as_str().unwrap_or_default();
            if !kind.starts_with("notification.") && frame["op"] != "receipt" {
                return Ok(frame);
            }
        }
    }

    /// The next frame with this `op`; events before it are passed over, and who comes and goes;
    /// other frames are not.
    pub async fn until(&mut self, op: &str) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            match frame["op"].as_str() {
                Some(found) if found == op => return Ok(frame),
                Some("event" | "presence" | "presence_lost" | "receipt") => {}
                _ => bail!("waited for `{op}`, and there came {frame}"),
            }
        }
    }

    /// The next frame, if one comes in this time.
    pub async fn frame_within(&mut self, wait: Duration) -> Result<Option<Value>> {
        timeout(wait, self.frame()).await.ok().transpose()
    }

    /// Cuts the connection, as a tunnel does: no close frame, no last words.
    pub fn cut(self) {
        drop(self);
    }

    /// Reads to the end of the socket.
    pub async fn end(&mut self) -> Result<End> {
        let mut end = End { bye: None, code: None };
        loop {
            let next = timeout(PATIENCE, self.stream.next()).await;
            match next.context("the socket stayed open")? {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    if frame["op"] == "bye" {
                        end.bye = Some(frame);
                    }
                }
                Some(Ok(Message::Close(frame))) => end.code = frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                // A server that refuses to read more may reset the connection.
                Some(Err(
                    WireError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
                    | WireError::Io(_)
                    | WireError::ConnectionClosed
                    | WireError::AlreadyClosed,
                ))
                | None => return Ok(end),
                Some(Err(other)) => return Err(other.into()),
            }
        }
    }
}
