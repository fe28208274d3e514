//! How a service listens: what surrounds every route, and how the last requests end.

use std::any::Any;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::{Config, Health, Problem, documents, telemetry};

/// The largest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Every answer says in this header which process gave it.
pub const NODE: HeaderName = HeaderName::from_static("roundtable-node");

/// How long a handler may take, reading the body included. A read may wait 5 s for its read model.
const HANDLER: Duration = Duration::from_secs(20);

/// How long requests may go on after the process was asked to end.
const DRAIN: Duration = Duration::from_secs(15);

/// Surrounds the routes of a process: health routes, problems for unknown paths and methods, the
/// body limit, CORS, panics as problems, a time limit, metrics, and the node's name. A process with
/// the routes of several services merges them first.
pub fn app(routes: Router, config: &Config, health: Health) -> Router {
    let node = HeaderValue::from_str(&config.node).expect("the configuration allows no other");
    telemetry::metrics();
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(bounded))
        .merge(health.routes())
        .merge(documents::routes())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(observed))
        .layer(cors(&config.allowed_origins))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let node = node.clone();
            async move {
                let mut response = next.run(request).await;
                response.headers_mut().insert(NODE, node);
                response
            }
        }))
}

/// Serves until the shutdown, then lets the requests in flight end, but not for ever.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // Small answers must not wait for an acknowledgement of the one before.
        drop(connection.set_nodelay(true));
    });
    let upkeep = tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            telemetry::metrics().run_upkeep();
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let result = tokio::select! {
        result = server => result,
        () = drained => {
            tracing::warn!("some requests did not end in time and were cut off");
            Ok(())
        }
    };
    upkeep.abort();
    result
}

/// A route whose body is streamed and may take long. It bounds its size and its time itself.
const STREAMED: &str = "/v1/files";

async fn bounded(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if request.method() == Method::POST && path == Some(STREAMED) {
        return next.run(request).await;
    }
    match tokio::time::timeout(HANDLER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "This took too long")
            .retry_after(Duration::from_secs(1))
            .into_response(),
    }
}

async fn observed(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        // What nobody serves is one series, not one for each path that somebody tries.
        None => "none".to_owned(),
    };
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let labels =
        [("method", method.to_owned()), ("route", route.clone()), ("status", status.to_string())];
    metrics::histogram!(telemetry::REQUEST_SECONDS, &labels).record(elapsed.as_secs_f64());
    tracing::debug!(
        http.method = method,
        http.route = route,
        http.status = status,
        elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "answered a request"
    );
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn method_not_allowed() -> Problem {
    let title = "Nothing here answers this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title)
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    tracing::error!(message, "a handler panicked");
    Problem::internal().into_response()
}

/// Pages of the allowed origins may use cookies; others get no CORS headers at all.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let [get, post, put, patch, delete] =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_credentials(true)
        .allow_methods([get, post, put, patch, delete])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("roundtable-after"),
            HeaderName::from_static("roundtable-csrf"),
        ])
        .expose_headers([
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            NODE,
        ])
        .max_age(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::{get, post};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::Secrets;

    fn config() -> Config {
        let secrets = tempfile::tempdir().unwrap();
        Secrets::generate(secrets.path()).unwrap();
        Config::read(|name| {
            Some(match name {
                "ROUNDTABLE_POSTGRES_URL" => "postgres://a".to_owned(),
                "ROUNDTABLE_REDIS_URL" => "redis://a".to_owned(),
                "ROUNDTABLE_NATS_URL" => "nats://a".to_owned(),
                "ROUNDTABLE_EVENTSTORE_URL" => "esdb://a".to_owned(),
                "ROUNDTABLE_LISTEN" => "127.0.0.1:0".to_owned(),
                "ROUNDTABLE_SECRETS" => secrets.path().display().to_string(),
                "ROUNDTABLE_NODE" => "node-7".to_owned(),
                "ROUNDTABLE_ALLOWED_ORIGINS" => "https://chat.example".to_owned(),
                _ => return None,
            })
        })
        .unwrap()
    }

    async fn panics() -> &'static str {
        panic!("with something secret")
    }

    fn router() -> Router {
        let routes = Router::new()
            .route("/v1/things/{id}", get(|| async { "thing" }))
            .route(
                "/v1/large",
                post(|body: axum::body::Bytes| async move { body.len().to_string() }),
            )
            .route("/v1/slow", get(std::future::pending::<()>))
            .route("/v1/panic", get(panics));
        app(routes, &config(), Health::new())
    }

    async fn send(method: &str, path: &str, body: impl Into<Body>) -> (u16, String, Response<()>) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("origin", "https://chat.example").body(body.into()).unwrap();
        let response = router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (parts.status.as_u16(), text, Response::from_parts(parts, ()))
    }

    #[tokio::test]
    async fn every_answer_names_its_node_and_every_failure_is_a_problem() {
        let (status, body, response) = send("GET", "/v1/things/1", "").await;
        assert_eq!((status, body.as_str()), (200, "thing"));
        assert_eq!(response.headers()[NODE], "node-7");
        for (method, path, status, slug) in [
            ("GET", "/nowhere", 404, "not-found"),
            ("DELETE", "/v1/things/1", 405, "method-not-allowed"),
            ("GET", "/v1/panic", 500, "internal"),
        ] {
            let (answered, body, response) = send(method, path, "").await;
            assert_eq!(answered, status, "{method} {path}");
            assert_eq!(response.headers()[NODE], "node-7");
            assert_eq!(response.headers()["access-control-allow-origin"], "https://chat.example");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert!(problem["type"].as_str().unwrap().ends_with(slug), "{problem}");
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        assert_eq!(send("POST", "/v1/large", vec![b'a'; MAX_BODY]).await.0, 200);
        assert_eq!(send("POST", "/v1/large", vec![b'a'; MAX_BODY + 1]).await.0, 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_takes_too_long_is_given_up() {
        let (status, body, _) = send("GET", "/v1/slow", "").await;
        assert_eq!(status, 503);
        assert!(body.contains("/timeout"), "{body}");
    }

    #[tokio::test]
    async fn latency_is_counted_by_route_and_never_by_path() {
        send("GET", "/v1/things/12345", "").await;
        send("GET", "/somewhere/67890", "").await;
        let (status, metrics, _) = send("GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(metrics.contains(r#"route="/v1/things/{id}""#), "{metrics}");
        assert!(metrics.contains(r#"route="none""#), "{metrics}");
        assert!(!metrics.contains("12345") && !metrics.contains("67890"), "{metrics}");
    }

    #[tokio::test]
    async fn a_service_ends_when_it_is_told_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(router(), listener, shutdown.clone()));
        shutdown.cancel();
        served.await.unwrap().unwrap();
    }
}
