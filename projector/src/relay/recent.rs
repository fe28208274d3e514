//! What a relay that takes the lead shows again: the last events may have been stored by a relay
//! that died before it showed them.

use chrono::TimeDelta;
use events::Position;

use super::lead::BATCH;
use super::log_stream::{MAX_AGE, Tip};
use super::{Relay, RelayError};

/// So many of the last events are shown again at most.
const EVENTS: u64 = 1000;
/// And none that is older, unless it is told otherwise.
pub(super) const AGE: TimeDelta = TimeDelta::seconds(10);

impl Relay {
    /// Shows the last events of the stream again and answers where publishing goes on.
    pub(super) async fn show_recent(&mut self, tip: &Tip) -> Result<Position, RelayError> {
        let Some(end) = tip.position else {
            self.shown = None;
            return self.start_of_an_empty_stream().await;
        };
        if self.log.head().await? < end {
            return Err(RelayError::AheadOfTheLog);
        }
        let mut position = match self.shown {
            // This relay led before, and knows what it has shown.
            Some(shown) => shown,
            None => {
                let first = tip.first.max((tip.sequence + 1).saturating_sub(EVENTS));
                let from = self.stream.previous(first).await?;
                self.skip(from, end, self.again).await?
            }
        };
        while position < end {
            let mut page = self.log.read_all(position, BATCH).await?;
            page.retain(|event| event.position <= end);
            let Some(last) = page.last().map(|event| event.position) else { break };
            let frames = self.live.frames(&page).await;
            self.live.show(position, &frames).await?;
            position = last;
        }
        self.shown = Some(end);
        Ok(end)
    }

    /// An empty stream is filled from the beginning of the log, but for events that are so old
    /// that the stream has forgotten them, or would have.
    async fn start_of_an_empty_stream(&self) -> Result<Position, RelayError> {
        let age = TimeDelta::from_std(MAX_AGE).expect("two days are few");
        let head = self.log.head().await?;
        self.skip(Position::START, head, age).await
    }

    /// The position after `from` before the first event that is not older than `age`; at most
    /// `end`.
    async fn skip(
        &self,
        from: Position,
        end: Position,
        age: TimeDelta,
    ) -> Result<Position, RelayError> {
        #[expect(clippy::disallowed_methods, reason = "the age of an event is against the clock")]
        let oldest = chrono::Utc::now() - age;
        let mut position = from;
        while position < end {
            let page = self.log.read_all(position, BATCH).await?;
            if page.is_empty() {
                break;
            }
            for event in page {
                if event.created >= oldest || event.position > end {
                    return Ok(position);
                }
                position = event.position;
            }
        }
        Ok(position)
    }
}
