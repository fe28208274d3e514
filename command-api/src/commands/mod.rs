//! Every command, once: the REST routes and the gateway both come here.
//!
//! A command is a type: its fields are the body, its name is what the gateway calls it, and
//! [`Command::run`] carries it out. A new one is a row in the table of its file.

mod call;
pub(crate) mod conversations;
pub(crate) mod files;
pub(crate) mod friendships;
pub(crate) mod messages;
pub(crate) mod receipts;
pub(crate) mod sessions;
pub(crate) mod users;

use std::fmt;

use events::{ConversationId, FileId, MessageId, Position};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::{Identity, Problem};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use crate::App;
pub(crate) use call::Call;

/// The commands of each file.
const TABLES: &[&[Entry]] = &[
    users::COMMANDS,
    friendships::COMMANDS,
    conversations::COMMANDS,
    messages::COMMANDS,
    receipts::COMMANDS,
    sessions::COMMANDS,
    files::COMMANDS,
];

/// Something that somebody wants done. Its fields, as JSON, are the body of the request.
pub(crate) trait Command:
    fmt::Debug + Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static
{
    /// What the gateway calls it.
    const NAME: &'static str;

    /// Whether it ends the log-in that it came with.
    const ENDS_LOGIN: bool = false;

    /// Carries it out for somebody. The same key with the same body again changes nothing, and
    /// gets the same answer.
    fn run(
        self,
        app: &App,
        identity: Identity,
        key: Uuid,
    ) -> impl Future<Output = Result<Accepted, Problem>> + Send;

    /// The conversation whose commands of one socket have to stay in order.
    fn lane(&self) -> Option<ConversationId> {
        None
    }
}

/// What a command that was accepted is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Where it stands in the log: reads with `after` this position show it.
    pub(crate) position: Position,
    /// What it made, if it made something that has an id.
    #[serde(flatten)]
    pub(crate) made: Option<Made>,
}

/// What was made by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    /// A conversation was opened.
    Conversation(ConversationId),
    /// A message was sent.
    Message(MessageId),
    /// A file was uploaded.
    File(FileId),
}

impl Accepted {
    /// Accepted, with nothing new made.
    pub(crate) const fn at(position: Position) -> Self {
        Self { position, made: None }
    }

    /// Accepted, and this is new.
    pub(crate) const fn made(self, made: Made) -> Self {
        Self { made: Some(made), ..self }
    }
}

/// The body of a command that has none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A command that was read from a frame and waits to be run.
pub(crate) struct Pending(Box<dyn Erased>);

impl Pending {
    /// Reads a command by its name.
    pub(crate) fn parse(name: &str, fields: Map<String, Value>) -> Result<Self, Problem> {
        let entry = entries().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| Problem::invalid("`type` names no command"))?;
        (entry.read)(Value::Object(fields)).map(Self)
    }

    /// Carries it out; see [`Command::run`].
    pub(crate) fn run(
        self,
        app: App,
        identity: Identity,
        key: Uuid,
    ) -> BoxFuture<'static, Result<Accepted, Problem>> {
        self.0.run(app, identity, key)
    }

    /// See [`Command::lane`].
    pub(crate) fn lane(&self) -> Option<ConversationId> {
        self.0.lane()
    }

    /// See [`Command::ENDS_LOGIN`].
    pub(crate) fn ends_login(&self) -> bool {
        self.0.ends_login()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A row of a table of commands.
pub(crate) struct Entry {
    name: &'static str,
    read: fn(Value) -> Result<Box<dyn Erased>, Problem>,
    schema: fn() -> RefOr<Schema>,
}

impl Entry {
    /// The row of a command.
    pub(crate) const fn of<C: Command>() -> Self {
        Self {
            name: C::NAME,
            read: |body| Ok(Box::new(service::extract::parse_value::<C>(body)?)),
            schema: C::schema,
        }
    }
}

/// Every command's name and the schema of its body.
pub(crate) fn schemas() -> impl Iterator<Item = (&'static str, RefOr<Schema>)> {
    entries().map(|entry| (entry.name, (entry.schema)()))
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().copied().flatten()
}

/// [`Command`] without its type.
trait Erased: fmt::Debug + Send + Sync {
    fn run(
        self: Box<Self>,
        app: App,
        identity: Identity,
        key: Uuid,
    ) -> BoxFuture<'static, Result<Accepted, Problem>>;
    fn lane(&self) -> Option<ConversationId>;
    fn ends_login(&self) -> bool;
}

impl<C: Command> Erased for C {
    fn run(
        self: Box<Self>,
        app: App,
        identity: Identity,
        key: Uuid,
    ) -> BoxFuture<'static, Result<Accepted, Problem>> {
        async move { Command::run(*self, &app, identity, key).await }.boxed()
    }

    fn lane(&self) -> Option<ConversationId> {
        Command::lane(self)
    }

    fn ends_login(&self) -> bool {
        C::ENDS_LOGIN
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "00000000-0000-0000-0000-000000000001";

    fn parse(name: &str, body: Value) -> Result<Pending, Problem> {
        let Value::Object(fields) = body else { panic!("a body is an object") };
        Pending::parse(name, fields)
    }

    #[test]
    fn every_command_of_the_contract_is_known_by_its_body() {
        for (name, body) in [
            ("user.change_profile", json!({"name": "Ada"})),
            ("friendship.request", json!({"to": ID})),
            ("friendship.accept", json!({"from": ID})),
            ("friendship.decline", json!({"from": ID})),
            ("friendship.cancel", json!({"to": ID})),
            ("friendship.remove", json!({"user": ID})),
            ("conversation.open_direct", json!({"with": ID})),
            ("conversation.open_group", json!({"title": "Maths", "members": [ID]})),
            ("conversation.add_member", json!({"conversation": ID, "user": ID})),
            ("conversation.remove_member", json!({"conversation": ID, "user": ID})),
            ("conversation.ban", json!({"conversation": ID, "user": ID})),
            ("conversation.unban", json!({"conversation": ID, "user": ID})),
            ("message.send", json!({"conversation": ID, "text": "hi"})),
            ("message.send", json!({"conversation": ID, "message": ID, "text": "hi"})),
            ("message.delivered", json!({"conversation": ID, "message": ID})),
            ("message.read", json!({"conversation": ID, "message": ID})),
            ("session.close", json!({})),
            ("file.remove", json!({"file": ID})),
        ] {
            parse(name, body.clone()).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
            let mut more = body;
            more["surplus"] = json!(1);
            let problem = parse(name, more).expect_err("an unknown field is refused");
            assert_eq!(problem.status().as_u16(), 422, "{name}");
        }
        assert!(parse("user.sign_up", json!({})).is_err());
    }

    #[test]
    fn every_command_has_a_name_of_its_own_and_an_object_for_a_body() {
        let mut names = std::collections::BTreeSet::new();
        for (name, schema) in schemas() {
            assert!(names.insert(name), "{name} is there twice");
            assert!(matches!(schema, RefOr::T(Schema::Object(_))), "{name}");
        }
    }

    #[test]
    fn only_sends_to_one_conversation_wait_for_each_other() {
        let send = parse("message.send", json!({"conversation": ID, "text": "hi"})).unwrap();
        assert_eq!(send.lane(), Some(ID.parse().unwrap()));
        let read = parse("message.read", json!({"conversation": ID, "message": ID})).unwrap();
        assert_eq!(read.lane(), None);
    }
}
