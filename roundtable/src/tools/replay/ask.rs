//! Asking the other stack until it answers for good.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long an answer that asks to come back later is followed.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// How long an error of the other stack may last until it counts as its answer.
const MENDED: Duration = Duration::from_secs(20);

/// What was answered.
pub(super) enum Answer {
    Done(Value),
    /// For good, and why.
    Refused(String),
    /// An error of the other stack, again and again.
    Failed(String),
    /// Who asks has to log in again.
    Stranger,
}

/// Sends a request, with its idempotency key, until it is answered for good.
pub(super) async fn patiently(key: Uuid, request: impl Fn() -> RequestBuilder) -> Result<Answer> {
    let (key, begun, mut failing) = (key.to_string(), Instant::now(), None);
    loop {
        let answer = request().header("Idempotency-Key", &key).send().await;
        let answer = answer.context("the other stack does not answer")?;
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            return Ok(Answer::Stranger);
        }
        let later = answer.headers().get("Retry-After").and_then(|it| it.to_str().ok());
        let later = later.and_then(|it| it.parse().ok()).map_or(1, |seconds: u64| seconds.max(1));
        let fails = status == StatusCode::INTERNAL_SERVER_ERROR;
        let waits = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() && !fails;
        failing = fails.then(|| failing.unwrap_or_else(Instant::now));
        let mends = failing.is_some_and(|since: Instant| since.elapsed() < MENDED);
        if mends || waits && begun.elapsed() < PATIENCE {
            sleep(Duration::from_secs(later)).await;
            continue;
        }
        let body: Value = answer.json().await.unwrap_or_default();
        if status.is_success() {
            return Ok(Answer::Done(body));
        }
        ensure!(!waits, "the other stack answers {status} for minutes: {body}");
        let slug = body["type"].as_str().and_then(|it| it.rsplit('/').next());
        let slug = slug.map_or_else(|| status.to_string(), str::to_owned);
        return Ok(if fails { Answer::Failed(slug) } else { Answer::Refused(slug) });
    }
}
