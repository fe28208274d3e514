//! How far somebody received and read a conversation.

use domain::conversation::Conversation;
use domain::message::Message;
use domain::receipt::{Kind, Rejection};
use event_log::Context;
use events::{Audience, ConversationId, MessageId, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::redis::Away;
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry};
use crate::blocks::is_blocked;
use crate::receipts::{Cursor, append};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<Delivered>(), Entry::of::<Read>()];

/// In conversations of at most so many people a receipt is told at once, in a frame of the moment.
/// In larger ones it comes with its event, within seconds: one frame for many receipts.
const TOLD_AT_ONCE: usize = 10;

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

/// Moves one of the two cursors of somebody in a conversation up to a message: in the buffer, from
/// where it comes into the log within seconds. The same receipt twice is once, whatever its key.
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
    let upto = match sent.first {
        Some(upto) if sent.state.conversation() == Some(conversation) => upto,
        Some(_) | None => return Err(problems::of_receipt(Rejection::NoSuchMessage)),
    };
    let small = place.state.members().take(TOLD_AT_ONCE + 1).count() <= TOLD_AT_ONCE;
    let decided_on = place.revision;
    let Context { correlation: request, token, .. } = call.context();
    let cursor = Cursor { user, conversation, kind, message, upto, decided_on, request, token };
    match app.receipts().put(&cursor).await {
        // It is not in the log yet: what it is about is, and reads know of the buffer.
        Ok(new) => {
            // While it is not known whether one blocks the other, nobody is told at once.
            if new && small && matches!(is_blocked(app, &place.state, user).await, Ok(false)) {
                tell(app, &cursor).await;
            }
            Ok(Accepted::at(upto))
        }
        Err(Away) => append(app.log(), &cursor)
            .await
            .map(|outcome| Accepted::at(outcome.position))
            .map_err(|error| problems::of_transaction(error, problems::of_receipt)),
    }
}

/// Tells those in the conversation. Failing at that, they hear of it by the event.
async fn tell(app: &App, cursor: &Cursor) {
    let Cursor { user, conversation, kind, message, upto, .. } = *cursor;
    let kind = match kind {
        Kind::Delivered => "delivered",
        Kind::Read => "read",
    };
    let frame = json!({
        "op": "receipt", "conversation": conversation, "user": user, "kind": kind,
        "message": message, "upto": upto,
    });
    let audience = Audience::Conversation(conversation);
    if let Err(error) = app.gateway().whispers().say(audience, frame.to_string(), None).await {
        tracing::debug!(%error, "a receipt is not told at once");
    }
}
