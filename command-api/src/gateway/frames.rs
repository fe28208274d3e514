//! The frames of the gateway's protocol, from and to clients.

use axum::extract::ws::Utf8Bytes;
use events::call::Participant;
use events::{CallId, ConversationId, Position, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use service::Problem;
use uuid::Uuid;

use super::signals::{Seen, Signal};
use super::typing::Typing;
use crate::commands::{Accepted, Pending};

/// The WebSocket subprotocol.
pub(crate) const SUBPROTOCOL: &str = "roundtable.v1";

/// How large a frame of a client may be, in bytes.
pub(crate) const MAX_FRAME_BYTES: usize = 64 * 1024;

/// A frame from a client.
#[derive(Debug)]
pub(crate) enum ClientFrame {
    /// Says who the client is, and from where on it wants what it missed.
    Auth { token: String, after: Option<Position> },
    /// The same for a client that was recognised by its cookie.
    Resume { after: Option<Position> },
    /// A command, with its idempotency key.
    Command { id: Uuid, command: Pending },
    /// They type somewhere, or do not any more.
    Typing { conversation: ConversationId, typing: Typing },
    /// Whether somebody uses the device at the moment.
    Presence { away: bool },
    /// Tells another device in a call something; the id comes back if it is refused.
    Signal { id: Option<Uuid>, signal: Signal },
    /// The device is ready for the signals of a call, after the one it has seen last.
    Signals { call: CallId, seen: Option<Seen> },
    /// Asks for a `pong`.
    Ping,
}

/// A frame from a client that is refused; the socket stays open.
#[derive(Debug)]
pub(crate) struct BadFrame {
    /// The id of the command, where it could be read.
    pub(crate) id: Option<Uuid>,
    /// Why.
    pub(crate) problem: Problem,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    token: String,
    after: Option<Position>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    after: Option<Position>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Types {
    conversation: ConversationId,
    state: Typing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Uses {
    state: Use,
}

#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Use {
    Online,
    Away,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signals {
    call: CallId,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signalled {
    id: Option<Uuid>,
    call: CallId,
    to: Participant,
    data: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl ClientFrame {
    /// Reads a text frame.
    pub(crate) fn parse(text: &str) -> Result<Self, BadFrame> {
        let bad = |problem| BadFrame { id: None, problem };
        let mut fields: Map<String, Value> = serde_json::from_str(text)
            .map_err(|_| bad(Problem::malformed("a frame is a JSON object")))?;
        let op = fields.remove("op");
        match op.as_ref().and_then(Value::as_str) {
            Some("auth") => {
                read(fields).map(|Auth { token, after }| Self::Auth { token, after }).map_err(bad)
            }
            Some("resume") => {
                read(fields).map(|Resume { after }| Self::Resume { after }).map_err(bad)
            }
            Some("ping") => read(fields).map(|Nothing {}| Self::Ping).map_err(bad),
            Some("typing") => read(fields)
                .map(|Types { conversation, state }| Self::Typing { conversation, typing: state })
                .map_err(bad),
            Some("presence") => read(fields)
                .map(|Uses { state }| Self::Presence { away: state == Use::Away })
                .map_err(bad),
            Some("signal") => Self::signal(fields),
            Some("signals") => read(fields)
                .and_then(|Signals { call, after }| {
                    let seen = after.as_deref().map(Seen::parse).transpose()?;
                    Ok(Self::Signals { call, seen })
                })
                .map_err(bad),
            Some("command") => Self::command(fields),
            Some(_) | None => {
                let known =
                    "`op` is auth, resume, command, typing, presence, signal, signals or ping";
                Err(bad(Problem::malformed(known)))
            }
        }
    }

    fn signal(fields: Map<String, Value>) -> Result<Self, BadFrame> {
        let id = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let bad = |problem| BadFrame { id, problem };
        let Signalled { id, call, to, data } = read(fields).map_err(bad)?;
        let data: Box<RawValue> = to_raw_value(&data).expect("what was JSON is JSON");
        Ok(Self::Signal { id, signal: Signal { call, to, data } })
    }

    fn command(mut fields: Map<String, Value>) -> Result<Self, BadFrame> {
        let id = fields.remove("id");
        let Some(id) = id.as_ref().and_then(Value::as_str).and_then(|id| id.parse().ok()) else {
            let problem = Problem::invalid("`id` must be a UUID: the key of the command");
            return Err(BadFrame { id: None, problem });
        };
        let command = match fields.remove("type") {
            Some(Value::String(name)) => Pending::parse(&name, fields),
            Some(_) | None => Err(Problem::invalid("`type` must name a command")),
        };
        match command {
            Ok(command) => Ok(Self::Command { id, command }),
            Err(problem) => Err(BadFrame { id: Some(id), problem }),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Problem> {
    service::extract::parse_value(Value::Object(fields))
}

/// A frame to a client; those of events are made by the relay.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum ServerFrame<'a> {
    /// The first frame.
    Hello { heartbeat_ms: u64, max_frame_bytes: usize, node: &'a str, version: u8 },
    /// Everything up to the position was sent; what comes is live.
    Ready { user: UserId, position: Position, resumed: bool },
    /// A command was accepted.
    Result {
        id: Uuid,
        #[serde(flatten)]
        accepted: &'a Accepted,
    },
    /// A frame was refused, or a command.
    Error {
        id: Option<Uuid>,
        #[serde(flatten)]
        problem: &'a Problem,
    },
    /// Answers a `ping`.
    Pong,
    /// Frames of presence may have been missed: what a client knows of it has to be read again.
    PresenceLost,
    /// The socket ends.
    Bye(&'a Bye),
}

impl ServerFrame<'_> {
    /// The JSON text.
    pub(crate) fn encode(&self) -> Utf8Bytes {
        serde_json::to_string(self).expect("text and numbers are always JSON").into()
    }
}

/// Why a socket ends, and whether the client should come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Bye {
    /// A stable code for programs.
    pub(crate) code: &'static str,
    /// Whether to connect again and resume.
    pub(crate) resume: bool,
    /// How long to wait before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    /// The WebSocket close code that follows.
    #[serde(skip)]
    pub(crate) close: u16,
}

impl Bye {
    const fn new(code: &'static str, close: u16, resume: bool) -> Self {
        Self { code, resume, retry_after_ms: None, close }
    }

    const fn after(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// The client cannot keep up with its frames.
    pub(crate) const fn slow_consumer() -> Self {
        Self::new("slow-consumer", 1013, true).after(1000)
    }

    /// The log-in ended: log-out, or the reuse of a refresh token.
    pub(crate) const fn login_ended() -> Self {
        Self::new("login-ended", 4001, false)
    }

    /// The person was suspended.
    pub(crate) const fn suspended() -> Self {
        Self::new("suspended", 4003, false)
    }

    /// The person has too many sockets at this node already.
    pub(crate) const fn too_many_sockets() -> Self {
        Self::new("too-many-sockets", 4004, false)
    }

    /// The position is older than what the change feed keeps: load anew.
    pub(crate) const fn reload() -> Self {
        Self::new("reload", 4002, false)
    }

    /// This node shuts down; another one is there.
    pub(crate) const fn going_away(milliseconds: u64) -> Self {
        Self::new("going-away", 1001, true).after(milliseconds)
    }

    /// Something behind the gateway does not answer.
    pub(crate) const fn unavailable(milliseconds: u64) -> Self {
        Self::new("unavailable", 1013, true).after(milliseconds)
    }

    /// The client did not say in time who it is.
    pub(crate) const fn auth_timeout() -> Self {
        Self::new("auth-timeout", 1008, false)
    }

    /// The token is not good; the `error` frame before says why.
    pub(crate) const fn unauthenticated() -> Self {
        Self::new("unauthenticated", 1008, false)
    }

    /// Too many bad frames in a row.
    pub(crate) const fn bad_frames() -> Self {
        Self::new("bad-frames", 1008, false)
    }

    /// A frame was larger than `max_frame_bytes`.
    pub(crate) const fn too_large() -> Self {
        Self::new("too-large", 1009, true)
    }

    /// Nothing was heard for two heartbeats.
    pub(crate) const fn silent() -> Self {
        Self::new("silent", 1001, true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "00000000-0000-0000-0000-000000000001";

    fn refused(frame: Value) -> BadFrame {
        ClientFrame::parse(&frame.to_string()).expect_err("the frame is refused")
    }

    #[test]
    fn a_command_is_flat_and_named() {
        let frame = json!({
            "op": "command", "id": ID, "type": "message.send", "conversation": ID, "text": "hi",
        });
        let parsed = ClientFrame::parse(&frame.to_string()).unwrap();
        let ClientFrame::Command { id, command } = parsed else { panic!("{parsed:?}") };
        assert_eq!(id.to_string(), ID);
        assert!(format!("{command:?}").starts_with("SendMessage"), "{command:?}");
    }

    #[test]
    fn unknown_fields_and_types_are_refused_with_the_commands_id() {
        for frame in [
            json!({"op": "command", "id": ID, "type": "message.shout", "text": "hi"}),
            json!({"op": "command", "id": ID, "text": "hi"}),
            json!({"op": "command", "id": ID, "type": "message.send", "conversation": ID,
                   "text": "hi", "loud": true}),
            json!({"op": "command", "id": ID, "type": "message.send", "conversation": "x",
                   "text": "hi"}),
            json!({"op": "command", "id": ID, "type": "session.close", "login": ID}),
        ] {
            let bad = refused(frame.clone());
            assert_eq!(bad.id.map(|id| id.to_string()).as_deref(), Some(ID), "{frame}");
            assert_eq!(bad.problem.status().as_u16(), 422, "{frame}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for text in ["", "[]", "{", "null", "{}", r#"{"op":"dance"}"#, r#"{"op":1}"#] {
            assert_eq!(ClientFrame::parse(text).unwrap_err().problem.status().as_u16(), 400);
        }
        assert!(refused(json!({"op": "ping", "n": 1})).id.is_none());
        assert!(refused(json!({"op": "auth"})).id.is_none());
        assert!(refused(json!({"op": "resume", "after": "yesterday"})).id.is_none());
        assert!(refused(json!({"op": "command", "id": 7, "type": "session.close"})).id.is_none());
    }

    #[test]
    fn typing_and_presence_are_frames_of_their_own() {
        let frame = json!({"op": "typing", "conversation": ID, "state": "start"}).to_string();
        let parsed = ClientFrame::parse(&frame).unwrap();
        assert!(matches!(parsed, ClientFrame::Typing { typing: Typing::Start, .. }), "{parsed:?}");
        let parsed = ClientFrame::parse(r#"{"op":"presence","state":"away"}"#).unwrap();
        assert!(matches!(parsed, ClientFrame::Presence { away: true }), "{parsed:?}");
        for bad in [
            json!({"op": "typing", "conversation": ID}),
            json!({"op": "typing", "conversation": ID, "state": "pause"}),
            json!({"op": "typing", "conversation": ID, "state": "start", "user": ID}),
            json!({"op": "presence", "state": "offline"}),
            json!({"op": "presence", "state": "away", "user": ID}),
        ] {
            assert_eq!(refused(bad.clone()).problem.status().as_u16(), 422, "{bad}");
        }
    }

    #[test]
    fn a_signal_is_for_one_device_and_may_say_anything() {
        let to = json!({"user": ID, "device": ID});
        let frame = json!({"op": "signal", "call": ID, "to": to, "data": {"sdp": "v=0\r\n"}});
        let parsed = ClientFrame::parse(&frame.to_string()).unwrap();
        let ClientFrame::Signal { id: None, signal } = parsed else { panic!("{parsed:?}") };
        assert_eq!(signal.data.get(), r#"{"sdp":"v=0\r\n"}"#);
        let frame = json!({"op": "signals", "call": ID, "after": "1700000000000-1"});
        let parsed = ClientFrame::parse(&frame.to_string()).unwrap();
        assert!(matches!(parsed, ClientFrame::Signals { seen: Some(_), .. }), "{parsed:?}");
        for bad in [
            json!({"op": "signal", "id": ID, "call": ID, "to": {"user": ID}, "data": 1}),
            json!({"op": "signal", "id": ID, "call": ID, "to": to}),
            json!({"op": "signal", "id": ID, "call": ID, "to": to, "data": 1, "from": to}),
        ] {
            let bad = refused(bad.clone());
            assert_eq!(bad.id.map(|id| id.to_string()).as_deref(), Some(ID));
            assert_eq!(bad.problem.status().as_u16(), 422);
        }
        let bad = refused(json!({"op": "signals", "call": ID, "after": "+"}));
        assert_eq!(bad.problem.status().as_u16(), 422);
    }

    #[test]
    fn auth_and_resume_may_name_a_position() {
        let frame = json!({"op": "auth", "token": "t", "after": "12"}).to_string();
        let parsed = ClientFrame::parse(&frame).unwrap();
        let ClientFrame::Auth { token, after } = parsed else { panic!("{parsed:?}") };
        assert_eq!((token.as_str(), after), ("t", Some(Position::at(12))));
        let parsed = ClientFrame::parse(r#"{"op":"resume"}"#).unwrap();
        assert!(matches!(parsed, ClientFrame::Resume { after: None }));
    }

    #[test]
    fn frames_to_clients_have_their_contracted_shape() {
        let frame = |frame: ServerFrame<'_>| -> Value {
            serde_json::from_str(frame.encode().as_str()).unwrap()
        };
        assert_eq!(frame(ServerFrame::Pong), json!({"op": "pong"}));
        assert_eq!(
            frame(ServerFrame::Bye(&Bye::going_away(5))),
            json!({"op": "bye", "code": "going-away", "resume": true, "retry_after_ms": 5})
        );
        let accepted = Accepted::at(Position::at(3));
        assert_eq!(
            frame(ServerFrame::Result { id: ID.parse().unwrap(), accepted: &accepted }),
            json!({"op": "result", "id": ID, "position": "3"})
        );
        let problem = Problem::key_reused();
        assert_eq!(
            frame(ServerFrame::Error { id: None, problem: &problem }),
            json!({"op": "error", "id": null, "status": 409, "title": "This idempotency key was used for another request",
                   "type": "https://roundtable.dev/problems/key-reused"})
        );
    }
}
