//! `/v1/files`: the one route whose body is not JSON.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use events::{ConversationId, FileId};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Path, Problem, Query};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::files::{RemoveFile, Upload, upload};
use crate::commands::{Accepted, Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(remove))
}

/// What a file is for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct For {
    /// The conversation it is for; none for a picture that is to be an avatar.
    conversation: Option<ConversationId>,
    /// What it is called, if `Content-Disposition` does not say it.
    name: Option<String>,
    /// The new id; one is made if it is absent.
    file: Option<FileId>,
}

/// The bytes of a file, whatever they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "the body is streamed; this describes it")]
struct Bytes(Vec<u8>);

/// Uploads a file: the body is its bytes. The type is what they are, not what is said of them; a
/// picture loses its metadata, and has thumbnails. To send it, name its id in a message.
#[utoipa::path(
    post,
    path = "/v1/files",
    tag = "files",
    params(
        For,
        Key,
        ("Content-Disposition" = Option<String>, Header, description = "`attachment; filename=…`"),
    ),
    request_body(content = Bytes, content_type = "application/octet-stream"),
    responses((status = 201, body = Created<FileId>), Refusal),
)]
async fn create(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Query(wanted): Query<For>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let title = "A file is uploaded as it is, without an encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", title));
    }
    let For { conversation, name, file } = wanted;
    let name = name.or_else(|| disposition(&headers)).unwrap_or_default();
    let length = headers.get(header::CONTENT_LENGTH);
    let announced = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let wanted = Upload { file, conversation, name: files::clean(&name), announced };
    // A task of its own: a client that goes away in between leaves nothing half done.
    let task = tokio::spawn(async move { upload(&app, identity, key, wanted, body).await });
    let accepted = task.await.map_err(|error| {
        tracing::error!(%error, "an upload failed");
        Problem::internal()
    })??;
    Ok(created(accepted))
}

fn created(accepted: Accepted) -> Response {
    let Accepted { position, made, .. } = accepted;
    match made {
        Some(Made::File(id)) => {
            let location = [(header::LOCATION, format!("/v1/files/{id}"))];
            (location, Created { id, position }).into_response()
        }
        _ => Recorded { position }.into_response(),
    }
}

/// Removes a file: by its owner, or who moderates its conversation.
#[utoipa::path(
    delete,
    path = "/v1/files/{file}",
    tag = "files",
    params(("file" = FileId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn remove(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(file): Path<FileId>,
) -> Result<Recorded, Problem> {
    RemoveFile { file }.run(&app, identity, key).await.map(Recorded::from)
}

/// The file name in `Content-Disposition` (RFC 6266): `filename*` in UTF-8, or else `filename`.
fn disposition(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_DISPOSITION)?;
    // Browsers send UTF-8 in `filename`, whatever the standard says.
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut plain = None;
    for (name, value) in parameters(&value) {
        if name.eq_ignore_ascii_case("filename*") {
            let encoded = value.split_once('\'').and_then(|(set, rest)| {
                set.eq_ignore_ascii_case("utf-8").then_some(rest.split_once('\'')?.1)
            });
            if let Some(name) = encoded.and_then(decode) {
                return Some(name);
            }
        } else if name.eq_ignore_ascii_case("filename") {
            plain = plain.or(Some(value));
        }
    }
    plain
}

/// The parameters behind the first semicolon, with quotes taken away.
fn parameters(value: &str) -> Vec<(String, String)> {
    let (mut found, mut text) = (vec![], String::new());
    let (mut quoted, mut escaped) = (false, false);
    let mut name = None;
    for character in value.chars().chain([';']) {
        match character {
            _ if escaped => {
                text.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '=' if !quoted && name.is_none() => name = Some(std::mem::take(&mut text)),
            ';' if !quoted => {
                let value = std::mem::take(&mut text);
                if let Some(name) = name.take() {
                    found.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
            _ => text.push(character),
        }
    }
    found
}

/// Undoes percent encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn name(value: &str) -> Option<String> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        disposition(&HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]))
    }

    #[test]
    fn a_name_is_found_in_every_form_of_the_header() {
        for (value, found) in [
            ("attachment; filename=engine.png", Some("engine.png")),
            ("attachment; filename=\"a; b\\\"c.png\"", Some("a; b\"c.png")),
            ("attachment; filename=\"plain\"; filename*=UTF-8''gr%C3%BCn.txt", Some("grün.txt")),
            ("attachment; FileName*=utf-8'en'a%20b", Some("a b")),
            ("attachment; filename*=UTF-8''%ZZ; filename=x", Some("x")),
            ("attachment; filename*=UTF-8''%ff", None),
            ("attachment; filename*=latin1''x", None),
            ("attachment; filename=\"grün.txt\"", Some("grün.txt")),
            ("attachment; filename=\"never closed", None),
            ("attachment", None),
            (";;=;\"", None),
        ] {
            assert_eq!(name(value).as_deref(), found, "{value}");
        }
    }
}
