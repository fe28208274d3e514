//! What is set for a whole conversation: its title, slow mode, pinned messages.

use events::{ConversationEvent, MessageId, Personal, UserId};

use super::{Action, Conversation, Rejection};

/// The longest slow mode, in seconds: six hours.
pub const MAX_SLOW_MODE: u32 = 21_600;

/// How many messages may be pinned at a time.
pub const MAX_PINS: usize = 50;

type Decision = Result<Vec<ConversationEvent>, Rejection>;

pub(super) fn valid_title(title: &str) -> Result<(), Rejection> {
    if title.trim().is_empty() || title.chars().count() > 200 {
        return Err(Rejection::InvalidTitle);
    }
    Ok(())
}

impl Conversation {
    pub(super) fn rename(&self, by: UserId, title: &str) -> Decision {
        let conversation = self.allow(by, Action::Rename)?;
        valid_title(title)?;
        if self.title.as_ref().and_then(Personal::open).is_some_and(|now| now == title) {
            return Ok(vec![]);
        }
        let title = Personal::new(by, title.to_owned());
        Ok(vec![ConversationEvent::TitleChanged { conversation, title, by }])
    }

    pub(super) fn set_slow_mode(&self, by: UserId, seconds: u32) -> Decision {
        let conversation = self.allow(by, Action::SetSlowMode)?;
        if seconds > MAX_SLOW_MODE {
            return Err(Rejection::InvalidSlowMode);
        }
        if seconds == self.slow_mode {
            return Ok(vec![]);
        }
        Ok(vec![ConversationEvent::SlowModeChanged { conversation, seconds, by }])
    }

    pub(super) fn pin(&self, by: UserId, message: MessageId, here: bool) -> Decision {
        let conversation = self.allow(by, Action::Pin)?;
        if self.is_pinned(message) {
            return Ok(vec![]);
        }
        if !here {
            return Err(Rejection::NoSuchMessage);
        }
        if self.pins.len() >= MAX_PINS {
            return Err(Rejection::TooManyPins);
        }
        Ok(vec![ConversationEvent::MessagePinned { conversation, message, by }])
    }

    pub(super) fn unpin(&self, by: UserId, message: MessageId) -> Decision {
        let conversation = self.allow(by, Action::Pin)?;
        if !self.is_pinned(message) {
            return Ok(vec![]);
        }
        Ok(vec![ConversationEvent::MessageUnpinned { conversation, message, by }])
    }
}
