//! Sending a message: the command that has to be fast.

use domain::conversation::Conversation;
use domain::message::{Command, Message};
use events::{ConversationId, MessageId, StreamName};
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
/// The message's stream is new, so nothing is read but the cached state of the conversation.
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
    let place = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    let member = place.state.has_member(by);
    let command = Command::Send { message, conversation, by, text, member };
    let context = call.context().deciding_on(place.revision);
    let stream = StreamName::message(message);
    let sent = app.log().transact_new::<Message>(&stream, &command, &context).await;
    let sent = sent.map_err(|error| problems::of_transaction(error, problems::of_message))?;
    Ok(Accepted { message: Some(message), ..Accepted::at(sent.position) })
}
