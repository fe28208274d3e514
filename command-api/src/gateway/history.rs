//! The past as a socket needs it: from the change feed, and from the log where the feed is behind
//! or away.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use event_log::{EventLog, OpenError, Opened, Recorded};
use events::{Audience, ConversationId, DomainEvent, Envelope, Position, UserId};

use super::change::Change;
use super::feed::{Behind, Entry, Feed};

/// How many events are read from the log at once.
const PAGE: usize = 500;

/// How many events of the log are walked over for one socket, with the feed away.
const LONGEST_WALK: usize = 50_000;

/// How long to wait for the feed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The change feed, and the log behind it.
pub(crate) struct History {
    pub(crate) feed: Feed,
    pub(crate) log: EventLog,
}

/// Neither the feed nor the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

/// Where a person was at a place of the log, from which their past can be walked on.
pub(crate) struct Ground {
    user: UserId,
    at: Position,
    conversations: BTreeSet<ConversationId>,
    walked: usize,
}

/// What the feed has of what somebody missed.
pub(crate) enum Missed {
    /// These frames are all there were up to the end.
    Page { frames: Vec<Utf8Bytes>, end: Position },
    /// It does not reach back so far.
    Gone,
}

impl Ground {
    /// The conversations they were in there.
    pub(crate) fn into_conversations(self) -> BTreeSet<ConversationId> {
        self.conversations
    }

    /// Which place of the log that is.
    pub(crate) const fn at(&self) -> Position {
        self.at
    }

    fn sees(&self, audiences: &[Audience]) -> bool {
        audiences.iter().any(|audience| match audience {
            Audience::User(user) => *user == self.user,
            Audience::Conversation(id) => self.conversations.contains(id),
        })
    }

    fn apply(&mut self, envelope: &Envelope<DomainEvent>) {
        let DomainEvent::Conversation(_) = &envelope.event else { return };
        match Change::of(&events::frame::frame(envelope).to_string()) {
            Some(Change::Came(conversation, users)) if users.contains(&self.user) => {
                self.conversations.insert(conversation);
            }
            Some(Change::Went(conversation, user)) if user == self.user => {
                self.conversations.remove(&conversation);
            }
            Some(
                Change::Came(..)
                | Change::Went(..)
                | Change::Ended(..)
                | Change::Suspended(..)
                | Change::Erased(..),
            )
            | None => {}
        }
    }
}

impl History {
    /// How far the feed is, up to a position that it should reach: that position, mostly; the
    /// beginning of the log, if Postgres is away.
    pub(crate) async fn reach(&self, wanted: Position) -> Position {
        match self.feed.reached(wanted, PATIENCE).await {
            Ok(()) => wanted,
            Err(Behind::At(checkpoint)) => checkpoint.min(wanted),
            Err(Behind::Away) => Position::START,
        }
    }

    /// Where a person was at a position that the feed has reached; if the feed fails now, where
    /// everybody was at the beginning.
    pub(crate) async fn ground(&self, user: UserId, at: Position) -> Ground {
        let nowhere =
            Ground { user, at: Position::START, conversations: BTreeSet::new(), walked: 0 };
        if at == Position::START {
            return nowhere;
        }
        match self.feed.conversations_of(user, at).await {
            Ok(conversations) => Ground { at, conversations, ..nowhere },
            Err(error) => {
                tracing::warn!(%error, "the change feed does not answer, the log is read instead");
                nowhere
            }
        }
    }

    /// A page of what a person may see after one position up to another that the feed has reached.
    ///
    /// # Errors
    /// If the feed does not answer.
    pub(crate) async fn missed(
        &self,
        user: UserId,
        after: Position,
        to: Position,
        limit: i64,
    ) -> Result<Missed, Unknown> {
        let read = async {
            let page = self.feed.frames_of(user, after, to, limit).await?;
            // Asked after the page was read, so that nothing of it can have been gone before.
            Ok::<_, sqlx::Error>((page, self.feed.horizon().await?))
        };
        let (page, horizon) = read.await.map_err(|error| {
            tracing::warn!(%error, "the change feed does not answer, the log is read instead");
            Unknown
        })?;
        if horizon > after {
            return Ok(Missed::Gone);
        }
        let full = i64::try_from(page.len()).is_ok_and(|len| len >= limit);
        let end = page.last().filter(|_| full).map_or(to, |(position, _)| *position);
        let frames = page.into_iter().map(|(_, frame)| frame).collect();
        Ok(Missed::Page { frames, end })
    }

    /// Walks a person's past one page further, up to a position at most, and returns what they
    /// may see in it after `seen`.
    ///
    /// # Errors
    /// If the log is away, or the walk became too long.
    pub(crate) async fn walk(
        &self,
        ground: &mut Ground,
        to: Position,
        seen: Option<Position>,
    ) -> Result<Vec<Utf8Bytes>, Unknown> {
        let page = self.page(ground.at, to).await?;
        ground.walked += page.len();
        if ground.walked > LONGEST_WALK {
            tracing::warn!("the change feed is too far behind to read the log instead");
            return Err(Unknown);
        }
        let mut frames = Vec::new();
        let ended = page.len() < PAGE;
        for recorded in page {
            if let Ok(Opened::Ours(envelope)) = self.log.open_sealed(&recorded) {
                let visible = ground.sees(&Audience::of(&envelope.event));
                if visible && seen.is_some_and(|seen| recorded.position > seen) {
                    frames.extend(self.frame(&recorded).await);
                }
                ground.apply(&envelope);
            }
            ground.at = recorded.position;
        }
        if ended {
            ground.at = to;
        }
        Ok(frames)
    }

    /// A page of entries as the feed would have them, made from the log: none at its end.
    ///
    /// # Errors
    /// If the log is away.
    pub(crate) async fn entries_of_log(
        &self,
        after: Position,
        to: Position,
    ) -> Result<Vec<Entry>, Unknown> {
        let mut entries = Vec::new();
        for recorded in self.page(after, to).await? {
            let position = recorded.position;
            // What is foreign or cannot be read is nobody's, and yet a step forward.
            let audiences = match self.log.open_sealed(&recorded) {
                Ok(Opened::Ours(envelope)) => Audience::of(&envelope.event),
                Ok(Opened::Foreign) | Err(_) => Vec::new(),
            };
            let frame = match audiences.is_empty() {
                true => None,
                false => self.frame(&recorded).await,
            };
            entries.push(match frame {
                Some(frame) => Entry { position, audiences, frame },
                None => Entry { position, audiences: Vec::new(), frame: Utf8Bytes::default() },
            });
        }
        Ok(entries)
    }

    async fn page(&self, after: Position, to: Position) -> Result<Vec<Recorded>, Unknown> {
        let mut page = self.log.read_all(after, PAGE).await.map_err(|error| {
            tracing::warn!(%error, "the log cannot be read");
            Unknown
        })?;
        page.retain(|recorded| recorded.position <= to);
        Ok(page)
    }

    /// The frame of an event, as the relay makes it: with the vault away, without personal data.
    async fn frame(&self, recorded: &Recorded) -> Option<Utf8Bytes> {
        let opened = match self.log.open(recorded).await {
            Err(OpenError::VaultUnavailable(_)) => self.log.open_sealed(recorded),
            opened => opened,
        };
        match opened {
            Ok(Opened::Ours(envelope)) => Some(events::frame::frame(&envelope).to_string().into()),
            Ok(Opened::Foreign) | Err(_) => None,
        }
    }
}
