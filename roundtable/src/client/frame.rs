//! What comes out of a socket.

use std::fmt;

use events::Position;
use serde_json::Value;

/// Anything that a socket receives but the answers to its commands.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// Something happened.
    Event(Event),
    /// Everything up to this position has come; the rest is live.
    Ready(Ready),
    /// An error that belongs to no command: a frame that could not be read.
    Refused(Refusal),
    /// The server is about to close the socket.
    Bye(Bye),
    /// The socket is closed; nothing comes after this.
    Closed,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where in the log.
    pub position: Position,
    /// What, such as `message.sent`.
    pub kind: String,
    /// The whole frame.
    pub frame: Value,
}

impl Event {
    /// A field of what happened.
    #[must_use]
    pub fn data(&self, field: &str) -> &Value {
        &self.frame["data"][field]
    }
}

/// The answer to `auth` and `resume`.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Everything up to here has come.
    pub position: Position,
    /// Whether events since an earlier position came first.
    pub resumed: bool,
}

/// The API said no: a Problem (RFC 9457) or an error frame.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The stable address of the kind of problem.
    pub kind: String,
    /// What it is, in a few words.
    pub title: String,
    /// What it is here.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// The end of `kind`, such as `email-taken`.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or(&self.kind)
    }

    pub(super) fn read(body: &Value) -> Self {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        Self {
            kind: text("type"),
            title: text("title"),
            detail: text("detail"),
            status: body["status"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
            retry_after: body["retry_after"].as_u64(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.slug(), self.status, self.title)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " {}", self.detail) }
    }
}

/// The last frame of a socket.
#[derive(Clone, Debug)]
pub struct Bye {
    /// Why, such as `going-away`.
    pub code: String,
    /// Whether to come back and resume.
    pub resume: bool,
    /// When to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl fmt::Display for Bye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

/// One frame, by its `op`.
pub(super) enum Frame {
    Hello,
    Incoming(Incoming),
    /// The answer to a command, under its id.
    Answer(uuid::Uuid, Result<Value, Refusal>),
    Pong,
}

/// Reads one text frame; the error says what is wrong with it.
pub(super) fn read(text: &str) -> Result<Frame, String> {
    let body: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
    let position = || {
        let position = body["position"].as_str().and_then(|text| text.parse::<Position>().ok());
        position.ok_or_else(|| format!("a frame without a position: {text}"))
    };
    let id = || body["id"].as_str().and_then(|id| id.parse().ok());
    Ok(match body["op"].as_str().unwrap_or_default() {
        "hello" => Frame::Hello,
        "pong" => Frame::Pong,
        "ready" => {
            let resumed = body["resumed"].as_bool().unwrap_or_default();
            Frame::Incoming(Incoming::Ready(Ready { position: position()?, resumed }))
        }
        "event" => {
            let kind = body["type"].as_str().unwrap_or_default().to_owned();
            Frame::Incoming(Incoming::Event(Event { position: position()?, kind, frame: body }))
        }
        "result" => match id() {
            Some(id) => Frame::Answer(id, Ok(body)),
            None => return Err(format!("a result without an id: {text}")),
        },
        "error" => match id() {
            Some(id) => Frame::Answer(id, Err(Refusal::read(&body))),
            None => Frame::Incoming(Incoming::Refused(Refusal::read(&body))),
        },
        "bye" => Frame::Incoming(Incoming::Bye(Bye {
            code: body["code"].as_str().unwrap_or_default().to_owned(),
            resume: body["resume"].as_bool().unwrap_or_default(),
            retry_after_ms: body["retry_after_ms"].as_u64(),
        })),
        // Frames may grow: a client ignores what it does not know.
        "" => return Err(format!("a frame without op: {text}")),
        _ => Frame::Pong,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_by_their_op() {
        let frame = r#"{"op":"event","position":"12","type":"message.sent","data":{"text":"x"}}"#;
        let Ok(Frame::Incoming(Incoming::Event(event))) = read(frame) else { panic!("no event") };
        assert_eq!((event.position, &*event.kind), (Position::at(12), "message.sent"));
        assert_eq!(event.data("text"), "x");
        let id = uuid::Uuid::from_u128(7);
        let frame = format!(
            r#"{{"op":"error","id":"{id}","type":"https://x/problems/not-friends","title":"t","status":403}}"#
        );
        let Ok(Frame::Answer(of, Err(refusal))) = read(&frame) else { panic!("no refusal") };
        assert_eq!((of, refusal.slug(), refusal.status), (id, "not-friends", 403));
        assert!(matches!(
            read(r#"{"op":"error","id":null,"title":"malformed"}"#),
            Ok(Frame::Incoming(Incoming::Refused(_)))
        ));
        assert!(read(r#"{"op":"event"}"#).is_err());
        assert!(read("{").is_err());
    }
}
