//! Recording a call: beginning and ending it. What is written, and that it is stored, are facts of the
//! SFU.

use domain::call;
use events::{CallId, ConversationId, RecordingId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::calls::{decide, lane};
use super::{Accepted, Call, Command, Entry, Made};
use crate::App;
use crate::calls::{self, device};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] =
    &[Entry::of::<StartRecording>(), Entry::of::<StopRecording>()];

/// `call.start_recording`: records a call whose people all agree; as who called or moderates the group,
/// and between two as either.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRecording {
    /// The call.
    pub(crate) call: CallId,
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recording: Option<RecordingId>,
}

impl Command for StartRecording {
    const NAME: &'static str = "call.start_recording";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, request) = (device(identity), Call::of(app, identity, key, &self));
        // Follows from the key, so that a repeat is the same recording.
        let made = || Uuid::new_v5(&by.user.uuid(), format!("recording {key}").as_bytes()).into();
        let recording = self.recording.unwrap_or_else(made);
        let known = calls::known(app, self.call, by.user).await?;
        let moderator = known.place.moderator;
        let command = call::Command::StartRecording { by, recording, moderator };
        let context = request.context().deciding_on(known.place.revision);
        let begun = decide(app, self.call, &command, &context).await?;
        Ok(Accepted::at(begun.position).made(Made::Recording(recording)))
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

/// `call.stop_recording`: records no more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopRecording {
    /// The call.
    pub(crate) call: CallId,
    /// Which recording.
    pub(crate) recording: RecordingId,
}

impl Command for StopRecording {
    const NAME: &'static str = "call.stop_recording";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (by, request) = (device(identity), Call::of(app, identity, key, &self));
        let known = calls::known(app, self.call, by.user).await?;
        let (recording, moderator) = (self.recording, known.place.moderator);
        let command = call::Command::StopRecording { by, recording, moderator };
        let context = request.context().deciding_on(known.place.revision);
        let done = decide(app, self.call, &command, &context).await?;
        Ok(Accepted::at(done.position))
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}
