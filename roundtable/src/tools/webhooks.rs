//! `roundtable webhooks`: what became of webhooks, and telling them again.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};
use domain::webhook::{Command, Person, Webhook};
use event_log::{Context, LogError, TransactError};
use events::{Position, StreamName, UserId, WebhookId};
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use super::Place;

/// What an operator does with webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// List the webhooks, and how far each was told.
    List(ListArguments),
    /// Tell a webhook again what came after a position.
    ///
    /// Its deliveries have the same ids as before, so that its receiver knows what it has seen.
    Replay(ReplayArguments),
}

/// What is listed.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// One JSON object for each line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// What is told again.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The webhook's id.
    webhook: WebhookId,
    /// The position after which it begins, or `0` for the beginning of the log.
    #[arg(long, value_name = "POSITION")]
    from: Position,
    /// One JSON object that says where the replay stands in the log.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Does it, and says what came of it.
///
/// # Errors
/// When a server does not answer, or there is no such webhook.
pub async fn run(command: WebhooksCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    match command {
        WebhooksCommand::List(arguments) => list(&arguments).await?,
        WebhooksCommand::Replay(ReplayArguments { webhook, from, json, place }) => {
            let position = replay(&place, webhook, from).await?;
            match json {
                true => println!("{}", json!({ "webhook": webhook, "position": position })),
                false => println!("{webhook} is told again what came after {from}"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

const LIST: &str = "
    select w.webhook_id, w.owner_id, w.conversation_id, w.types, w.disabled,
      position_text(l.position) as delivered_to, l.failing_since, l.attempts
    from webhook w left join webhook_lane l using (webhook_id) order by w.position";

async fn list(arguments: &ListArguments) -> Result<()> {
    let postgres = arguments.place.postgres()?;
    let rows = sqlx::query(LIST).fetch_all(&postgres).await;
    for row in rows.context("PostgreSQL does not say which webhooks there are")? {
        let (id, owner): (Uuid, Uuid) = (row.try_get("webhook_id")?, row.try_get("owner_id")?);
        let conversation: Option<Uuid> = row.try_get("conversation_id")?;
        let types: Vec<String> = row.try_get("types")?;
        let disabled: Option<String> = row.try_get("disabled")?;
        let delivered_to: Option<String> = row.try_get("delivered_to")?;
        let failing_since: Option<events::Moment> = row.try_get("failing_since")?;
        if arguments.json {
            let line = json!({
                "webhook": id, "owner": owner, "conversation": conversation, "types": types,
                "disabled": disabled, "delivered_to": delivered_to, "failing_since": failing_since,
            });
            println!("{line}");
            continue;
        }
        let of = conversation.map_or("everything".to_owned(), |id| format!("conversation {id}"));
        let state = match (disabled, failing_since) {
            (Some(reason), _) => format!("disabled: {reason}"),
            (None, Some(since)) => format!("failing since {since}"),
            (None, None) => "working".to_owned(),
        };
        let to = delivered_to.unwrap_or_else(|| "-".to_owned());
        println!("{id}  owner {owner}  {of}  delivered to {to}  {state}");
    }
    Ok(())
}

/// Has a webhook told again, as the operator; where that stands in the log.
///
/// # Errors
/// When the log does not answer, there is no such webhook or position, or it is disabled.
pub async fn replay(place: &Place, webhook: WebhookId, from: Position) -> Result<Position> {
    let log = place.sealed_log().await?;
    let head = log.head().await?;
    let is_place = match from {
        Position::START => true,
        _ if from > head => false,
        _ => match log.read_all(from, 1).await {
            Ok(_) => true,
            Err(LogError::Refused(_)) => false,
            Err(error) => return Err(error.into()),
        },
    };
    ensure!(is_place, "{from} is not the position of an event: `roundtable events` lists them");
    let operator = UserId::new(Uuid::nil());
    #[expect(clippy::disallowed_methods, reason = "the tool is an edge, where requests begin")]
    let request = Uuid::now_v7();
    let context = Context {
        actor: operator,
        key: request,
        body_hash: log.secrets().name_digest("body", &format!("webhooks replay {webhook} {from}")),
        correlation: request,
        causation: request,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    };
    let command = Command::Replay { by: Person { user: operator, runs: true }, from };
    match log.transact::<Webhook>(&StreamName::webhook(webhook), &command, &context).await {
        Ok(outcome) => Ok(outcome.position),
        Err(TransactError::Rejected(rejection)) => bail!("{rejection}"),
        Err(error) => Err(error).context("the replay is not recorded"),
    }
}
