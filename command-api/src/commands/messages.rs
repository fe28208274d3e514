//! Messages: sending, which has to be fast, and what is done to them later.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::conversation::{self, Conversation};
use domain::file::File;
use domain::message::{self, Action, Draft, Message, Place};
use event_log::Outcome;
use events::message::MessageKind;
use events::{ConversationId, FileId, MessageId, StreamName, UserId};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::blocks::is_blocked;
use crate::{App, emoji, problems, slow_mode};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<SendMessage>(),
    Entry::of::<EditMessage>(),
    Entry::of::<DeleteMessage>(),
    Entry::of::<React>(),
    Entry::of::<Unreact>(),
];

/// `message.send`: says something in a conversation that the sender is in.
///
/// The message's stream is new, so nothing is read but cached states: of the conversation, and of
/// what is between two who talk directly. What the message refers to is looked up.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageId>,
    /// What it says; nothing only where it has attachments.
    #[serde(default)]
    pub(crate) text: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "MessageKind::is_text")]
    pub(crate) kind: MessageKind,
    /// The message it answers, in the same conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<MessageId>,
    /// The first message of the thread it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<MessageId>,
    /// Whom it mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mentions: Vec<UserId>,
    /// Files that the sender uploaded to this conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attachments: Vec<FileId>,
}

impl Command for SendMessage {
    const NAME: &'static str = "message.send";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = identity.user;
        let call = Call::of(app, identity, key, &self);
        // Follows from the key, so that a repeat sends the same message.
        let made = || Uuid::new_v5(&by.uuid(), format!("message {key}").as_bytes()).into();
        let message = self.message.unwrap_or_else(made);
        let here = self.conversation;
        let (place, revision) = place(app, here, by).await?;
        // Outsiders learn nothing, and cost nothing.
        let draft = match place.member {
            true => self.draft(app, by).await?,
            false => Draft::default(),
        };
        let command = message::Command { message, by, place, action: Action::Send(draft) };
        let context = call.context().deciding_on(revision);
        let stream = StreamName::message(message);
        let sent = slow_mode::paced(app, &call, here, message, async {
            let sent = app.log().transact_new::<Message>(&stream, &command, &context).await;
            sent.map_err(|error| problems::of_transaction(error, problems::of_message))
        })
        .await?;
        Ok(Accepted::at(sent.position).made(Made::Message(message)))
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

impl SendMessage {
    /// The message, with what there is to know about what it refers to.
    async fn draft(self, app: &App, sender: UserId) -> Result<Draft, Problem> {
        let here = self.conversation;
        let reply_is_here = match self.reply_to {
            Some(other) => look_up(app, other).await?.is_shown_in(here),
            None => false,
        };
        let thread_is_here = match self.thread {
            Some(first) => look_up(app, first).await?.may_begin_thread_in(here),
            None => false,
        };
        Ok(Draft {
            own_files: own_files(app, &self.attachments, sender, here).await?,
            text: self.text,
            kind: self.kind,
            reply_to: self.reply_to,
            reply_is_here,
            thread: self.thread,
            thread_is_here,
            mentions: self.mentions,
            attachments: self.attachments,
        })
    }
}

/// `message.edit`: changes what one's own message says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditMessage {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// Which.
    pub(crate) message: MessageId,
    /// What it is to say.
    pub(crate) text: String,
    /// Whom it is to mention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mentions: Vec<UserId>,
}

impl Command for EditMessage {
    const NAME: &'static str = "message.edit";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, message, text, mentions } = self;
        change(app, &call, conversation, message, Action::Edit { text, mentions }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

/// `message.delete`: shows a message no more. One's own; those of others as a moderator.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteMessage {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// Which.
    pub(crate) message: MessageId,
}

impl Command for DeleteMessage {
    const NAME: &'static str = "message.delete";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        change(app, &call, self.conversation, self.message, Action::Delete).await
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

/// `message.react`: reacts to a message with an emoji.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct React {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// To which message.
    pub(crate) message: MessageId,
    /// With what: one emoji.
    pub(crate) emoji: String,
}

impl Command for React {
    const NAME: &'static str = "message.react";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, message, emoji } = self;
        // What an emoji is changes every year, so it is not a rule of the domain.
        let known = emoji::is_one(&emoji);
        let emoji = if known { emoji } else { String::new() };
        change(app, &call, conversation, message, Action::React { emoji }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

/// `message.unreact`: takes a reaction back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unreact {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// From which message.
    pub(crate) message: MessageId,
    /// Which emoji.
    pub(crate) emoji: String,
}

impl Command for Unreact {
    const NAME: &'static str = "message.unreact";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, message, emoji } = self;
        change(app, &call, conversation, message, Action::Unreact { emoji }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

/// Does something to a message that is there.
async fn change(
    app: &App,
    call: &Call,
    conversation: ConversationId,
    message: MessageId,
    action: Action,
) -> Result<Accepted, Problem> {
    let by = call.actor;
    let (place, revision) = place(app, conversation, by).await?;
    let command = message::Command { message, by, place, action };
    let context = call.context().deciding_on(revision);
    let stream = StreamName::message(message);
    let Outcome { position, .. } = app
        .log()
        .transact::<Message>(&stream, &command, &context)
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_message))?;
    Ok(Accepted::at(position))
}

/// A message as it is now: it may have been sent, or deleted, this moment and at another node.
pub(super) async fn look_up(app: &App, message: MessageId) -> Result<Arc<Message>, Problem> {
    Ok(app.log().load::<Message>(&StreamName::message(message)).await?.state)
}

/// Which of the files are there and the sender's to send here. So many that the message is
/// refused for it are not looked up.
async fn own_files(
    app: &App,
    files: &[FileId],
    sender: UserId,
    here: ConversationId,
) -> Result<Vec<FileId>, Problem> {
    let files: BTreeSet<FileId> = files.iter().copied().collect();
    if files.len() > message::MAX_ATTACHMENTS {
        return Ok(vec![]);
    }
    let own = try_join_all(files.into_iter().map(async |file| {
        let known = app.log().load::<File>(&StreamName::file(file)).await?;
        Ok::<_, Problem>(known.state.belongs_to(sender, Some(here)).then_some(file))
    }));
    Ok(own.await?.into_iter().flatten().collect())
}

/// What a conversation is to somebody now, and the revision of it that says so.
async fn place(
    app: &App,
    conversation: ConversationId,
    user: UserId,
) -> Result<(Place, Option<u64>), Problem> {
    let known = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    let state = &known.state;
    let blocked = is_blocked(app, state, user).await?;
    let member = state.has_member(user);
    let moderator = state.may(user, conversation::Action::Moderate);
    Ok((Place { conversation, member, blocked, moderator }, known.revision))
}
