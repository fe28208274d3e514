//! Commands about study sessions. The room of a session, where its people talk, is a conversation
//! that follows it: who joins comes in, who leaves goes out.
//!
//! A command on both streams changes the session first. A repeat with the same key goes on where
//! the first one was interrupted; where nobody repeats it, a timer makes the room follow.

use domain::conversation::{self, Conversation};
use domain::session::{self, Plan, PlanChange, Planned, Session};
use event_log::{Context, Loaded, TransactError};
use events::{ConversationId, Moment, Position, StreamName, StudySessionId, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<ScheduleSession>(),
    Entry::of::<ChangeSession>(),
    Entry::of::<StartSession>(),
    Entry::of::<CompleteSession>(),
    Entry::of::<CancelSession>(),
    Entry::of::<JoinSession>(),
    Entry::of::<LeaveSession>(),
    Entry::of::<RemoveParticipant>(),
];

const fn ten() -> u16 {
    10
}

/// `study.schedule`: plans a session, as its tutor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleSession {
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<StudySessionId>,
    /// What it is called.
    pub(crate) title: String,
    /// What it is about, in a word that many sessions share.
    pub(crate) subject: String,
    /// What it is about, at length.
    #[serde(default)]
    pub(crate) description: String,
    /// How many people may be in it at a time, the tutor included.
    #[serde(default = "ten")]
    pub(crate) capacity: u16,
    /// When it is to begin.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) starts: Moment,
}

impl Command for ScheduleSession {
    const NAME: &'static str = "study.schedule";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let tutor = identity.user;
        let call = Call::of(app, identity, key, &self);
        let Self { session, title, subject, description, capacity, starts } = self;
        // Both follow from the key, so that a repeat plans the same session with the same room.
        let made = |what| Uuid::new_v5(&tutor.uuid(), format!("{what} {key}").as_bytes());
        let session = session.unwrap_or_else(|| made("session").into());
        let conversation = ConversationId::new(made("room"));
        let plan = Plan { title: title.clone(), subject, description, capacity, starts };
        let command =
            session::Command::Schedule { session, conversation, tutor, plan, now: call.now };
        let scheduled = decide(app, session, &command, &call.context()).await?;
        let opened = open_room(app, conversation, tutor, title, &call.context()).await?;
        Ok(Accepted::at(opened.max(scheduled)).made(Made::StudySession(session)))
    }
}

/// `study.change`: changes the plan; what is absent stays.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSession {
    /// The session.
    pub(crate) session: StudySessionId,
    /// The new title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// The new subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The new number of seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capacity: Option<u16>,
    /// The new beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) starts: Option<Moment>,
}

impl Command for ChangeSession {
    const NAME: &'static str = "study.change";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = identity.user;
        let call = Call::of(app, identity, key, &self);
        let Self { session, title, subject, description, capacity, starts } = self;
        let change = PlanChange { title: title.clone(), subject, description, capacity, starts };
        let command = session::Command::Change { by, change, now: call.now };
        let changed = decide(app, session, &command, &call.context()).await?;
        let Some(title) = title else { return Ok(Accepted::at(changed)) };
        let room = planned(&known(app, session).await?)?.conversation;
        let command = conversation::Command::Rename { by, title };
        let renamed = in_room(app, room, &command, &call.context()).await;
        let renamed = renamed.map_err(refused_in_room)?;
        Ok(Accepted::at(renamed.max(changed)))
    }
}

macro_rules! steps {
    ($(#[doc = $doc:literal] $command:ident = $step:ident, $name:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $command {
            /// The session.
            pub(crate) session: StudySessionId,
        }

        impl Command for $command {
            const NAME: &'static str = $name;

            async fn run(
                self,
                app: &App,
                identity: Identity,
                key: Uuid,
            ) -> Result<Accepted, Problem> {
                let call = Call::of(app, identity, key, &self);
                let command = session::Command::$step { by: call.actor };
                decide(app, self.session, &command, &call.context()).await.map(Accepted::at)
            }
        }
    )*};
}

steps! {
    /// `study.start`: the session begins.
    StartSession = Start, "study.start";
    /// `study.complete`: the session ends, and everybody leaves it.
    CompleteSession = Complete, "study.complete";
    /// `study.cancel`: the session is called off, or broken off.
    CancelSession = Cancel, "study.cancel";
}

/// `study.join`: comes into a session and its room. The answer names who was there already.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinSession {
    /// The session.
    pub(crate) session: StudySessionId,
}

impl Command for JoinSession {
    const NAME: &'static str = "study.join";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let (user, session) = (identity.user, self.session);
        let call = Call::of(app, identity, key, &self);
        let room = planned(&known(app, session).await?)?.conversation;
        let before = app.log().state::<Conversation>(&StreamName::conversation(room)).await?;
        let banned = before.state.is_banned(user);
        let command = session::Command::Join { user, banned, now: call.now };
        let context = call.context().deciding_on(before.revision);
        let joined = decide(app, session, &command, &context).await?;

        let now = known(app, session).await?;
        let accepted = Accepted::at(joined).made(Made::Conversation(room));
        // An old join that comes again, after they left, does not bring them into the room.
        if !now.state.has(user) {
            return Ok(accepted);
        }
        let context = call.context().deciding_on(now.revision);
        let entered = match enter(app, planned(&now)?, user, &context).await {
            Ok(entered) => entered,
            Err(problem) => {
                if problem.status().is_client_error() {
                    let leave = session::Command::Leave { user, lost: false };
                    decide(app, session, &leave, &call.context().step("back")).await?;
                }
                return Err(problem);
            }
        };
        let others = now.state.participants().filter(|other| *other != user).collect();
        Ok(Accepted { position: entered.max(joined), participants: Some(others), ..accepted })
    }
}

/// `study.leave`: goes out of a session and its room.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeaveSession {
    /// The session.
    pub(crate) session: StudySessionId,
}

impl Command for LeaveSession {
    const NAME: &'static str = "study.leave";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let user = call.actor;
        let command = session::Command::Leave { user, lost: false };
        go(app, self.session, user, &command, &call).await
    }
}

/// `study.remove`: sends somebody out of a session and its room.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveParticipant {
    /// The session.
    pub(crate) session: StudySessionId,
    /// Whom.
    pub(crate) user: UserId,
}

impl Command for RemoveParticipant {
    const NAME: &'static str = "study.remove";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let command = session::Command::Remove { by: call.actor, user: self.user };
        go(app, self.session, self.user, &command, &call).await
    }
}

/// Somebody goes out of a session, and then out of its room. Who was there to its end keeps the
/// room, to read what was said.
async fn go(
    app: &App,
    session: StudySessionId,
    user: UserId,
    command: &session::Command,
    call: &Call,
) -> Result<Accepted, Problem> {
    let left = decide(app, session, command, &call.context()).await?;
    let now = known(app, session).await?;
    let planned = planned(&now)?;
    if now.state.has(user) || planned.status.is_over() {
        return Ok(Accepted::at(left));
    }
    let context = call.context().deciding_on(now.revision);
    let leave = conversation::Command::Leave { user };
    match in_room(app, planned.conversation, &leave, &context).await {
        Ok(gone) => Ok(Accepted::at(gone.max(left))),
        // Nobody can be in a room that was not opened yet.
        Err(TransactError::Rejected(conversation::Rejection::NoSuchConversation)) => {
            Ok(Accepted::at(left))
        }
        Err(error) => Err(refused_in_room(error)),
    }
}

/// Somebody who is in the session comes into its room, which is opened if whoever planned the
/// session died before they did it.
async fn enter(
    app: &App,
    planned: &Planned,
    user: UserId,
    context: &Context,
) -> Result<Position, Problem> {
    let (room, tutor) = (planned.conversation, planned.tutor);
    let command = conversation::Command::Enter { user, admitted: true };
    match in_room(app, room, &command, context).await {
        Err(TransactError::Rejected(conversation::Rejection::NoSuchConversation)) => {
            let title = planned.title.open().unwrap_or(&planned.subject).clone();
            open_room(app, room, tutor, title, &context.step("open")).await?;
            in_room(app, room, &command, context).await.map_err(refused_in_room)
        }
        entered => entered.map_err(refused_in_room),
    }
}

/// A room that is open already is what is wanted.
async fn open_room(
    app: &App,
    conversation: ConversationId,
    tutor: UserId,
    title: String,
    context: &Context,
) -> Result<Position, Problem> {
    let command = conversation::Command::OpenStudy { conversation, tutor, title };
    match in_room(app, conversation, &command, context).await {
        Err(TransactError::Rejected(conversation::Rejection::AlreadyOpened)) => {
            let stream = StreamName::conversation(conversation);
            let opened = app.log().state::<Conversation>(&stream).await?;
            Ok(opened.last.unwrap_or(Position::START))
        }
        opened => opened.map_err(refused_in_room),
    }
}

/// A session as it is now.
pub(super) async fn known(app: &App, session: StudySessionId) -> Result<Loaded<Session>, Problem> {
    Ok(app.log().state::<Session>(&StreamName::session(session)).await?)
}

/// The plan of a session, if there is one.
pub(super) fn planned(known: &Loaded<Session>) -> Result<&Planned, Problem> {
    let none = || problems::of_session(session::Rejection::NoSuchSession);
    known.state.planned().ok_or_else(none)
}

async fn decide(
    app: &App,
    session: StudySessionId,
    command: &session::Command,
    context: &Context,
) -> Result<Position, Problem> {
    app.log()
        .transact::<Session>(&StreamName::session(session), command, context)
        .await
        .map(|outcome| outcome.position)
        .map_err(|error| problems::of_transaction(error, problems::of_session))
}

async fn in_room(
    app: &App,
    room: ConversationId,
    command: &conversation::Command,
    context: &Context,
) -> Result<Position, TransactError<conversation::Rejection>> {
    let stream = StreamName::conversation(room);
    app.log()
        .transact::<Conversation>(&stream, command, context)
        .await
        .map(|outcome| outcome.position)
}

fn refused_in_room(error: TransactError<conversation::Rejection>) -> Problem {
    problems::of_transaction(error, problems::of_conversation)
}
