//! One WebSocket connection: what is queued is written at once, and no write is stuck for ever.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures::SinkExt;

use super::frames::{Bye, ServerFrame};

/// How long a client may take to hear good-bye.
const FAREWELL: Duration = Duration::from_secs(2);

/// One WebSocket connection.
pub(crate) struct Wire {
    /// In a box, because futures keep a copy of what passes through each of them.
    websocket: Box<WebSocket>,
    stall: Duration,
}

/// The connection is gone, or as good as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// What a client sent.
pub(crate) enum Received {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame, which the protocol does not have.
    Binary,
    /// A ping or a pong, answered already where it needs an answer.
    Sign,
    /// A frame that is so large that it was not even read.
    TooLarge,
    /// Nothing any more.
    End,
}

impl Wire {
    /// A write that is stuck for this long is the end.
    pub(crate) fn new(websocket: WebSocket, stall: Duration) -> Self {
        Self { websocket: Box::new(websocket), stall }
    }

    /// Waits for the client. May be cancelled without losing a frame.
    pub(crate) async fn receive(&mut self) -> Received {
        match self.websocket.recv().await {
            Some(Ok(Message::Text(text))) => Received::Text(text),
            Some(Ok(Message::Binary(_))) => Received::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Received::Sign,
            // The error's type belongs to a crate that axum keeps to itself; its text is stable.
            Some(Err(error)) if error.to_string().contains("too long") => Received::TooLarge,
            Some(Ok(Message::Close(_)) | Err(_)) | None => Received::End,
        }
    }

    /// Writes one frame.
    pub(crate) async fn send(&mut self, frame: &ServerFrame<'_>) -> Result<(), Gone> {
        self.send_all([frame.encode()]).await
    }

    /// Writes frames together.
    pub(crate) async fn send_all(
        &mut self,
        frames: impl IntoIterator<Item = Utf8Bytes>,
    ) -> Result<(), Gone> {
        let websocket = &mut self.websocket;
        let write = async {
            for frame in frames {
                websocket.feed(Message::Text(frame)).await?;
            }
            websocket.flush().await
        };
        match tokio::time::timeout(self.stall, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), Gone> {
        let ping = self.websocket.send(Message::Ping(Bytes::new()));
        match tokio::time::timeout(self.stall, ping).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Says why it ends, and waits a little for the client to end it: a connection that is dropped
    /// with something unread in it takes back what was just written.
    pub(crate) async fn end(mut self, bye: &Bye) {
        let farewell = async {
            let close = CloseFrame { code: bye.close, reason: Utf8Bytes::from_static(bye.code) };
            self.websocket.feed(Message::Text(ServerFrame::Bye(bye).encode())).await?;
            self.websocket.send(Message::Close(Some(close))).await?;
            while let Some(Ok(_)) = self.websocket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        // Whoever does not listen any more need not be told.
        drop(tokio::time::timeout(FAREWELL, farewell).await);
    }
}
