//! What the operator of a deployment does to it: appointing people.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use domain::reservation::Reservation;
use domain::user::{Command, User};
use event_log::{Context, EventLog, Outcome, TransactError};
use events::user::PlatformRole;
use events::{StreamName, UserId};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

/// Which deployment.
#[derive(Clone, Debug)]
pub struct Place {
    /// The data folder of `roundtable up`.
    pub data: PathBuf,
    /// The event store, where it is not the one embedded in the stack of the folder.
    pub eventstore_url: Option<String>,
    /// The folder of the secret keys; those of the data folder if `None`.
    pub secrets: Option<PathBuf>,
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
    let log = connect(place).await?;
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
    match log.transact::<User>(&stream, &command, &context(&log, user, role)).await {
        Ok(Outcome { .. }) => Ok(Granted::Now(user)),
        Err(TransactError::Rejected(rejection)) => bail!("{rejection}"),
        Err(error) => Err(error).context("the role is not recorded"),
    }
}

fn context(log: &EventLog, user: UserId, role: PlatformRole) -> Context {
    #[expect(clippy::disallowed_methods, reason = "the tool is an edge, where requests begin")]
    let request = Uuid::now_v7();
    Context {
        actor: UserId::new(Uuid::nil()),
        key: request,
        body_hash: log.secrets().name_digest("body", &format!("admin grant {user} {role:?}")),
        correlation: request,
        causation: request,
        now: service::clock::now(),
        decided_on: None,
    }
}

/// By id, or by handle.
async fn find(log: &EventLog, who: &str) -> Result<UserId> {
    if let Ok(user) = who.parse() {
        return Ok(user);
    }
    let handle = who.trim().trim_start_matches('@').to_lowercase();
    let stream = StreamName::handle(&log.secrets().name_digest("handle", &handle));
    let name = log.load::<Reservation>(&stream).await?;
    name.state.owner().with_context(|| format!("nobody has the handle {handle}"))
}

async fn connect(place: &Place) -> Result<EventLog> {
    let Place { data, eventstore_url, secrets } = place;
    let secrets = secrets.clone().unwrap_or_else(|| data.join("secrets"));
    let secrets = service::Secrets::load(&secrets)?;
    let eventstore_url = match eventstore_url {
        Some(url) => url.clone(),
        None => embedded(data)?,
    };
    // Nothing in a role is personal, so the log does without its vault.
    let nowhere = PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(100))
        .connect_lazy("postgres://nobody@127.0.0.1:1/none")
        .expect("this is a URL");
    let log = EventLog::connect(event_log::Config {
        eventstore_url,
        postgres: nowhere,
        secrets: secrets.log.clone(),
    });
    log.await.context("the event store does not answer: is the stack running?")
}

/// Where the event store listens that is embedded in a stack that runs.
fn embedded(data: &Path) -> Result<String> {
    let file = data.join("event-store.port");
    let port = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "{} cannot be read: name the data folder of a stack with --data, or an event store \
             with --eventstore-url",
            file.display()
        )
    })?;
    Ok(format!("esdb://127.0.0.1:{}?tls=false", port.trim()))
}
