//! How far somebody received and read a conversation.

use domain::conversation::Conversation;
use domain::message::Message;
use domain::receipt::{self, Kind};
use events::{ConversationId, MessageId, Position, StreamName};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use uuid::Uuid;

use super::{Accepted, Call};
use crate::{App, problems};

/// `message.delivered` and `message.read`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipt {
    /// The conversation.
    pub(crate) conversation: ConversationId,
    /// The newest message that was received or read.
    pub(crate) message: MessageId,
}

/// Received, or read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReceiptKind {
    /// Received by a device.
    Delivered,
    /// Read by the person.
    Read,
}

/// Moves one of the two cursors of somebody in a conversation up to a message.
pub(crate) async fn receive(
    app: &App,
    identity: Identity,
    key: Uuid,
    kind: ReceiptKind,
    body: Receipt,
) -> Result<Accepted, Problem> {
    let (user, Receipt { conversation, message }) = (identity.user, body);
    let (name, kind) = match kind {
        ReceiptKind::Delivered => ("message.delivered", Kind::Delivered),
        ReceiptKind::Read => ("message.read", Kind::Read),
    };
    let call = Call::new(app, user, key, name, &body);
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
