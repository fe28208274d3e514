//! The description of the API: OpenAPI 3.1 for REST, AsyncAPI 3.0 for the gateway.
//!
//! Both are made from the code: routes carry their descriptions, commands the schemas of their
//! bodies, events the fixtures that are known to be read for ever. What is made lies in `docs/`,
//! where a change shows in a review, and is what every service answers `GET /v1/openapi.json` and
//! `GET /v1/asyncapi.json` with; a test compares the two.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
};

const TITLE: &str = "Roundtable";

/// What is the same for both documents.
const ABOUT: &str = "The backend for places where people meet to talk.\n\n\
    Every write carries an idempotency key and is answered with the position of what it recorded; \
    every read takes such a position as `after` and then shows that write. Errors are problems \
    (RFC 9457) whose `type` is stable.";

/// The description of REST: the routes of all services, as clients see them behind one address.
///
/// # Panics
/// If two routes have the same path and method.
#[must_use]
pub fn openapi() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT"));
    let info = InfoBuilder::new()
        .title(TITLE)
        .version("1")
        .description(Some(ABOUT))
        .license(Some(license.build()))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token of a log-in, good for 15 minutes."))
        .build();
    let cookie = ApiKeyValue::with_description(
        service::auth::ACCESS_COOKIE,
        "The same token in an `HttpOnly` cookie. A request that changes something then needs the \
         header `Roundtable-CSRF: 1` as well.",
    );
    let components = ComponentsBuilder::new()
        .schema("Problem", service::Problem::schema())
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
        .build();
    let none: [&str; 0] = [];
    let mut api = OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([
            SecurityRequirement::new("bearer", none),
            SecurityRequirement::new("cookie", none),
        ]))
        .build();
    api.merge(command_api::App::openapi());
    api.merge(query_api::App::openapi());
    name_operations(&mut api);
    api
}

/// Gives each operation an id by its method and path, which no two share: the names of handlers say
/// little outside of their files.
fn name_operations(api: &mut OpenApi) {
    for (path, item) in &mut api.paths.paths {
        let words = path.split(['/', '-', '.', '_', '{', '}']).filter(|word| !word.is_empty());
        let name: Vec<&str> = words.filter(|word| *word != "v1").collect();
        let name = name.join("_");
        let operations = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{name}"));
            }
        }
    }
}

/// The description of the gateway. `examples` are the data of each type of event.
#[must_use]
pub fn asyncapi(examples: &BTreeMap<String, Vec<Value>>) -> Value {
    let mut schemas = Map::new();
    let mut messages = server_messages();
    let from_server: Vec<String> = messages.keys().cloned().collect();
    for (kind, data) in examples {
        messages.insert(kind.clone(), event_message(kind, data));
    }
    let mut from_client = client_messages();
    for command in command_api::App::commands() {
        for (name, schema) in command.uses {
            schemas.insert(name, json!(schema));
        }
        from_client.insert(command.name.to_owned(), command_message(command.name, command.body));
    }
    let refer = |names: &mut dyn Iterator<Item = &String>| -> Vec<Value> {
        let refer = |name| json!({ "$ref": format!("#/channels/gateway/messages/{name}") });
        names.map(refer).collect()
    };
    let sent = refer(&mut from_server.iter().chain(examples.keys()));
    let received = refer(&mut from_client.keys());
    messages.extend(from_client);
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": TITLE, "version": "1", "description": ABOUT },
        "defaultContentType": "application/json",
        "channels": {
            "gateway": {
                "address": "/v1/gateway",
                "description": "One WebSocket (RFC 6455), subprotocol `roundtable.v1`. Each text \
                    frame is one JSON object of at most 64 KiB.",
                "messages": messages,
            },
        },
        "operations": {
            "receive": {
                "action": "receive",
                "summary": "What a client may send",
                "channel": { "$ref": "#/channels/gateway" },
                "messages": received,
            },
            "send": {
                "action": "send",
                "summary": "What the server sends",
                "channel": { "$ref": "#/channels/gateway" },
                "messages": sent,
            },
        },
        "components": { "schemas": schemas },
    })
}

fn client_messages() -> Map<String, Value> {
    let after = json!({ "type": "string", "description": "The position of what was seen last." });
    let id = json!({ "type": "string", "format": "uuid" });
    let mut messages = Map::new();
    for (op, summary, properties, required) in [
        (
            "auth",
            "Says who the client is, and from where on it wants what it missed",
            json!({ "token": { "type": "string" }, "after": after }),
            vec!["token"],
        ),
        (
            "resume",
            "The same for a client that was recognised by its cookie",
            json!({ "after": after }),
            vec![],
        ),
        ("ping", "Asks for a `pong`", json!({}), vec![]),
        (
            "signal",
            "Tells another device in a call something, which only clients understand",
            json!({ "id": id, "call": id, "to": device(), "data": {} }),
            vec!["call", "to", "data"],
        ),
        (
            "signals",
            "Is ready for the signals of a call, after the one that was seen last",
            json!({ "call": id, "after": { "type": "string" } }),
            vec!["call"],
        ),
    ] {
        messages.insert(op.to_owned(), message(op, summary, properties, required));
    }
    messages
}

/// A device in a call.
fn device() -> Value {
    let id = json!({ "type": "string", "format": "uuid" });
    let properties = json!({ "user": id, "device": id });
    json!({ "type": "object", "properties": properties, "required": ["user", "device"] })
}

fn server_messages() -> Map<String, Value> {
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let (flag, position) = (json!({ "type": "boolean" }), json!({ "type": "string" }));
    let id = json!({ "type": "string", "format": "uuid" });
    let mut messages = Map::new();
    for (op, summary, properties, required) in [
        (
            "hello",
            "The first frame",
            json!({ "version": number, "heartbeat_ms": number, "max_frame_bytes": number,
                    "node": text }),
            vec!["version", "heartbeat_ms", "max_frame_bytes", "node"],
        ),
        (
            "ready",
            "Everything up to the position was sent; what comes is live",
            json!({ "user": id, "position": position, "resumed": flag }),
            vec!["user", "position", "resumed"],
        ),
        (
            "result",
            "A command was accepted; what it made is named by its kind",
            json!({ "id": id, "position": position }),
            vec!["id", "position"],
        ),
        (
            "error",
            "A frame, or a command, was refused: a problem (RFC 9457)",
            json!({ "id": id, "type": text, "title": text, "status": number, "detail": text,
                    "retry_after": number }),
            vec!["type", "title", "status"],
        ),
        ("pong", "Answers a `ping`", json!({}), vec![]),
        (
            "bye",
            "Why the socket ends, and whether to come again",
            json!({ "code": text, "resume": flag, "retry_after_ms": number }),
            vec!["code", "resume"],
        ),
    ] {
        messages.insert(op.to_owned(), message(op, summary, properties, required));
    }
    // Its `op` is that of what a client sends; its name is another.
    let summary = "Another device in a call says something";
    let properties = json!({ "call": id, "seq": text, "from": device(), "data": {} });
    let required = vec!["call", "seq", "from", "data"];
    messages.insert("signalled".to_owned(), message("signal", summary, properties, required));
    messages
}

fn message(op: &str, summary: &str, properties: Value, required: Vec<&str>) -> Value {
    let mut properties = properties;
    properties["op"] = json!({ "const": op });
    let required: Vec<&str> = std::iter::once("op").chain(required).collect();
    json!({
        "name": op,
        "summary": summary,
        "payload": { "type": "object", "properties": properties, "required": required },
    })
}

/// A command is flat: the fields of its body stand beside its own.
fn command_message(name: &str, body: impl serde::Serialize) -> Value {
    let mut payload = json!(body);
    let summary = payload["description"].take();
    let object = payload.as_object_mut().expect("a schema is an object");
    object.remove("description");
    payload["properties"]["op"] = json!({ "const": "command" });
    payload["properties"]["type"] = json!({ "const": name });
    payload["properties"]["id"] = json!({
        "type": "string", "format": "uuid", "description": "The idempotency key.",
    });
    let mut required = vec![json!("op"), json!("id"), json!("type")];
    required.extend(payload["required"].as_array().cloned().unwrap_or_default());
    payload["required"] = json!(required);
    json!({ "name": name, "title": name, "summary": summary, "payload": payload })
}

/// An event as live frames and the change feed show it.
fn event_message(kind: &str, examples: &[Value]) -> Value {
    let examples: Vec<Value> = examples
        .iter()
        .map(|data| json!({ "payload": { "op": "event", "type": kind, "data": data } }))
        .collect();
    json!({
        "name": kind,
        "title": kind,
        "summary": "Something that happened",
        "payload": {
            "type": "object",
            "properties": {
                "op": { "const": "event" },
                "type": { "const": kind },
                "position": { "type": "string" },
                "id": { "type": "string", "format": "uuid" },
                "stream": { "type": "string" },
                "revision": { "type": "integer" },
                "at": { "type": "string", "format": "date-time" },
                "by": { "type": "string", "format": "uuid" },
                "data": { "type": "object" },
                "sealed": { "type": "boolean" },
            },
            "required": ["op", "type", "position", "id", "stream", "revision", "at", "by", "data"],
        },
        "examples": examples,
    })
}
