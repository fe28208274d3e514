//! `roundtable compliance`: what was said in a conversation or a period, for those who must know.

mod export;
mod manifest;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use event_log::EventLog;
use events::{ConversationId, Moment};
use projector::erasures::Signer;
use query_api::history::access;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::stack::private_folder;

use super::{
    Place,
    attachments::{self, FilesAt},
    bookmark::Bookmark,
    events::operator,
    export::opened,
    stop,
    sweep::{mentions, sweep},
};
use export::{Attachment, Export, Stop};
use manifest::Manifest;

/// Write what was said in a conversation, or in all of them in a period, into a folder.
///
/// `events.jsonl` has every event of the conversation in the order of the log: what was said, edited (with
/// the text before and after), deleted, by whom; calls, sessions, who came and went; and with each the
/// members at that time. `messages.csv` has the messages for spreadsheets, `files/` the attachments.
/// `manifest.json` names the part of the log that was read, each event by its id, and the SHA-256 of
/// each file, and is signed (`manifest.sig`); `--check` compares all of it with the log. What was erased stays so.
#[derive(Debug, Args)]
pub struct ComplianceArguments {
    /// The conversation; all, if it is not said.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// From this moment on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// The folder: not there, or empty, or with an export of the same that was stopped, which goes on.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    into: Option<PathBuf>,
    /// Compare an export with the log, and write nothing.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["into", "conversation", "from", "to"])]
    check: Option<PathBuf>,
    #[command(flatten)]
    files: FilesAt,
    #[command(flatten)]
    place: Place,
}

/// Does it.
///
/// # Errors
/// When the folder cannot be written, or a server does not answer.
pub async fn run(arguments: ComplianceArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let ComplianceArguments { conversation, from, to, into, check, files, place } = arguments;
    if let Some(folder) = check {
        let public = Signer::new(&place.secrets()?.audit).public();
        return manifest::verify(&place.sealed_log().await?, &folder, &public).await;
    }
    let into = into.context("--into says where")?;
    stop::says(stop::GOES_ON);
    let log = place.log().await?;
    let storage = files.open(&place)?;
    is_usable(&into)?;
    let into = private_folder(&into, 0o700)?;
    let asked = Asked { conversation, from, to };
    let work = Work { log: place.name()?, asked };
    let postgres = place.postgres()?;
    let (mut bookmark, stop) = begun(&into, work, &log, &postgres).await?;
    let asking = format!("conversation={conversation:?} from={from:?} to={to:?}");
    access::record(&log, operator(), "compliance", asking, vec![]).await?;
    let head = log.head().await?;
    let from = stop.position();
    let named = || format!("{} cannot be written", into.display());
    let mut export = Export::begin(asked, &into, stop)?;
    sweep(&log, from, head, "exporting", async |recorded| {
        let concerns = conversation.is_none_or(|id| mentions(recorded, &id.to_string()))
            || recorded.event_type.starts_with("user.")
            || recorded.event_type.starts_with("file.");
        if concerns && let Some(envelope) = opened(&log, recorded).await? {
            export.take(&envelope).with_context(named)?;
        }
        export.passed(recorded);
        if bookmark.is_due() {
            bookmark.keep(&export.stop().with_context(named)?)?;
        }
        Ok(())
    })
    .await?;
    bookmark.keep(&export.stop().with_context(named)?)?;
    let known = export.finish().with_context(named)?;
    let (folder, mut missing) = (into.join("files"), Vec::new());
    for (&file, Attachment { digest, name }) in &known.wanted {
        if attachments::fetch(&storage, &folder, file, digest, name).await?.is_none() {
            missing.push(file);
        }
    }
    let signer = Signer::new(&place.secrets()?.audit);
    let (count, messages) = (known.ids.len(), known.messages);
    let manifest = Manifest::of(&into, asked, head, known.ids.clone(), missing)?;
    ensure!(
        known.is_without(&event_log::erased(&postgres).await?),
        "somebody in it was erased meanwhile: the same command begins anew"
    );
    manifest.write(&into, &signer)?;
    bookmark.end()?;
    println!("{count} events, {messages} of them messages, are in {}", into.display());
    Ok(ExitCode::SUCCESS)
}

/// Whether an export can be written there, or one that was stopped goes on.
fn is_usable(into: &Path) -> Result<()> {
    if into.join(manifest::BOOKMARK).exists() {
        return Ok(());
    }
    if into.join(manifest::MANIFEST).exists() {
        bail!("{} holds a whole export already", into.display());
    }
    let mut names = into.read_dir().into_iter().flatten().flatten().map(|it| it.file_name());
    let is_empty = names.all(|name| manifest::is_beside(&name.to_string_lossy()));
    ensure!(is_empty, "{} is not empty", into.display());
    Ok(())
}

/// The bookmark in the folder, and where an export of the same was stopped, or the beginning: there
/// too, if somebody whose words were read was erased meanwhile, or the log is another one.
async fn begun(
    into: &Path,
    work: Work,
    log: &EventLog,
    postgres: &PgPool,
) -> Result<(Bookmark<Work>, Stop)> {
    let (mut bookmark, stop) = Bookmark::open::<Stop>(&into.join(manifest::BOOKMARK), work)?;
    let erased = event_log::erased(postgres).await?;
    match stop {
        None => is_usable(into)?,
        Some(mut stop) => {
            let (is_in, is_without) = (stop.is_in(log).await?, stop.forget(&erased));
            if is_in && is_without {
                return Ok((bookmark, stop));
            }
            let why = match is_in {
                true => "somebody was erased meanwhile",
                false => "the event at which it was stopped is not in the log any more",
            };
            eprintln!("beginning anew: {why}");
            let files = into.join("files");
            if files.exists() {
                fs::remove_dir_all(&files)?;
            }
        }
    }
    let stop = Stop::beginning(erased);
    bookmark.keep(&stop)?;
    Ok((bookmark, stop))
}

/// What is exported, of which log.
#[derive(PartialEq, Serialize, Deserialize)]
struct Work {
    log: String,
    asked: Asked,
}

/// Which part of the log.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Asked {
    conversation: Option<ConversationId>,
    from: Option<Moment>,
    to: Option<Moment>,
}

impl Asked {
    fn covers(self, conversation: ConversationId, at: Moment) -> bool {
        self.conversation.is_none_or(|asked| asked == conversation)
            && self.from.is_none_or(|from| from <= at)
            && self.to.is_none_or(|to| at < to)
    }
}
