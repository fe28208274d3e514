//! The documents of the API that lie in `docs/` and are served are those of the code.
//!
//! After a change: `make api` writes them anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use roundtable::api;
use serde_json::{Value, json};

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// The newest fixture of each type of event: what is really written. Personal data is plain in a
/// frame, and secrets are not in it at all.
fn examples() -> BTreeMap<String, Vec<Value>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../events/fixtures");
    let mut versions: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    versions.sort();
    let mut examples = BTreeMap::new();
    for version in versions {
        for file in fs::read_dir(version).unwrap() {
            let file = file.unwrap().path();
            let kind = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let data: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            examples
                .insert(kind.clone(), data.into_iter().map(|data| shown(&kind, data)).collect());
        }
    }
    examples
}

fn shown(kind: &str, data: Value) -> Value {
    let category = events::Category::ALL
        .into_iter()
        .find_map(|category| events::DomainEvent::from_data(category, kind, 1, data.clone()).ok());
    let event = category.unwrap();
    let envelope = events::Envelope {
        id: events::EventId::new(uuid::Uuid::nil()),
        stream: events::StreamName::recorded("example"),
        revision: 0,
        position: events::Position::START,
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        metadata: events::Metadata {
            schema_version: 1,
            actor: uuid::Uuid::nil().into(),
            correlation_id: uuid::Uuid::nil(),
            causation_id: uuid::Uuid::nil(),
            key: uuid::Uuid::nil(),
            body_hash: String::new(),
            decided_on: None,
            token: None,
        },
        event,
    };
    events::frame::frame(&envelope)["data"].clone()
}

/// Compares a document with its file, or writes it if that is wanted.
fn is_current(name: &str, document: &Value) {
    let text = format!("{}\n", serde_json::to_string_pretty(document).unwrap());
    if std::env::var_os("ROUNDTABLE_WRITE_API").is_some() {
        fs::write(docs(name), &text).unwrap();
    }
    let there = fs::read_to_string(docs(name)).unwrap_or_default();
    assert!(there == text, "docs/{name} is not that of the code: `make api` writes it");
}

#[test]
fn the_openapi_document_is_that_of_the_code() {
    is_current("openapi.json", &json!(api::openapi()));
}

#[test]
fn the_asyncapi_document_is_that_of_the_code() {
    is_current("asyncapi.json", &api::asyncapi(&examples()));
}

/// All `$ref`s of a document, wherever they are.
fn references(document: &Value, found: &mut BTreeSet<String>) {
    match document {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn whatever_the_documents_refer_to_is_in_them() {
    for document in [json!(api::openapi()), api::asyncapi(&examples())] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn every_route_says_what_it_is_for_and_who_may_ask() {
    let document = json!(api::openapi());
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15, "{}", paths.len());
    let mut names = BTreeSet::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{what}");
            assert!(!operation["tags"].as_array().unwrap().is_empty(), "{what}");
            // What asks nobody who they are may have nothing to refuse.
            let open = operation["security"] == json!([{}]);
            assert!(operation["responses"].as_object().unwrap().len() > 1 || open, "{what}");
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name.clone()), "{what}: {name}");
        }
    }
}

#[test]
fn every_route_and_command_says_what_an_api_token_needs_for_it() {
    use service::auth::scopes::Need;
    let routes = json!(api::openapi())["paths"].clone();
    for (path, operations) in routes.as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let known = Need::knows_route(&method.to_uppercase(), path);
            assert!(known, "{method} {path} is not in service/src/auth/scopes.rs");
        }
    }
    let exists = |(method, path): (&str, &str)| {
        path == "/v1/gateway" || routes[path].get(method.to_lowercase()).is_some()
    };
    assert_eq!(Need::routes().filter(|route| !exists(*route)).collect::<Vec<_>>(), []);

    let gateway = api::asyncapi(&examples());
    let messages = gateway["operations"]["receive"]["messages"].as_array().unwrap();
    let name =
        |message: &Value| message["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let sent: BTreeSet<String> = messages.iter().map(name).collect();
    let known: BTreeSet<String> = Need::commands().map(str::to_owned).collect();
    assert_eq!(sent, known);
}

#[test]
fn every_route_and_command_with_a_limit_of_its_own_exists() {
    let routes = json!(api::openapi())["paths"].clone();
    let commands = api::asyncapi(&examples());
    for (method, name) in service::limits::Class::named() {
        let exists = match method {
            Some(method) => routes[name].get(method.as_str().to_lowercase()).is_some(),
            None => commands["channels"]["gateway"]["messages"].get(name).is_some(),
        };
        assert!(exists, "{name}");
    }
}
