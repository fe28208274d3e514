//! What happens to a file that a person uploaded.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, FileId, Personal, UserId};

/// An event of a `file-` stream. The bytes are not in the log, but in the file storage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum FileEvent {
    /// A file was uploaded.
    #[serde(rename = "file.uploaded")]
    Uploaded {
        /// The file.
        file: FileId,
        /// Whose.
        owner: UserId,
        /// The conversation whose members may read it; everybody may when it is an avatar.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<ConversationId>,
        /// What it was called.
        name: Personal<String>,
        /// Its media type, as its content tells.
        media_type: String,
        /// Its length.
        bytes: u64,
        /// SHA-256 of what is stored, in hex.
        digest: String,
        /// Width and height in pixels, where it is a picture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pixels: Option<Pixels>,
    },
    /// The file was removed, and its bytes with it.
    #[serde(rename = "file.removed")]
    Removed {
        /// The file.
        file: FileId,
        /// Whose.
        owner: UserId,
        /// By whom.
        by: UserId,
    },
}

impl Event for FileEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Uploaded { .. } => "file.uploaded",
            Self::Removed { .. } => "file.removed",
        }
    }
}

impl From<FileEvent> for DomainEvent {
    fn from(event: FileEvent) -> Self {
        Self::File(event)
    }
}

/// The size of a picture, upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixels {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}
