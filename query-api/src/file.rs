//! Files: what is known of them, their bytes and thumbnails, for whoever may see them.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use events::{ConversationId, FileId, Moment, UserId};
use files::{Kind, StorageError, THUMBNAILS};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::{Asked, Nothing};
use crate::failure::{Answer, Failure};
use crate::file_part::{Part, part};
use crate::page::{Limit, Page};
use crate::reads::Reads;

/// Who may see a file hangs on who is in the conversations it was sent to, of somebody's picture on whom
/// they block, and of a recording on who was in the call.
const PROJECTIONS: &[&str] = &["file", "member", "block", "recording", "call_history"];

/// In the reader's own browser, for as long as nobody is surprised by it.
const CACHING: HeaderValue = HeaderValue::from_static("private, max-age=300");

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new()
        .routes(routes!(own))
        .routes(routes!(by_id))
        .routes(routes!(content))
        .routes(routes!(thumbnail))
}

/// A file. What was erased is `null`.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct File {
    #[sqlx(rename = "file_id", try_from = "Uuid")]
    id: FileId,
    #[sqlx(try_from = "Uuid")]
    owner_id: UserId,
    #[schema(value_type = Option<ConversationId>)]
    conversation_id: Option<Uuid>,
    /// For its owner, and in conversations it was sent to; of a picture that everybody sees, `null`.
    name: Option<String>,
    /// As its content tells.
    media_type: String,
    bytes: i64,
    /// SHA-256 of the content, in hex.
    digest: String,
    /// Of a picture, upright, in pixels.
    width: Option<i32>,
    height: Option<i32>,
    /// The sizes that there are thumbnails of: none, unless it is a picture.
    #[sqlx(skip)]
    thumbnails: Vec<u32>,
    #[schema(value_type = String, format = DateTime)]
    uploaded_at: Moment,
}

impl File {
    fn with_thumbnails(mut self) -> Self {
        if self.width.is_some() {
            self.thumbnails = THUMBNAILS.to_vec();
        }
        self
    }
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ById {
    #[serde(default)]
    limit: Limit,
    after_id: Option<FileId>,
}

/// Of the links, row-level security shows those in the reader's conversations.
const COLUMNS: &str = "file_id, owner_id, conversation_id,
    case when owner_id = (select reader())
      or exists (select from file_link l where l.file_id = file.file_id)
      or exists (select from recording_file r where r.file_id = file.file_id) then name end as name,
    media_type, bytes, digest, width, height, uploaded_at";

/// The files of the one who asks, in the order of their ids; the next page with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/files",
    tag = "files",
    params(ById, After),
    responses((status = 200, body = Page<File, FileId>), Refusal),
)]
async fn own(State(reads): State<Reads>, asked: Asked<ById>) -> Answer<Page<File, FileId>> {
    let Asked { reader, after, query: ById { limit, after_id } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let query = format!(
        "select {COLUMNS} from file where owner_id = $1 and ($2::uuid is null or file_id > $2)
         order by file_id limit $3"
    );
    let rows: Vec<File> = sqlx::query_as(&query)
        .bind(reader.uuid())
        .bind(after_id.map(FileId::uuid))
        .bind(limit.and_one())
        .fetch_all(&mut *eyes)
        .await?;
    eyes.commit().await?;
    let rows = rows.into_iter().map(File::with_thumbnails).collect();
    Ok(Json(Page::of(rows, limit, |file| file.id)))
}

/// What is known of a file. One that the reader may not see does not exist.
#[utoipa::path(
    get,
    path = "/v1/files/{file}",
    tag = "files",
    params(("file" = FileId, Path), After),
    responses((status = 200, body = File), Refusal),
)]
async fn by_id(
    State(reads): State<Reads>,
    Path(file): Path<FileId>,
    asked: Asked<Nothing>,
) -> Answer<File> {
    find(&reads, &asked, file).await.map(Json)
}

async fn find(reads: &Reads, asked: &Asked<Nothing>, id: FileId) -> Result<File, Failure> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let query = format!("select {COLUMNS} from file where file_id = $1");
    let file: Option<File> =
        sqlx::query_as(&query).bind(id.uuid()).fetch_optional(&mut *eyes).await?;
    eyes.commit().await?;
    file.map(File::with_thumbnails).ok_or_else(|| no_such_file().into())
}

/// The bytes of a file, or a range of them.
#[utoipa::path(
    get,
    path = "/v1/files/{file}/content",
    tag = "files",
    params(("file" = FileId, Path), After),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "All of it"),
        (status = 206, content_type = "application/octet-stream", description = "A range of it"),
        (status = 304, description = "The client has it, as its `If-None-Match` says"),
        Refusal,
    ),
)]
async fn content(
    State(reads): State<Reads>,
    Path(id): Path<FileId>,
    headers: HeaderMap,
    asked: Asked<Nothing>,
) -> Result<Response, Failure> {
    let file = find(&reads, &asked, id).await?;
    let mut answer = headers_of(&file, &file.media_type, &format!("\"{}\"", file.digest));
    let length = u64::try_from(file.bytes).unwrap_or_default();
    let range = match part(&headers, answer.get(header::ETAG), length) {
        Part::Known => return Ok((StatusCode::NOT_MODIFIED, answer).into_response()),
        Part::Beyond => {
            let title = "The file is shorter than that";
            let problem =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-beyond-end", title);
            let whole = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((whole, problem).into_response());
        }
        Part::All => None,
        Part::Range(range) => Some(range),
    };
    let status = match &range {
        Some(range) => {
            let of = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            answer.insert(header::CONTENT_RANGE, text(of));
            StatusCode::PARTIAL_CONTENT
        }
        None => StatusCode::OK,
    };
    let asked = range.as_ref().map_or(length, |range| range.end - range.start);
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(asked));
    let content = reads.files.read(id, &file.digest, range).await.map_err(missing)?;
    Ok((status, answer, Body::from_stream(content.bytes)).into_response())
}

/// A picture made small enough for a square of so many pixels.
#[utoipa::path(
    get,
    path = "/v1/files/{file}/thumbnails/{size}",
    tag = "files",
    params(("file" = FileId, Path), ("size" = u32, Path, description = "320 or 64"), After),
    responses(
        (status = 200, content_type = "image/jpeg", description = "The thumbnail"),
        (status = 304, description = "The client has it, as its `If-None-Match` says"),
        Refusal,
    ),
)]
async fn thumbnail(
    State(reads): State<Reads>,
    Path((id, size)): Path<(FileId, u32)>,
    headers: HeaderMap,
    asked: Asked<Nothing>,
) -> Result<Response, Failure> {
    let file = find(&reads, &asked, id).await?;
    if !file.thumbnails.contains(&size) {
        let title = "There is no thumbnail of this size";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-thumbnail", title).into());
    }
    let tag = format!("\"{}.{size}\"", file.digest);
    if let Part::Known = part(&headers, Some(&text(tag.clone())), 0) {
        let answer = headers_of(&file, "image/jpeg", &tag);
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let bytes = reads.files.thumbnail(id, &file.digest, size).await.map_err(missing)?;
    let answer = headers_of(&file, Kind::of(&bytes).media_type(), &tag);
    Ok((answer, bytes).into_response())
}

/// Nothing that a browser could be led to run: what is no picture is downloaded, no type is guessed,
/// and what is shown all the same is shut in.
fn headers_of(file: &File, media_type: &str, tag: &str) -> HeaderMap {
    let shown = Kind::may_be_shown(media_type);
    let place = if shown { "inline" } else { "attachment" };
    let name = file.name.as_deref().unwrap_or("file");
    let media_type = match media_type {
        "text/plain" => "text/plain; charset=utf-8",
        other => other,
    };
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, text(media_type.to_owned())),
        (header::CONTENT_DISPOSITION, text(format!("{place}; filename*=UTF-8''{}", encoded(name)))),
        (header::ETAG, text(tag.to_owned())),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CACHE_CONTROL, CACHING),
        (header::VARY, HeaderValue::from_static("authorization, cookie")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
    ])
}

/// A name as RFC 8187 has it: what is not surely harmless is percent-encoded.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

fn text(value: String) -> HeaderValue {
    value.parse().unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn no_such_file() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-file", "This file does not exist")
}

/// A file whose bytes are gone was removed a moment ago. Logged here, once.
fn missing(error: StorageError) -> Problem {
    match error {
        StorageError::Missing => no_such_file(),
        StorageError::Away(_) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "a file could not be read");
            Problem::unavailable(std::time::Duration::from_secs(5))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_header_says_nothing_but_the_name() {
        assert_eq!(encoded("engine-2.png"), "engine-2.png");
        assert_eq!(encoded("grün\"; x=\r\n"), "gr%C3%BCn%22%3B%20x%3D%0D%0A");
    }
}
