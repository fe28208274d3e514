//! `roundtable import-users`: accounts from elsewhere, with the hashes of their passwords.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use command_api::{Imported, ImportedUser, import_user};
use event_log::EventLog;
use sqlx::postgres::PgPoolOptions;

/// Make accounts for people from elsewhere, who keep their passwords.
///
/// FILE has one JSON object in each line: {"email", "handle", "name", "password_hash"}. The hash is
/// of Argon2 (a PHC string) or of bcrypt ($2a$, $2b$, $2y$); it is replaced by one of today's kind
/// when its person logs in. A line that is refused does not hold up the others. The same file again
/// changes nothing: an import that was interrupted is simply repeated.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// PostgreSQL, as the role that owns the database: the key vault is there.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    postgres_url: String,
    /// The event store.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_EVENTSTORE_URL", hide_env_values = true)]
    eventstore_url: String,
    /// The folder of the secret keys.
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_SECRETS", hide_env_values = true)]
    secrets: PathBuf,
}

/// Imports the file, and says what became of it.
///
/// # Errors
/// When the file cannot be read, or the event store does not answer.
pub async fn run(arguments: &ImportArguments) -> Result<ExitCode> {
    let secrets = service::Secrets::load(&arguments.secrets)?;
    let postgres = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy(&arguments.postgres_url)
        .context("ROUNDTABLE_POSTGRES_URL is wrong")?;
    let eventstore_url = arguments.eventstore_url.clone();
    let config = event_log::Config { eventstore_url, postgres, secrets: secrets.log };
    let log = EventLog::connect(config).await.context("the event store does not answer")?;

    let (mut new, mut there, mut refused) = (0, 0, 0);
    for (number, line) in lines(&arguments.file)?.enumerate() {
        let line = line.with_context(|| format!("{} cannot be read", arguments.file.display()))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match import(&log, &line).await {
            Ok(Imported::New(_)) => new += 1,
            Ok(Imported::There(_)) => there += 1,
            // The number, not the line: it is personal.
            Err(reason) => {
                refused += 1;
                eprintln!("line {}: {reason}", number + 1);
            }
        }
    }
    println!("{new} imported, {there} there already, {refused} refused");
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Bytes: what is no UTF-8 spoils its own line only.
fn lines(file: &Path) -> Result<Box<dyn Iterator<Item = std::io::Result<Vec<u8>>>>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock().split(b'\n')));
    }
    let opened = std::fs::File::open(file);
    let opened = opened.with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(Box::new(std::io::BufReader::new(opened).split(b'\n')))
}

async fn import(log: &EventLog, line: &[u8]) -> Result<Imported, String> {
    let who: ImportedUser = serde_json::from_slice(line)
        .map_err(|error| format!("not of the right shape, at column {}", error.column()))?;
    import_user(log, &who).await.map_err(|problem| {
        let body = serde_json::to_value(&problem).unwrap_or_default();
        let text = body["detail"].as_str().or(body["title"].as_str()).unwrap_or_default();
        format!("{} ({text})", problem.slug())
    })
}
