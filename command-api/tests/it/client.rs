//! A client: REST requests and a socket, as JSON.

use std::collections::VecDeque;

use futures::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::world::{PATIENCE, World};

/// Somebody who is logged in.
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
}

impl Person {
    pub(crate) async fn sign_up(world: &World, name: &str) -> Self {
        let email = format!("{name}@example.org");
        let password = "correct horse";
        let body = json!({"email": email, "handle": name, "name": name, "password": password});
        let (status, user) = request(world, "POST", "/v1/users", "", world.id(), body).await;
        assert_eq!(status, 201, "{user}");
        let body = json!({"email": email, "password": password});
        let (status, session) = request(world, "POST", "/v1/sessions", "", world.id(), body).await;
        assert_eq!(status, 201, "{session}");
        assert_eq!(session["user_id"], user["id"]);
        Self {
            id: text(&user["id"]),
            token: text(&session["access_token"]),
            refresh: text(&session["refresh_token"]),
        }
    }

    /// A write as this person, with a new key.
    pub(crate) async fn write(
        &self,
        world: &World,
        method: &str,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        request(world, method, path, &self.token, world.id(), body).await
    }

    /// A write that has to be accepted.
    pub(crate) async fn must(&self, world: &World, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.write(world, method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// A group of this person and others.
    pub(crate) async fn group(&self, world: &World, others: &[&Self]) -> String {
        let members: Vec<_> = others.iter().map(|other| &other.id).collect();
        let body = json!({"kind": "group", "title": "Maths", "members": members});
        text(&self.must(world, "POST", "/v1/conversations", body).await["id"])
    }

    /// Sends a message over REST; returns its position.
    pub(crate) async fn say(&self, world: &World, conversation: &str, what: &str) -> u64 {
        let path = format!("/v1/conversations/{conversation}/messages");
        let sent = self.must(world, "POST", &path, json!({"text": what})).await;
        text(&sent["position"]).parse().unwrap()
    }

    /// A socket that is ready, and the position of its `ready`.
    pub(crate) async fn connect(&self, world: &World, after: Option<&str>) -> (Socket, String) {
        let connected = self.try_connect(world, after).await;
        connected.unwrap_or_else(|bye| panic!("no ready: {bye}"))
    }

    /// As [`Self::connect`], or the `bye` of a socket that was let go before it was ready.
    pub(crate) async fn try_connect(
        &self,
        world: &World,
        after: Option<&str>,
    ) -> Result<(Socket, String), Value> {
        let mut socket = Socket::open(world).await;
        let mut auth = json!({"op": "auth", "token": self.token});
        if let Some(after) = after {
            auth["after"] = json!(after);
        }
        socket.send(auth).await;
        loop {
            let frame = socket.receive().await;
            match frame["op"].as_str() {
                Some("ready") => return Ok((socket, text(&frame["position"]))),
                Some("bye") => {
                    // The server gives its place back when the connection is closed.
                    while socket.receive().await != json!({"closed": null}) {}
                    return Err(frame);
                }
                Some(_) => socket.seen.push_back(frame),
                None => panic!("closed before ready: {frame} {:?}", socket.seen),
            }
        }
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

pub(crate) fn slug(problem: &Value) -> String {
    text(&problem["type"]).rsplit('/').next().unwrap().to_owned()
}

pub(crate) async fn request(
    world: &World,
    method: &str,
    path: &str,
    token: &str,
    key: Uuid,
    body: Value,
) -> (StatusCode, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = reqwest::Client::new()
        .request(method, format!("{}{path}", world.url))
        .header("idempotency-key", key.to_string());
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or_default())
}

/// A socket; `hello` has been read.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Frames that were read while another one was waited for.
    pub(crate) seen: VecDeque<Value>,
}

impl Socket {
    pub(crate) async fn open(world: &World) -> Self {
        Self::open_with(world, &[]).await
    }

    /// With more headers, as a browser sends them.
    pub(crate) async fn open_with(world: &World, headers: &[(&'static str, &str)]) -> Self {
        let url = format!("{}/v1/gateway", world.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let protocol = HeaderValue::from_static("roundtable.v1");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut socket = Self { stream, seen: VecDeque::new() };
        assert_eq!(socket.receive().await["op"], "hello");
        socket
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Queues frames and writes them together.
    pub(crate) async fn send_together(&mut self, frames: impl IntoIterator<Item = Value>) {
        for frame in frames {
            self.stream.feed(Message::text(frame.to_string())).await.unwrap();
        }
        self.stream.flush().await.unwrap();
    }

    /// The next frame; a closed socket reads as `{"closed": code}`.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            let next = timeout(PATIENCE, self.stream.next()).await.expect("a frame comes in time");
            match next {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(Some(close)))) => {
                    return json!({"closed": u16::from(close.code)});
                }
                Some(Ok(Message::Close(None)) | Err(_)) | None => return json!({"closed": null}),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame of a kind; the others are kept in `seen`.
    pub(crate) async fn until(&mut self, op: &str) -> Value {
        loop {
            let frame = self.receive().await;
            if frame["op"] == op {
                return frame;
            }
            assert!(frame.get("closed").is_none(), "closed before {op}: {frame} {:?}", self.seen);
            self.seen.push_back(frame);
        }
    }

    /// The next event, kept or new.
    pub(crate) async fn event(&mut self) -> Value {
        match self.seen.iter().position(|frame| frame["op"] == "event") {
            Some(index) => self.seen.remove(index).unwrap(),
            None => self.until("event").await,
        }
    }

    /// The texts of the next messages.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let event = self.event().await;
            if event["type"] == "message.sent" {
                texts.push(text(&event["data"]["text"]));
            }
        }
        texts
    }

    /// Sends a command and returns its `result` or `error`.
    pub(crate) async fn command(&mut self, world: &World, name: &str, body: Value) -> Value {
        let id = world.id().to_string();
        let mut frame = json!({"op": "command", "id": id, "type": name});
        frame.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.send(frame).await;
        loop {
            let answer = self.receive().await;
            if answer["id"] == id && answer["op"] != "event" {
                return answer;
            }
            assert!(answer.get("closed").is_none(), "closed before the answer to {name}");
            self.seen.push_back(answer);
        }
    }

    /// The `bye` and the code that the socket was closed with.
    pub(crate) async fn ends(&mut self) -> (Value, Value) {
        let bye = self.until("bye").await;
        (bye, self.receive().await["closed"].take())
    }
}
