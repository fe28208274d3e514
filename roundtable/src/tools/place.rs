//! How a tool finds the deployment that it works on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use event_log::EventLog;
use sqlx::{PgPool, postgres::PgPoolOptions};

/// How long a tool waits for Postgres.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which deployment: a stack on this machine by its data folder, or one made of servers of their own by
/// their URLs.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The data folder of `roundtable up`, which has to run.
    #[arg(long, value_name = "DIR", default_value = ".roundtable")]
    pub data: PathBuf,
    /// The folder of the secret keys [default: `secrets` in the data folder].
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_SECRETS", hide_env_values = true)]
    pub secrets: Option<PathBuf>,
    /// The event store, where it is not the one of the data folder.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_EVENTSTORE_URL", hide_env_values = true)]
    pub eventstore_url: Option<String>,
    /// PostgreSQL as the role that owns the database, where it is not the one of the data folder.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    pub postgres_url: Option<String>,
}

impl Place {
    /// A stack on this machine.
    #[must_use]
    pub fn of(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), secrets: None, eventstore_url: None, postgres_url: None }
    }

    /// The keys of the deployment.
    ///
    /// # Errors
    /// When they are not there, or cannot be read.
    pub fn secrets(&self) -> Result<service::Secrets> {
        let folder = self.secrets.clone().filter(|path| !path.as_os_str().is_empty());
        Ok(service::Secrets::load(&folder.unwrap_or_else(|| self.data.join("secrets")))?)
    }

    /// What tells this deployment from others: where its event store is, without passwords.
    ///
    /// # Errors
    /// When the data folder cannot be found.
    pub fn name(&self) -> Result<String> {
        match given(self.eventstore_url.as_ref()) {
            Some(url) => Ok(without_password(&url)),
            None => Ok(std::path::absolute(&self.data)?.display().to_string()),
        }
    }

    /// The URL of the event store.
    ///
    /// # Errors
    /// When it is neither given nor in the data folder.
    pub fn eventstore_url(&self) -> Result<String> {
        if let Some(url) = given(self.eventstore_url.as_ref()) {
            return Ok(url);
        }
        let port =
            remembered(&self.data, "event-store.port", "an event store with --eventstore-url")?;
        Ok(format!("esdb://127.0.0.1:{port}?tls=false"))
    }

    /// The URL of Postgres, as the owner.
    ///
    /// # Errors
    /// When it is neither given nor in the data folder.
    pub fn postgres_url(&self) -> Result<String> {
        if let Some(url) = given(self.postgres_url.as_ref()) {
            return Ok(url);
        }
        let other = "PostgreSQL with --postgres-url";
        let port = remembered(&self.data, "postgres.port", other)?;
        let password = remembered(&self.data, "postgres.password", other)?;
        Ok(format!("postgres://roundtable:{password}@127.0.0.1:{port}/roundtable"))
    }

    /// Connections to Postgres, made when they are needed.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn postgres(&self) -> Result<PgPool> {
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(PATIENCE);
        pool.connect_lazy(&self.postgres_url()?).context("the URL of PostgreSQL is wrong")
    }

    /// The log, with the keys that open what is personal in it.
    ///
    /// # Errors
    /// When the event store does not answer, or the deployment is not found.
    pub async fn log(&self) -> Result<EventLog> {
        self.connect(self.postgres()?).await
    }

    /// The log without the keys of persons: what is personal in it stays sealed, and Postgres may
    /// be away.
    ///
    /// # Errors
    /// When the event store does not answer, or the deployment is not found.
    pub async fn sealed_log(&self) -> Result<EventLog> {
        let nowhere = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(100))
            .connect_lazy("postgres://nobody@127.0.0.1:1/none")
            .expect("this is a URL");
        self.connect(nowhere).await
    }

    async fn connect(&self, postgres: PgPool) -> Result<EventLog> {
        let config = event_log::Config {
            eventstore_url: self.eventstore_url()?,
            postgres,
            secrets: self.secrets()?.log,
        };
        let log = EventLog::connect(config).await;
        log.context("the event store does not answer: is the stack running?")
    }
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://{}", &url[..scheme], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

/// A variable that is there and empty is one that is not set.
fn given(url: Option<&String>) -> Option<String> {
    url.filter(|url| !url.trim().is_empty()).cloned()
}

/// What a stack left in its data folder.
fn remembered(data: &Path, name: &str, other: &str) -> Result<String> {
    let file = data.join(name);
    let text = fs::read_to_string(&file).with_context(|| {
        format!(
            "{} cannot be read: name the data folder of a stack with --data, or {other}",
            file.display()
        )
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_no_password() {
        let name = without_password("esdb://admin:pa@ss@one:2113,two:2113?tls=true");
        assert_eq!(name, "esdb://one:2113,two:2113?tls=true");
        assert_eq!(without_password("esdb://one:2113?tls=false"), "esdb://one:2113?tls=false");
    }
}
