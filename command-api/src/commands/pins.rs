//! Commands about the messages that a conversation shows to everybody at the top.

use domain::conversation::{self, Conversation, Rejection};
use domain::message;
use event_log::{Outcome, TransactError};
use events::{ConversationId, MessageId, StreamName};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, messages};
use crate::blocks::is_blocked;
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<Pin>(), Entry::of::<Unpin>()];

/// `conversation.pin`: shows a message to everybody at the top.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// Which.
    pub(crate) message: MessageId,
}

impl Command for Pin {
    const NAME: &'static str = "conversation.pin";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, message } = self;
        not_blocked(app, conversation, &call).await?;
        let here = messages::look_up(app, message).await?.is_shown_in(conversation);
        let command = conversation::Command::Pin { by: call.actor, message, here };
        let mut pinned = decide(app, conversation, &call, &command).await;
        if matches!(pinned, Err(TransactError::Rejected(Rejection::TooManyPins)))
            && unpin_deleted(app, conversation, &call).await?
        {
            pinned = decide(app, conversation, &call, &command).await;
        }
        answer(pinned)
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

/// `conversation.unpin`: shows a message there no more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unpin {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// Which.
    pub(crate) message: MessageId,
}

impl Command for Unpin {
    const NAME: &'static str = "conversation.unpin";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        not_blocked(app, self.conversation, &call).await?;
        let command = conversation::Command::Unpin { by: call.actor, message: self.message };
        answer(decide(app, self.conversation, &call, &command).await)
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

/// Nothing passes between two of whom one blocks the other.
async fn not_blocked(app: &App, conversation: ConversationId, call: &Call) -> Result<(), Problem> {
    let known = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    match is_blocked(app, &known.state, call.actor).await? {
        true => Err(problems::of_message(message::Rejection::NotFriends)),
        false => Ok(()),
    }
}

type Decided = Result<Outcome, TransactError<Rejection>>;

async fn decide(
    app: &App,
    conversation: ConversationId,
    call: &Call,
    command: &conversation::Command,
) -> Decided {
    let stream = StreamName::conversation(conversation);
    app.log().transact::<Conversation>(&stream, command, &call.context()).await
}

fn answer(decided: Decided) -> Result<Accepted, Problem> {
    decided
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_conversation))
}

/// Takes away the pins of messages that were deleted since: nobody sees them, and they would count
/// for ever. Says whether there were any.
async fn unpin_deleted(
    app: &App,
    conversation: ConversationId,
    call: &Call,
) -> Result<bool, Problem> {
    let stream = StreamName::conversation(conversation);
    let known = app.log().load::<Conversation>(&stream).await?;
    let mut some = false;
    for message in known.state.pins() {
        if messages::look_up(app, message).await?.is_shown_in(conversation) {
            continue;
        }
        let command = conversation::Command::Unpin { by: call.actor, message };
        let context = call.context().step(&format!("unpin {message}"));
        let unpinned = app.log().transact::<Conversation>(&stream, &command, &context).await;
        answer(unpinned)?;
        some = true;
    }
    Ok(some)
}
