//! Commands about reports: filing one, and deciding what comes of it.

use domain::conversation::Conversation;
use domain::message::{self, Message};
use domain::report::{self, Filed, Report};
use domain::user;
use event_log::Context;
use events::report::{Reason, Subject, Verdict};
use events::user::PlatformRole;
use events::{ConversationId, MessageId, Moment, Personal, ReportId, StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moderation::{self, role_of};
use super::{Accepted, Call, Command, Entry, Made, users};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[Entry::of::<FileReport>(), Entry::of::<ResolveReport>()];

/// What is reported.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum About {
    /// A person.
    User { user: UserId },
    /// A message that the person who reports can read.
    Message { message: MessageId, conversation: ConversationId },
    /// A conversation that the person who reports is in.
    Conversation { conversation: ConversationId },
}

impl From<About> for Subject {
    fn from(about: About) -> Self {
        match about {
            About::User { user } => Self::User { user },
            About::Message { message, conversation } => Self::Message { message, conversation },
            About::Conversation { conversation } => Self::Conversation { conversation },
        }
    }
}

/// `report.file`: reports a person, a message or a conversation to the moderators.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileReport {
    /// The new id; one is made if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<ReportId>,
    /// What is reported.
    pub(crate) subject: About,
    /// What is wrong with it.
    pub(crate) reason: Reason,
    /// In one's own words.
    #[serde(default)]
    pub(crate) text: String,
}

impl Command for FileReport {
    const NAME: &'static str = "report.file";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let by = identity.user;
        let call = Call::of(app, identity, key, &self);
        // Follows from the key, so that a repeat files the same report.
        let made = || Uuid::new_v5(&by.uuid(), format!("report {key}").as_bytes()).into();
        let report = self.report.unwrap_or_else(made);
        let Seen { known, quoted, revision } = seen(app, by, self.subject).await?;
        let Self { subject, reason, text, .. } = self;
        let subject = subject.into();
        let command = report::Command::File { report, by, subject, known, reason, text, quoted };
        let context = call.context().deciding_on(revision);
        let filed = decide(app, report, &command, &context).await?;
        Ok(filed.made(Made::Report(report)))
    }
}

/// What somebody who reports something can see of it.
#[derive(Default)]
struct Seen {
    known: bool,
    quoted: Option<Personal<String>>,
    revision: Option<u64>,
}

async fn seen(app: &App, by: UserId, subject: About) -> Result<Seen, Problem> {
    let conversation = match subject {
        About::User { user } => {
            users::must_exist(app, user).await?;
            return Ok(Seen { known: true, ..Seen::default() });
        }
        About::Message { conversation, .. } | About::Conversation { conversation } => conversation,
    };
    let talk = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    let seen = Seen { known: talk.state.has_member(by), quoted: None, revision: talk.revision };
    let About::Message { message, .. } = subject else { return Ok(seen) };
    if !seen.known {
        return Ok(seen);
    }
    let message = app.log().load::<Message>(&StreamName::message(message)).await?;
    let content = message.state.sent().and_then(|sent| sent.content.as_ref());
    Ok(Seen {
        known: message.state.is_shown_in(conversation),
        quoted: match content.map(message::Content::text) {
            Some(Personal::Sealed { .. }) => return Err(problems::vault_away()),
            Some(text @ Personal::Open { .. }) => Some(text.clone()),
            Some(Personal::Erased { .. }) | None => None,
        },
        ..seen
    })
}

/// `report.resolve`: a moderator decides, and what was decided is done.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveReport {
    /// The report.
    pub(crate) report: ReportId,
    /// `removed` deletes the message that was reported, `suspended` suspends its sender, or the
    /// person who was reported.
    pub(crate) verdict: Verdict,
    /// Why, for other moderators to read.
    #[serde(default)]
    pub(crate) note: String,
    /// Until when a person is suspended; for good when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Moment>,
    /// Why a person is suspended, for them to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// What follows from a verdict.
enum Deed {
    Nothing,
    Delete(MessageId, ConversationId),
    Suspend(UserId, user::Command),
}

impl Command for ResolveReport {
    const NAME: &'static str = "report.resolve";

    /// The verdict first, and then what follows from it: of two moderators who decide at the same
    /// time one acts. A repeat finishes what was begun.
    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let by = call.actor;
        let role = role_of(app, by).await?;
        let moderator = role >= PlatformRole::Moderator;
        let known = app.log().load::<Report>(&StreamName::report(self.report)).await?.state;
        let (deed, about) = match known.filed() {
            Some(filed) if moderator => {
                let about = person(app, filed.subject).await?;
                (self.deed(app, &call, role, filed, about).await?, about)
            }
            Some(_) | None => (Deed::Nothing, None),
        };
        let Self { report, verdict, note, .. } = self;
        let command = report::Command::Resolve { by, moderator, about, verdict, note };
        let resolved = decide(app, report, &command, &call.context()).await?;
        let done = match deed {
            Deed::Nothing => return Ok(resolved),
            Deed::Delete(message, conversation) => {
                delete(app, &call, message, conversation).await?
            }
            Deed::Suspend(user, command) => moderation::decide(app, user, &command, &call).await?,
        };
        Ok(Accepted::at(done.position.max(resolved.position)))
    }
}

impl ResolveReport {
    /// What follows from the verdict, refused before it is given if it cannot be done.
    async fn deed(
        &self,
        app: &App,
        call: &Call,
        role: PlatformRole,
        filed: &Filed,
        about: Option<UserId>,
    ) -> Result<Deed, Problem> {
        if self.verdict != Verdict::Suspended && (self.until.is_some() || self.reason.is_some()) {
            return Err(Problem::invalid("`until` and `reason` belong to a suspension"));
        }
        let decided = filed.resolved == Some((call.actor, self.verdict));
        match (self.verdict, filed.subject, about) {
            (Verdict::Dismissed | Verdict::Warned, _, _) => Ok(Deed::Nothing),
            // The rules refuse it; it should not be asked first whether it could be done.
            (_, _, Some(person)) if person == call.actor => Ok(Deed::Nothing),
            (Verdict::Removed, Subject::Message { message, conversation }, _) => {
                Ok(Deed::Delete(message, conversation))
            }
            (Verdict::Suspended, _, Some(person)) => {
                self.suspension(app, call, role, person, decided).await
            }
            (Verdict::Removed, Subject::User { .. } | Subject::Conversation { .. }, _)
            | (Verdict::Suspended, _, None) => Err(problems::verdict_does_not_fit()),
        }
    }

    async fn suspension(
        &self,
        app: &App,
        call: &Call,
        by_role: PlatformRole,
        user: UserId,
        decided: bool,
    ) -> Result<Deed, Problem> {
        let reason = self
            .reason
            .clone()
            .ok_or_else(|| Problem::invalid("`reason` tells the person why they are suspended"))?;
        let (by, until, now) = (call.actor, self.until, call.now);
        let command = user::Command::Suspend { by, by_role, until, reason, now };
        // A verdict that was given already is only carried out.
        if !decided {
            moderation::check(app, user, &command).await?;
        }
        Ok(Deed::Suspend(user, command))
    }
}

/// Who is reported, or sent the message that is.
async fn person(app: &App, subject: Subject) -> Result<Option<UserId>, Problem> {
    match subject {
        Subject::User { user } => Ok(Some(user)),
        Subject::Message { message, .. } => {
            let message = app.log().load::<Message>(&StreamName::message(message)).await?;
            let sent = message.state.sent().ok_or_else(problems::no_such_message)?;
            Ok(Some(sent.sender))
        }
        Subject::Conversation { .. } => Ok(None),
    }
}

/// Deletes a message as one who moderates every conversation.
async fn delete(
    app: &App,
    call: &Call,
    message: MessageId,
    conversation: ConversationId,
) -> Result<Accepted, Problem> {
    let place = message::Place { conversation, member: true, blocked: false, moderator: true };
    let action = message::Action::Delete;
    let command = message::Command { message, by: call.actor, place, action };
    app.log()
        .transact::<Message>(&StreamName::message(message), &command, &call.context())
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_message))
}

async fn decide(
    app: &App,
    report: ReportId,
    command: &report::Command,
    context: &Context,
) -> Result<Accepted, Problem> {
    app.log()
        .transact::<Report>(&StreamName::report(report), command, context)
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_report))
}
