//! What was acknowledged, as the senders know it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use events::{MessageId, Position};
use tokio::sync::watch;
use tokio::time::timeout;

/// The messages that the system said it has, and how it went.
#[derive(Clone, Debug)]
pub struct Ledger {
    entries: watch::Sender<Entries>,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    acknowledged: BTreeMap<MessageId, Position>,
    postponed: usize,
    reconnects: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { entries: watch::Sender::new(Entries::default()) }
    }
}

impl Ledger {
    /// A message is recorded.
    pub fn acknowledge(&self, message: MessageId, position: Position) {
        self.entries.send_modify(|entries| {
            let before = entries.acknowledged.insert(message, position);
            assert_eq!(before, None, "{message:?} was sent twice");
        });
    }

    pub(super) fn postpone(&self) {
        self.entries.send_modify(|entries| entries.postponed += 1);
    }

    pub(super) fn reconnect(&self) {
        self.entries.send_modify(|entries| entries.reconnects += 1);
    }

    /// All messages, with their positions.
    pub fn acknowledged(&self) -> BTreeMap<MessageId, Position> {
        self.entries.borrow().acknowledged.clone()
    }

    /// How many messages there are.
    pub fn count(&self) -> usize {
        self.entries.borrow().acknowledged.len()
    }

    /// The position of the newest message.
    pub fn last(&self) -> Position {
        self.entries.borrow().acknowledged.values().copied().max().unwrap_or(Position::START)
    }

    /// How often a send was refused for the moment.
    pub fn postponed(&self) -> usize {
        self.entries.borrow().postponed
    }

    /// How often a sender had to connect again.
    pub fn reconnects(&self) -> usize {
        self.entries.borrow().reconnects
    }

    /// Waits until so many more messages are acknowledged than now.
    pub async fn grows_by(&self, more: usize, wait: Duration) -> Result<()> {
        let goal = self.count() + more;
        let mut entries = self.entries.subscribe();
        let grown = entries.wait_for(|entries| entries.acknowledged.len() >= goal);
        timeout(wait, grown).await.with_context(|| {
            format!("{} of {goal} messages were acknowledged in {wait:?}", self.count())
        })??;
        Ok(())
    }
}
