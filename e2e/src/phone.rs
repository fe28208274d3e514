//! A device that calls: it keeps what it heard until the test asks for it, whatever comes between.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use events::{CallId, ConversationId, Position};
use reqwest::Method;
use roundtable::client::{Session, key};
use serde_json::{Value, json};

use crate::device::Device;
use crate::refusal::TYPES;
use crate::talk::{PASSWORD, Person};

/// A log-in of somebody, and its socket.
#[derive(Debug)]
pub struct Phone {
    /// The log-in.
    pub session: Session,
    device: Device,
    heard: VecDeque<Value>,
}

impl Phone {
    /// The log-in that somebody has already, at some node.
    pub async fn of(person: &Person, url: &str) -> Result<Self> {
        Self::open(person.session.clone(), url).await
    }

    /// Another device of somebody, with a log-in of its own.
    pub async fn another(person: &Person, url: &str) -> Result<Self> {
        let session = person.session.client().log_in(&person.email, PASSWORD).await?;
        Self::open(session, url).await
    }

    async fn open(session: Session, url: &str) -> Result<Self> {
        let device = Device::open(url, &session.tokens().access_token).await?;
        Ok(Self { session, device, heard: VecDeque::new() })
    }

    /// How others call this device in a call.
    pub fn participant(&self) -> Value {
        json!({ "user": self.session.user(), "device": self.session.tokens().login_id })
    }

    /// The connection is gone without a word; the log-in is left.
    pub async fn cut(self) -> Session {
        let Self { session, device, .. } = self;
        device.cut().await;
        session
    }

    /// The device again, after its connection was lost.
    pub async fn back(session: Session, url: &str) -> Result<Self> {
        Self::open(session, url).await
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.device.send(frame).await
    }

    /// Gives a command; the answer, whether it was accepted or refused.
    pub async fn ask(&mut self, kind: &str, fields: Value) -> Result<Value> {
        self.ask_with_key(&key().to_string(), kind, fields).await
    }

    /// The same with a key of the test's, who may repeat it.
    pub async fn ask_with_key(&mut self, key: &str, kind: &str, fields: Value) -> Result<Value> {
        let mut frame = fields;
        frame["op"] = json!("command");
        frame["id"] = json!(key);
        frame["type"] = json!(kind);
        self.device.send(&frame).await?;
        self.hears(kind, |frame| {
            frame["id"] == key && (frame["op"] == "result" || frame["op"] == "error")
        })
        .await
    }

    /// Gives a command that has to be accepted.
    pub async fn done(&mut self, kind: &str, fields: Value) -> Result<Value> {
        let answer = self.ask(kind, fields).await?;
        ensure!(answer["op"] == "result", "{kind} is refused: {answer}");
        Ok(answer)
    }

    /// Gives a command that has to be refused for this.
    pub async fn refused(&mut self, kind: &str, fields: Value, slug: &str) -> Result<Value> {
        let answer = self.ask(kind, fields).await?;
        ensure!(answer["type"] == format!("{TYPES}{slug}"), "{kind} is not {slug}: {answer}");
        Ok(answer)
    }

    /// Calls; which call it is.
    pub async fn calls(&mut self, conversation: ConversationId, more: Value) -> Result<CallId> {
        let mut fields = json!({ "conversation": conversation, "media": "video" });
        for (name, value) in more.as_object().context("fields")? {
            fields[name] = value.clone();
        }
        let answer = self.done("call.start", fields).await?;
        Ok(answer["call"].as_str().context("a call")?.parse()?)
    }

    /// The next event of a type, among those that came and come.
    pub async fn event(&mut self, kind: &str) -> Result<Value> {
        self.hears(kind, |frame| frame["op"] == "event" && frame["type"] == kind).await
    }

    /// The next frame that is like this; others are kept.
    pub async fn hears(&mut self, what: &str, like: impl Fn(&Value) -> bool) -> Result<Value> {
        if let Some(index) = self.heard.iter().position(&like) {
            return self.heard.remove(index).context("it is there");
        }
        loop {
            let frame = self.device.frame().await;
            let frame = frame.with_context(|| format!("waited for {what}: {:?}", self.heard))?;
            if like(&frame) {
                return Ok(frame);
            }
            if frame["op"] == "bye" {
                bail!("waited for {what}, and there came {frame}");
            }
            self.heard.push_back(frame);
        }
    }

    /// Whether something like this has come so far, as far as was read.
    pub fn has_heard(&self, like: impl Fn(&Value) -> bool) -> bool {
        self.heard.iter().any(like)
    }

    /// Tells another device in a call something.
    pub async fn signal(&mut self, call: CallId, to: &Value, data: Value) -> Result<()> {
        let frame = json!({ "op": "signal", "call": call, "to": to, "data": data });
        self.send(&frame).await
    }

    /// The next signal, and from whom.
    pub async fn signalled(&mut self) -> Result<Value> {
        self.hears("a signal", |frame| frame["op"] == "signal").await
    }

    /// Is ready for the signals of a call, after the last one it has seen.
    pub async fn listens(&mut self, call: CallId, after: Option<&Value>) -> Result<()> {
        let mut frame = json!({ "op": "signals", "call": call });
        if let Some(after) = after {
            frame["after"] = after.clone();
        }
        self.send(&frame).await
    }

    /// What is known of a call, up to a position.
    pub async fn sees(&self, call: CallId, after: Position) -> Result<Value> {
        Ok(self.session.read(&format!("/v1/calls/{call}"), Some(after)).await?)
    }

    /// A write over REST.
    pub async fn posts(&self, path: &str) -> Result<Value, roundtable::client::Error> {
        self.session.write(Method::POST, path, None).await
    }
}
