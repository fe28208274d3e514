//! The documents of the API, and a page that shows them to people.

use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use http::header;

/// Made from the code by `make api`; a test of `roundtable` compares them.
const OPENAPI: &str = include_str!("../../docs/openapi.json");
const ASYNCAPI: &str = include_str!("../../docs/asyncapi.json");
const PAGE: &str = include_str!("documents.html");

/// `/docs`, `/v1/openapi.json` and `/v1/asyncapi.json`: the same at every process, for everybody.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/docs", get(|| async { Html(PAGE) }))
        .route("/v1/openapi.json", get(|| async { json(OPENAPI) }))
        .route("/v1/asyncapi.json", get(|| async { json(ASYNCAPI) }))
}

fn json(document: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, document)
}
