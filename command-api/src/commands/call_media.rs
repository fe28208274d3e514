//! What goes on in a call: what is on, how its media travels, and whether it may be recorded.

use domain::call::{self, Toggle};
use events::{CallId, ConversationId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::{decide, lane};
use super::{Accepted, Call, Command, Entry};
use crate::App;
use crate::calls::{self, device};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<ToggleMedia>(),
    Entry::of::<AddVideo>(),
    Entry::of::<MoveCall>(),
    Entry::of::<AskConsent>(),
    Entry::of::<GiveConsent>(),
];

/// `call.toggle`: turns one's microphone, camera or shared screen on or off; what is absent stays.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToggleMedia {
    /// The call.
    pub(crate) call: CallId,
    /// Whether one can be heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) microphone: Option<bool>,
    /// Whether one can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) camera: Option<bool>,
    /// Whether the screen is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) screen: Option<bool>,
}

impl Command for ToggleMedia {
    const NAME: &'static str = "call.toggle";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let request = Call::of(app, identity, key, &self);
        let Self { call, microphone, camera, screen } = self;
        let (by, change) = (device(identity), Toggle { microphone, camera, screen });
        act(app, call, &request, &call::Command::Toggle { by, change }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

/// `call.add_video`: lets a call of voices have cameras, too; nobody's is turned on by that.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddVideo {
    /// The call.
    pub(crate) call: CallId,
}

impl Command for AddVideo {
    const NAME: &'static str = "call.add_video";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, request) = (device(identity), Call::of(app, identity, key, &self));
        act(app, self.call, &request, &call::Command::AddVideo { by }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

/// `call.move`: lets the SFU carry a call whose devices are connected to each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoveCall {
    /// The call.
    pub(crate) call: CallId,
}

impl Command for MoveCall {
    const NAME: &'static str = "call.move";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, request) = (device(identity), Call::of(app, identity, key, &self));
        let known = calls::known(app, self.call, by.user).await?;
        // Nobody takes a place at a node for a call that they are not in.
        let node = match known.begun.has(by) {
            true => calls::node_for(app, self.call).await?,
            false => None,
        };
        act(app, self.call, &request, &call::Command::MoveToSfu { by, node }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

/// `call.ask_consent`: asks everybody in a call whether it may be recorded, and agrees.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskConsent {
    /// The call.
    pub(crate) call: CallId,
}

impl Command for AskConsent {
    const NAME: &'static str = "call.ask_consent";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, request) = (device(identity), Call::of(app, identity, key, &self));
        act(app, self.call, &request, &call::Command::AskConsent { by }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

/// `call.consent`: agrees to be recorded, or does not (any more).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GiveConsent {
    /// The call.
    pub(crate) call: CallId,
    /// Whether they agree.
    pub(crate) agrees: bool,
}

impl Command for GiveConsent {
    const NAME: &'static str = "call.consent";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, request) = (device(identity), Call::of(app, identity, key, &self));
        act(app, self.call, &request, &call::Command::Consent { by, agrees: self.agrees }).await
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

/// Does something in a call that the person may know of.
async fn act(
    app: &App,
    call: CallId,
    request: &Call,
    command: &call::Command,
) -> Result<Accepted, Problem> {
    calls::known(app, call, request.actor).await?;
    let done = decide(app, call, command, &request.context()).await?;
    Ok(Accepted::at(done.position))
}
