//! `roundtable erase`: everything of a person is destroyed, and a certificate says so.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use events::UserId;
use projector::erasures::{Certificate, Signer};
use serde_json::json;
use sqlx::PgPool;

use super::{Place, admin};

/// How often it looks whether the certificate is there.
const LOOK: Duration = Duration::from_millis(200);

/// Destroy everything of a person: their key, their rows, their files, their sessions.
///
/// What they wrote stays in the log, sealed, so that the log still verifies, but nobody can read it
/// any more: there is no way back. Their clients and the people they had to do with are told. The
/// certificate names what was destroyed and is signed. `roundtable export` comes before, if the
/// person wants their data. A legal hold (`roundtable hold`) forbids it. Repeating it does no harm.
#[derive(Debug, Args)]
pub struct EraseArguments {
    /// The person, by handle or id.
    #[arg(value_name = "PERSON")]
    person: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Where the certificate is written [default: `erasure-ID.json` in this folder].
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// How long to wait for everything that follows, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    #[command(flatten)]
    place: Place,
}

/// A certificate as it is written to a file.
#[derive(serde::Serialize, serde::Deserialize)]
struct Signed {
    certificate: String,
    signature: String,
    public_key: String,
}

/// Does it, and waits for the certificate.
///
/// # Errors
/// When there is no such person, a hold is in force, or the projector does not finish in time.
pub async fn run(arguments: EraseArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let EraseArguments { person, yes, certificate, json, patience, place } = arguments;
    let (log, postgres) = (place.log().await?, place.postgres()?);
    let user = admin::find(&log, &person).await?;
    if !yes {
        confirm(&person)?;
    }
    command_api::erase_as_operator(&log, &postgres, user)
        .await
        .map_err(|problem| anyhow::anyhow!("{}", told(&problem)))?;
    let limit = Duration::from_secs(patience);
    let Ok(certified) = tokio::time::timeout(limit, wait(&postgres, user)).await else {
        bail!(
            "{user} is erased, but not everything that follows is done yet: is a projector running? \
             `roundtable erase {user}` waits for the certificate; the handle may be somebody \
             else's soon"
        );
    };
    let (text, signature) = certified?;
    let public = Signer::new(&place.secrets()?.audit).public();
    let read = Certificate::verify(&text, &signature, &public)?;
    ensure!(read.person == user, "the certificate is of somebody else");
    let path = certificate.unwrap_or_else(|| format!("erasure-{user}.json").into());
    let signed = Signed { certificate: text, signature, public_key: hex::encode(public) };
    std::fs::write(&path, serde_json::to_string_pretty(&signed)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    if json {
        println!("{}", json!({ "user": user, "certificate": path }));
    } else {
        println!("{user} is erased");
        println!("{}", read.summary());
        println!("the certificate is in {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn told(problem: &service::Problem) -> String {
    let told = serde_json::to_value(problem).unwrap_or_default();
    let part = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    [part("title"), part("detail")]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

fn confirm(person: &str) -> Result<()> {
    ensure!(std::io::stdin().is_terminal(), "nobody can be asked: --yes says that it is meant");
    eprint!("Everything of {person} is destroyed for good. Type {person} to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    ensure!(answer.trim() == person, "nothing was done");
    Ok(())
}

async fn wait(postgres: &PgPool, user: UserId) -> Result<(String, String)> {
    loop {
        let row: Option<(String, String)> = sqlx::query_as(
            "select certificate, signature from erasure
             where user_id = $1 and certified_at is not null",
        )
        .bind(user.uuid())
        .fetch_optional(postgres)
        .await?;
        if let Some(row) = row {
            return Ok(row);
        }
        tokio::time::sleep(LOOK).await;
    }
}
