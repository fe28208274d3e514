//! One message: sent once, by somebody who is in the conversation, then edited, reacted to, deleted.

mod draft;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use events::serde::Serialize;
use events::{ConversationId, MessageEvent, MessageId, Personal, UserId};
use thiserror::Error;

use crate::Decider;
pub use draft::Draft;

/// How many characters a message may have.
pub const MAX_CHARACTERS: usize = 8000;

/// How many people a message may mention.
pub const MAX_MENTIONS: usize = 50;

/// How many files may come with a message.
pub const MAX_ATTACHMENTS: usize = 10;

/// How many different emoji may stand below a message.
pub const MAX_REACTIONS: usize = 20;

/// How many bytes an emoji may have.
pub const MAX_EMOJI_BYTES: usize = 64;

/// What is known of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Message {
    sent: Option<Sent>,
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Sent {
    /// The message.
    pub message: MessageId,
    /// Where.
    pub conversation: ConversationId,
    /// By whom.
    pub sender: UserId,
    /// The first message of the thread it belongs to.
    pub thread: Option<MessageId>,
    /// What it says now; absent once it was deleted.
    pub content: Option<Content>,
}

/// What a message says now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Content {
    text: Personal<String>,
    mentions: Vec<UserId>,
    has_attachments: bool,
    reactions: BTreeMap<String, BTreeSet<UserId>>,
}

impl Content {
    /// The words.
    pub const fn text(&self) -> &Personal<String> {
        &self.text
    }
}

impl Message {
    /// The message, once it was sent.
    pub const fn sent(&self) -> Option<&Sent> {
        self.sent.as_ref()
    }

    /// The conversation it was sent to.
    pub fn conversation(&self) -> Option<ConversationId> {
        self.sent().map(|sent| sent.conversation)
    }

    const fn content_mut(&mut self) -> Option<&mut Content> {
        match &mut self.sent {
            Some(Sent { content, .. }) => content.as_mut(),
            None => None,
        }
    }

    /// Whether it was sent to this conversation, and not deleted.
    pub fn is_shown_in(&self, conversation: ConversationId) -> bool {
        self.sent().is_some_and(|it| it.conversation == conversation && it.content.is_some())
    }

    /// Whether a thread in this conversation may begin with it: a thread has no threads in it.
    pub fn may_begin_thread_in(&self, conversation: ConversationId) -> bool {
        self.is_shown_in(conversation) && self.sent().is_some_and(|it| it.thread.is_none())
    }
}

/// What somebody does to a message.
#[derive(Clone, Debug)]
pub struct Command {
    /// The message.
    pub message: MessageId,
    /// Who.
    pub by: UserId,
    /// Where, and what they are there.
    pub place: Place,
    /// What.
    pub action: Action,
}

/// A conversation, as it is for whoever does something in it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The conversation.
    pub conversation: ConversationId,
    /// Whether the person is in it now.
    pub member: bool,
    /// Whether it is direct, and one of the two blocks the other.
    pub blocked: bool,
    /// Whether the person may delete what others wrote in it.
    pub moderator: bool,
}

/// What is done to a message.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send it.
    Send(Draft),
    /// Change what it says.
    Edit {
        /// What it is to say.
        text: String,
        /// Whom it is to mention.
        mentions: Vec<UserId>,
    },
    /// Show it no more.
    Delete,
    /// React to it.
    React {
        /// With which emoji.
        emoji: String,
    },
    /// Take a reaction back.
    Unreact {
        /// Which emoji.
        emoji: String,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is none for this person.
    #[error("this conversation does not exist")]
    NoSuchConversation,
    /// Nothing passes between two of whom one blocks the other.
    #[error("a direct conversation is between friends")]
    NotFriends,
    /// The id is taken.
    #[error("a message with this id exists already")]
    AlreadySent,
    /// Nothing, or too much.
    #[error("a message has 1 to 8000 characters that are not all blank, or attachments")]
    InvalidText,
    /// It is not what it is said to be.
    #[error("pictures and files are attachments, and emoji have none")]
    InvalidKind,
    /// Too many.
    #[error("a message mentions at most 50 people")]
    TooManyMentions,
    /// Too many.
    #[error("a message has at most 10 attachments")]
    TooManyAttachments,
    /// It is not there, or not the sender's to send there.
    #[error("an attachment is a file that the sender uploaded to this conversation")]
    NoSuchFile,
    /// There is nothing to answer.
    #[error("the message that this one answers does not exist in the conversation")]
    NoSuchReply,
    /// There is no thread to write in.
    #[error("the message that begins the thread does not exist in the conversation")]
    NoSuchThread,
    /// There is none in this conversation.
    #[error("this message does not exist in the conversation")]
    NoSuchMessage,
    /// It is somebody else's.
    #[error("only the sender of a message may do this")]
    NotSender,
    /// It is gone.
    #[error("this message was deleted")]
    Deleted,
    /// It is no emoji.
    #[error("a reaction is one emoji of at most 64 bytes")]
    InvalidEmoji,
    /// Too many.
    #[error("a message has at most 20 different reactions")]
    TooManyReactions,
}

type Decision = Result<Vec<MessageEvent>, Rejection>;

impl Sent {
    fn content(&self) -> Result<&Content, Rejection> {
        self.content.as_ref().ok_or(Rejection::Deleted)
    }

    fn edit(&self, by: UserId, text: &str, mentions: &[UserId]) -> Decision {
        if by != self.sender {
            return Err(Rejection::NotSender);
        }
        let content = self.content()?;
        draft::valid_text(text, content.has_attachments)?;
        let mentions = draft::mentioned(mentions)?;
        let same = content.text.open().is_some_and(|now| now == text);
        if same && mentions == content.mentions {
            return Ok(vec![]);
        }
        let (message, conversation) = (self.message, self.conversation);
        let text = Personal::new(self.sender, text.to_owned());
        Ok(vec![MessageEvent::Edited { message, conversation, text, mentions, by }])
    }

    fn delete(&self, by: UserId, moderator: bool) -> Decision {
        if by != self.sender && !moderator {
            return Err(Rejection::NotSender);
        }
        if self.content.is_none() {
            return Ok(vec![]);
        }
        let (message, conversation) = (self.message, self.conversation);
        Ok(vec![MessageEvent::Deleted { message, conversation, by }])
    }

    fn react(&self, by: UserId, emoji: &str) -> Decision {
        let reactions = &self.content()?.reactions;
        if emoji.is_empty() || emoji.len() > MAX_EMOJI_BYTES {
            return Err(Rejection::InvalidEmoji);
        }
        match reactions.get(emoji) {
            Some(people) if people.contains(&by) => return Ok(vec![]),
            None if reactions.len() >= MAX_REACTIONS => return Err(Rejection::TooManyReactions),
            Some(_) | None => {}
        }
        let (message, conversation, emoji) = (self.message, self.conversation, emoji.to_owned());
        Ok(vec![MessageEvent::Reacted { message, conversation, emoji, by }])
    }

    fn unreact(&self, by: UserId, emoji: &str) -> Decision {
        if self.content()?.reactions.get(emoji).is_none_or(|people| !people.contains(&by)) {
            return Ok(vec![]);
        }
        let (message, conversation, emoji) = (self.message, self.conversation, emoji.to_owned());
        Ok(vec![MessageEvent::Unreacted { message, conversation, emoji, by }])
    }
}

impl Decider for Message {
    type Command = Command;
    type Event = MessageEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Decision {
        let Command { message, by, place, action } = command;
        if !place.member {
            return Err(Rejection::NoSuchConversation);
        }
        // What one says no more, or takes back, one may at any time.
        let takes_back = matches!(action, Action::Delete | Action::Unreact { .. });
        if place.blocked && !takes_back {
            return Err(Rejection::NotFriends);
        }
        let sent = || {
            let sent = self.sent().filter(|sent| sent.conversation == place.conversation);
            sent.ok_or(Rejection::NoSuchMessage)
        };
        match action {
            Action::Send(_) if self.sent.is_some() => Err(Rejection::AlreadySent),
            Action::Send(draft) => {
                draft.send(*message, place.conversation, *by).map(|sent| vec![sent])
            }
            Action::Edit { text, mentions } => sent()?.edit(*by, text, mentions),
            Action::Delete => sent()?.delete(*by, place.moderator),
            Action::React { emoji } => sent()?.react(*by, emoji),
            Action::Unreact { emoji } => sent()?.unreact(*by, emoji),
        }
    }

    fn evolve(mut self, event: &MessageEvent) -> Self {
        match event {
            MessageEvent::Sent {
                message,
                conversation,
                sender,
                text,
                kind: _,
                reply_to: _,
                thread,
                mentions,
                attachments,
            } => {
                let content = Content {
                    text: text.clone(),
                    mentions: mentions.clone(),
                    has_attachments: !attachments.is_empty(),
                    reactions: BTreeMap::new(),
                };
                self.sent = Some(Sent {
                    message: *message,
                    conversation: *conversation,
                    sender: *sender,
                    thread: *thread,
                    content: Some(content),
                });
            }
            MessageEvent::Edited { text, mentions, .. } => {
                if let Some(content) = self.content_mut() {
                    content.text.clone_from(text);
                    content.mentions.clone_from(mentions);
                }
            }
            MessageEvent::Deleted { .. } => {
                if let Some(sent) = &mut self.sent {
                    sent.content = None;
                }
            }
            MessageEvent::Reacted { emoji, by, .. } => {
                if let Some(content) = self.content_mut() {
                    content.reactions.entry(emoji.clone()).or_default().insert(*by);
                }
            }
            MessageEvent::Unreacted { emoji, by, .. } => {
                if let Some(content) = self.content_mut()
                    && let Some(people) = content.reactions.get_mut(emoji)
                {
                    people.remove(by);
                    content.reactions.retain(|_, people| !people.is_empty());
                }
            }
        }
        self
    }
}
