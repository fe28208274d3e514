//! Chromium plays a file.

use std::path::Path;
use std::time::Duration;

use axum::response::{Html, IntoResponse};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::browser::launch;

const PAGE: &str = include_str!("../browser/player.html");

/// How long a browser may take: it starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the page reports after it has played the file for a while, and sought its middle.
pub(crate) async fn play(file: &Path) -> Value {
    let bytes = std::fs::read(file).unwrap();
    let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let report = move |body: String| async move {
        drop(sender.send(serde_json::from_str(&body).unwrap()));
    };
    let content = move |headers: HeaderMap| async move { part(&bytes, &headers) };
    let routes = axum::Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/file", get(content))
        .route("/report", axum::routing::post(report));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let _browser = launch(&format!("http://{address}/"));
    let played = timeout(PATIENCE, reports.recv()).await.expect("it does not play").unwrap();
    serving.abort();
    played
}

/// A range of a file, as players ask for it.
fn part(bytes: &[u8], headers: &HeaderMap) -> impl IntoResponse + use<> {
    let wanted = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let wanted = wanted.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let begin: usize = wanted.and_then(|(begin, _)| begin.parse().ok()).unwrap_or(0);
    let begin = begin.min(bytes.len());
    let end = wanted.and_then(|(_, end)| end.parse::<usize>().ok());
    let end = end.map_or(bytes.len(), |end| (end + 1).min(bytes.len())).max(begin);
    let range = format!("bytes {begin}-{}/{}", end.saturating_sub(1), bytes.len());
    let status = if wanted.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let named = [
        (header::CONTENT_TYPE, "video/webm".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_RANGE, range),
    ];
    (status, named, bytes[begin..end].to_vec())
}
