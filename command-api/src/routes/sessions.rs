//! `/v1/sessions`: tokens as JSON for programs, and as cookies for pages.

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::response::{AppendHeaders, IntoResponse};
use events::LoginId;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use service::auth::{ACCESS_COOKIE, REFRESH_COOKIE};
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::logins::{ChangePassword, RevokeOthers, RevokeSession};
use crate::commands::sessions::{self, CloseSession, LogIn, REFRESH_LIFETIME, Session};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(revoke))
        .routes(routes!(revoke_others))
        .routes(routes!(change_password))
        .routes(routes!(jwks))
}

type Cookies = AppendHeaders<[(HeaderName, String); 2]>;

/// The idempotency key of a log-in or a refresh, which may go without: then each is a new one.
struct SessionKey(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for SessionKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key("idempotency-key") {
            let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, state).await?;
            return Ok(Self(key));
        }
        #[expect(clippy::disallowed_methods, reason = "this is the edge, where ids are made")]
        Ok(Self(Uuid::new_v4()))
    }
}

/// The refresh token, unless it comes as a cookie.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: Option<String>,
}

/// Logs in: tokens as JSON, and as cookies. The key may be left out.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    tag = "sessions",
    request_body = LogIn,
    responses((status = 201, body = Session), Refusal),
    security(()),
)]
async fn log_in(
    State(app): State<App>,
    SessionKey(key): SessionKey,
    headers: HeaderMap,
    Json(mut body): Json<LogIn>,
) -> Result<impl IntoResponse, Problem> {
    let agent = || Some(headers.get(header::USER_AGENT)?.to_str().ok()?.to_owned());
    body.device = body.device.or_else(agent);
    let session = sessions::log_in(&app, key, body).await?;
    Ok((StatusCode::CREATED, with_cookies(&app, session)))
}

/// Gives new tokens for the refresh token, which is good once.
#[utoipa::path(
    post,
    path = "/v1/sessions/refresh",
    tag = "sessions",
    request_body = Option<Refresh>,
    responses((status = 200, body = Session), Refusal),
    security(()),
)]
async fn refresh(
    State(app): State<App>,
    SessionKey(key): SessionKey,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, Problem> {
    let body = if body.is_empty() { Refresh::default() } else { service::extract::parse(&body)? };
    let token = match &body.refresh_token {
        Some(token) => token,
        None => {
            let token = service::auth::cookie(&headers, REFRESH_COOKIE);
            let token = token.ok_or_else(Problem::unauthenticated)?;
            service::auth::check_csrf(&method, &headers)?;
            token
        }
    };
    let session = sessions::refresh(&app, key, token).await?;
    Ok((StatusCode::OK, with_cookies(&app, session)))
}

/// Logs out: ends the log-in that asks for it.
#[utoipa::path(
    delete,
    path = "/v1/sessions/current",
    tag = "sessions",
    params(Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn log_out(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<impl IntoResponse, Problem> {
    let closed = CloseSession {}.run(&app, identity, key).await?;
    let secure = app.secure_cookies();
    let gone = AppendHeaders([
        (header::SET_COOKIE, cookie(ACCESS_COOKIE, "", "/", 0, secure)),
        (header::SET_COOKIE, cookie(REFRESH_COOKIE, "", "/v1/sessions", 0, secure)),
    ]);
    Ok((gone, Recorded::from(closed)))
}

/// Ends one log-in of the person who asks, on whatever device.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{login}",
    tag = "sessions",
    params(("login" = LoginId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn revoke(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(login): Path<LoginId>,
) -> Result<Recorded, Problem> {
    RevokeSession { login }.run(&app, identity, key).await.map(Recorded::from)
}

/// Ends every log-in of the person who asks but this one.
#[utoipa::path(
    delete,
    path = "/v1/sessions",
    tag = "sessions",
    params(Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn revoke_others(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Recorded, Problem> {
    RevokeOthers {}.run(&app, identity, key).await.map(Recorded::from)
}

/// Replaces the password, which takes the old one, and ends every other log-in of the person.
#[utoipa::path(
    put,
    path = "/v1/users/me/password",
    tag = "sessions",
    params(Key),
    request_body = ChangePassword,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change_password(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ChangePassword>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}

/// The keys to check access tokens with (RFC 7517).
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "sessions",
    responses((status = 200, body = Value)),
    security(()),
)]
async fn jwks(State(app): State<App>) -> impl IntoResponse {
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        axum::Json::<Value>(app.tokens().jwks().clone()),
    )
}

fn with_cookies(app: &App, session: Session) -> (Cookies, impl IntoResponse + use<>) {
    let secure = app.secure_cookies();
    let access = i64::try_from(session.expires_in).expect("minutes fit");
    let refresh = REFRESH_LIFETIME.num_seconds();
    let cookies = AppendHeaders([
        (header::SET_COOKIE, cookie(ACCESS_COOKIE, &session.access_token, "/", access, secure)),
        (
            header::SET_COOKIE,
            cookie(REFRESH_COOKIE, &session.refresh_token, "/v1/sessions", refresh, secure),
        ),
    ]);
    (cookies, ([(header::CACHE_CONTROL, "no-store")], axum::Json(session)))
}

fn cookie(name: &str, value: &str, path: &str, max_age: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_out_of_reach_of_scripts_and_other_sites() {
        assert_eq!(
            cookie("a", "b", "/v1/sessions", 5, true),
            "a=b; Path=/v1/sessions; Max-Age=5; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(!cookie("a", "b", "/", 5, false).contains("Secure"));
    }
}
