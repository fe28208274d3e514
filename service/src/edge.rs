//! What happens to every request of an API before and after its handler: who sends it is found out
//! once, limits are asked, and a denial is recorded.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use events::UserId;
use http::Method;
use http::request::Parts;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::auth::Known;
use crate::auth::scopes::Need;
use crate::denials::Denials;
use crate::limits::{Class, Client, Proxies, RateLimits, Subject, Verdict, Whose};
use crate::problem::Slug;
use crate::{Authenticator, Problem};

/// What it takes.
#[derive(Clone)]
pub struct Edge {
    /// Finds out who somebody is.
    pub auth: Authenticator,
    /// The limits.
    pub limits: RateLimits,
    /// Whose word about a client's address is believed.
    pub proxies: Proxies,
    /// Where denials go.
    pub denials: Denials,
}

/// What the limits said to this request, for its answer; handlers that ask for more add to it.
#[derive(Clone, Default)]
struct Verdicts(Arc<Mutex<Vec<Verdict>>>);

tokio::task_local! {
    /// What the command of a request is called, once the handler knows.
    static COMMAND: std::cell::Cell<Option<&'static str>>;
    static VERDICTS: Verdicts;
    static CLIENT: Client;
}

/// Says what the command is called that this request is about, for what is recorded of it. Outside
/// of a request it does nothing.
pub fn is_command(name: &'static str) {
    let _ = COMMAND.try_with(|command| command.set(Some(name)));
}

impl Edge {
    /// Surrounds the routes.
    pub fn guard(self, routes: Router) -> Router {
        routes.route_layer(middleware::from_fn_with_state(self, guarded))
    }

    /// Takes a token of an account, beside those that every request takes.
    ///
    /// # Errors
    /// 429 `rate-limited`.
    pub async fn check_account(&self, class: Class, digest: String) -> Result<(), Problem> {
        let subject = match client() {
            Some(client) => self.limits.account(digest, client).await,
            None => Subject::Account(digest),
        };
        let Some(verdict) = self.limits.take(class, subject).await else {
            return Ok(());
        };
        if let Ok(verdicts) = VERDICTS.try_with(Clone::clone) {
            verdicts.0.lock().await.push(verdict);
        }
        verdict.problem().map_or(Ok(()), Err)
    }

    /// Whoever sent this request has shown that the account is theirs.
    pub async fn is_account_of_client(&self, digest: &str) {
        if let Some(client) = client() {
            self.limits.logged_in(digest, client).await;
        }
    }

    fn client(&self, parts: &Parts) -> Client {
        self.proxies.client(&parts.headers, &parts.extensions)
    }

    /// What the limits say to a request: of its person, or of the address where nobody is known.
    async fn judge(&self, class: Class, person: Option<UserId>, parts: &Parts) -> Option<Verdict> {
        let address = || Subject::Address(self.client(parts));
        match (class.whose(), person) {
            (Whose::Address, _) => self.limits.take(class, address()).await,
            (Whose::Person | Whose::Account, Some(user)) => {
                self.limits.take(class, Subject::Person(user)).await
            }
            (Whose::Person | Whose::Account, None) => {
                self.limits.take(Class::Stranger, address()).await
            }
        }
    }
}

async fn guarded(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = path.unwrap_or_default();
    let Some(class) = Class::of_route(&parts.method, &path) else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let known = match class.whose() {
        Whose::Address => None,
        Whose::Person | Whose::Account => {
            let known = edge.auth.of_request(&parts).await;
            parts.extensions.insert(Known(known.clone()));
            known.ok()
        }
    };
    let person = known.map(|identity| identity.user);
    let allowed = known.map_or(Ok(()), |known| known.may(Need::of_route(&parts.method, &path)));
    let verdicts = match known {
        Some(token) if token.grant.is_some() => edge.limits.of_token(class, token).await,
        Some(_) | None => edge.judge(class, person, &parts).await.into_iter().collect(),
    };
    let refused = verdicts.iter().find_map(Verdict::problem).or(allowed.err());
    let verdicts = Verdicts(Arc::new(Mutex::new(verdicts)));
    let (method, target) = (parts.method.clone(), target(parts.uri.path()));
    let client = edge.client(&parts);
    let answer = async {
        let response = match refused {
            Some(problem) => problem.into_response(),
            None => next.run(Request::from_parts(parts, body)).await,
        };
        (response, COMMAND.with(std::cell::Cell::get))
    };
    let answer = CLIENT.scope(client, VERDICTS.scope(verdicts.clone(), answer));
    let (mut response, command) = COMMAND.scope(None.into(), answer).await;
    for verdict in verdicts.0.lock().await.iter() {
        verdict.describe(response.headers_mut());
    }
    if let (Some(user), Some(slug)) = (person, response.extensions().get::<Slug>()) {
        let command = command.map_or_else(|| route(&method, &path), str::to_owned);
        edge.denials.note(user, &command, target, response.status(), slug.0, slug.1);
    }
    response
}

/// Who sent the request that is answered here; nobody outside of one.
fn client() -> Option<Client> {
    CLIENT.try_with(|client| *client).ok()
}

/// What a request is called that was refused before it was a command.
fn route(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}

/// What a request is about: the first id in its path.
fn target(path: &str) -> Option<Uuid> {
    path.split('/').find_map(|part| if part.len() == 36 { part.parse().ok() } else { None })
}
