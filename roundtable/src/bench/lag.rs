//! How long after a message is acknowledged a read shows it.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::client::Session;

/// Between two samples: often enough to see a trend, too rare to be a load.
const PAUSE: Duration = Duration::from_millis(200);

/// Hands the next acknowledgement to whoever samples.
#[derive(Default)]
pub(super) struct NextAck {
    wanted: RefCell<bool>,
    ack: RefCell<Option<(String, Instant)>>,
    came: Notify,
}

impl NextAck {
    /// Called for each acknowledgement; only one that is waited for costs anything.
    pub(super) fn acknowledged(&self, position: impl FnOnce() -> String) {
        if self.wanted.replace(false) {
            *self.ack.borrow_mut() = Some((position(), Instant::now()));
            self.came.notify_one();
        }
    }

    async fn next(&self) -> (String, Instant) {
        // One that came for a sampler of the step before is old.
        self.ack.borrow_mut().take();
        *self.wanted.borrow_mut() = true;
        loop {
            self.came.notified().await;
            if let Some(ack) = self.ack.borrow_mut().take() {
                return ack;
            }
        }
    }
}

/// The samples of one step, in milliseconds, in order.
pub(super) type Samples = Rc<RefCell<Vec<f64>>>;

/// Samples until it is dropped.
pub(super) async fn sample(reader: Session, path: String, acks: Rc<NextAck>, samples: Samples) {
    loop {
        let (position, acknowledged) = acks.next().await;
        let request =
            reader.request(reqwest::Method::GET, &path).header("Roundtable-After", position).send();
        let answered = matches!(request.await, Ok(response) if response.status().is_success());
        // A read that gave up waiting lagged for at least that long.
        let lag = acknowledged.elapsed().as_secs_f64() * 1e3;
        samples.borrow_mut().push(if answered { lag } else { lag.max(5_000.0) });
        sleep(PAUSE).await;
    }
}

/// Whether the read models fall further and further behind: the last quarter of the samples is
/// clearly above the first one.
pub(super) fn grows(samples: &[f64]) -> bool {
    let quarter = samples.len() / 4;
    if quarter == 0 {
        return samples.iter().any(|lag| *lag >= 5_000.0);
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&samples[..quarter]), mean(&samples[samples.len() - quarter..]));
    last > first * 1.5 + 250.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_told_from_noise() {
        assert!(!grows(&[20.0, 80.0, 15.0, 40.0, 90.0, 30.0, 25.0, 60.0]));
        assert!(grows(&[20.0, 150.0, 300.0, 450.0, 600.0, 750.0, 900.0, 1050.0]));
        assert!(grows(&[5_100.0]));
        assert!(!grows(&[]));
    }

    #[tokio::test]
    async fn an_acknowledgement_for_an_earlier_step_is_not_a_sample() {
        let acks = NextAck::default();
        // The sampler of the step before was stopped while it waited.
        *acks.wanted.borrow_mut() = true;
        acks.acknowledged(|| "old".to_owned());
        let (sample, ()) = tokio::join!(acks.next(), async {
            tokio::task::yield_now().await;
            acks.acknowledged(|| "new".to_owned());
        });
        assert_eq!(sample.0, "new");
    }
}
