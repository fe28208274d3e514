//! Reading the log as it is stored: page by page, and the newest checkpoint in it.

use ed25519_dalek::VerifyingKey;
use event_log::{EventLog, LogError, Stored};
use events::Position;

use super::checkpoint::Signed;
use super::{PAGE, stream};

/// How many checkpoints are read at once; each may be as large as 100 kB.
const CHECKPOINTS: usize = 16;

/// What is in the log after a position, up to its present end.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    after: Position,
    ended: bool,
}

impl Tail {
    /// Everything after this position.
    pub const fn after(position: Position) -> Self {
        Self { after: position, ended: false }
    }

    /// The next events, those of the store itself too; `None` at the end, where it may be asked
    /// again later.
    ///
    /// # Errors
    /// When the event store is away.
    pub async fn page(&mut self, log: &EventLog) -> Result<Option<Vec<Stored>>, LogError> {
        if std::mem::take(&mut self.ended) {
            return Ok(None);
        }
        let page = log.read_stored(self.after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = last.position;
        self.ended = page.len() < PAGE;
        Ok(Some(page))
    }
}

/// The revision of the last event in the stream of checkpoints, and the newest checkpoint that
/// this key signed.
///
/// # Errors
/// When the event store is away.
pub async fn newest(
    log: &EventLog,
    key: &VerifyingKey,
) -> Result<(Option<u64>, Option<Signed>), LogError> {
    let (mut revision, mut from) = (None, None);
    loop {
        let page = log.read_stored_stream_backwards(&stream(), from, CHECKPOINTS).await?;
        revision = revision.or(page.first().map(|event| event.revision));
        let ours = |event: &Stored| Signed::read(event).ok().filter(|it| it.is_signed_by(key));
        if let Some(signed) = page.iter().find_map(ours) {
            return Ok((revision, Some(signed)));
        }
        match page.last().map(|event| event.revision) {
            Some(before @ 1..) => from = Some(before - 1),
            Some(0) | None => return Ok((revision, None)),
        }
    }
}
