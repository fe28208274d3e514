//! `roundtable admin`: appointing people.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use domain::reservation::Reservation;
use domain::user::{Command, User};
use event_log::{Context, EventLog, Outcome, TransactError};
use events::user::PlatformRole;
use events::{StreamName, UserId};
use uuid::Uuid;

use super::Place;

/// What an operator does with people.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the arguments are documented, for the terminal too")]
pub enum AdminCommand {
    Grant(GrantArguments),
}

/// Give somebody a role on the whole platform.
///
/// This is how the first admin comes to be; admins then appoint others over the API. The stack has
/// to run. It is found by its data folder, or by the URL of its event store and its secret keys.
#[derive(Debug, Args)]
pub struct GrantArguments {
    /// The person, by handle or id.
    #[arg(long, value_name = "HANDLE")]
    user: String,
    /// The role.
    #[arg(long, value_enum)]
    role: GrantedRole,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum GrantedRole {
    User,
    Moderator,
    Admin,
}

/// Does it, and says what came of it.
///
/// # Errors
/// As [`grant`].
pub async fn run(command: AdminCommand) -> Result<ExitCode> {
    service::telemetry::init("error");
    let AdminCommand::Grant(GrantArguments { user, role, place }) = command;
    let (role, name) = match role {
        GrantedRole::User => (PlatformRole::User, "user"),
        GrantedRole::Moderator => (PlatformRole::Moderator, "moderator"),
        GrantedRole::Admin => (PlatformRole::Admin, "admin"),
    };
    match grant(&place, &user, role).await? {
        Granted::Now(id) => println!("{id} has the role {name} now"),
        Granted::Before(id) => println!("{id} had the role {name} already"),
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The person has the role now.
    Now(UserId),
    /// They had it before.
    Before(UserId),
}

/// Gives somebody a role on the platform, as the operator: nobody has to be an admin before. The
/// event names the person nobody (the nil UUID) as who did it.
///
/// # Errors
/// When the log does not answer, or nobody has this handle or id.
pub async fn grant(place: &Place, who: &str, role: PlatformRole) -> Result<Granted> {
    let log = place.sealed_log().await?;
    let user = find(&log, who).await?;
    let stream = StreamName::user(user);
    let known = log.load::<User>(&stream).await?;
    let account = known.state.account().with_context(|| format!("nobody has the id {user}"))?;
    if account.role == role {
        return Ok(Granted::Before(user));
    }
    let operator = UserId::new(Uuid::nil());
    let by_role = PlatformRole::Admin;
    // Who runs the deployment can always appoint another admin.
    let command = Command::ChangePlatformRole { by: operator, by_role, role, last_admin: false };
    match log
        .transact::<User>(
            &stream,
            &command,
            &context(&log, &format!("admin grant {user} {role:?}")),
        )
        .await
    {
        Ok(Outcome { .. }) => Ok(Granted::Now(user)),
        Err(TransactError::Rejected(rejection)) => bail!("{rejection}"),
        Err(error) => Err(error).context("the role is not recorded"),
    }
}

/// Of a command that the operator gives; `body` is what it says.
pub(super) fn context(log: &EventLog, body: &str) -> Context {
    #[expect(clippy::disallowed_methods, reason = "the tool is an edge, where requests begin")]
    let request = Uuid::now_v7();
    Context {
        actor: UserId::new(Uuid::nil()),
        key: request,
        body_hash: log.secrets().name_digest("body", body),
        correlation: request,
        causation: request,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    }
}

/// A person by id, or by handle.
pub(super) async fn find(log: &EventLog, who: &str) -> Result<UserId> {
    if let Ok(user) = who.parse() {
        return Ok(user);
    }
    let handle = who.trim().trim_start_matches('@').to_lowercase();
    let stream = StreamName::handle(&log.secrets().name_digest("handle", &handle));
    let name = log.load::<Reservation>(&stream).await?;
    name.state.owner().with_context(|| format!("nobody has the handle {handle}"))
}
