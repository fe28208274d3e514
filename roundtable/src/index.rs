//! What somebody sees who opens the address of the stack.

use axum::{Json, Router, response::Html, routing::get};
use http::{HeaderMap, header};
use serde_json::json;

/// `GET /`: a page for people, JSON for programs.
pub(crate) fn router() -> Router {
    Router::new().route("/", get(index))
}

async fn index(headers: HeaderMap) -> axum::response::Response {
    use axum::response::IntoResponse;

    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    match accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        true => Html(page()).into_response(),
        false => Json(json!({
            "name": "Roundtable",
            "version": crate::VERSION,
            "commit": crate::COMMIT,
            "api": "/v1",
            "gateway": { "path": "/v1/gateway", "protocol": "roundtable.v1" },
            "keys": "/.well-known/jwks.json",
            "alive": "/livez",
            "ready": "/readyz",
            "metrics": "/metrics",
        }))
        .into_response(),
    }
}

fn page() -> String {
    const LINKS: [(&str, &str); 4] = [
        ("/readyz", "what it depends on, and whether that is there"),
        ("/livez", "whether the process lives"),
        ("/metrics", "figures, for Prometheus"),
        ("/.well-known/jwks.json", "the keys of access tokens"),
    ];
    let links: String = LINKS
        .iter()
        .map(|(path, what)| format!("<li><a href=\"{path}\">{path}</a> – {what}</li>\n"))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Roundtable</title>\n\
         <style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; \
         padding: 0 1rem }}</style>\n<h1>Roundtable</h1>\n\
         <p>Version {}, commit {}. It runs.</p>\n\
         <p>The API is under <code>/v1</code>; the WebSocket gateway is <code>/v1/gateway</code> \
         (subprotocol <code>roundtable.v1</code>). <code>roundtable demo --url</code> this address \
         shows it at work.</p>\n<ul>\n{links}</ul>\n",
        crate::VERSION,
        crate::COMMIT,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn people_get_a_page_and_programs_get_json() {
        let kind = async |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, http::HeaderValue::from_static(accept));
            index(headers).await.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        assert!(kind("text/html,*/*").await.starts_with("text/html"));
        assert_eq!(kind("*/*").await, "application/json");
    }
}
