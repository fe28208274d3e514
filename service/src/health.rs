//! Whether a process lives, whether it can serve, and its metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::{BoxFuture, join_all};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::telemetry;

/// How long a dependency may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

type Check = dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// What a process depends on, and how to ask whether it is there.
#[derive(Clone, Default)]
pub struct Health {
    dependencies: Vec<Dependency>,
}

#[derive(Clone)]
struct Dependency {
    name: &'static str,
    need: Need,
    check: Arc<Check>,
}

/// Whether a process can serve without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Without it nothing can be served: not ready.
    Required,
    /// Without it the process serves, slower or less: ready, and `degraded`.
    Optional,
}

impl Health {
    /// Nothing to ask yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dependency. The check answers with a detail: good, or what is wrong; no secrets and
    /// no addresses with passwords. Two parts of one process may name the same one: it is asked
    /// once, and required if one of them requires it.
    #[must_use]
    pub fn with<F, A>(mut self, name: &'static str, need: Need, check: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<String, String>> + Send + 'static,
    {
        let check: Arc<Check> = Arc::new(move || Box::pin(check()));
        self.add(Dependency { name, need, check });
        self
    }

    /// What two parts of one process depend on.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        other.dependencies.into_iter().for_each(|dependency| self.add(dependency));
        self
    }

    fn add(&mut self, new: Dependency) {
        match self.dependencies.iter_mut().find(|old| old.name == new.name) {
            Some(old) if new.need == Need::Required => old.need = Need::Required,
            Some(_) => {}
            None => self.dependencies.push(new),
        }
    }

    /// `/livez`, `/readyz` and `/metrics`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(|| async { axum::Json(json!({ "status": "alive" })) }))
            .route("/readyz", get(move || ready(self.clone())))
            .route("/metrics", get(|| async { telemetry::metrics().render() }))
    }
}

async fn ready(health: Health) -> Response {
    let answers = join_all(health.dependencies.iter().map(ask)).await;
    let mut status = "ready";
    let mut dependencies = Map::new();
    for (dependency, answer) in health.dependencies.iter().zip(answers) {
        let (state, detail) = match answer {
            Ok(detail) => ("up", detail),
            Err(detail) => {
                match dependency.need {
                    Need::Required => status = "unavailable",
                    Need::Optional if status == "ready" => status = "degraded",
                    Need::Optional => {}
                }
                ("down", detail)
            }
        };
        let answer = json!({ "status": state, "detail": detail, "need": dependency.need });
        dependencies.insert(dependency.name.to_owned(), answer);
    }
    let code = match status {
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let body = json!({ "status": status, "dependencies": Value::Object(dependencies) });
    (code, axum::Json(body)).into_response()
}

async fn ask(dependency: &Dependency) -> Result<String, String> {
    match tokio::time::timeout(PATIENCE, (dependency.check)()).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("did not answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn readiness(health: Health) -> (StatusCode, Value) {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let response = health.routes().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_required_dependency_that_is_away_makes_it_not_ready() {
        let health = Health::new()
            .with("postgres", Need::Required, || async { Err("refused".to_owned()) })
            .with("redis", Need::Optional, || async { Ok("answers".to_owned()) });
        let (status, body) = readiness(health).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["status"], "unavailable");
        let postgres = json!({ "status": "down", "detail": "refused", "need": "required" });
        assert_eq!(body["dependencies"]["postgres"], postgres);
        assert_eq!(body["dependencies"]["redis"]["status"], "up");
    }

    #[tokio::test]
    async fn an_optional_one_only_degrades_it() {
        let health =
            Health::new().with("redis", Need::Optional, || async { Err("refused".to_owned()) });
        let (status, body) = readiness(health).await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("degraded")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_never_ends_is_down() {
        let health = Health::new().with("nats", Need::Required, std::future::pending);
        let (status, body) = readiness(health).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["dependencies"]["nats"]["detail"], "did not answer within 2 s");
    }

    #[tokio::test]
    async fn a_dependency_of_two_parts_is_asked_once() {
        let away = || async { Err("refused".to_owned()) };
        let one = Health::new().with("redis", Need::Optional, away);
        let both = one.and(Health::new().with("redis", Need::Required, away));
        let (status, body) = readiness(both).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["dependencies"].as_object().unwrap().len(), 1);
    }
}
