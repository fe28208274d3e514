//! Uploads and reads of files, as clients do them.

use anyhow::Result;
use events::{ConversationId, FileId, Position};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use roundtable::client::{Created, key};
use uuid::Uuid;

use crate::refusal::accepted;
use crate::talk::Person;

/// An upload, not sent yet.
pub fn upload(
    url: &str,
    who: &Person,
    to: Option<ConversationId>,
    name: &str,
    key: Uuid,
) -> Result<RequestBuilder> {
    let to = to.map(|id| ("conversation", id.to_string()));
    let name = ("name", name.to_owned());
    let query: Vec<_> = to.into_iter().chain([name]).collect();
    let request = who.request(url, Method::POST, "/v1/files")?.query(&query);
    Ok(request.header("Idempotency-Key", key.to_string()))
}

/// Uploads to a conversation what has to be accepted.
pub async fn uploaded(
    url: &str,
    who: &Person,
    to: ConversationId,
    name: &str,
    bytes: &[u8],
) -> Result<Created<FileId>> {
    let request = upload(url, who, Some(to), name, key())?.body(bytes.to_vec());
    Ok(serde_json::from_value(accepted(request, 201).await?)?)
}

/// A read, as it is answered.
pub async fn get(
    url: &str,
    who: &Person,
    path: &str,
    after: Option<Position>,
    headers: &[(&'static str, &str)],
) -> Result<Response> {
    let mut request = who.request(url, Method::GET, path)?;
    if let Some(after) = after {
        request = request.header("Roundtable-After", after.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.send().await?)
}

/// A header of an answer; nothing, if it is not there.
pub fn says<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
