//! Who somebody is: from an access token, or an API token, checked against the log.

mod api_tokens;
mod csrf;
pub mod scopes;
mod suspension;
mod tokens;

use axum::extract::{FromRef, FromRequestParts};
use domain::login::Login;
use domain::user::User;
use event_log::EventLog;
use events::{LoginId, StreamName, UserId};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

pub use api_tokens::{ApiToken, Grant, PREFIX};
pub use csrf::{check as check_csrf, is_same_origin};
pub use tokens::{LIFETIME, TokenError, Tokens};

use crate::{Problem, clock};

/// The cookie of the access token.
pub const ACCESS_COOKIE: &str = "roundtable_access";
/// The cookie of the refresh token.
pub const REFRESH_COOKIE: &str = "roundtable_refresh";

/// Who somebody is, and by which log-in. As an extractor it refuses who is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The person.
    pub user: UserId,
    /// Their log-in: one device, or one API token.
    pub login: LoginId,
    /// What the token may be used for, where it is an API token; everything otherwise.
    pub grant: Option<Grant>,
}

impl Identity {
    /// Somebody who logged in.
    pub const fn new(user: UserId, login: LoginId) -> Self {
        Self { user, login, grant: None }
    }
}

/// What it takes to know who somebody is. A router's state provides it by `FromRef`.
#[derive(Clone)]
pub struct Authenticator {
    /// Checks signatures.
    pub tokens: Tokens,
    /// Knows which log-ins are open.
    pub log: EventLog,
}

impl Authenticator {
    /// Whose access token, or API token, this is. A log-in that has ended is known at once, whatever
    /// its tokens say.
    ///
    /// # Errors
    /// 401 `token-invalid`, `token-expired` or `login-ended`; 403 `suspended`; 503 while the log
    /// cannot be read.
    pub async fn identify(&self, token: &str) -> Result<Identity, Problem> {
        if ApiToken::is_meant(token) {
            return self.of_api_token(token).await;
        }
        let identity = self.tokens.verify(token, clock::now())?;
        self.still_open(identity).await?;
        self.not_suspended(identity.user).await?;
        Ok(identity)
    }

    /// As [`identify`](Self::identify), for a connection that will be asked nothing else for long.
    ///
    /// # Errors
    /// As [`identify`](Self::identify).
    pub async fn introduce(&self, token: &str) -> Result<Identity, Problem> {
        if ApiToken::is_meant(token) {
            return self.of_api_token(token).await;
        }
        let identity = self.tokens.verify(token, clock::now())?;
        let (login, person) = (StreamName::login(identity.login), StreamName::user(identity.user));
        let (login, person) =
            tokio::try_join!(self.log.glance::<Login>(&login), self.log.glance::<User>(&person))?;
        must_be_open(&login.state, identity)?;
        suspension::must_not_be_suspended(&person.state)?;
        Ok(identity)
    }

    /// Who sends a request: by its bearer token, or by its cookie if the request is meant. An API token
    /// in a cookie is none.
    ///
    /// # Errors
    /// 401 without a good token, 403 `csrf`; 503 while the log cannot be read.
    pub async fn of_request(&self, parts: &Parts) -> Result<Identity, Problem> {
        let token = match bearer(&parts.headers)? {
            Some(token) => token,
            None => {
                let token = cookie(&parts.headers, ACCESS_COOKIE);
                let token = token.ok_or_else(Problem::unauthenticated)?;
                check_csrf(&parts.method, &parts.headers)?;
                if ApiToken::is_meant(token) {
                    return Err(TokenError::Invalid.into());
                }
                token
            }
        };
        self.identify(token).await
    }

    /// Asks again whether the log-in of somebody known is open.
    ///
    /// # Errors
    /// 401 `login-ended`; 503 while the log cannot be read.
    pub async fn still_open(&self, identity: Identity) -> Result<(), Problem> {
        let login = self.log.state::<Login>(&StreamName::login(identity.login)).await?;
        must_be_open(&login.state, identity)
    }
}

fn must_be_open(login: &Login, identity: Identity) -> Result<(), Problem> {
    if login.is_open_for(identity.user) {
        return Ok(());
    }
    let title = "This log-in has ended";
    Err(Problem::new(StatusCode::UNAUTHORIZED, "login-ended", title))
}

impl<S> FromRequestParts<S> for Identity
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Known>() {
            Some(Known(known)) => known.clone(),
            None => Authenticator::from_ref(state).of_request(parts).await,
        }
    }
}

/// Who sends a request, where that was found out already.
#[derive(Clone)]
pub(crate) struct Known(pub(crate) Result<Identity, Problem>);

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let (slug, title) = match error {
            TokenError::Invalid => ("token-invalid", "The access token is not one of ours"),
            TokenError::Expired => ("token-expired", "The access token has expired"),
        };
        Self::new(StatusCode::UNAUTHORIZED, slug, title)
    }
}

/// The bearer token of a request, if it has one.
///
/// # Errors
/// 401 when the header `Authorization` says something else.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        return Ok(Some(token.trim()));
    }
    Err(Problem::unauthenticated().detail("the header Authorization must be `Bearer` and a token"))
}

/// A cookie of a request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        let pair = |value: &&'static str| (name.clone(), HeaderValue::from_static(value));
        values.iter().map(pair).collect()
    }

    #[test]
    fn a_bearer_token_is_found_and_anything_else_refused() {
        let of = |value| bearer(&headers(header::AUTHORIZATION, &[value])).map(|t| t.is_some());
        assert_eq!(bearer(&HeaderMap::new()), Ok(None));
        assert_eq!(of("Bearer abc"), Ok(true));
        assert_eq!(of("bearer  abc"), Ok(true));
        for wrong in ["Bearer", "Bearer ", "Basic abc", "", "abc"] {
            assert_eq!(of(wrong).unwrap_err().slug(), "unauthenticated", "{wrong}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let sent = headers(header::COOKIE, &["a=1; xroundtable_access=2", "roundtable_access=3"]);
        assert_eq!(cookie(&sent, ACCESS_COOKIE), Some("3"));
        assert_eq!(cookie(&sent, REFRESH_COOKIE), None);
    }
}
