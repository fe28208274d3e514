//! `roundtable compliance`: what was said in a conversation or a period, for those who must know.

mod export;
mod manifest;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use events::{ConversationId, Moment, Position};
use projector::erasures::Signer;
use query_api::history::access;
use serde::{Deserialize, Serialize};

use crate::stack::private_folder;

use super::{
    Place,
    attachments::{self, FilesAt},
    events::operator,
    export::opened,
    sweep::{mentions, sweep},
};
use export::{Attachment, Export};
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
    /// The folder; it must be empty, or not there.
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
    let log = place.log().await?;
    let storage = files.open(&place)?;
    if into.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty", into.display());
    }
    let into = private_folder(&into, 0o700)?;
    let asking = format!("conversation={conversation:?} from={from:?} to={to:?}");
    access::record(&log, operator(), "compliance", asking, vec![]).await?;
    let head = log.head().await?;
    let asked = Asked { conversation, from, to };
    let mut export = Export::new(asked, &into)?;
    sweep(&log, Position::START, head, "exporting", async |recorded| {
        let concerns = conversation.is_none_or(|id| mentions(recorded, &id.to_string()))
            || recorded.event_type.starts_with("user.")
            || recorded.event_type.starts_with("file.");
        match concerns {
            true => opened(&log, recorded).await?.map_or(Ok(()), |envelope| export.take(&envelope)),
            false => Ok(()),
        }
    })
    .await?;
    let folder = into.join("files");
    let mut missing = Vec::new();
    for (file, Attachment { digest, name }) in std::mem::take(&mut export.wanted) {
        if attachments::fetch(&storage, &folder, file, &digest, &name).await?.is_none() {
            missing.push(file);
        }
    }
    let messages = export.messages;
    let events = export.finish()?;
    println!("{} events, {messages} of them messages, are in {}", events.len(), into.display());
    let signer = Signer::new(&place.secrets()?.audit);
    Manifest::of(&into, asked, head, events, missing)?.write(&into, &signer)?;
    Ok(ExitCode::SUCCESS)
}

/// Which part of the log.
#[derive(Clone, Copy, Serialize, Deserialize)]
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
