//! Messages: what a reader sees of one, wherever it is shown.

pub(crate) mod beside;
pub(crate) mod history;
pub(crate) mod search;

pub(crate) use beside::moderates;

use std::collections::HashMap;

use events::{ConversationId, MessageId, Moment, Position, UserId};
use http::StatusCode;
use serde::Serialize;
use service::Problem;
use sqlx::FromRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::failure::Failure;
use crate::place::Place;
use crate::reads::{Eyes, Reads};
use crate::receipts::{Status, cursors, status};

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().merge(history::router()).merge(beside::router()).merge(search::router())
}

/// The columns of a message, of the table `m`.
macro_rules! columns {
    () => {
        "m.message_id, m.ordinal, m.conversation_id, m.sender_id, m.kind, m.text, m.system,
         m.sent_at, m.edited_at, m.deleted_at, m.deleted_by, m.reply_to, m.thread, m.mentions,
         m.attachments, m.position"
    };
}
pub(crate) use columns;

/// A message, or something that happened in the conversation (kind `system`). An erased or deleted
/// text is `null`.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Message {
    #[sqlx(rename = "message_id", try_from = "Uuid")]
    pub(crate) id: MessageId,
    pub(crate) ordinal: i64,
    #[sqlx(try_from = "Uuid")]
    pub(crate) conversation_id: ConversationId,
    /// Who sent it, or did it.
    #[sqlx(try_from = "Uuid")]
    pub(crate) sender_id: UserId,
    /// `text`, `image`, `file`, `emoji` or `system`.
    pub(crate) kind: String,
    /// What it says; the title of the conversation, where something happened to that.
    pub(crate) text: Option<String>,
    /// What happened: its `type`, and whom or what it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) system: Option<serde_json::Value>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) sent_at: Moment,
    /// When it was last edited.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) edited_at: Option<Moment>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) deleted_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_by: Option<Uuid>,
    /// The message it answers.
    pub(crate) reply_to: Option<Uuid>,
    /// The first message of the thread it belongs to.
    pub(crate) thread: Option<Uuid>,
    pub(crate) mentions: Vec<Uuid>,
    /// Ids of files.
    pub(crate) attachments: Vec<Uuid>,
    /// The oldest first.
    #[sqlx(skip)]
    pub(crate) reactions: Vec<Reactions>,
    /// How many messages there are in the thread that begins with it.
    #[sqlx(skip)]
    pub(crate) replies_count: i64,
    pub(crate) position: Place,
    /// Of the reader's own messages, in their conversation.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    /// In an answer about the past: what it said then may not be read any more.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) withheld: bool,
}

/// How many people reacted with an emoji.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reactions {
    pub(crate) emoji: String,
    pub(crate) count: i64,
    /// Whether the reader is one of them.
    pub(crate) mine: bool,
}

/// Adds what is counted: reactions and replies.
async fn count(
    eyes: &mut Eyes,
    reader: UserId,
    messages: &mut [Message],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.id.uuid()).collect();
    let Some(oldest) = messages.iter().map(|message| message.sent_at).min() else {
        return Ok(());
    };
    let reactions: Vec<(Uuid, String, i64, bool)> = sqlx::query_as(
        "select message_id, emoji, count(*), bool_or(user_id = $2) from reaction
         where message_id = any($1)
         group by message_id, emoji order by min(reacted_at), emoji",
    )
    .bind(&ids)
    .bind(reader.uuid())
    .fetch_all(&mut **eyes)
    .await?;
    // A reply is younger than what it replies to.
    let replies: Vec<(Uuid, i64)> = sqlx::query_as(
        "select thread, count(*) from message
         where thread = any($1) and sent_at >= $2 and deleted_at is null group by thread",
    )
    .bind(&ids)
    .bind(oldest)
    .fetch_all(&mut **eyes)
    .await?;
    let replies: HashMap<Uuid, i64> = replies.into_iter().collect();
    let mut of: HashMap<Uuid, Vec<Reactions>> = HashMap::new();
    for (message, emoji, count, mine) in reactions {
        of.entry(message).or_default().push(Reactions { emoji, count, mine });
    }
    for message in messages {
        message.reactions = of.remove(&message.id.uuid()).unwrap_or_default();
        message.replies_count = replies.get(&message.id.uuid()).copied().unwrap_or(0);
    }
    Ok(())
}

/// Says what became of the reader's own messages in a conversation.
async fn tell_status(
    eyes: &mut Eyes,
    conversation: ConversationId,
    reader: UserId,
    messages: &mut [Message],
) -> Result<(), sqlx::Error> {
    let own = |message: &Message| message.sender_id == reader && message.system.is_none();
    if !messages.iter().any(own) {
        return Ok(());
    }
    let cursors = cursors(eyes, conversation.uuid()).await?;
    for message in messages.iter_mut().filter(|message| own(message)) {
        message.status = Some(status(reader, message.ordinal, message.position, &cursors));
    }
    Ok(())
}

/// To who is not in it, a conversation does not exist.
async fn check_member(eyes: &mut Eyes, id: ConversationId, reader: UserId) -> Result<(), Failure> {
    let is_member: bool = sqlx::query_scalar(
        "select exists (select from member where conversation_id = $1 and user_id = $2)",
    )
    .bind(id.uuid())
    .bind(reader.uuid())
    .fetch_one(&mut **eyes)
    .await?;
    if is_member { Ok(()) } else { Err(Problem::no_such_conversation().into()) }
}

/// One message of a conversation that the reader is in.
async fn find(
    eyes: &mut Eyes,
    reader: UserId,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Message, Failure> {
    check_member(eyes, conversation, reader).await?;
    let found = sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from message m where m.message_id = $1 and m.conversation_id = $2"
    ))
    .bind(message.uuid())
    .bind(conversation.uuid())
    .fetch_optional(&mut **eyes)
    .await?;
    Ok(found.ok_or_else(no_such_message)?)
}

pub(crate) fn no_such_message() -> Problem {
    let title = "This message does not exist in the conversation";
    Problem::new(StatusCode::NOT_FOUND, "no-such-message", title)
}

impl From<Message> for Preview {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            ordinal: message.ordinal,
            conversation_id: message.conversation_id,
            sender_id: message.sender_id,
            kind: message.kind,
            text: message.text,
            sent_at: message.sent_at,
            edited_at: message.edited_at,
            deleted_at: message.deleted_at,
            attachments: message.attachments,
            position: message.position,
        }
    }
}

/// The newest message of a conversation, as a row that has it beside something else.
#[derive(Debug, FromRow)]
pub(crate) struct Newest {
    message_id: Option<Uuid>,
    ordinal: Option<i64>,
    sender_id: Option<Uuid>,
    message_kind: Option<String>,
    text: Option<String>,
    sent_at: Option<Moment>,
    edited_at: Option<Moment>,
    deleted_at: Option<Moment>,
    attachments: Option<Vec<Uuid>>,
    sent_position: Option<Place>,
}

impl Newest {
    /// The message, unless the conversation has none.
    pub(crate) fn of(self, conversation_id: ConversationId) -> Option<Preview> {
        Some(Preview {
            id: self.message_id?.into(),
            ordinal: self.ordinal?,
            conversation_id,
            sender_id: self.sender_id?.into(),
            kind: self.message_kind?,
            text: self.text,
            sent_at: self.sent_at?,
            edited_at: self.edited_at,
            deleted_at: self.deleted_at,
            attachments: self.attachments.unwrap_or_default(),
            position: self.sent_position.unwrap_or(Place(Position::START)),
        })
    }
}

/// The newest message that a person sent, as a list of conversations shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    id: MessageId,
    ordinal: i64,
    conversation_id: ConversationId,
    sender_id: UserId,
    /// `text`, `image`, `file` or `emoji`.
    kind: String,
    text: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    sent_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    edited_at: Option<Moment>,
    #[schema(value_type = Option<String>, format = DateTime)]
    deleted_at: Option<Moment>,
    attachments: Vec<Uuid>,
    position: Place,
}

impl Preview {
    /// Without what it says, for who may not read messages.
    pub(crate) fn withhold(&mut self) {
        self.text = None;
        self.attachments.clear();
    }
}
