//! A message that is about to be sent, and what it has to be like.

use std::collections::BTreeSet;

use events::message::MessageKind;
use events::{ConversationId, FileId, MessageEvent, MessageId, Personal, UserId};

use super::{MAX_ATTACHMENTS, MAX_CHARACTERS, MAX_MENTIONS, Rejection};

/// A message that is about to be sent, with what is known about what it refers to.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// What it says.
    pub text: String,
    /// What it is.
    pub kind: MessageKind,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// Whether that one is shown in the same conversation.
    pub reply_is_here: bool,
    /// The first message of the thread it belongs to.
    pub thread: Option<MessageId>,
    /// Whether that one is shown in the same conversation, and in no thread itself.
    pub thread_is_here: bool,
    /// Whom it mentions.
    pub mentions: Vec<UserId>,
    /// The files that come with it.
    pub attachments: Vec<FileId>,
    /// Which of them the sender uploaded to this conversation.
    pub own_files: Vec<FileId>,
}

impl Draft {
    pub(super) fn send(
        &self,
        message: MessageId,
        conversation: ConversationId,
        sender: UserId,
    ) -> Result<MessageEvent, Rejection> {
        let attachments = each_once(&self.attachments);
        if attachments.len() > MAX_ATTACHMENTS {
            return Err(Rejection::TooManyAttachments);
        }
        valid_text(&self.text, !attachments.is_empty())?;
        match self.kind {
            MessageKind::Image | MessageKind::File if attachments.is_empty() => {
                return Err(Rejection::InvalidKind);
            }
            MessageKind::Emoji if !attachments.is_empty() => return Err(Rejection::InvalidKind),
            MessageKind::Text | MessageKind::Image | MessageKind::File | MessageKind::Emoji => {}
        }
        let mentions = mentioned(&self.mentions)?;
        if attachments.iter().any(|file| !self.own_files.contains(file)) {
            return Err(Rejection::NoSuchFile);
        }
        if self.reply_to.is_some() && !self.reply_is_here {
            return Err(Rejection::NoSuchReply);
        }
        if self.thread.is_some() && !self.thread_is_here {
            return Err(Rejection::NoSuchThread);
        }
        Ok(MessageEvent::Sent {
            message,
            conversation,
            sender,
            text: Personal::new(sender, self.text.clone()),
            kind: self.kind,
            reply_to: self.reply_to,
            thread: self.thread,
            mentions,
            attachments,
        })
    }
}

/// A message says something, or something comes with it.
pub(super) fn valid_text(text: &str, has_attachments: bool) -> Result<(), Rejection> {
    let says_nothing = text.trim().is_empty() && !has_attachments;
    if says_nothing || text.chars().count() > MAX_CHARACTERS {
        return Err(Rejection::InvalidText);
    }
    Ok(())
}

/// Whom a message mentions, each once.
pub(super) fn mentioned(people: &[UserId]) -> Result<Vec<UserId>, Rejection> {
    let people = each_once(people);
    if people.len() > MAX_MENTIONS {
        return Err(Rejection::TooManyMentions);
    }
    Ok(people)
}

/// In the order in which each came first.
fn each_once<T: Copy + Ord>(items: &[T]) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.iter().copied().filter(|item| seen.insert(*item)).collect()
}
