//! `roundtable export`: all of a person's data, as they may have it.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use event_log::{EventLog, OpenError, Opened, Recorded};
use events::{
    DomainEvent, Envelope, FileEvent, FriendshipEvent, Position, ReportEvent, UserId,
    frame::frame_of,
};
use query_api::history::access;
use serde_json::{Value, json};

use crate::stack::private_folder;

use super::{
    Place, admin,
    attachments::{self, FilesAt},
    events::operator,
    keep, stop,
    sweep::{mentions, sweep},
};

/// Write all data of a person into a folder: events as JSON Lines, and their files.
///
/// `events.jsonl` has every event that is by the person or about them, in the order of the log, as their
/// clients saw it; what is personal of others is left out (`null`). `files/` has what they uploaded.
/// `manifest.json` comes last and says that it is all. An export that was interrupted goes on where
/// it ended, when it is begun again with the same folder.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The person, by handle or id.
    #[arg(value_name = "PERSON")]
    person: String,
    /// The folder; made if it is not there.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    files: FilesAt,
    #[command(flatten)]
    place: Place,
}

/// Does it.
///
/// # Errors
/// When there is no such person, the folder cannot be written, or a server does not answer.
pub async fn run(arguments: ExportArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let ExportArguments { person, into, json, files, place } = arguments;
    let log = place.log().await?;
    let user = admin::find(&log, &person).await?;
    let into = private_folder(&into, 0o700)?;
    is_of(&into, user)?;
    access::record(&log, operator(), "export", format!("person={user}"), vec![user]).await?;
    stop::says(stop::GOES_ON);
    let storage = files.open(&place)?;
    let head = log.head().await?;
    let path = into.join("events.jsonl");
    let (output, mut count, after) = resumed(&path)?;
    let mut output = BufWriter::new(output);
    let named = || format!("{} cannot be written", path.display());
    let (id, mut uploads) = (user.to_string(), Vec::new());
    sweep(&log, Position::START, head, "exporting", async |recorded| {
        if !mentions(recorded, &id) {
            return Ok(());
        }
        let Some(envelope) = opened(&log, recorded).await? else { return Ok(()) };
        if !is_theirs(&envelope.event, user) {
            return Ok(());
        }
        if let Some(upload) = upload_of(&envelope, user) {
            uploads.push(upload);
        }
        if recorded.position > after {
            writeln!(output, "{}", frame_of(&envelope, user)).with_context(named)?;
            count += 1;
        }
        Ok(())
    })
    .await?;
    output.flush().and_then(|()| output.get_ref().sync_all()).with_context(named)?;
    let (mut kept, mut gone) = (0, 0);
    for Upload { file, digest, name } in uploads {
        match attachments::fetch(&storage, &into.join("files"), file, &digest, &name).await? {
            Some(_) => kept += 1,
            None => gone += 1,
        }
    }
    let manifest = json!({
        "person": user, "up_to": head, "events": count, "files": kept, "files_removed": gone,
        "at": service::clock::now(),
    });
    keep::write(&into.join("manifest.json"), format!("{manifest:#}\n").as_bytes())?;
    if json {
        println!("{manifest}");
    } else {
        println!("{count} events and {kept} files of {user} are in {}", into.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a person may have an event that names them: not what others decided about them in
/// confidence.
fn is_theirs(event: &DomainEvent, user: UserId) -> bool {
    match event {
        DomainEvent::Hold(_) | DomainEvent::Access(_) | DomainEvent::Parked(_) => false,
        DomainEvent::Report(ReportEvent::Filed { by, .. } | ReportEvent::Resolved { by, .. })
        | DomainEvent::Friendship(
            FriendshipEvent::Blocked { by, .. } | FriendshipEvent::Unblocked { by, .. },
        ) => *by == user,
        _ => true,
    }
}

/// Nobody's data goes into the folder of somebody else's.
fn is_of(into: &Path, user: UserId) -> Result<()> {
    let path = into.join("person");
    match fs::read_to_string(&path) {
        Ok(known) if known.trim() == user.to_string() => Ok(()),
        Ok(_) => bail!("{} holds the data of somebody else", into.display()),
        Err(_) => Ok(fs::write(&path, format!("{user}\n"))?),
    }
}

/// A file that was uploaded.
struct Upload {
    file: events::FileId,
    digest: String,
    name: String,
}

fn upload_of(envelope: &Envelope<DomainEvent>, user: UserId) -> Option<Upload> {
    match &envelope.event {
        DomainEvent::File(FileEvent::Uploaded { file, owner, digest, name, .. })
            if *owner == user =>
        {
            let name = name.open().cloned().unwrap_or_default();
            Some(Upload { file: *file, digest: digest.clone(), name })
        }
        _ => None,
    }
}

/// What an event says; nothing, if it is not ours.
pub(super) async fn opened(
    log: &EventLog,
    recorded: &Recorded,
) -> Result<Option<Envelope<DomainEvent>>> {
    match log.open(recorded).await {
        Ok(Opened::Ours(envelope)) => Ok(Some(envelope)),
        Ok(Opened::Foreign) => Ok(None),
        Err(error @ OpenError::Poison(_)) => {
            let (revision, stream) = (recorded.revision, recorded.stream.as_str());
            eprintln!("event {revision} of {stream} is left out: {error}");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            format!("event {} of {}", recorded.revision, recorded.stream.as_str())
        }),
    }
}

/// The file of an export at its end, how many lines it has, and where the last one stands in the
/// log.
fn resumed(path: &Path) -> Result<(File, u64, Position)> {
    let (mut count, mut last) = (0, Position::START);
    let file = keep::appended(path, |line| {
        let event: Value = serde_json::from_str(line)?;
        last = serde_json::from_value(event["position"].clone())?;
        count += 1;
        Ok(())
    })?;
    Ok((file, count, last))
}
