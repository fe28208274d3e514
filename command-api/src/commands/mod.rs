//! Every command, once: the REST routes and the gateway both come here.
//!
//! A command is a type: its fields are the body, its name is what the gateway calls it, and
//! [`Command::run`] carries it out. A new one is a row in the table of its file.

mod call;
pub(crate) mod call_media;
pub(crate) mod calls;
pub(crate) mod conversations;
pub(crate) mod erasure;
pub(crate) mod files;
pub(crate) mod friendships;
pub(crate) mod groups;
pub(crate) mod invites;
pub(crate) mod logins;
pub(crate) mod messages;
pub(crate) mod moderation;
pub(crate) mod notifications;
pub(crate) mod parked;
pub(crate) mod pins;
pub(crate) mod push;
pub(crate) mod receipts;
pub(crate) mod recordings;
pub(crate) mod reports;
pub(crate) mod sessions;
pub(crate) mod study;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod webhooks;
pub(crate) mod whiteboard;

use std::fmt;

use events::{
    CallId, ConversationId, FileId, MessageId, Position, PushId, RecordingId, ReportId,
    StudySessionId, UserId,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::auth::scopes::Need;
use service::limits::Class;
use service::{Edge, Identity, Problem};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use crate::App;
use crate::calls::JoinedCall;
pub(crate) use call::Call;

/// The commands of each file.
const TABLES: &[&[Entry]] = &[
    users::COMMANDS,
    friendships::COMMANDS,
    conversations::COMMANDS,
    groups::COMMANDS,
    invites::COMMANDS,
    reports::COMMANDS,
    moderation::COMMANDS,
    erasure::COMMANDS,
    messages::COMMANDS,
    pins::COMMANDS,
    receipts::COMMANDS,
    sessions::COMMANDS,
    study::COMMANDS,
    whiteboard::COMMANDS,
    logins::COMMANDS,
    files::COMMANDS,
    notifications::COMMANDS,
    parked::COMMANDS,
    push::COMMANDS,
    calls::COMMANDS,
    call_media::COMMANDS,
    recordings::COMMANDS,
    tokens::COMMANDS,
    webhooks::COMMANDS,
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
    /// Who was there already, for somebody who joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) participants: Option<Vec<UserId>>,
    /// What a newcomer to a call has to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) joined: Option<JoinedCall>,
}

/// What was made by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    /// A conversation was opened.
    Conversation(ConversationId),
    /// A message was sent.
    Message(MessageId),
    /// An invitation was made.
    Invite(invites::Invitation),
    /// A report was filed.
    Report(ReportId),
    /// A study session was planned.
    StudySession(StudySessionId),
    /// A file was uploaded.
    File(FileId),
    /// A browser was subscribed.
    PushSubscription(PushId),
    /// Somebody was called.
    Call(CallId),
    /// A call is recorded.
    Recording(RecordingId),
    /// An API token was made.
    ApiToken(tokens::NewToken),
    /// A webhook was made, or has a new secret.
    Webhook(webhooks::NewSecret),
}

impl Accepted {
    /// Accepted, with nothing new made.
    pub(crate) const fn at(position: Position) -> Self {
        Self { position, made: None, participants: None, joined: None }
    }

    /// Accepted, and this is new.
    pub(crate) fn made(self, made: Made) -> Self {
        Self { made: Some(made), ..self }
    }
}

/// The body of a command that has none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A command that was read from a frame and waits to be run.
pub(crate) struct Pending {
    name: &'static str,
    /// What it is about: the first id in its body.
    target: Option<Uuid>,
    command: Box<dyn Erased>,
}

impl Pending {
    /// Reads a command by its name.
    pub(crate) fn parse(name: &str, fields: Map<String, Value>) -> Result<Self, Problem> {
        let entry = entries().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| Problem::invalid("`type` names no command"))?;
        let target = fields.values().find_map(|value| value.as_str()?.parse().ok());
        let command = (entry.read)(Value::Object(fields))?;
        Ok(Self { name: entry.name, target, command })
    }

    /// Carries it out, within the limits of the person, and records a denial; see
    /// [`Command::run`].
    pub(crate) async fn run(
        self,
        app: App,
        identity: Identity,
        key: Uuid,
    ) -> Result<Accepted, Problem> {
        let Self { name, target, command } = self;
        let Edge { limits, denials, .. } = app.edge().clone();
        limits.check_command(Class::of_command(name), identity).await?;
        let done = match identity.may(Need::of_command(name)) {
            Ok(()) => command.run(app, identity, key).await,
            Err(problem) => Err(problem),
        };
        done.inspect_err(|problem| {
            denials.note_problem(identity.user, name, target, problem);
        })
    }

    /// See [`Command::lane`].
    pub(crate) fn lane(&self) -> Option<ConversationId> {
        self.command.lane()
    }

    /// See [`Command::ENDS_LOGIN`].
    pub(crate) fn ends_login(&self) -> bool {
        self.command.ends_login()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)
    }
}

/// A row of a table of commands.
pub(crate) struct Entry {
    name: &'static str,
    read: fn(Value) -> Result<Box<dyn Erased>, Problem>,
    schema: fn() -> RefOr<Schema>,
    uses: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Entry {
    /// The row of a command.
    pub(crate) const fn of<C: Command>() -> Self {
        Self {
            name: C::NAME,
            read: |body| Ok(Box::new(service::extract::parse_value::<C>(body)?)),
            schema: C::schema,
            uses: C::schemas,
        }
    }
}

/// A command of the gateway, for its description.
#[derive(Clone)]
pub struct CommandSchema {
    /// Its name.
    pub name: &'static str,
    /// The schema of its body.
    pub body: RefOr<Schema>,
    /// The schemas that the body's refers to, by name.
    pub uses: Vec<(String, RefOr<Schema>)>,
}

/// The schemas of all commands.
pub(crate) fn schemas() -> Vec<CommandSchema> {
    let schema = |entry: &Entry| {
        let mut uses = vec![];
        (entry.uses)(&mut uses);
        CommandSchema { name: entry.name, body: (entry.schema)(), uses }
    };
    entries().map(schema).collect()
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
        async move {
            // A socket was let in before; its person may have been suspended since.
            app.auth().not_suspended(identity.user).await?;
            Command::run(*self, &app, identity, key).await
        }
        .boxed()
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
            ("user.change_profile", json!({"avatar": {"preset": 8}, "learning_language": "pt-BR"})),
            (
                "user.complete_onboarding",
                json!({"name": "Ada", "bio": "Hi", "native_language": "en",
                       "learning_language": "fr", "location": "London", "avatar": {"file": ID}}),
            ),
            ("user.erase", json!({"user": ID, "password": "secret"})),
            ("parked.retry", json!({"event": ID, "projection": "member"})),
            ("parked.skip", json!({"event": ID, "projection": "member", "reason": "broken"})),
            ("hold.place", json!({"held": {"conversation": ID}, "matter": "2026-17"})),
            ("hold.release", json!({"held": {"user": ID}, "matter": "2026-17"})),
            ("friendship.request", json!({"to": ID})),
            ("friendship.accept", json!({"from": ID})),
            ("friendship.decline", json!({"from": ID})),
            ("friendship.cancel", json!({"to": ID})),
            ("friendship.remove", json!({"user": ID})),
            ("friendship.block", json!({"user": ID})),
            ("friendship.unblock", json!({"user": ID})),
            ("conversation.open_direct", json!({"with": ID})),
            ("conversation.open_group", json!({"title": "Maths", "members": [ID]})),
            ("conversation.add_member", json!({"conversation": ID, "user": ID})),
            ("conversation.remove_member", json!({"conversation": ID, "user": ID})),
            ("conversation.ban", json!({"conversation": ID, "user": ID})),
            ("conversation.unban", json!({"conversation": ID, "user": ID})),
            ("conversation.change_settings", json!({"conversation": ID, "slow_mode_seconds": 5})),
            ("conversation.change_role", json!({"conversation": ID, "user": ID, "role": "admin"})),
            ("conversation.transfer_ownership", json!({"conversation": ID, "to": ID})),
            ("conversation.make_invite", json!({"conversation": ID, "uses": 1})),
            ("conversation.revoke_invite", json!({"conversation": ID, "invite": ID})),
            ("conversation.join", json!({"code": "x"})),
            ("report.file", json!({"subject": {"kind": "user", "user": ID}, "reason": "spam"})),
            ("report.resolve", json!({"report": ID, "verdict": "dismissed"})),
            ("user.suspend", json!({"user": ID, "reason": "spam"})),
            ("user.reinstate", json!({"user": ID})),
            ("user.change_role", json!({"user": ID, "role": "moderator"})),
            ("message.send", json!({"conversation": ID, "text": "hi"})),
            ("message.send", json!({"conversation": ID, "message": ID, "text": "hi"})),
            (
                "message.send",
                json!({
                    "conversation": ID, "kind": "image", "reply_to": ID, "thread": ID,
                    "mentions": [ID], "attachments": [ID],
                }),
            ),
            ("message.edit", json!({"conversation": ID, "message": ID, "text": "ho"})),
            ("message.delete", json!({"conversation": ID, "message": ID})),
            ("message.react", json!({"conversation": ID, "message": ID, "emoji": "👍"})),
            ("message.unreact", json!({"conversation": ID, "message": ID, "emoji": "👍"})),
            ("conversation.pin", json!({"conversation": ID, "message": ID})),
            ("conversation.unpin", json!({"conversation": ID, "message": ID})),
            ("message.delivered", json!({"conversation": ID, "message": ID})),
            ("message.read", json!({"conversation": ID, "message": ID})),
            ("session.close", json!({})),
            (
                "study.schedule",
                json!({"title": "T", "subject": "S", "starts": "2030-01-01T00:00:00Z"}),
            ),
            ("study.change", json!({"session": ID, "capacity": 3})),
            ("study.start", json!({"session": ID})),
            ("study.complete", json!({"session": ID})),
            ("study.cancel", json!({"session": ID})),
            ("study.join", json!({"session": ID})),
            ("study.leave", json!({"session": ID})),
            ("study.remove", json!({"session": ID, "user": ID})),
            ("whiteboard.draw", json!({"session": ID, "element": ID, "shape": "{}"})),
            ("whiteboard.erase", json!({"session": ID, "element": ID})),
            ("whiteboard.clear", json!({"session": ID})),
            ("session.revoke", json!({"login": ID})),
            ("session.revoke_others", json!({})),
            ("user.change_password", json!({"old_password": "a", "new_password": "b"})),
            ("file.remove", json!({"file": ID})),
            ("notification.read", json!({"notification": ID})),
            (
                "push.subscribe",
                json!({"endpoint": "https://x", "keys": {"p256dh": "a", "auth": "b"}}),
            ),
            ("push.unsubscribe", json!({"subscription": ID})),
            ("notification.read_all", json!({"upto": "7"})),
            ("call.start", json!({"conversation": ID, "media": "audio"})),
            (
                "call.start",
                json!({
                    "conversation": ID, "call": ID, "media": "video", "carrier": "sfu",
                    "grows": true, "ring": [ID], "microphone": false, "camera": true,
                }),
            ),
            ("call.accept", json!({"call": ID, "microphone": true, "camera": false})),
            ("call.join", json!({"call": ID, "agrees": true})),
            ("call.decline", json!({"call": ID})),
            ("call.cancel", json!({"call": ID})),
            ("call.leave", json!({"call": ID})),
            ("call.fail", json!({"call": ID})),
            ("call.end", json!({"call": ID})),
            ("call.toggle", json!({"call": ID, "screen": true})),
            ("call.add_video", json!({"call": ID})),
            ("call.ring", json!({"call": ID, "people": [ID]})),
            ("call.move", json!({"call": ID})),
            ("call.ask_consent", json!({"call": ID})),
            ("call.consent", json!({"call": ID, "agrees": false})),
            ("call.start_recording", json!({"call": ID})),
            ("call.start_recording", json!({"call": ID, "recording": ID})),
            ("call.stop_recording", json!({"call": ID, "recording": ID})),
            ("token.make", json!({"name": "bot", "scopes": ["messages:read"]})),
            ("token.revoke", json!({"token": ID})),
            ("webhook.create", json!({"url": "https://example.org", "types": ["message.*"]})),
            ("webhook.change", json!({"webhook": ID, "enabled": false})),
            ("webhook.remove", json!({"webhook": ID})),
            ("webhook.rotate_secret", json!({"webhook": ID, "overlap_hours": 1})),
            ("webhook.replay", json!({"webhook": ID, "from": "7"})),
            ("webhook.test", json!({"webhook": ID})),
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
        for CommandSchema { name, body, .. } in schemas() {
            assert!(names.insert(name), "{name} is there twice");
            assert!(matches!(body, RefOr::T(Schema::Object(_))), "{name}");
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
