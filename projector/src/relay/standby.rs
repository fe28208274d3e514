//! What a relay does that does not lead: watch the leading one, cheaply.

use std::pin::pin;
use std::time::Duration;

use async_nats::Subscriber;
use events::Position;
use futures::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::{HEARTBEAT, Relay, RelayError};

/// An event that the leading relay has not shown for so long makes it suspect.
const SUSPICION: Duration = Duration::from_millis(250);
/// A leading relay that answers, but has not shown an event for so long, is stuck.
const STUCK: Duration = Duration::from_millis(1000);
/// A leading relay that has been silent for so long is suspect.
const SILENCE: Duration = HEARTBEAT.saturating_mul(2).saturating_add(SUSPICION);

/// As much of a tick as matters here.
#[derive(Deserialize)]
struct Tick {
    to: Position,
}

/// What the standby has seen of the log and of the leading relay.
struct Watch {
    /// The newest event of the log.
    seen: Position,
    /// Everything up to here was shown.
    shown: Position,
    /// Since when there has been an event that was not shown.
    waiting: Option<Instant>,
    /// When the leading relay was last heard.
    heard: Instant,
}

impl Watch {
    fn event(&mut self, position: Position, now: Instant) {
        self.seen = self.seen.max(position);
        if self.seen > self.shown {
            self.waiting.get_or_insert(now);
        }
    }

    fn tick(&mut self, to: Position, now: Instant) {
        self.heard = now;
        if to > self.shown {
            self.shown = to;
            self.waiting = (self.seen > self.shown).then_some(now);
        }
    }

    /// From when on the leading relay is suspect, if nothing more is heard.
    fn suspect_at(&self) -> Instant {
        let silent = self.heard + SILENCE;
        self.waiting.map_or(silent, |since| silent.min(since + SUSPICION))
    }

    fn stuck(&self, now: Instant) -> bool {
        self.waiting.is_some_and(|since| now >= since + STUCK)
    }
}

impl Relay {
    /// Waits until no relay leads.
    pub(super) async fn stand_by(&self) -> Result<(), RelayError> {
        let mut ticks = self.nats.subscribe(self.subjects.tick()).await?;
        let from = self.log.head().await?;
        let mut events = pin!(self.log.subscribe_all(from));
        let now = Instant::now();
        let mut watch = Watch { seen: from, shown: from, waiting: None, heard: now };
        let mut asked = now;
        loop {
            // A leading relay that answered has some time to show what it has not shown.
            let suspect_at = watch.suspect_at().max(asked + SUSPICION);
            tokio::select! {
                Some(event) = events.next() => watch.event(event?.position, Instant::now()),
                Some(to) = next_tick(&mut ticks) => watch.tick(to, Instant::now()),
                () = sleep_until(suspect_at) => {
                    if watch.stuck(Instant::now()) || !self.somebody_leads().await? {
                        return Ok(());
                    }
                    asked = Instant::now();
                }
            }
        }
    }
}

async fn next_tick(ticks: &mut Subscriber) -> Option<Position> {
    let tick = ticks.next().await?;
    // Another relay of another version may say more, but always this.
    serde_json::from_slice::<Tick>(&tick.payload).ok().map(|tick| tick.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_not_shown_makes_the_leader_suspect() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut watch =
            Watch { seen: Position::at(1), shown: Position::at(1), waiting: None, heard: start };
        assert_eq!(watch.suspect_at(), at(1250), "silence alone");
        watch.event(Position::at(2), at(10));
        watch.event(Position::at(3), at(20));
        assert_eq!(watch.suspect_at(), at(260));
        watch.tick(Position::at(2), at(100));
        assert_eq!(watch.suspect_at(), at(350), "it moves");
        watch.tick(Position::at(2), at(200));
        assert_eq!(watch.suspect_at(), at(350), "a heartbeat that shows nothing new");
        watch.tick(Position::at(3), at(300));
        assert_eq!(watch.suspect_at(), at(1550), "all is shown");
        assert!(!watch.stuck(at(9000)));
        watch.event(Position::at(4), at(400));
        assert!(!watch.stuck(at(1399)) && watch.stuck(at(1400)));
    }
}
