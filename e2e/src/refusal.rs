//! What a refusal over REST must look like (RFC 9457).

use anyhow::{Context, Result, ensure};
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use crate::talk::PATIENCE;

/// What the `type` of every problem begins with.
pub const TYPES: &str = "https://roundtable.dev/problems/";

/// Sends a request that has to be refused with this status and kind; returns the problem.
pub async fn refused(request: RequestBuilder, status: u16, slug: &str) -> Result<Value> {
    let problem = refused_with(request, status).await?;
    ensure!(problem["type"] == format!("{TYPES}{slug}"), "it should be {slug}: {problem}");
    Ok(problem)
}

/// Sends a request that has to be refused with this status; returns the problem.
pub async fn refused_with(request: RequestBuilder, status: u16) -> Result<Value> {
    let answer = request.send().await?;
    let headers = answer.headers().clone();
    let (found, text) = (answer.status().as_u16(), answer.text().await?);
    ensure!(found == status, "{found} instead of {status}: {text}");
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    ensure!(content_type == Some("application/problem+json"), "{content_type:?}: {text}");
    let problem: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    is_problem(&problem)?;
    ensure!(problem["status"] == status, "the body says another status: {text}");
    Ok(problem)
}

/// Has what every refusal has, over REST and in an error frame.
pub fn is_problem(problem: &Value) -> Result<()> {
    let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix(TYPES));
    ensure!(kind.is_some_and(|slug| !slug.is_empty()), "no stable type: {problem}");
    ensure!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
    ensure!(problem["status"].as_u64().is_some_and(|status| status >= 400), "{problem}");
    Ok(())
}

/// Sends a request that has to succeed with this status; returns the body. It is sent again as long as the
/// answer is to come back later, which a machine that stood still for seconds may say.
pub async fn accepted(request: RequestBuilder, status: u16) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    let mut request = request;
    let answer = loop {
        let again = request.try_clone();
        let answer = request.send().await?;
        let later = answer.status() == StatusCode::SERVICE_UNAVAILABLE
            && answer.headers().contains_key(RETRY_AFTER)
            && Instant::now() < deadline;
        match again {
            Some(again) if later => request = again,
            _ => break answer,
        }
        sleep(Duration::from_secs(1)).await;
    };
    let (found, text) = (answer.status(), answer.text().await?);
    ensure!(found == StatusCode::from_u16(status)?, "{found} instead of {status}: {text}");
    serde_json::from_str(&text).with_context(|| text.clone())
}
