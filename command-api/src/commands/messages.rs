//! Sending a message: the command that has to be fast.

use domain::conversation::{self, Conversation};
use domain::friendship::Friendship;
use domain::message::{self, Action, Draft, Message, Place};
use events::conversation::ConversationKind;
use events::{ConversationId, MessageId, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems, slow_mode};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<SendMessage>()];

/// `message.send`: says something in a conversation that the sender is in.
///
/// The message's stream is new, so nothing is read but cached states: of the conversation, and of
/// what is between two who talk directly.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageId>,
    /// What it says.
    pub(crate) text: String,
}

impl Command for SendMessage {
    const NAME: &'static str = "message.send";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = identity.user;
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, message, text } = self;
        // Follows from the key, so that a repeat sends the same message.
        let made = || Uuid::new_v5(&by.uuid(), format!("message {key}").as_bytes()).into();
        let message = message.unwrap_or_else(made);
        let (place, revision) = place(app, conversation, by).await?;
        let action = Action::Send(Draft { text, ..Draft::default() });
        let command = message::Command { message, by, place, action };
        let context = call.context().deciding_on(revision);
        let stream = StreamName::message(message);
        let sent = slow_mode::paced(app, &call, conversation, message, async {
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

/// What a conversation is to somebody now, and the revision of it that says so.
async fn place(
    app: &App,
    conversation: ConversationId,
    user: UserId,
) -> Result<(Place, Option<u64>), Problem> {
    let known = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    let state = &known.state;
    let other = match state.kind() {
        Some(ConversationKind::Direct) => state.members().find(|member| *member != user),
        Some(ConversationKind::Group | ConversationKind::Study) | None => None,
    };
    let blocked = match other {
        Some(other) if state.has_member(user) => {
            let between = StreamName::friendship(user, other);
            app.log().state::<Friendship>(&between).await?.state.is_blocked()
        }
        Some(_) | None => false,
    };
    let member = state.has_member(user);
    let moderator = state.may(user, conversation::Action::Moderate);
    Ok((Place { conversation, member, blocked, moderator }, known.revision))
}
