//! Going through the log in its order, with a bar, for the tools that look at every event.

use anyhow::Result;
use event_log::{EventLog, Recorded};
use events::Position;

use super::progress;

/// Events that are read at once.
const PAGE: usize = 2048;

/// Shows every event after `from`, up to `to`, to `each`. Positions of the log are bytes, so the bar tells
/// how much is left.
pub(super) async fn sweep(
    log: &EventLog,
    from: Position,
    to: Position,
    what: &'static str,
    mut each: impl AsyncFnMut(&Recorded) -> Result<()>,
) -> Result<()> {
    let bar = progress::bytes(to.commit.saturating_sub(from.commit), what);
    let mut after = from;
    'pages: loop {
        let page = log.read_all(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        for recorded in &page {
            if recorded.position > to {
                break 'pages;
            }
            each(recorded).await?;
        }
        bar.set_position(after.commit.saturating_sub(from.commit));
    }
    bar.finish_and_clear();
    Ok(())
}

/// Whether an event says this id anywhere; where it does not, it need not be opened.
pub(super) fn mentions(recorded: &Recorded, id: &str) -> bool {
    recorded.stream.as_str().contains(id)
        || recorded.data.get().contains(id)
        || recorded.metadata.get().contains(id)
}
