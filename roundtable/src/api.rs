//! The description of the API: OpenAPI 3.1 for REST, AsyncAPI 3.0 for the gateway.
//!
//! Both are made from the code: routes carry their descriptions, commands the schemas of their
//! bodies, events the fixtures that are known to be read for ever. What is made lies in `docs/`,
//! where a change shows in a review, and is what every service answers `GET /v1/openapi.json` and
//! `GET /v1/asyncapi.json` with; a test compares the two.

mod frames;
mod media;

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
        .description(Some(
            "The access token of a log-in, good for 15 minutes; or an API token (`rtk_...`), as far as its \
             scopes go.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        service::auth::ACCESS_COOKIE,
        "The same token in an `HttpOnly` cookie. A request that changes something then needs the \
         header `Roundtable-CSRF: 1` as well.",
    );
    let ticket = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A ticket for a call (`POST /v1/calls/{id}/ticket`), good once."))
        .build();
    let components = ComponentsBuilder::new()
        .schema("Problem", service::Problem::schema())
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("ticket", SecurityScheme::Http(ticket))
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
    api.merge(sfu::App::openapi());
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
    let mut messages = frames::from_server();
    let from_server: Vec<String> = messages.keys().cloned().collect();
    for (kind, data) in examples {
        messages.insert(kind.clone(), event_message(kind, data));
    }
    let mut from_client = frames::from_client();
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
    let media = media::channel();
    schemas.extend(media.schemas);
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
            "sfu": media.channel,
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
            "receive_media": media.receive,
            "send_media": media.send,
        },
        "components": { "schemas": schemas },
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
