//! A system made again from its backup: everything derived makes itself at the next start.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use event_log::{EventLog, restore_vault};
use serde_json::json;
use servers::{PrivateServers, Wanted};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::manifest::Manifest;
use super::{FILES, LOG, SECRETS, files, private, shown};
use crate::stack::UNFINISHED;
use crate::tools::keep::{self, write};
use crate::tools::lock::claim;
use crate::tools::{progress, stop};

/// Make the data folder of a system from its backup.
///
/// Everything is checked on the way; a restore that was stopped goes on, begun again. Read models, caches and the live path are not in a backup: the
/// next `roundtable up` makes them from the log. With servers of your own, give an empty database, and
/// begin with an empty Redis and an empty NATS.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The folder of the backup.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The data folder to make: missing or empty, or one that was stopped.
    #[arg(long, value_name = "DIR", default_value = ".roundtable")]
    data: PathBuf,
    /// The folder of the secret keys, where the backup has none.
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// An empty database for the keys of persons, where it is not to be a private one.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_POSTGRES_URL", hide_env_values = true)]
    postgres_url: Option<String>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// Restores, and says what is to be done next.
///
/// # Errors
/// When the backup is not whole or was changed, or something is where it should go.
pub async fn run(arguments: RestoreArguments) -> Result<ExitCode> {
    // The client of the store, which is ended in the end, would say that as an error.
    service::telemetry::init("error,kurrentdb=off");
    let RestoreArguments { from, data, secrets, postgres_url, json } = arguments;
    let manifest = Manifest::read(&from)?;
    let keys = manifest.keys(&from)?;
    let theirs = secrets.unwrap_or_else(|| from.join(SECRETS));
    let known = service::Secrets::load(&theirs)
        .context("the backup needs its secret keys; name their folder with --secrets")?;
    let given = postgres_url.filter(|url| !url.trim().is_empty());
    if let Some(url) = &given {
        is_empty(&pool(url)?).await?;
    }

    stop::says(stop::GOES_ON);
    let _taken = take(&data, &manifest)?;
    let (log, from_log) = (data.join("event-store"), from.join(LOG));
    let to_log = log.clone();
    let head = manifest.head;
    let report = tokio::task::spawn_blocking(move || restore_log(&from_log, &to_log, head));
    let report = report.await?.context("the log cannot be restored")?;
    private(&log)?;
    files::copy_secrets(&theirs, &data.join(SECRETS))?;
    if manifest.files.is_some() {
        files::mirror(&from.join(FILES), &data.join(FILES))?;
    }
    let servers = match &given {
        Some(_) => None,
        None => {
            let wanted = Wanted { postgres: true, redis: false, nats: false };
            let started = PrivateServers::start(&data, wanted).await;
            Some(started.context("the private PostgreSQL does not start")?)
        }
    };
    let url = given.or_else(|| servers.as_ref()?.postgres_url.clone());
    let postgres = pool(&url.context("there is a PostgreSQL")?)?;
    let restored = async {
        restore_vault(&postgres, &known.log, &keys).await?;
        apply_erasures(&log, postgres.clone(), known.log).await
    };
    let restored = restored.await.context("the keys of persons cannot be restored");
    postgres.close().await;
    if let Some(servers) = servers {
        servers.stop().await;
    }
    restored?;
    keep::remove(&data.join(UNFINISHED))?;
    if json {
        println!("{}", json!({ "restored": manifest, "events": report.events }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("restored: {manifest}");
    println!("{} events; what is derived from them is made by the next start:", report.events);
    println!("  roundtable up --data {}", data.display());
    Ok(ExitCode::SUCCESS)
}

/// Whoever was erased after the keys were copied stays erased: connecting to the log applies it,
/// here as at every start.
async fn apply_erasures(log: &Path, postgres: PgPool, secrets: event_log::Secrets) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let eventstore_url = format!("esdb://{}?tls=false", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let config = event_store::Config::new(log);
    let store = tokio::spawn(event_store::serve(config, listener, shutdown.clone()));
    let connected =
        EventLog::connect(event_log::Config { eventstore_url, postgres, secrets }).await;
    shutdown.cancel();
    store.await.context("the event store panicked")??;
    connected.map(drop).context("the restored log cannot be read")
}

/// Restores the log up to here, or checks the one that a restore has put there before it was stopped.
fn restore_log(from: &Path, to: &Path, head: u64) -> Result<event_store::Report> {
    if to.exists() {
        let mut first = None;
        let report = event_store::verify(to, |fault| {
            first.get_or_insert_with(|| format!("{} at byte {}", fault.reason, fault.offset));
        })?;
        let wrong = first.unwrap_or_default();
        ensure!(report.faults == 0, "{} is not as it was restored: {wrong}", to.display());
        return ends_at(head, report);
    }
    let bar = progress::bytes(0, "copying the log");
    ends_at(head, event_store::restore(from, to, shown(&bar))?)
}

/// A log of another length is not the one that the keys and files were copied for.
fn ends_at(head: u64, report: event_store::Report) -> Result<event_store::Report> {
    ensure!(
        report.head == head,
        "the log of the backup ends at {}, and its list says {head}: the backup was interrupted",
        report.head,
    );
    Ok(report)
}

/// Takes the folder for the restore of this backup as long as the file is open, unless something else
/// is there.
fn take(data: &Path, manifest: &Manifest) -> Result<File> {
    let (marker, ours) = (data.join(UNFINISHED), serde_json::to_string(manifest)?);
    let is_ours = || marker.exists() || is_free(data);
    ensure!(is_ours(), "{} is not empty", data.display());
    crate::stack::private_folder(data, 0o711)?;
    let folder = File::open(data).with_context(|| format!("{} cannot be read", data.display()))?;
    claim(&folder, data)?;
    ensure!(is_ours(), "{} is not empty", data.display());
    if !marker.exists() {
        write(&marker, ours.as_bytes())?;
    }
    let begun = std::fs::read_to_string(&marker);
    let begun = begun.with_context(|| format!("{} cannot be read", marker.display()))?;
    ensure!(begun == ours, "{} is half restored from another backup: remove it", data.display());
    Ok(folder)
}

/// Whether nothing is there that could be overwritten.
fn is_free(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        // A restore that was stopped at its very beginning leaves half a marker.
        Ok(entries) => {
            entries.flatten().all(|it| it.file_name().to_string_lossy().starts_with(UNFINISHED))
        }
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn pool(url: &str) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(2);
    pool.connect_lazy(url).context("the URL of PostgreSQL is wrong")
}

/// Read models of another log would be taken for those of this one.
async fn is_empty(postgres: &PgPool) -> Result<()> {
    let there: Option<String> =
        sqlx::query_scalar("select to_regclass('projection_checkpoint')::text")
            .fetch_one(postgres)
            .await
            .context("PostgreSQL does not answer")?;
    if there.is_some() {
        let rows: bool = sqlx::query_scalar("select exists (select from projection_checkpoint)")
            .fetch_one(postgres)
            .await?;
        ensure!(!rows, "the database holds read models already: give an empty one");
    }
    Ok(())
}
