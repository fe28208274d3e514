//! Sending a message: the command that has to be fast.

use domain::conversation::{self, Conversation};
use domain::friendship::Friendship;
use domain::message::{Action, Command, Draft, Message, Place};
use events::conversation::ConversationKind;
use events::{ConversationId, MessageId, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use uuid::Uuid;

use super::{Accepted, Call};
use crate::{App, problems};

/// `message.send`.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// Sends a message to a conversation that the sender is in.
///
/// The message's stream is new, so nothing is read but cached states: of the conversation, and of
/// what is between two who talk directly.
pub(crate) async fn send_message(
    app: &App,
    identity: Identity,
    key: Uuid,
    body: SendMessage,
) -> Result<Accepted, Problem> {
    let by = identity.user;
    let call = Call::new(app, by, key, "message.send", &body);
    let SendMessage { conversation, message, text } = body;
    // Follows from the key, so that a repeat sends the same message.
    let made = || Uuid::new_v5(&by.uuid(), format!("message {key}").as_bytes()).into();
    let message = message.unwrap_or_else(made);
    let (place, revision) = place(app, conversation, by).await?;
    let action = Action::Send(Draft { text, ..Draft::default() });
    let command = Command { message, by, place, action };
    let context = call.context().deciding_on(revision);
    let stream = StreamName::message(message);
    let sent = app.log().transact_new::<Message>(&stream, &command, &context).await;
    let sent = sent.map_err(|error| problems::of_transaction(error, problems::of_message))?;
    Ok(Accepted { message: Some(message), ..Accepted::at(sent.position) })
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
