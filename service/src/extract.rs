//! What handlers take from a request; whatever is wrong with it is a [`Problem`].

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use uuid::Uuid;

use crate::Problem;

/// A JSON body: of a request (400 malformed, 413 too large, 415 another type, 422 wrong shape) or
/// of an answer. The types of requests say `#[serde(deny_unknown_fields)]`.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body must be application/json",
            ));
        }
        let body = Bytes::from_request(request, state).await.map_err(body_problem)?;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Reads a value from JSON text, as [`Json`] does with a body: for requests that come another way.
///
/// # Errors
/// 400 when the text is no JSON; 422, naming the field, when it has another shape.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // An enum with a field too many is told as an error of syntax, and is none.
        match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(IgnoredAny) => wrong_shape(&path, error.inner()),
            Err(_) => shape_problem(&path, error.inner()),
        }
    })?;
    json.end().map_err(|error| shape_problem(".", &error))?;
    Ok(value)
}

/// Reads a value from parsed JSON; see [`parse`].
///
/// # Errors
/// 422, naming the field, when it has another shape.
pub fn parse_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        shape_problem(&path, error.inner())
    })
}

/// What the client itself sent wrong is said to it, and to nobody else: it may be personal.
fn shape_problem(path: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => wrong_shape(path, error),
        Category::Syntax | Category::Eof | Category::Io => Problem::malformed(format!(
            "this is not JSON: line {}, column {}",
            error.line(),
            error.column()
        )),
    }
}

fn wrong_shape(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let field = if path == "." { String::new() } else { format!("`{path}`: ") };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "wrong-shape",
        "The request does not have the right shape",
    )
    .detail(format!("{field}{what}"))
}

fn body_problem(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::malformed("the body ended early"),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The query string. A wrong part is a 400 that names it.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ");
                Err(Problem::invalid_query(text.unwrap_or("it cannot be read").to_owned()))
            }
        }
    }
}

/// The parts of the path. A wrong one is a 400 that names it.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Invalid URL: ").unwrap_or("it cannot be read");
                Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "invalid-path",
                    "The path has a wrong part",
                )
                .detail(text.to_owned()))
            }
        }
    }
}

/// The header `Idempotency-Key`: a UUID. The same key again, with the same request, is the same
/// command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let problem = |detail: &'static str| {
            let title = "A write needs an idempotency key";
            Problem::new(StatusCode::BAD_REQUEST, "idempotency-key", title).detail(detail)
        };
        let mut values = parts.headers.get_all("idempotency-key").iter();
        match (values.next(), values.next()) {
            (None, _) => Err(problem("the header Idempotency-Key is missing")),
            (Some(_), Some(_)) => Err(problem("the header Idempotency-Key comes twice")),
            (Some(value), None) => {
                let uuid = value.to_str().ok().and_then(|text| text.trim().parse().ok());
                uuid.map(Self).ok_or_else(|| problem("the header Idempotency-Key must be a UUID"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::DefaultBodyLimit;
    use axum::routing::{get, post};
    use events::UserId;
    use serde::Deserialize;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape is used")]
    struct Body_ {
        to: UserId,
        names: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape is used")]
    struct Page {
        limit: Option<u8>,
    }

    fn router() -> Router {
        Router::new()
            .route("/body", post(|_: Json<Body_>| async {}))
            .route("/query", get(|_: Query<Page>| async {}))
            .route("/path/{user}", get(|_: Path<UserId>| async {}))
            .route("/key", post(|IdempotencyKey(key)| async move { key.to_string() }))
            .layer(DefaultBodyLimit::max(200))
    }

    async fn send(request: http::request::Builder, body: impl Into<Body>) -> (u16, Value) {
        let request = request.body(body.into()).unwrap();
        let response = router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post_json(body: impl Into<Body>) -> (u16, String, String) {
        let request = Request::post("/body").header("content-type", "application/json");
        let (status, body) = send(request, body).await;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (status, text("type").rsplit('/').next().unwrap().to_owned(), text("detail"))
    }

    const ID: &str = "018f2f4e-0000-7000-8000-000000000001";

    #[tokio::test]
    async fn a_good_body_passes() {
        assert_eq!(post_json(format!(r#"{{"to":"{ID}","names":[]}}"#)).await.0, 200);
    }

    #[tokio::test]
    async fn a_bad_body_is_answered_by_what_is_wrong_with_it() {
        for (body, status, slug, detail) in [
            ("{", 400, "malformed", "line 1, column 1"),
            ("", 400, "malformed", "line 1"),
            (r#"{"to":"x"} y"#, 422, "wrong-shape", "`to`"),
            (r#"{"to":1,"names":[]}"#, 422, "wrong-shape", "`to`"),
            (r#"{"to":"ID","names":["a",7]}"#, 422, "wrong-shape", "`names[1]`: invalid type"),
            (r#"{"to":"ID"}"#, 422, "wrong-shape", "missing field `names`"),
            (r#"{"to":"ID","names":[],"by":1}"#, 422, "wrong-shape", "unknown field `by`"),
            (r#"{"to":"ID","names":[]} []"#, 400, "malformed", "column"),
            ("[]", 422, "wrong-shape", ""),
        ] {
            let answer = post_json(body.replace("ID", ID)).await;
            assert_eq!((answer.0, answer.1.as_str()), (status, slug), "{body}: {answer:?}");
            assert!(answer.2.contains(detail), "{body}: {answer:?}");
            assert!(!answer.2.contains(" at line"), "{body}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_large_body_and_another_type_are_refused() {
        let (status, slug, _) = post_json(" ".repeat(201)).await;
        assert_eq!((status, slug.as_str()), (413, "too-large"));
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            let request = Request::post("/body").header("content-type", kind);
            assert_eq!(send(request, "{}").await.0, 415);
        }
        assert_eq!(send(Request::post("/body"), "{}").await.0, 415);
        let request =
            Request::post("/body").header("content-type", "Application/JSON; charset=utf-8");
        assert_eq!(send(request, "{}").await.0, 422);
    }

    #[tokio::test]
    async fn a_wrong_query_or_path_is_named() {
        let (status, problem) = send(Request::get("/query?limit=x"), "").await;
        assert_eq!(status, 400);
        assert!(problem["detail"].as_str().unwrap().starts_with("limit: "), "{problem}");
        let (status, problem) = send(Request::get("/query?limt=1"), "").await;
        assert_eq!(status, 400);
        assert!(problem["detail"].as_str().unwrap().contains("`limt`"), "{problem}");
        let (status, problem) = send(Request::get("/path/x"), "").await;
        assert_eq!(status, 400);
        assert!(problem["type"].as_str().unwrap().ends_with("/invalid-path"), "{problem}");
    }

    #[tokio::test]
    async fn a_write_needs_one_key_that_is_a_uuid() {
        assert_eq!(send(Request::post("/key").header("Idempotency-Key", ID), "").await.0, 200);
        let twice =
            Request::post("/key").header("Idempotency-Key", ID).header("Idempotency-Key", ID);
        for request in [
            Request::post("/key"),
            Request::post("/key").header("Idempotency-Key", ""),
            Request::post("/key").header("Idempotency-Key", "1"),
            twice,
        ] {
            let (status, problem) = send(request, "").await;
            assert_eq!(status, 400);
            assert!(problem["type"].as_str().unwrap().ends_with("/idempotency-key"));
        }
    }
}
