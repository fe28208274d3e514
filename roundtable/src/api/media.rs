//! The frames of the SFU's socket, made from their types.

use serde_json::{Map, Value, json};

/// The channel and its operations in the AsyncAPI document.
pub(super) struct Media {
    pub(super) channel: Value,
    pub(super) receive: Value,
    pub(super) send: Value,
    /// What the messages refer to.
    pub(super) schemas: Vec<(String, Value)>,
}

/// The channel of the SFU.
pub(super) fn channel() -> Media {
    let frames = sfu::App::signalling();
    let from_client = messages(&json!(frames.client));
    let mut from_server = Map::new();
    frames.server.iter().for_each(|schema| from_server.extend(messages(&json!(schema))));
    let operation = |action: &str, summary: &str, messages: &Map<String, Value>| {
        let refer = |name| json!({ "$ref": format!("#/channels/sfu/messages/{name}") });
        json!({
            "action": action,
            "summary": summary,
            "channel": { "$ref": "#/channels/sfu" },
            "messages": messages.keys().map(refer).collect::<Vec<_>>(),
        })
    };
    let receive = operation("receive", "What a client may send to the SFU", &from_client);
    let send = operation("send", "What the SFU sends", &from_server);
    let mut messages = from_client;
    messages.extend(from_server);
    let channel = json!({
        "address": "/v1/sfu",
        "description": "The signalling of media: a WebSocket (RFC 6455), subprotocol \
            `roundtable.sfu.v1`, at the URL that a ticket comes with. Each text frame is one JSON \
            object of at most 256 KiB; the first is `join`.",
        "messages": messages,
    });
    let schemas = frames.uses.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    Media { channel, receive, send, schemas }
}

/// The variants of a tagged type, each as a message under its tag.
fn messages(schema: &Value) -> Map<String, Value> {
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    let named = |variant: Value| {
        let name = tag(&variant)?;
        let summary = variant["description"].clone();
        let message =
            json!({ "name": name, "title": name, "summary": summary, "payload": variant });
        Some((name, message))
    };
    variants.into_iter().filter_map(named).collect()
}

/// The tag of a variant: in its own properties, or in those of one of the parts it is made of.
fn tag(variant: &Value) -> Option<String> {
    let of = |part: &Value| Some(part["properties"]["type"]["enum"][0].as_str()?.to_owned());
    of(variant).or_else(|| variant["allOf"].as_array()?.iter().find_map(of))
}
