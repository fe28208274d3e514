//! Commands about the whiteboard of a study session: the order of strokes is the order of the log.

use domain::whiteboard::{self, Action, Rejection, Whiteboard};
use events::{ConversationId, ElementId, StreamName, StudySessionId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, study};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<DrawElement>(), Entry::of::<EraseElement>(), Entry::of::<ClearWhiteboard>()];

/// `whiteboard.draw`: draws something, or draws it anew in the place of what it was.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrawElement {
    /// The session.
    pub(crate) session: StudySessionId,
    /// What, by an id that its first drawer makes.
    pub(crate) element: ElementId,
    /// How it looks: a text of JSON, which only clients understand.
    pub(crate) shape: String,
}

impl Command for DrawElement {
    const NAME: &'static str = "whiteboard.draw";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { session, element, shape } = self;
        // Whoever draws must not break the clients of all others.
        if serde_json::from_str::<IgnoredAny>(&shape).is_err() {
            let problem = problems::of_whiteboard(Rejection::InvalidShape);
            return Err(problem.detail("shape: must be a text of JSON"));
        }
        act(app, session, &call, Action::Draw { element, shape }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.session)
    }
}

/// `whiteboard.erase`: wipes something out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseElement {
    /// The session.
    pub(crate) session: StudySessionId,
    /// What.
    pub(crate) element: ElementId,
}

impl Command for EraseElement {
    const NAME: &'static str = "whiteboard.erase";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        act(app, self.session, &call, Action::Erase { element: self.element }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.session)
    }
}

/// `whiteboard.clear`: wipes everything out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClearWhiteboard {
    /// The session.
    pub(crate) session: StudySessionId,
}

impl Command for ClearWhiteboard {
    const NAME: &'static str = "whiteboard.clear";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        act(app, self.session, &call, Action::Clear).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.session)
    }
}

/// What one socket does on a whiteboard stays in order, as what it says in a conversation does. A
/// lane is only compared with others, so the session's id names it as well as its room's would.
fn lane(session: StudySessionId) -> Option<ConversationId> {
    Some(session.uuid().into())
}

async fn act(
    app: &App,
    session: StudySessionId,
    call: &Call,
    action: Action,
) -> Result<Accepted, Problem> {
    let by = call.actor;
    let known = study::known(app, session).await?;
    let conversation = study::planned(&known)?.conversation;
    let participant = known.state.has(by);
    let command = whiteboard::Command { session, conversation, by, participant, action };
    let context = call.context().deciding_on(known.revision);
    app.log()
        .transact::<Whiteboard>(&StreamName::whiteboard(session), &command, &context)
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_whiteboard))
}
