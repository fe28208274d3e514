//! How far somebody received and read a conversation.

use domain::conversation::Conversation;
use domain::message::Message;
use domain::receipt::{self, Kind};
use events::{ConversationId, MessageId, Position, StreamName};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<Delivered>(), Entry::of::<Read>()];

/// `message.delivered`: a device has received all messages up to one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivered {
    /// The conversation.
    pub(crate) conversation: ConversationId,
    /// The newest message that was received.
    pub(crate) message: MessageId,
}

impl Command for Delivered {
    const NAME: &'static str = "message.delivered";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        receive(app, &call, Kind::Delivered, self.conversation, self.message).await
    }
}

/// `message.read`: somebody has read all messages up to one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// The conversation.
    pub(crate) conversation: ConversationId,
    /// The newest message that was read.
    pub(crate) message: MessageId,
}

impl Command for Read {
    const NAME: &'static str = "message.read";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        receive(app, &call, Kind::Read, self.conversation, self.message).await
    }
}

/// Moves one of the two cursors of somebody in a conversation up to a message.
async fn receive(
    app: &App,
    call: &Call,
    kind: Kind,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Accepted, Problem> {
    let user = call.actor;
    let (place, sent) = (StreamName::conversation(conversation), StreamName::message(message));
    let (place, sent) = tokio::try_join!(
        app.log().state::<Conversation>(&place),
        app.log().state::<Message>(&sent),
    )?;
    if !place.state.has_member(user) {
        return Err(Problem::no_such_conversation());
    }
    let member = sent.state.conversation() == Some(conversation);
    let upto = sent.first.unwrap_or(Position::START);
    let command = receipt::Command { kind, conversation, user, message, upto, member };
    app.log()
        .transact::<receipt::Receipt>(
            &StreamName::receipt(conversation, user),
            &command,
            &call.context().deciding_on(place.revision),
        )
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_receipt))
}
