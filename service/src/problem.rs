//! What a client is told when something is refused or fails (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use event_log::LogError;
use events::Scope;
use http::{HeaderValue, StatusCode, header};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What every `type` begins with; the rest is the slug.
pub const TYPES: &str = "https://roundtable.dev/problems/";

/// A refusal or a failure, as clients see it: `application/problem+json` over HTTP, an `error`
/// frame on the gateway. Nothing of an inner error reaches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    scope: Option<Scope>,
}

impl Problem {
    /// A problem of a kind. The slug is stable: clients compare it. The title says the same to a
    /// person and is the same for every problem of the kind.
    pub const fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        Self { status, slug, title, detail: None, retry_after: None, scope: None }
    }

    /// Says what is special about this one.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says which scope an API token lacks.
    #[must_use]
    pub const fn scope(mut self, missing: Scope) -> Self {
        self.scope = Some(missing);
        self
    }

    /// The scope that an API token lacks.
    pub const fn missing_scope(&self) -> Option<Scope> {
        self.scope
    }

    /// Says when to try again; whole seconds, rounded up.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The last part of the `type`.
    pub const fn slug(&self) -> &'static str {
        self.slug
    }

    /// 400: the request cannot be understood.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood")
            .detail(detail)
    }

    /// 426: what is asked is a WebSocket, and the request does not ask for one.
    pub fn upgrade_required(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "This is a WebSocket endpoint";
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", title).detail(detail)
    }

    /// 400: a part of the query string is missing, unknown or has the wrong form.
    pub fn invalid_query(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-query", "The query has a wrong part")
            .detail(detail)
    }

    /// 422: the request is understood, and a value in it breaks a rule of form.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value in the request is invalid")
            .detail(detail)
    }

    /// 401: nobody says who they are.
    pub const fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Nobody is logged in")
    }

    /// 403: a rule says no to this person.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed").detail(detail)
    }

    /// 404: there is no such path.
    pub const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
    }

    /// 404: no conversation with this id, or none that this person may know of.
    pub const fn no_such_conversation() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-conversation", "This conversation does not exist")
    }

    /// 404: no person with this id or handle.
    pub const fn no_such_user() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-user", "This person does not exist")
    }

    /// 409: the idempotency key was used for another request.
    pub const fn key_reused() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "key-reused",
            "This idempotency key was used for another request",
        )
    }

    /// 413: the body is larger than is ever accepted.
    pub const fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large")
    }

    /// 503: something behind this service does not answer.
    pub const fn unavailable(retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "This cannot be done right now")
            .retry_after(retry_after)
    }

    /// 503: others changed the same thing again and again.
    pub const fn contention() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "contention",
            "Too many changes of the same thing at once",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// 500: a fault of ours.
    pub const fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something is wrong on our side")
    }

    fn retry_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(1))
    }
}

/// The members of RFC 9457, and where there is one `retry_after` in seconds, and `scope`.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("type", &format_args!("{TYPES}{}", self.slug))?;
        members.serialize_entry("title", self.title)?;
        members.serialize_entry("status", &self.status.as_u16())?;
        if let Some(detail) = &self.detail {
            members.serialize_entry("detail", detail)?;
        }
        if let Some(seconds) = self.retry_seconds() {
            members.serialize_entry("retry_after", &seconds)?;
        }
        if let Some(scope) = self.scope {
            members.serialize_entry("scope", &scope)?;
        }
        members.end()
    }
}

/// What problem a response is, for the layers around its handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slug(pub(crate) &'static str, pub(crate) Option<Scope>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("text and numbers are always JSON");
        let mut response = (self.status, body).into_response();
        response.extensions_mut().insert(Slug(self.slug, self.scope));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Logged here, once; the client learns only whether to try again.
impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let cause: &dyn std::error::Error = &error;
        match &error {
            LogError::Unavailable(unavailable) => {
                tracing::warn!(cause, "the log is away");
                Self::unavailable(unavailable.retry_after)
            }
            LogError::Undecodable { .. } | LogError::Refused(_) => {
                tracing::error!(cause, "the log failed a request");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457() {
        let problem = Problem::no_such_conversation().detail("none with this id");
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            json!({
                "type": "https://roundtable.dev/problems/no-such-conversation",
                "title": "This conversation does not exist",
                "status": 404,
                "detail": "none with this id",
            })
        );
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn when_to_try_again_is_said_in_whole_seconds_and_never_too_early() {
        let problem = Problem::unavailable(Duration::from_millis(1200));
        assert_eq!(serde_json::to_value(&problem).unwrap()["retry_after"], 2);
        assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn a_401_says_how_to_authenticate() {
        let response = Problem::unauthenticated().into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
