//! `roundtable backup` and `roundtable restore`: the log, the keys of persons, files and secrets.
//!
//! Everything else is derived from these. The order of a backup matters: a key is durable before
//! anything is sealed with it, and the bytes of a file before the event that names it. So the log
//! is copied first, and whatever it needs is in what is copied after it.

mod files;
mod manifest;
mod restore;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use event_log::copy_vault;
use indicatif::ProgressBar;
use serde_json::json;

use super::{Place, keep, lock::claim, progress, stop};
use crate::stack::UNFINISHED;
use manifest::Manifest;
pub use restore::{RestoreArguments, run as restore};

/// What is in the folder of a backup, beside its manifest.
const LOG: &str = "event-store";
const FILES: &str = "files";
const SECRETS: &str = "secrets";

/// Back up everything that cannot be derived, while the system serves.
///
/// That is the log of the event store, the keys of persons, the files that people uploaded and the
/// secret keys. A second backup into the same folder copies what is new and removes files that were
/// removed meanwhile; after one that was stopped it goes on. The folder holds whatever it takes to read everything: guard it as you guard
/// the system, or keep the secrets elsewhere with --without-secrets.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The folder of the backup; made if it is not there.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// Leave out the secret keys: the backup cannot be read without them.
    #[arg(long)]
    without_secrets: bool,
    /// The folder of the event store [default: `event-store` in the data folder].
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_EVENTSTORE_DATA")]
    event_store: Option<PathBuf>,
    /// Where files are kept: a folder; a bucket is not backed up here [default: `files` in the data
    /// folder].
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_FILES_URL", hide_env_values = true)]
    files: Option<String>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Makes a backup, and says what it holds.
///
/// # Errors
/// When something cannot be read or written; the folder then holds no whole backup.
pub async fn run(arguments: BackupArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let BackupArguments { to, without_secrets, event_store, files, json, place } = arguments;
    let log = event_store.unwrap_or_else(|| place.data.join("event-store"));
    ensure!(
        log.is_dir(),
        "{} is no folder of an event store: name it with --event-store; KurrentDB has a backup of its own (docs/backup.md)",
        log.display()
    );
    ensure!(
        !place.data.join(UNFINISHED).exists(),
        "{} is half restored: `roundtable restore` goes on with it",
        place.data.display()
    );
    // Whatever is not there is noticed before the backup of before is touched.
    let postgres = place.postgres()?;
    postgres.acquire().await.context("the key vault cannot be read")?;
    let uploads = folder_of(files.as_deref(), &place.data);
    if let Some(folder) = &uploads {
        ensure!(folder.is_dir(), "the uploads are not in {}", folder.display());
    }
    let secrets = place.secrets.clone().filter(|path| !path.as_os_str().is_empty());
    let secrets = secrets.unwrap_or_else(|| place.data.join(SECRETS));
    if !without_secrets {
        service::Secrets::load(&secrets)?;
    }
    stop::says(stop::GOES_ON);
    std::fs::create_dir_all(&to).with_context(|| format!("{} cannot be made", to.display()))?;
    let folder = std::fs::File::open(&to).with_context(|| to.display().to_string())?;
    claim(&folder, &to)?;
    private(&to)?;
    // Until it is written again, the folder holds no whole backup.
    keep::remove(&to.join(manifest::NAME))?;
    let (now, to_log) = (service::clock::now(), to.join(LOG));
    let copied = tokio::task::spawn_blocking(move || {
        let bar = progress::bytes(0, "copying the log");
        event_store::backup(&log, &to_log, now.into(), shown(&bar))
    });
    let copied = copied.await?.context("the log cannot be backed up")?;
    let keys = copy_vault(&postgres).await.context("the key vault cannot be read")?;
    let digest = manifest::write_keys(&to, &keys)?;
    let files = uploads.map(|folder| files::mirror(&folder, &to.join(FILES))).transpose()?;
    if !without_secrets {
        files::copy_secrets(&secrets, &to.join(SECRETS))?;
    }
    let manifest = Manifest::new(now, copied.head, keys.len(), digest, files, !without_secrets);
    manifest.write(&to)?;
    if json {
        println!("{}", json!({ "backup": manifest, "copied_log_bytes": copied.copied }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("backed up: {manifest}");
    if manifest.files.is_none() {
        println!("files are in a bucket, which is to be backed up where it is");
    }
    if without_secrets {
        println!("without the secret keys: keep a copy of them elsewhere");
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of files; none if they are in a bucket.
fn folder_of(url: Option<&str>, data: &Path) -> Option<PathBuf> {
    match url.filter(|url| !url.trim().is_empty()) {
        None => Some(data.join(FILES)),
        Some(url) => match url.split_once("://") {
            None => Some(url.into()),
            Some(("file", path)) => Some(path.into()),
            Some(_) => None,
        },
    }
}

/// Shows how many bytes of how many are there.
fn shown(bar: &ProgressBar) -> impl FnMut(u64, u64) {
    |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    }
}

/// Nobody else may look into it.
fn private(folder: &Path) -> Result<()> {
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
        .with_context(|| format!("{} cannot be made private", folder.display()))
}
