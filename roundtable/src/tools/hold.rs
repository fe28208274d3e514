//! `roundtable hold`: what is kept for legal matters.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use domain::hold::{Command, Hold};
use event_log::TransactError;
use events::{ConversationId, Moment, StreamName, UserId, hold::Held, user::PlatformRole};
use serde_json::json;
use uuid::Uuid;

use super::{Place, admin};

/// What an operator does with holds.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Keep a person or a conversation: nothing of it is erased, or dropped with age, before every
    /// matter has released it.
    Place(OrderArguments),
    /// A matter needs it no more.
    Release(OrderArguments),
    /// What is kept, and for which matters.
    List(ListArguments),
}

/// What is kept, and why.
#[derive(Debug, Args)]
pub struct OrderArguments {
    #[command(flatten)]
    of: Of,
    /// The matter, as the people who look after it call it; no personal data.
    #[arg(long, value_name = "NAME")]
    matter: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// The person, by handle or id.
    #[arg(long, value_name = "PERSON")]
    user: Option<String>,
    /// The conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
}

/// How it is shown.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Print one JSON object for each hold.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Does it, and says what came of it.
///
/// # Errors
/// When there is nothing of that name, or a server does not answer.
pub async fn run(command: HoldCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    match command {
        HoldCommand::Place(order) => change(order, true).await,
        HoldCommand::Release(order) => change(order, false).await,
        HoldCommand::List(list) => show(list).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn change(order: OrderArguments, keep: bool) -> Result<()> {
    let OrderArguments { of, matter, place } = order;
    let log = place.sealed_log().await?;
    let held = match (of.user, of.conversation) {
        (Some(user), None) => Held::User(admin::find(&log, &user).await?),
        (None, Some(conversation)) => Held::Conversation(conversation),
        _ => bail!("--user or --conversation says what is kept"),
    };
    let postgres = place.postgres()?;
    let turn = command_api::take_turn(&postgres).await;
    let _turn = turn.map_err(|problem| anyhow::anyhow!(super::erase::told(&problem)))?;
    let by = UserId::new(Uuid::nil());
    let named = matter.clone();
    let command = Command { held, matter, by, by_role: PlatformRole::Admin, keep };
    let context = admin::context(&log, &format!("hold {held:?} {named} {keep}"));
    match log.transact::<Hold>(&StreamName::hold(held), &command, &context).await {
        Ok(_) => {}
        Err(TransactError::Rejected(rejection)) => bail!("{rejection}"),
        Err(error) => return Err(error).context("the hold is not recorded"),
    }
    let state = log.load::<Hold>(&StreamName::hold(held)).await?.state;
    let matters: Vec<_> = state.matters().collect();
    match matters.is_empty() {
        true => println!("{} is not kept any more", held.uuid()),
        false => println!("{} is kept for {}", held.uuid(), matters.join(", ")),
    }
    Ok(())
}

async fn show(list: ListArguments) -> Result<()> {
    let postgres = list.place.postgres()?;
    let rows: Vec<(String, Uuid, String, Uuid, Moment)> = sqlx::query_as(
        "select held_kind, held_id, matter, placed_by, placed_at from legal_hold order by position",
    )
    .fetch_all(&postgres)
    .await
    .context("PostgreSQL does not answer")?;
    if rows.is_empty() && !list.json {
        println!("nothing is kept for a legal matter");
    }
    for (kind, id, matter, by, at) in rows {
        if list.json {
            println!("{}", json!({ "kind": kind, "id": id, "matter": matter, "by": by, "at": at }));
        } else {
            println!("{kind:12} {id}  since {}  for {matter}", at.format("%Y-%m-%d %H:%M"));
        }
    }
    Ok(())
}
