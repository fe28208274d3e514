//! What people do at any address, and whom their lists show.

use anyhow::{Context, Result};
use events::{Position, UserId};
use reqwest::{Method, RequestBuilder};
use roundtable::client::key;
use serde_json::Value;

use crate::refusal::accepted;
use crate::talk::Person;

/// Where an answer says that it stands in the log.
pub fn position(answer: &Value) -> Result<Position> {
    Ok(serde_json::from_value(answer["position"].clone())?)
}

/// A write with a key of its own.
pub fn write(
    by: &Person,
    url: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<RequestBuilder> {
    let request = by.request(url, method, path)?.header("Idempotency-Key", key().to_string());
    Ok(match body {
        Some(body) => request.json(&body),
        None => request,
    })
}

/// A write that has to be accepted; where it stands in the log.
pub async fn done(
    by: &Person,
    url: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Position> {
    let answer = accepted(write(by, url, method, path, body)?, 202).await;
    position(&answer.with_context(|| format!("{} and {path}", by.name))?)
}

/// A read that shows everything up to a position.
pub fn read(by: &Person, url: &str, path: &str, after: Position) -> Result<RequestBuilder> {
    Ok(by.request(url, Method::GET, path)?.header("Roundtable-After", after.to_string()))
}

/// The people of a list.
pub async fn listed(by: &Person, url: &str, path: &str, after: Position) -> Result<Vec<UserId>> {
    let page = accepted(read(by, url, path, after)?, 200).await.with_context(|| path.to_owned())?;
    let items = page["items"].as_array().context("a list")?;
    let id = |item: &Value| {
        let person = if item["person"].is_object() { &item["person"]["id"] } else { &item["id"] };
        Ok(serde_json::from_value(person.clone())?)
    };
    items.iter().map(id).collect()
}
