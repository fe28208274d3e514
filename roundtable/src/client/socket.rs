//! The client's end of the gateway: `GET /v1/gateway`, subprotocol `roundtable.v1`.

use std::{collections::HashMap, time::Duration};

use events::Position;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};
use uuid::Uuid;

use super::{
    Bye, Error, Event, Incoming,
    frame::{self, Frame, Ready},
    key,
};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long an answer or the greeting may take. The gateway's own bounds are shorter.
const PATIENCE: Duration = Duration::from_secs(15);

/// An open socket. A task reads it all the time, so that heartbeats are answered.
///
/// Dropping it cuts the connection, without the courtesies of [`close`](Self::close).
#[derive(Debug)]
pub struct Socket {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    task: JoinHandle<()>,
    ready: Ready,
    last: Position,
    bye: Option<Bye>,
}

#[derive(Debug)]
enum Outgoing {
    Command { id: Uuid, text: String, answer: oneshot::Sender<Result<Value, Error>> },
    Text(String),
    Close,
}

impl Socket {
    /// Opens a socket to the stack at `base`, shows the token and waits until everything since
    /// `after` has come.
    ///
    /// # Errors
    /// [`Error::Problem`] if the token or the position is refused, [`Error::Closed`] with the
    /// server's reason, [`Error::Timeout`], or what went wrong on the wire.
    pub async fn open(base: &str, token: &str, after: Option<Position>) -> Result<Self, Error> {
        let mut stream = Self::connect(base).await?;
        let mut auth = json!({ "op": "auth", "token": token });
        if let Some(after) = after {
            auth["after"] = json!(after);
        }
        let (outgoing, commands) = mpsc::unbounded_channel();
        let (events, incoming) = mpsc::unbounded_channel();
        let greet = greet(&mut stream, auth.to_string(), &events);
        let ready = timeout(PATIENCE, greet).await.map_err(|_| Error::Timeout(PATIENCE))??;
        let last = after.unwrap_or(ready.position);
        let task = tokio::spawn(run(stream, commands, events));
        Ok(Self { outgoing, incoming, task, ready, last, bye: None })
    }

    /// A bare WebSocket to the gateway, before `auth`: for tests of bad manners.
    ///
    /// # Errors
    /// When nobody answers there, or answers differently.
    pub async fn connect(base: &str) -> Result<Stream, Error> {
        let url = format!("{}/v1/gateway", base.trim_end_matches('/').replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        let protocol = HeaderValue::from_static("roundtable.v1");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        // Frames are small and wanted at once, so Nagle's algorithm is off.
        let (stream, _) = connect_async_with_config(request, None, true).await?;
        Ok(stream)
    }

    /// The server's word that everything up to a position has come.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The position up to which [`next`](Self::next) has told everything: where to resume.
    #[must_use]
    pub fn last(&self) -> Position {
        self.last
    }

    /// Gives a command and waits for its result: the frame, with `position`.
    ///
    /// # Errors
    /// [`Error::Problem`] if it was refused; [`Error::Closed`], [`Error::Timeout`].
    pub async fn command(&self, kind: &str, fields: Value) -> Result<Value, Error> {
        self.command_with_key(key(), kind, fields).await
    }

    /// Like [`command`](Self::command), with a key of the caller's, who may repeat it.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub async fn command_with_key(
        &self,
        id: Uuid,
        kind: &str,
        mut fields: Value,
    ) -> Result<Value, Error> {
        fields["op"] = json!("command");
        fields["id"] = json!(id);
        fields["type"] = json!(kind);
        let (answer, result) = oneshot::channel();
        let command = Outgoing::Command { id, text: fields.to_string(), answer };
        self.outgoing.send(command).map_err(|_| Error::Closed(self.bye.clone()))?;
        match timeout(PATIENCE, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Closed(self.bye.clone())),
            Err(_) => Err(Error::Timeout(PATIENCE)),
        }
    }

    /// Sends any text, as it is.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        let text = Outgoing::Text(text.into());
        self.outgoing.send(text).map_err(|_| Error::Closed(self.bye.clone()))
    }

    /// The next frame that answers no command; waits for at most `wait`.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn next(&mut self, wait: Duration) -> Result<Incoming, Error> {
        let next = timeout(wait, self.incoming.recv()).await.map_err(|_| Error::Timeout(wait))?;
        let next = next.unwrap_or(Incoming::Closed);
        match &next {
            Incoming::Event(Event { position, .. }) | Incoming::Ready(Ready { position, .. }) => {
                self.last = self.last.max(*position);
            }
            Incoming::Bye(bye) => self.bye = Some(bye.clone()),
            Incoming::Refused(_) | Incoming::Closed => {}
        }
        Ok(next)
    }

    /// The next event; waits for at most `wait`.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Closed`]; [`Error::Problem`] for a frame that was not read.
    pub async fn next_event(&mut self, wait: Duration) -> Result<Event, Error> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let next = self.next(left).await.map_err(|error| match error {
                Error::Timeout(_) => Error::Timeout(wait),
                other => other,
            })?;
            match next {
                Incoming::Event(event) => return Ok(event),
                Incoming::Refused(refusal) => return Err(Error::Problem(Box::new(refusal))),
                Incoming::Closed => return Err(Error::Closed(self.bye.clone())),
                Incoming::Ready(_) | Incoming::Bye(_) => {}
            }
        }
    }

    /// The next event of a kind; those of other kinds before it are passed over.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub async fn next_of(&mut self, kind: &str, wait: Duration) -> Result<Event, Error> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let event = self.next_event(left).await.map_err(|error| match error {
                Error::Timeout(_) => Error::Timeout(wait),
                other => other,
            })?;
            if event.kind == kind {
                return Ok(event);
            }
        }
    }

    /// Cuts the connection, as a tunnel does: no close frame, no last words. Returns where to
    /// resume.
    pub async fn cut(mut self) -> Position {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.last
    }

    /// Closes the socket politely.
    pub async fn close(mut self) {
        let _ = self.outgoing.send(Outgoing::Close);
        let _ = timeout(Duration::from_secs(2), &mut self.task).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for `hello`, shows the token, and waits for `ready`.
async fn greet(
    stream: &mut Stream,
    auth: String,
    events: &mpsc::UnboundedSender<Incoming>,
) -> Result<Ready, Error> {
    let mut auth = Some(auth);
    let mut bye = None;
    while let Some(message) = stream.next().await {
        let Message::Text(text) = message? else { continue };
        match frame::read(&text).map_err(Error::Unexpected)? {
            Frame::Hello => {
                if let Some(auth) = auth.take() {
                    stream.send(Message::text(auth)).await?;
                }
            }
            Frame::Incoming(Incoming::Ready(ready)) => {
                let _ = events.send(Incoming::Ready(ready.clone()));
                return Ok(ready);
            }
            Frame::Incoming(Incoming::Refused(refusal)) => {
                return Err(Error::Problem(Box::new(refusal)));
            }
            Frame::Incoming(Incoming::Bye(reason)) => bye = Some(reason),
            Frame::Incoming(incoming) => drop(events.send(incoming)),
            Frame::Answer(..) | Frame::Pong => {}
        }
    }
    Err(Error::Closed(bye))
}

/// Reads and writes one socket until it ends.
async fn run(
    mut stream: Stream,
    mut commands: mpsc::UnboundedReceiver<Outgoing>,
    events: mpsc::UnboundedSender<Incoming>,
) {
    let mut waiting: HashMap<Uuid, oneshot::Sender<Result<Value, Error>>> = HashMap::new();
    loop {
        tokio::select! {
            outgoing = commands.recv() => {
                let text = match outgoing {
                    Some(Outgoing::Command { id, text, answer }) => {
                        waiting.insert(id, answer);
                        text
                    }
                    Some(Outgoing::Text(text)) => text,
                    Some(Outgoing::Close) | None => {
                        let _ = stream.close(None).await;
                        break;
                    }
                };
                if stream.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => match frame::read(&text) {
                    Ok(Frame::Incoming(incoming)) => drop(events.send(incoming)),
                    Ok(Frame::Answer(id, answer)) => {
                        if let Some(waiting) = waiting.remove(&id) {
                            let refused = |refusal| Error::Problem(Box::new(refusal));
                            let _ = waiting.send(answer.map_err(refused));
                        }
                    }
                    Ok(Frame::Hello | Frame::Pong) => {}
                    Err(wrong) => tracing::warn!(wrong, "a frame that is none"),
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    let _ = events.send(Incoming::Closed);
}
