//! Calling, answering, hanging up: who is in a call. A device of a call is the log-in that a command
//! comes with, which nobody else can name.

use domain::call::{self, Begun, Call as Talk, Enter, Ring, Start};
use event_log::{Context, Outcome};
use events::call::{Carrier, Media, Participant, Toggles};
use events::conversation::ConversationKind;
use events::{CallId, ConversationId, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::sfu_registry::RegistryError;
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::calls::{self, JoinedCall, device};
use crate::{App, lines, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<StartCall>(),
    Entry::of::<RingMore>(),
    Entry::of::<AcceptCall>(),
    Entry::of::<JoinCall>(),
    Entry::of::<DeclineCall>(),
    Entry::of::<CancelCall>(),
    Entry::of::<LeaveCall>(),
    Entry::of::<FailCall>(),
    Entry::of::<EndCall>(),
];

const fn on() -> bool {
    true
}

const fn peers() -> Carrier {
    Carrier::Peers
}

/// `call.start`: calls the other one of a direct conversation, or a group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartCall {
    /// Where.
    pub(crate) conversation: ConversationId,
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<CallId>,
    /// Voice only, or video too.
    pub(crate) media: Media,
    /// Whether devices are connected to each other, or by the SFU.
    #[serde(default = "peers")]
    pub(crate) carrier: Carrier,
    /// Whether it moves to the SFU by itself when the third comes.
    #[serde(default)]
    pub(crate) grows: bool,
    /// At whom it is to ring, in a group: everybody if it is absent and they are few, else nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ring: Option<Vec<UserId>>,
    /// Whether the microphone is on.
    #[serde(default = "on")]
    pub(crate) microphone: bool,
    /// Whether the camera is on; in a video call it is if this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) camera: Option<bool>,
}

impl Command for StartCall {
    const NAME: &'static str = "call.start";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = device(identity);
        let request = Call::of(app, identity, key, &self);
        // Follows from the key, so that a repeat is the same call.
        let made = || Uuid::new_v5(&by.user.uuid(), format!("call {key}").as_bytes()).into();
        let call = self.call.unwrap_or_else(made);
        let place = calls::place(app, self.conversation, by.user).await?;
        call::may_talk(place.here).map_err(problems::of_call)?;
        let (ring, busy) = self.whom(app, &place, by.user, call).await?;
        let on_sfu = self.carrier == Carrier::Sfu;
        let node = if on_sfu { calls::node_for(app, call).await? } else { None };
        let room = lines::of_conversation(app, &request, self.conversation, call).await?;
        let line = match lines::of_device(app, &request, by, call).await {
            Ok(line) => line,
            Err(problem) => {
                if !calls::is_begun(app, call).await? {
                    room.give_back(app, &request).await;
                }
                return Err(problem);
            }
        };
        let settings = app.call_settings();
        let start = Start {
            call,
            conversation: self.conversation,
            place: place.here,
            by,
            toggles: toggles(self.media, self.microphone, self.camera),
            media: self.media,
            direct: place.kind == Some(ConversationKind::Direct),
            on_sfu,
            node,
            grows: self.grows,
            limit: settings.mesh,
            ring,
            busy,
            ring_seconds: settings.ring_seconds,
            idle_seconds: settings.idle_seconds,
        };
        let context = request.context().deciding_on(place.revision);
        let command = call::Command::Start(Box::new(start));
        let stream = StreamName::call(call);
        let started = app.log().transact_new::<Talk>(&stream, &command, &context).await;
        match started {
            Ok(started) => {
                stay(app, &request, &line, call, by, &started).await?;
                Ok(Accepted::at(started.position).made(Made::Call(call)))
            }
            Err(error) => {
                // Should the id be that of a call that goes on, its lines are not ours to give.
                if !calls::is_begun(app, call).await? {
                    room.give_back(app, &request).await;
                    line.give_back(app, &request).await;
                }
                Err(problems::of_transaction(error, problems::of_call))
            }
        }
    }

    fn lane(&self) -> Option<ConversationId> {
        Some(self.conversation)
    }
}

impl StartCall {
    /// At whom it rings, and who of those would be rung and is in another call.
    async fn whom(
        &self,
        app: &App,
        place: &calls::Place,
        by: UserId,
        call: CallId,
    ) -> Result<(Vec<UserId>, Vec<UserId>), Problem> {
        let direct = place.kind == Some(ConversationKind::Direct);
        let wanted: Vec<UserId> = match &self.ring {
            Some(_) if direct => place.others.clone(),
            Some(ring) => among(place, ring, by)?,
            None if place.others.len() <= call::MAX_RUNG / 2 => place.others.clone(),
            None => vec![],
        };
        free_and_busy(app, wanted, call).await
    }
}

/// Of the others of a conversation those who are named; strangers are refused.
fn among(place: &calls::Place, people: &[UserId], by: UserId) -> Result<Vec<UserId>, Problem> {
    if people.iter().any(|user| !place.others.contains(user) && *user != by) {
        return Err(problems::rings_at_stranger());
    }
    Ok(place.others.iter().copied().filter(|user| people.contains(user)).collect())
}

/// At whom of these it rings, and who would be rung and is in another call.
async fn free_and_busy(
    app: &App,
    wanted: Vec<UserId>,
    call: CallId,
) -> Result<(Vec<UserId>, Vec<UserId>), Problem> {
    if wanted.len() > call::MAX_RUNG {
        return Err(problems::of_call(call::Rejection::TooManyRung));
    }
    let engaged = lines::engaged(app, &wanted, call).await?;
    Ok(wanted.into_iter().partition(|user| !engaged.contains(user)))
}

/// `call.ring`: rings at more people of the conversation, from within a call.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RingMore {
    /// The call.
    pub(crate) call: CallId,
    /// At whom; who is in it, or hears it ring, is left as they are.
    pub(crate) people: Vec<UserId>,
}

impl Command for RingMore {
    const NAME: &'static str = "call.ring";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (request, by) = (Call::of(app, identity, key, &self), device(identity));
        let known = calls::known(app, self.call, by.user).await?;
        call::may_talk(known.place.here).map_err(problems::of_call)?;
        let wanted = among(&known.place, &self.people, by.user)?;
        let (ring, busy) = free_and_busy(app, wanted, self.call).await?;
        let (place, ring_seconds) = (known.place.here, app.call_settings().ring_seconds);
        let command = call::Command::Ring(Ring { by, place, ring, busy, ring_seconds });
        let context = request.context().deciding_on(known.place.revision);
        Ok(Accepted::at(decide(app, self.call, &command, &context).await?.position))
    }

    fn lane(&self) -> Option<ConversationId> {
        lane(self.call)
    }
}

macro_rules! entrances {
    ($(#[doc = $doc:literal] $command:ident = $step:ident, $name:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $command {
            /// The call.
            pub(crate) call: CallId,
            /// Whether the microphone is on.
            #[serde(default = "on")]
            pub(crate) microphone: bool,
            /// Whether the camera is on; in a video call it is if this is absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) camera: Option<bool>,
            /// Whether they agree to be recorded, should they be asked.
            #[serde(default)]
            pub(crate) agrees: bool,
        }

        impl Command for $command {
            const NAME: &'static str = $name;

            async fn run(
                self,
                app: &App,
                identity: Identity,
                key: Uuid,
            ) -> Result<Accepted, Problem> {
                let request = Call::of(app, identity, key, &self);
                let Self { call, microphone, camera, agrees } = self;
                let entrance =
                    Entrance { call, by: device(identity), microphone, camera, agrees };
                entrance.enter(app, &request, call::Command::$step).await
            }

            fn lane(&self) -> Option<ConversationId> {
                lane(self.call)
            }
        }
    )*};
}

entrances! {
    /// `call.accept`: takes a call; one's other devices stop ringing.
    AcceptCall = Accept, "call.accept";
    /// `call.join`: comes into a call that goes on, or comes back.
    JoinCall = Join, "call.join";
}

/// Somebody at the door.
struct Entrance {
    call: CallId,
    by: Participant,
    microphone: bool,
    camera: Option<bool>,
    agrees: bool,
}

impl Entrance {
    async fn enter(
        self,
        app: &App,
        request: &Call,
        step: fn(Enter) -> call::Command,
    ) -> Result<Accepted, Problem> {
        let Self { call, by, .. } = self;
        let known = calls::known(app, call, by.user).await?;
        let begun = &known.begun;
        let node = self.node(app, begun).await?;
        let line = lines::of_device(app, request, by, call).await?;
        let enter = Enter {
            by,
            place: known.place.here,
            toggles: toggles(begun.media, self.microphone, self.camera),
            agrees: self.agrees,
            node,
        };
        let context = request.context().deciding_on(known.place.revision);
        let entered = match decide(app, call, &step(enter), &context).await {
            Ok(entered) => entered,
            Err(problem) => {
                // Whoever is in the call keeps the line; only who did not get in gives it back.
                if !calls::is_in(app, call, by).await? {
                    line.give_back(app, request).await;
                }
                return Err(problem);
            }
        };
        stay(app, request, &line, call, by, &entered).await?;
        let joined = JoinedCall::seen_by(app, call, by).await?;
        Ok(Accepted { joined: Some(joined), ..Accepted::at(entered.position) })
    }

    /// Where the call would move to, should it grow by this one. Without a node it stays a mesh.
    async fn node(&self, app: &App, begun: &Begun) -> Result<Option<String>, Problem> {
        let grows = begun.carrier == Carrier::Peers && begun.grows && !begun.is_over();
        if !grows || begun.devices().len() < 2 || begun.has(self.by) {
            return Ok(None);
        }
        match app.sfu_registry().place(self.call.uuid()).await {
            Ok(node) => Ok(Some(node.id)),
            Err(RegistryError::NoNode) => Ok(None),
            Err(error @ RegistryError::Away(_)) => {
                tracing::warn!(%error, "a call that should grow stays between its devices");
                Ok(None)
            }
        }
    }
}

/// Whoever came in has to have the line; otherwise the same device went into another call at the
/// same moment, and does not stay in this one.
async fn stay(
    app: &App,
    request: &Call,
    line: &lines::Taken,
    call: CallId,
    by: Participant,
    entered: &Outcome,
) -> Result<(), Problem> {
    if entered.repeated || line.holds(app).await? {
        return Ok(());
    }
    decide(app, call, &call::Command::Leave { by }, &request.context().step("back")).await?;
    Err(problems::in_another_call())
}

macro_rules! exits {
    ($(#[doc = $doc:literal] $command:ident = $name:literal, $decision:expr, $frees:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $command {
            /// The call.
            pub(crate) call: CallId,
        }

        impl Command for $command {
            const NAME: &'static str = $name;

            async fn run(
                self,
                app: &App,
                identity: Identity,
                key: Uuid,
            ) -> Result<Accepted, Problem> {
                let request = Call::of(app, identity, key, &self);
                let by = device(identity);
                let known = calls::known(app, self.call, by.user).await?;
                let decision: fn(Participant, &calls::Known) -> call::Command = $decision;
                let command = decision(by, &known);
                let done = decide(app, self.call, &command, &request.context()).await?;
                if $frees && !done.repeated {
                    lines::free_device(app, &request, by, self.call).await;
                }
                Ok(Accepted::at(done.position))
            }

            fn lane(&self) -> Option<ConversationId> {
                lane(self.call)
            }
        }
    )*};
}

exits! {
    /// `call.decline`: does not take a call; it stops ringing at all of one's devices.
    DeclineCall = "call.decline", |by, _| call::Command::Decline { by: by.user }, false;
    /// `call.cancel`: calls no more, before anybody took it.
    CancelCall = "call.cancel", |by, _| call::Command::Cancel { by: by.user }, true;
    /// `call.leave`: hangs up.
    LeaveCall = "call.leave", |by, _| call::Command::Leave { by }, true;
    /// `call.fail`: says that the media finds no way, and hangs up.
    FailCall = "call.fail", |by, _| call::Command::Fail { by }, true;
    /// `call.end`: ends the call for all, as who called it or moderates the group.
    EndCall = "call.end",
        |by, known| call::Command::End { by: by.user, moderator: known.place.moderator }, true;
}

fn toggles(media: Media, microphone: bool, camera: Option<bool>) -> Toggles {
    Toggles { microphone, camera: camera.unwrap_or(media == Media::Video), screen: false }
}

/// What one socket does in a call stays in order.
pub(super) fn lane(call: CallId) -> Option<ConversationId> {
    Some(call.uuid().into())
}

pub(super) async fn decide(
    app: &App,
    call: CallId,
    command: &call::Command,
    context: &Context,
) -> Result<Outcome, Problem> {
    app.log()
        .transact::<Talk>(&StreamName::call(call), command, context)
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_call))
}
