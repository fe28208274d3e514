//! `GET /v1/sfu`: the signalling over a WebSocket. The first frame carries the ticket.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::Problem;
use service::openapi::Refusal;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use uuid::Uuid;

use super::admit;
use crate::App;
use crate::room::event::Event;
use crate::room::track::TrackId;
use crate::room::{Refused, Signalling, Who};
use crate::sdp::Description;

/// The subprotocol.
const PROTOCOL: &str = "roundtable.sfu.v1";

/// The longest frame: a description of many sections.
const LONGEST: usize = 256 * 1024;

/// How long until the ticket must be here.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a write may take.
const WRITE: Duration = Duration::from_secs(10);

/// Without any frame for this long, pongs included, the client is gone.
const SILENCE: Duration = Duration::from_secs(45);

/// How often a client is pinged.
const PING: Duration = Duration::from_secs(15);

/// Frames of one client in a second.
const FRAMES: u32 = 60;

/// Events that wait for one client.
const QUEUE: usize = 512;

/// What a client says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Frame {
    /// The first: whose call, and what is permitted.
    Join {
        ticket: String,
        /// Goes on with the connections of before, if they are still there.
        #[serde(default)]
        resume: bool,
    },
    /// An offer to send; the same again changes or restarts it.
    Publish {
        #[serde(default)]
        #[schema(value_type = Option<Value>)]
        id: Value,
        sdp: String,
        /// What each section is: `microphone`, `camera`, `screen`.
        #[serde(default)]
        sources: HashMap<String, String>,
    },
    /// Wants to receive what others send: the server will offer.
    Subscribe {
        #[serde(default)]
        #[schema(value_type = Option<Value>)]
        id: Value,
        /// Wants their data channels, too. Said again, the server tells again which there are.
        #[serde(default)]
        data: bool,
    },
    /// Answers an offer.
    Answer {
        #[serde(default)]
        #[schema(value_type = Option<Value>)]
        id: Value,
        serial: u64,
        sdp: String,
    },
    /// The network changed: the server offers again, with new credentials.
    Restart {
        #[serde(default)]
        #[schema(value_type = Option<Value>)]
        id: Value,
    },
    /// What is wanted of a track.
    Prefer {
        #[serde(default)]
        #[schema(value_type = Option<Value>)]
        id: Value,
        track: TrackId,
        #[serde(default)]
        visible: Option<bool>,
        /// The highest layer that is wanted, counted from the lowest.
        #[serde(default)]
        layer: Option<usize>,
    },
    /// Mutes a track of one's own, or not any more.
    Mute {
        #[serde(default)]
        #[schema(value_type = Option<Value>)]
        id: Value,
        track: TrackId,
        muted: bool,
    },
    /// Leaves the call.
    Leave {},
}

/// How a frame is answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Answers `publish`.
    Published {
        #[schema(value_type = Option<Value>)]
        id: Value,
        sdp: String,
    },
    /// Answers any other frame that has an `id`: it was done.
    Done {
        #[schema(value_type = Value)]
        id: Value,
    },
    /// The frame had no effect.
    Error {
        #[serde(skip_serializing_if = "Value::is_null")]
        #[schema(value_type = Option<Value>)]
        id: Value,
        /// The last part of the problem's type.
        problem: &'static str,
    },
    /// The ticket is not good; the socket closes.
    Refused {
        /// The last part of the problem's type.
        problem: &'static str,
    },
}

/// Opens the socket of the SFU
///
/// A WebSocket (RFC 6455), subprotocol `roundtable.sfu.v1`; its frames are in the AsyncAPI document.
/// The first one carries the ticket, so this request needs none.
#[utoipa::path(
    get,
    path = "/v1/sfu",
    tag = "media",
    responses((status = 101, description = "Frames follow"), Refusal),
    security(()),
)]
pub(super) async fn open(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::upgrade_required(rejection.body_text()))?;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(LONGEST).max_frame_size(LONGEST);
    let tracker = app.shared.sockets.clone();
    Ok(upgrade.on_upgrade(move |socket| {
        tracker.track_future(async move {
            let mut socket = socket;
            let (code, reason) = serve(app, &mut socket).await;
            let frame = CloseFrame { code, reason: reason.into() };
            // Who is gone already does not hear it.
            drop(timeout(WRITE, socket.send(Message::Close(Some(frame)))).await);
        })
    }))
}

/// Serves one client until it ends. Returns how the socket is closed.
async fn serve(app: App, socket: &mut WebSocket) -> (u16, &'static str) {
    let joined = match timeout(PATIENCE, first(&app, socket)).await {
        Ok(Ok(joined)) => joined,
        Ok(Err(problem)) => {
            let refused = Answer::Refused { problem: problem.slug() };
            // Who is gone already does not hear it.
            write(socket, &refused).await.ok();
            return (4001, "refused");
        }
        Err(_) => return (4002, "no ticket came"),
    };
    let Joined { call, signalling, mut events } = joined;
    let mut session =
        Session { app: &app, call, signalling, farewell: false, second: (Instant::now(), 0) };
    let mut ping = tokio::time::interval(PING);
    let mut heard = Instant::now();
    loop {
        let step = tokio::select! {
            event = events.recv() => match event {
                Some(event) => session.tell(socket, event).await,
                // The room closed the queue: it was full.
                None => Err((4008, "too slow")),
            },
            message = socket.recv() => {
                heard = Instant::now();
                session.hear(socket, message).await
            }
            _ = ping.tick() => match heard.elapsed() > SILENCE {
                true => Err((4004, "silent")),
                false => send(socket, Message::Ping(Vec::new().into())).await,
            },
        };
        if let Err(closed) = step {
            session.gone(closed).await;
            return closed;
        }
    }
}

struct Joined {
    call: Uuid,
    signalling: Signalling,
    events: mpsc::Receiver<Event>,
}

async fn first(app: &App, socket: &mut WebSocket) -> Result<Joined, Problem> {
    let malformed = || {
        let title = "The first frame must be `join` with a ticket";
        Problem::new(http::StatusCode::BAD_REQUEST, "malformed-frame", title)
    };
    let text = loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(malformed()),
        }
    };
    let Ok(Frame::Join { ticket, resume }) = serde_json::from_str(&text) else {
        return Err(malformed());
    };
    let ticket = admit(app, &ticket)?;
    let (sender, events) = mpsc::channel(QUEUE);
    let who = Who { user: ticket.user, device: ticket.device };
    let rights = ticket.rights;
    let joined = app
        .thread(ticket.call)
        .with(ticket.call, move |room, around| room.join(around, who, rights, sender, resume))
        .await?;
    let signalling = joined.ok_or(Refused::Full)?;
    Ok(Joined { call: ticket.call, signalling, events })
}

struct Session<'a> {
    app: &'a App,
    call: Uuid,
    signalling: Signalling,
    /// Whether the room said that this ends.
    farewell: bool,
    /// Since when frames are counted, and how many came.
    second: (Instant, u32),
}

type Step = Result<(), (u16, &'static str)>;

impl Session<'_> {
    async fn tell(&mut self, socket: &mut WebSocket, event: Event) -> Step {
        let bye = match &event {
            Event::Bye { resume, reason } => Some((if *resume { 4009 } else { 4000 }, *reason)),
            _ => None,
        };
        self.farewell |= bye.is_some();
        write(socket, &event).await?;
        bye.map_or(Ok(()), Err)
    }

    async fn hear(
        &mut self,
        socket: &mut WebSocket,
        message: Option<Result<Message, axum::Error>>,
    ) -> Step {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err((1003, "text frames only")),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err((1000, "closed")),
        };
        // Each description is work for a thread that others need.
        if self.second.0.elapsed() >= Duration::from_secs(1) {
            self.second = (Instant::now(), 0);
        }
        self.second.1 += 1;
        if self.second.1 > FRAMES {
            return Err((4029, "too many frames"));
        }
        match serde_json::from_str::<Frame>(&text) {
            Ok(frame) => self.act(socket, frame).await,
            Err(_) => {
                let (id, problem) = (Value::Null, "malformed-frame");
                write(socket, &Answer::Error { id, problem }).await
            }
        }
    }

    async fn act(&mut self, socket: &mut WebSocket, frame: Frame) -> Step {
        let (thread, call, who) = (self.app.thread(self.call), self.call, self.signalling.0);
        let (id, result) = match frame {
            Frame::Join { .. } => (Value::Null, Ok(Err(Refused::Unknown))),
            Frame::Leave {} => return Err((4000, "left")),
            Frame::Publish { id, sdp, sources } => {
                let offer = match Description::read(&sdp) {
                    Ok(offer) => offer,
                    Err(error) => return refuse(socket, id, Refused::from(error)).await,
                };
                let order = thread
                    .with(call, move |room, around| room.publish(around, who, &offer, &sources));
                match order.await {
                    Ok(Ok(answer)) => {
                        return write(socket, &Answer::Published { id, sdp: answer }).await;
                    }
                    other => (id, other.map(|refused| refused.map(|_| ()))),
                }
            }
            Frame::Subscribe { id, data } => {
                let order =
                    thread.with(call, move |room, around| room.subscribe(around, who, data));
                (id, order.await)
            }
            Frame::Answer { id, serial, sdp } => {
                let answer = match Description::read(&sdp) {
                    Ok(answer) => answer,
                    Err(error) => return refuse(socket, id, Refused::from(error)).await,
                };
                let order = thread
                    .with(call, move |room, around| room.answer(around, who, serial, &answer));
                (id, order.await)
            }
            Frame::Restart { id } => {
                (id, thread.with(call, move |room, around| room.restart(around, who)).await)
            }
            Frame::Prefer { id, track, visible, layer } => {
                let order = thread.with(call, move |room, around| {
                    room.prefer(who, track, visible, layer, around.now)
                });
                (id, order.await)
            }
            Frame::Mute { id, track, muted } => {
                (id, thread.with(call, move |room, _| room.mute(who, track, muted)).await)
            }
        };
        let problem = match result {
            Ok(Ok(())) if id.is_null() => return Ok(()),
            Ok(Ok(())) => return write(socket, &Answer::Done { id }).await,
            Ok(Err(refused)) => Problem::from(refused),
            Err(busy) => Problem::from(busy),
        };
        write(socket, &Answer::Error { id, problem: problem.slug() }).await
    }

    /// The socket ended: by wish the participation does, else it may be resumed.
    async fn gone(&mut self, (code, _): (u16, &'static str)) {
        // What the room ended itself is not told to it: somebody else may be in its place.
        if self.farewell {
            return;
        }
        let (signalling, wished) = (self.signalling, code == 4000);
        let order = self
            .app
            .thread(self.call)
            .with(self.call, move |room, around| room.ended(around, signalling, wished));
        if order.await.is_err() {
            tracing::debug!("a room was not told that a socket ended");
        }
    }
}

async fn refuse(socket: &mut WebSocket, id: Value, refused: Refused) -> Step {
    write(socket, &Answer::Error { id, problem: Problem::from(refused).slug() }).await
}

async fn write(socket: &mut WebSocket, frame: &impl serde::Serialize) -> Step {
    let text = serde_json::to_string(frame).expect("frames are JSON");
    send(socket, Message::Text(text.into())).await
}

async fn send(socket: &mut WebSocket, message: Message) -> Step {
    match timeout(WRITE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err((1000, "closed")),
        Err(_) => Err((4008, "too slow")),
    }
}
