//! A small client of the public API: what the demo, the benches and the end-to-end tests speak.

use std::time::{Duration, Instant};

use events::{ConversationId, LoginId, MessageId, Position, UserId};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;

mod error;
mod frame;
mod socket;

pub use error::Error;
pub use frame::{Bye, Event, Incoming, Refusal};
pub use socket::Socket;

/// Longer than the API's own bounds (5 s for a read that waits), so that its answer is seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A new idempotency key.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a client is the edge that makes keys")]
pub fn key() -> Uuid {
    Uuid::new_v4()
}

/// A new id for something that the client makes, such as a message.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a client is the edge that makes ids")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// One stack, seen by nobody in particular.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// Who signs up.
#[derive(Clone, Debug)]
pub struct SignUp {
    /// The e-mail address, which nobody else may have.
    pub email: String,
    /// The handle, which nobody else may have.
    pub handle: String,
    /// The name others see.
    pub name: String,
    /// The password.
    pub password: String,
}

/// Something was made.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Created<Id> {
    /// What it is called.
    pub id: Id,
    /// Where in the log.
    pub position: Position,
}

/// Something was done.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Accepted {
    /// Where in the log.
    pub position: Position,
}

impl Client {
    /// A client of the stack at `base`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`Error::Address`] if that is no address this client can speak to.
    pub fn new(base: &str) -> Result<Self, Error> {
        let base = base.trim_end_matches('/');
        if !base.starts_with("http://") {
            return Err(Error::Address(base.to_owned()));
        }
        base.parse::<reqwest::Url>().map_err(|_| Error::Address(base.to_owned()))?;
        let http = reqwest::Client::builder().timeout(PATIENCE).tcp_nodelay(true).build()?;
        Ok(Self { base: base.to_owned(), http })
    }

    /// The address of the stack, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The start of any request, for what has no method of its own.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Signs somebody up.
    ///
    /// # Errors
    /// As every call: [`Error::Problem`] when the API says no, [`Error::Http`] when it does not
    /// answer, [`Error::Unexpected`] when the answer is not what the API promises.
    pub async fn sign_up(&self, who: &SignUp) -> Result<Created<UserId>, Error> {
        let body = json!({
            "email": who.email, "handle": who.handle, "name": who.name, "password": who.password,
        });
        let request = self.request(Method::POST, "/v1/users").json(&body);
        read(request.header("Idempotency-Key", key().to_string())).await
    }

    /// Logs somebody in.
    ///
    /// # Errors
    /// As [`sign_up`](Self::sign_up).
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Session, Error> {
        let body = json!({ "email": email, "password": password });
        let request = self.request(Method::POST, "/v1/sessions").json(&body);
        let tokens = read(request.header("Idempotency-Key", key().to_string())).await?;
        Ok(Session { client: self.clone(), tokens })
    }
}

/// What a log-in gives.
#[derive(Clone, Debug, Deserialize)]
pub struct Tokens {
    /// Who.
    pub user_id: UserId,
    /// The log-in.
    pub login_id: LoginId,
    /// Shown with every request; good for minutes.
    pub access_token: String,
    /// Exchanged for new tokens, once.
    pub refresh_token: String,
    /// Where in the log.
    pub position: Position,
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    tokens: Tokens,
}

impl Session {
    /// Who.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.tokens.user_id
    }

    /// The tokens of the log-in.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The stack.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Exchanges the tokens for new ones.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn refresh(&mut self) -> Result<(), Error> {
        let body = json!({ "refresh_token": self.tokens.refresh_token });
        let request = self.client.request(Method::POST, "/v1/sessions/refresh").json(&body);
        self.tokens = read(request.header("Idempotency-Key", key().to_string())).await?;
        Ok(())
    }

    /// The start of any request of this person.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).bearer_auth(&self.tokens.access_token)
    }

    /// A write, with a new idempotency key.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let mut request = self.request(method, path).header("Idempotency-Key", key().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        read(request).await
    }

    /// A read, which shows everything up to `after`.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        after: Option<Position>,
    ) -> Result<T, Error> {
        let mut request = self.request(Method::GET, path);
        if let Some(after) = after {
            request = request.header("Roundtable-After", after.to_string());
        }
        read(request).await
    }

    /// Asks somebody to be friends.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn ask_for_friendship(&self, to: UserId) -> Result<Accepted, Error> {
        self.write(Method::POST, "/v1/friend-requests", Some(&json!({ "to": to }))).await
    }

    /// Says yes to somebody who asked.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn accept_friendship(&self, from: UserId) -> Result<Accepted, Error> {
        self.write(Method::POST, &format!("/v1/friend-requests/{from}/accept"), None).await
    }

    /// Opens the direct conversation with a friend.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn open_direct(&self, with: UserId) -> Result<Created<ConversationId>, Error> {
        let body = json!({ "kind": "direct", "with": with });
        self.write(Method::POST, "/v1/conversations", Some(&body)).await
    }

    /// Opens a group, as its owner.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn open_group(
        &self,
        title: &str,
        members: &[UserId],
    ) -> Result<Created<ConversationId>, Error> {
        let body = json!({ "kind": "group", "title": title, "members": members });
        self.write(Method::POST, "/v1/conversations", Some(&body)).await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn send(
        &self,
        conversation: ConversationId,
        text: &str,
    ) -> Result<Created<MessageId>, Error> {
        let path = format!("/v1/conversations/{conversation}/messages");
        self.write(Method::POST, &path, Some(&json!({ "text": text }))).await
    }

    /// The newest messages of a conversation, newest first.
    ///
    /// # Errors
    /// As [`Client::sign_up`].
    pub async fn messages(
        &self,
        conversation: ConversationId,
        after: Option<Position>,
    ) -> Result<Page<Message>, Error> {
        self.read(&format!("/v1/conversations/{conversation}/messages"), after).await
    }

    /// Opens a socket; with `after`, everything since that position comes first.
    ///
    /// # Errors
    /// As [`Socket::open`].
    pub async fn socket(&self, after: Option<Position>) -> Result<Socket, Error> {
        Socket::open(&self.client.base, &self.tokens.access_token, after).await
    }
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there is one.
    pub next: Option<Value>,
}

impl Page<Message> {
    /// What people said, without what happened in the conversation.
    pub fn said(&self) -> impl Iterator<Item = &Message> {
        self.items.iter().filter(|message| message.kind != "system")
    }
}

/// A message as a reader sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// Its place in the conversation.
    pub ordinal: i64,
    /// Who sent it.
    pub sender_id: UserId,
    /// `text`, `file`, `image`, or `system` for something that happened in the conversation.
    pub kind: String,
    /// What it says; nothing, once its sender was erased.
    pub text: Option<String>,
    /// Where in the log.
    pub position: Position,
    /// How far it came: `sent`, `delivered` or `read`; for one's own messages only.
    #[serde(default)]
    pub status: Option<String>,
}

/// Whoever is asked to come back later (503 with `Retry-After`) comes back, for a while: every write has
/// its key, and counts once.
async fn read<T: DeserializeOwned>(mut request: RequestBuilder) -> Result<T, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let again = request.try_clone();
        let answer = read_once(request).await;
        let (Err(Error::Problem(refusal)), Some(again)) = (&answer, again) else { return answer };
        let Some(seconds) = refusal.retry_after.filter(|_| refusal.status == 503) else {
            return answer;
        };
        let wait = Duration::from_secs(seconds);
        if Instant::now() + wait >= deadline {
            return answer;
        }
        tokio::time::sleep(wait).await;
        request = again;
    }
}

async fn read_once<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    let response = request.send().await?;
    let status = response.status();
    if !status.is_success() {
        return Err(problem(status, response).await);
    }
    let text = response.text().await?;
    serde_json::from_str(&text).map_err(|error| {
        Error::Unexpected(format!("an answer ({status}) of another shape ({error}): {text}"))
    })
}

/// Reads the Problem (RFC 9457) of an answer that says no.
async fn problem(status: StatusCode, response: Response) -> Error {
    let retry_after =
        response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await.unwrap_or_default();
    let Ok(body) = serde_json::from_str::<Value>(&text) else {
        return Error::Unexpected(format!("status {status} without a problem: {text}"));
    };
    let mut refusal = Refusal::read(&body);
    refusal.status = status.as_u16();
    refusal.retry_after = refusal.retry_after.or(retry_after);
    Error::Problem(Box::new(refusal))
}
