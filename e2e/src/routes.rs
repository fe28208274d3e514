//! The routes and commands of the running system, as its own documents tell them: a test that goes
//! through them meets every new one by itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// How deep a schema is followed: ours are not recursive, and a mistake must not hang a test.
const DEEPEST: usize = 12;

/// The documents that `/v1/openapi.json` and `/v1/asyncapi.json` are.
#[derive(Clone, Debug)]
pub struct Documents {
    rest: Value,
    gateway: Value,
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
    operation: Value,
}

/// A command of the gateway.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name.
    pub name: String,
    payload: Value,
}

/// What stands for the values of parameters and fields: the first that fits is taken.
pub trait Values {
    /// For a parameter of a path, by the part of the path before it and its name.
    fn parameter(&self, before: &str, name: &str) -> Option<String>;
    /// For a field of a body or a query, by its name; if there is none it is made up.
    fn field(&self, name: &str) -> Option<Value>;
}

impl Documents {
    /// Reads them from the stack at `url`.
    pub async fn of(url: &str) -> Result<Self> {
        let read = async |name: &str| -> Result<Value> {
            Ok(Client::new().get(format!("{url}/v1/{name}.json")).send().await?.json().await?)
        };
        Ok(Self { rest: read("openapi").await?, gateway: read("asyncapi").await? })
    }

    /// All routes.
    pub fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = vec![];
        for (path, item) in self.rest["paths"].as_object().context("paths")? {
            for (method, operation) in item.as_object().context("operations")? {
                let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
                routes.push(Route { method, path: path.clone(), operation: operation.clone() });
            }
        }
        Ok(routes)
    }

    /// All commands of the gateway.
    pub fn commands(&self) -> Result<Vec<Command>> {
        let messages = self.gateway["channels"]["gateway"]["messages"].as_object();
        let commands = messages.context("messages")?.iter().filter_map(|(name, message)| {
            let payload = &message["payload"];
            (payload["properties"]["op"]["const"] == "command")
                .then(|| Command { name: name.clone(), payload: payload.clone() })
        });
        Ok(commands.collect())
    }

    /// The path of a route with its parameters filled in, and its query: what is required, and
    /// what there is a value for.
    pub fn path(&self, route: &Route, values: &impl Values) -> Result<String> {
        let mut path = String::new();
        let mut before = "";
        for segment in route.path.split('/').skip(1) {
            let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            let value = match name {
                None => segment.to_owned(),
                Some(name) => values.parameter(before, name).with_context(|| {
                    format!("{}: say what stands for {{{name}}} after `{before}`", route.path)
                })?,
            };
            path = format!("{path}/{value}");
            if name.is_none() {
                before = segment;
            }
        }
        let parameters = route.operation["parameters"].as_array().cloned().unwrap_or_default();
        let query: Vec<String> = parameters
            .iter()
            .filter(|one| {
                let known = one["name"].as_str().and_then(|name| values.field(name)).is_some();
                one["in"] == "query" && (one["required"] == true || known)
            })
            .map(|one| {
                let name = one["name"].as_str().unwrap_or_default();
                let value = self.example(&self.rest, name, &one["schema"], values, 0)?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Ok(format!("{name}={text}"))
            })
            .collect::<Result<_>>()?;
        if query.is_empty() { Ok(path) } else { Ok(format!("{path}?{}", query.join("&"))) }
    }

    /// Bodies of a route: one for each shape that its schema allows; none if it takes none.
    pub fn bodies(&self, route: &Route, values: &impl Values) -> Result<Vec<Value>> {
        let schema = &route.operation["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            return Ok(vec![]);
        }
        let schema = look_up(&self.rest, schema)?;
        let shapes = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let shapes = shapes.iter().filter(|shape| shape["type"] != "null");
        shapes.map(|shape| self.example(&self.rest, "", shape, values, 0)).collect()
    }

    /// The fields of a command.
    pub fn fields(&self, command: &Command, values: &impl Values) -> Result<Value> {
        let mut fields = self.example(&self.gateway, "", &command.payload, values, 0)?;
        let object = fields.as_object_mut().context("a command is an object")?;
        for own in ["op", "id", "type"] {
            object.remove(own);
        }
        Ok(fields)
    }

    fn example(
        &self,
        document: &Value,
        name: &str,
        schema: &Value,
        values: &impl Values,
        depth: usize,
    ) -> Result<Value> {
        if depth > DEEPEST {
            bail!("the schema of `{name}` is too deep");
        }
        if let Some(value) = values.field(name) {
            return Ok(value);
        }
        let schema = look_up(document, schema)?;
        if let Some(only) = schema.get("const") {
            return Ok(only.clone());
        }
        if let Some([first, ..]) = schema["enum"].as_array().map(Vec::as_slice) {
            return Ok(first.clone());
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let some = choices.iter().find(|one| one["type"] != "null");
                let some = some.with_context(|| format!("`{name}` can only be null"))?;
                return self.example(document, name, some, values, depth + 1);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut all = Map::new();
            for part in parts {
                if let Value::Object(some) = self.example(document, "", part, values, depth + 1)? {
                    all.extend(some);
                }
            }
            return Ok(Value::Object(all));
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned(),
            other => Some(other.clone()),
        };
        Ok(match kind.as_ref().and_then(Value::as_str).unwrap_or("object") {
            "string" if schema["format"] == "uuid" => json!(Uuid::from_u128(7)),
            "string" if schema["format"] == "date-time" => json!("2031-01-01T10:00:00Z"),
            "string" => json!("hostile"),
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => json!(true),
            "array" => {
                json!([self.example(document, name, &schema["items"], values, depth + 1)?])
            }
            _ => {
                let properties = schema["properties"].as_object().cloned().unwrap_or_default();
                let fields = properties.iter().map(|(name, field)| {
                    Ok((name.clone(), self.example(document, name, field, values, depth + 1)?))
                });
                Value::Object(fields.collect::<Result<_>>()?)
            }
        })
    }
}

fn look_up<'a>(document: &'a Value, schema: &'a Value) -> Result<&'a Value> {
    let mut schema = schema;
    while let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').context("a reference within the document")?;
        schema = document.pointer(pointer).with_context(|| format!("{reference} is nowhere"))?;
    }
    Ok(schema)
}

/// Values by name, for tests that need no more.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// For `{name}` after a part of a path.
    pub parameters: BTreeMap<(&'static str, &'static str), String>,
    /// For a field.
    pub fields: BTreeMap<&'static str, Value>,
}

impl Values for Named {
    fn parameter(&self, before: &str, name: &str) -> Option<String> {
        let known = self.parameters.iter();
        let mut found = known.filter(|((part, its), _)| *part == before && *its == name);
        found.next().map(|(_, value)| value.clone())
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.get(name).cloned()
    }
}
