//! Commands about webhooks: addresses elsewhere that are told of events.

use std::fmt;

use chrono::TimeDelta;
use domain::conversation::Conversation;
use domain::webhook::{self, Person, Webhook};
use event_log::LogError;
use events::conversation::{ConversationKind, Role};
use events::user::PlatformRole;
use events::{ConversationId, Position, StreamName, WebhookId};
use serde::{Deserialize, Serialize};
use service::webhooks::Secret;
use service::{Identity, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moderation::role_of;
use super::{Accepted, Call, Command, Entry, Made};
use crate::{App, problems};

/// What the gateway offers of this file.
pub(crate) const COMMANDS: &[Entry] = &[
    Entry::of::<CreateWebhook>(),
    Entry::of::<ChangeWebhook>(),
    Entry::of::<RemoveWebhook>(),
    Entry::of::<RotateSecret>(),
    Entry::of::<ReplayWebhook>(),
    Entry::of::<TestWebhook>(),
];

/// How many webhooks a person may have. It is counted in the read model, so that of many at once a few
/// more may come to be.
const MAX_WEBHOOKS: i64 = 20;
/// How long the old secret signs beside the new one, when nothing else is asked for.
const OVERLAP_HOURS: u32 = 24;
/// The longest that it may.
const MAX_OVERLAP_HOURS: u32 = 24 * 7;

/// A new webhook, or the new secret of one. The secret is told once.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct NewSecret {
    /// The webhook.
    pub(crate) id: WebhookId,
    /// What its deliveries are signed with (Standard Webhooks): `whsec_` and base64.
    #[schema(value_type = String)]
    pub(crate) secret: Secret,
}

impl PartialEq for NewSecret {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for NewSecret {}

/// `webhook.create`: tells an address of what happens in a conversation, for those who run it; or of
/// everything, for admins of the platform.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateWebhook {
    /// The group or study room; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conversation: Option<ConversationId>,
    /// Where to: an `https` address on the public net.
    pub(crate) url: String,
    /// Types of events, such as `message.sent` or `message.*`; all when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) types: Vec<String>,
}

/// Shows no address: it may hold a secret of its receiver.
impl fmt::Debug for CreateWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateWebhook").field("types", &self.types).finish_non_exhaustive()
    }
}

impl Command for CreateWebhook {
    const NAME: &'static str = "webhook.create";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { conversation, url, types } = self;
        check_url(app, &url)?;
        let webhook = WebhookId::of_request(call.actor, key);
        must_have_room(app, &call, webhook).await?;
        let runs = runs(app, &call, conversation).await?;
        let owner = call.actor;
        let command =
            webhook::Command::Create { webhook, owner, conversation, runs, url, types, salt: key };
        let secret = Secret::derive(app.secrets(), webhook, key);
        let made = decide(app, webhook, &command, &call).await?;
        Ok(made.made(Made::Webhook(NewSecret { id: webhook, secret })))
    }
}

/// `webhook.change`: sends it elsewhere or something else, or switches it on or off.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeWebhook {
    /// Which one.
    pub(crate) webhook: WebhookId,
    /// Where to from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Which types of events from now on; all when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) types: Option<Vec<String>>,
    /// Whether it is told of anything. What is enabled goes on where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
}

/// Shows no address.
impl fmt::Debug for ChangeWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeWebhook").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

impl Command for ChangeWebhook {
    const NAME: &'static str = "webhook.change";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { webhook, url, types, enabled } = self;
        if let Some(url) = &url {
            check_url(app, url)?;
        }
        let by = person(app, &call, webhook).await?;
        let mut done = None;
        if url.is_some() || types.is_some() {
            let command = webhook::Command::Change { by, url, types };
            done = Some(decide_step(app, webhook, &command, &call, "change").await?);
        }
        if let Some(on) = enabled {
            let command = webhook::Command::Switch { by, on };
            done = Some(decide_step(app, webhook, &command, &call, "switch").await?);
        }
        done.ok_or_else(|| Problem::invalid("there is nothing to change"))
    }
}

/// `webhook.remove`: tells it nothing any more. Those who run its conversation may do so, too.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveWebhook {
    /// Which one.
    pub(crate) webhook: WebhookId,
}

impl Command for RemoveWebhook {
    const NAME: &'static str = "webhook.remove";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let by = person(app, &call, self.webhook).await?;
        decide(app, self.webhook, &webhook::Command::Remove { by }, &call).await
    }
}

/// `webhook.rotate_secret`: gives it a new secret. For a while deliveries are signed with both.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// Which one.
    pub(crate) webhook: WebhookId,
    /// For how many hours the old secret signs as well: 24 when absent, 168 at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 168)]
    pub(crate) overlap_hours: Option<u32>,
}

impl Command for RotateSecret {
    const NAME: &'static str = "webhook.rotate_secret";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { webhook, overlap_hours } = self;
        let hours = overlap_hours.unwrap_or(OVERLAP_HOURS);
        if hours > MAX_OVERLAP_HOURS {
            return Err(Problem::invalid("`overlap_hours` is at most 168"));
        }
        let overlap_until = call.now + TimeDelta::hours(hours.into());
        let by = person(app, &call, webhook).await?;
        let command = webhook::Command::Rotate { by, salt: key, overlap_until };
        let secret = Secret::derive(app.secrets(), webhook, key);
        let rotated = decide(app, webhook, &command, &call).await?;
        Ok(rotated.made(Made::Webhook(NewSecret { id: webhook, secret })))
    }
}

/// `webhook.replay`: tells it again what came after a position, with the same ids.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayWebhook {
    /// Which one.
    pub(crate) webhook: WebhookId,
    /// After which position.
    pub(crate) from: Position,
}

impl Command for ReplayWebhook {
    const NAME: &'static str = "webhook.replay";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let Self { webhook, from } = self;
        must_be_a_place(app, from).await?;
        let by = person(app, &call, webhook).await?;
        decide(app, webhook, &webhook::Command::Replay { by, from }, &call).await
    }
}

/// `webhook.test`: tells it `webhook.tested`, whatever its types are, after what waits for it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestWebhook {
    /// Which one.
    pub(crate) webhook: WebhookId,
}

impl Command for TestWebhook {
    const NAME: &'static str = "webhook.test";

    async fn run(self, app: &App, identity: Identity, key: Uuid) -> Result<Accepted, Problem> {
        let call = Call::of(app, identity, key, &self);
        let by = person(app, &call, self.webhook).await?;
        decide(app, self.webhook, &webhook::Command::Test { by }, &call).await
    }
}

/// Refuses a position that is none: nothing would ever be found after it.
async fn must_be_a_place(app: &App, from: Position) -> Result<(), Problem> {
    let wrong = || Problem::invalid("`from` is not the position of an event");
    if from == Position::START {
        return Ok(());
    }
    if from > app.log().head().await? {
        return Err(wrong());
    }
    match app.log().read_all(from, 1).await {
        Ok(_) => Ok(()),
        Err(LogError::Refused(_)) => Err(wrong()),
        Err(error) => Err(error.into()),
    }
}

/// Whether an address may be one at all. Where its name leads is judged when something is sent.
fn check_url(app: &App, url: &str) -> Result<(), Problem> {
    match service::webhooks::address(url, app.webhooks_private()) {
        Some(_) => Ok(()),
        None => Err(problems::invalid_webhook_url()),
    }
}

/// Who does something to a webhook. The store is asked what they may do.
async fn person(app: &App, call: &Call, webhook: WebhookId) -> Result<Person, Problem> {
    let known = app.log().load::<Webhook>(&StreamName::webhook(webhook)).await?;
    let runs = match known.state.hook() {
        Some(hook) => runs(app, call, hook.conversation).await?,
        None => false,
    };
    Ok(Person { user: call.actor, runs })
}

/// Whether whoever calls runs a conversation, or the platform. To who is not in a conversation, it
/// does not exist; a webhook would tell one of two friends what the other says, so they have none.
async fn runs(
    app: &App,
    call: &Call,
    conversation: Option<ConversationId>,
) -> Result<bool, Problem> {
    if role_of(app, call.actor).await? == PlatformRole::Admin {
        return Ok(true);
    }
    let Some(conversation) = conversation else { return Ok(false) };
    let known = app.log().load::<Conversation>(&StreamName::conversation(conversation)).await?;
    let group = known.state.kind().is_some_and(|kind| kind != ConversationKind::Direct);
    let role = known.state.role(call.actor);
    Ok(group && matches!(role, Some(Role::Owner | Role::Admin)))
}

/// Refuses one webhook too many. A repeat has its place already.
async fn must_have_room(app: &App, call: &Call, webhook: WebhookId) -> Result<(), Problem> {
    let webhooks: i64 =
        sqlx::query_scalar("select count(*) from webhook where owner_id = $1 and webhook_id <> $2")
            .bind(call.actor.uuid())
            .bind(webhook.uuid())
            .fetch_one(app.postgres())
            .await
            .map_err(|error| problems::of_postgres(&error))?;
    if webhooks < MAX_WEBHOOKS { Ok(()) } else { Err(problems::too_many_webhooks()) }
}

async fn decide(
    app: &App,
    webhook: WebhookId,
    command: &webhook::Command,
    call: &Call,
) -> Result<Accepted, Problem> {
    transact(app, webhook, command, call.context()).await
}

async fn decide_step(
    app: &App,
    webhook: WebhookId,
    command: &webhook::Command,
    call: &Call,
    step: &str,
) -> Result<Accepted, Problem> {
    transact(app, webhook, command, call.context().step(step)).await
}

async fn transact(
    app: &App,
    webhook: WebhookId,
    command: &webhook::Command,
    context: event_log::Context,
) -> Result<Accepted, Problem> {
    app.log()
        .transact::<Webhook>(&StreamName::webhook(webhook), command, &context)
        .await
        .map(|outcome| Accepted::at(outcome.position))
        .map_err(|error| problems::of_transaction(error, problems::of_webhook))
}
