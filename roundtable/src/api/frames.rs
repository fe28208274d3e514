//! The frames of the gateway that are neither commands nor events.

use serde_json::{Map, Value, json};

/// What a client may send, by name.
pub(super) fn from_client() -> Map<String, Value> {
    let after = json!({ "type": "string", "description": "The position of what was seen last." });
    let id = json!({ "type": "string", "format": "uuid" });
    let state = |of: &[&str]| json!({ "type": "string", "enum": of });
    Map::from_iter([
        frame(
            "auth",
            "Says who the client is, and from where on it wants what it missed",
            json!({ "token": { "type": "string" }, "after": after }),
            &["token"],
        ),
        frame(
            "resume",
            "The same for a client that was recognised by its cookie",
            json!({ "after": after }),
            &[],
        ),
        frame("ping", "Asks for a `pong`", json!({}), &[]),
        frame(
            "presence",
            "Says whether this device is in use",
            json!({ "state": state(&["online", "away"]) }),
            &["state"],
        ),
        frame(
            "typing",
            "Says that the person types, again every few seconds, or stops",
            json!({ "conversation": id, "state": state(&["start", "stop"]) }),
            &["conversation", "state"],
        ),
        frame(
            "signal",
            "Tells another device in a call something, which only clients understand",
            json!({ "id": id, "call": id, "to": device(), "data": {} }),
            &["call", "to", "data"],
        ),
        frame(
            "signals",
            "Is ready for the signals of a call, after the one that was seen last",
            json!({ "call": id, "after": { "type": "string" } }),
            &["call"],
        ),
    ])
}

/// A device in a call.
fn device() -> Value {
    let id = json!({ "type": "string", "format": "uuid" });
    let properties = json!({ "user": id, "device": id });
    json!({ "type": "object", "properties": properties, "required": ["user", "device"] })
}

/// What the server sends, by name.
pub(super) fn from_server() -> Map<String, Value> {
    let mut frames = Map::from_iter(of_the_moment());
    frames.extend(of_the_socket());
    frames
}

/// Frames about the socket itself, and the answers to commands.
fn of_the_socket() -> impl IntoIterator<Item = (String, Value)> {
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let (flag, position) = (json!({ "type": "boolean" }), json!({ "type": "string" }));
    let id = json!({ "type": "string", "format": "uuid" });
    [
        frame(
            "hello",
            "The first frame",
            json!({ "version": number, "heartbeat_ms": number, "max_frame_bytes": number,
                    "node": text }),
            &["version", "heartbeat_ms", "max_frame_bytes", "node"],
        ),
        frame(
            "ready",
            "Everything up to the position was sent; what comes is live",
            json!({ "user": id, "position": position, "resumed": flag }),
            &["user", "position", "resumed"],
        ),
        frame(
            "result",
            "A command was accepted; what it made is named by its kind",
            json!({ "id": id, "position": position }),
            &["id", "position"],
        ),
        frame(
            "error",
            "A frame, or a command, was refused: a problem (RFC 9457)",
            json!({ "id": { "type": ["string", "null"], "format": "uuid" }, "type": text,
                    "title": text, "status": number, "detail": text, "retry_after": number,
                    "scope": text }),
            &["type", "title", "status"],
        ),
        frame("pong", "Answers a `ping`", json!({}), &[]),
        frame(
            "bye",
            "Why the socket ends, and whether to come again",
            json!({ "code": text, "resume": flag, "retry_after_ms": number }),
            &["code", "resume"],
        ),
    ]
}

/// Frames without a position, which are stored nowhere. Clients send some of the same name, so
/// these are called otherwise here.
fn of_the_moment() -> impl IntoIterator<Item = (String, Value)> {
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let id = json!({ "type": "string", "format": "uuid" });
    let state = |of: &[&str]| json!({ "type": "string", "enum": of });
    let told = |(op, frame): (String, Value)| (format!("{op}_told"), frame);
    [
        told(frame(
            "presence",
            "Somebody came, went, or is away; the larger `version` is newer",
            json!({ "user": id, "online": { "type": ["boolean", "null"] },
                    "state": state(&["online", "away", "offline", "unknown"]),
                    "last_seen": { "type": ["string", "null"], "format": "date-time" },
                    "version": number }),
            &["user", "online", "state", "last_seen", "version"],
        )),
        frame(
            "presence_lost",
            "Frames of presence may have been missed: read it again",
            json!({}),
            &[],
        ),
        told(frame(
            "typing",
            "Somebody types, for so long at the most, or stops",
            json!({ "conversation": id, "user": id, "state": state(&["start", "stop"]),
                    "expires_ms": number }),
            &["conversation", "user", "state"],
        )),
        told(frame(
            "signal",
            "Another device in a call says something",
            json!({ "call": id, "seq": text, "from": device(), "data": {} }),
            &["call", "seq", "from", "data"],
        )),
        frame(
            "receipt",
            "Somebody received or read all messages up to one; the event follows within seconds",
            json!({ "conversation": id, "user": id, "kind": state(&["delivered", "read"]),
                    "message": id, "upto": text }),
            &["conversation", "user", "kind", "message", "upto"],
        ),
    ]
}

fn frame(op: &str, summary: &str, properties: Value, required: &[&str]) -> (String, Value) {
    let mut properties = properties;
    properties["op"] = json!({ "const": op });
    let required: Vec<&str> = std::iter::once("op").chain(required.iter().copied()).collect();
    let frame = json!({
        "name": op,
        "summary": summary,
        "payload": { "type": "object", "properties": properties, "required": required },
    });
    (op.to_owned(), frame)
}
