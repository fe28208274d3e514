//! Every command, once: the REST routes and the gateway both come here.

mod call;
pub(crate) mod conversations;
pub(crate) mod friendships;
pub(crate) mod messages;
pub(crate) mod receipts;
pub(crate) mod sessions;
pub(crate) mod users;

use events::{ConversationId, MessageId, Position};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::{Identity, Problem};
use uuid::Uuid;

use crate::App;
pub(crate) use call::Call;
use conversations::{Membership, OpenDirect, OpenGroup};
use messages::SendMessage;
use receipts::{Receipt, ReceiptKind};
use users::ChangeProfile;

/// What a command that was accepted is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Accepted {
    /// Where it stands in the log: reads with `after` this position show it.
    pub(crate) position: Position,
    /// The conversation that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conversation: Option<ConversationId>,
    /// The message that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageId>,
}

impl Accepted {
    /// Accepted, with nothing new made.
    pub(crate) const fn at(position: Position) -> Self {
        Self { position, conversation: None, message: None }
    }
}

/// The body of a command that has none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Any command of the gateway, with its body.
#[derive(Debug)]
pub(crate) enum Command {
    ChangeProfile(ChangeProfile),
    RequestFriend(friendships::RequestFriend),
    AnswerRequest(friendships::Answer, friendships::AnswerRequest),
    CancelRequest(friendships::CancelRequest),
    RemoveFriend(friendships::RemoveFriend),
    OpenDirect(OpenDirect),
    OpenGroup(OpenGroup),
    ChangeMember(conversations::Change, Membership),
    SendMessage(SendMessage),
    Receive(ReceiptKind, Receipt),
    CloseSession,
}

impl Command {
    /// Reads a command by its name.
    pub(crate) fn parse(name: &str, fields: Map<String, Value>) -> Result<Self, Problem> {
        use conversations::Change;
        use friendships::Answer;

        let body = Value::Object(fields);
        match name {
            "user.change_profile" => read(body).map(Self::ChangeProfile),
            "friendship.request" => read(body).map(Self::RequestFriend),
            "friendship.accept" => read(body).map(|body| Self::AnswerRequest(Answer::Accept, body)),
            "friendship.decline" => {
                read(body).map(|body| Self::AnswerRequest(Answer::Decline, body))
            }
            "friendship.cancel" => read(body).map(Self::CancelRequest),
            "friendship.remove" => read(body).map(Self::RemoveFriend),
            "conversation.open_direct" => read(body).map(Self::OpenDirect),
            "conversation.open_group" => read(body).map(Self::OpenGroup),
            "conversation.add_member" => {
                read(body).map(|body| Self::ChangeMember(Change::Add, body))
            }
            "conversation.remove_member" => {
                read(body).map(|body| Self::ChangeMember(Change::Remove, body))
            }
            "conversation.ban" => read(body).map(|body| Self::ChangeMember(Change::Ban, body)),
            "conversation.unban" => read(body).map(|body| Self::ChangeMember(Change::Unban, body)),
            "message.send" => read(body).map(Self::SendMessage),
            "message.delivered" => {
                read(body).map(|body| Self::Receive(ReceiptKind::Delivered, body))
            }
            "message.read" => read(body).map(|body| Self::Receive(ReceiptKind::Read, body)),
            "session.close" => read(body).map(|Nothing {}| Self::CloseSession),
            _ => Err(Problem::invalid("`type` names no command")),
        }
    }

    /// Runs it for somebody. The same key with the same body again changes nothing, and gets the
    /// same answer.
    pub(crate) async fn run(
        self,
        app: &App,
        identity: Identity,
        key: Uuid,
    ) -> Result<Accepted, Problem> {
        match self {
            Self::ChangeProfile(body) => users::change_profile(app, identity, key, body).await,
            Self::RequestFriend(body) => {
                friendships::request_friend(app, identity, key, body).await
            }
            Self::AnswerRequest(answer, body) => {
                friendships::answer_request(app, identity, key, answer, body).await
            }
            Self::CancelRequest(body) => {
                friendships::cancel_request(app, identity, key, body).await
            }
            Self::RemoveFriend(body) => friendships::remove_friend(app, identity, key, body).await,
            Self::OpenDirect(body) => conversations::open_direct(app, identity, key, body).await,
            Self::OpenGroup(body) => conversations::open_group(app, identity, key, body).await,
            Self::ChangeMember(change, body) => {
                conversations::change_member(app, identity, key, change, body).await
            }
            Self::SendMessage(body) => messages::send_message(app, identity, key, body).await,
            Self::Receive(kind, body) => receipts::receive(app, identity, key, kind, body).await,
            Self::CloseSession => sessions::close_session(app, identity, key).await,
        }
    }

    /// The conversation whose commands of one socket have to stay in order.
    pub(crate) const fn lane(&self) -> Option<ConversationId> {
        match self {
            Self::SendMessage(body) => Some(body.conversation),
            Self::ChangeProfile(_)
            | Self::RequestFriend(_)
            | Self::AnswerRequest(..)
            | Self::CancelRequest(_)
            | Self::RemoveFriend(_)
            | Self::OpenDirect(_)
            | Self::OpenGroup(_)
            | Self::ChangeMember(..)
            | Self::Receive(..)
            | Self::CloseSession => None,
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Problem> {
    service::extract::parse_value(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "00000000-0000-0000-0000-000000000001";

    fn parse(name: &str, body: Value) -> Result<Command, Problem> {
        let Value::Object(fields) = body else { panic!("a body is an object") };
        Command::parse(name, fields)
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
    fn only_sends_to_one_conversation_wait_for_each_other() {
        let send = parse("message.send", json!({"conversation": ID, "text": "hi"})).unwrap();
        assert_eq!(send.lane(), Some(ID.parse().unwrap()));
        let read = parse("message.read", json!({"conversation": ID, "message": ID})).unwrap();
        assert_eq!(read.lane(), None);
    }
}
