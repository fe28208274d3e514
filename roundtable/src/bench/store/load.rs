//! Callers in a closed loop: each makes its next call when the one before was answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// Beyond this a latency counts as this: microseconds, with three digits.
const LONGEST_US: u64 = 120_000_000;

/// How long a measurement goes on: until its time is up, or its calls are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) span: Duration,
    pub(super) calls: u64,
}

/// What a measurement saw.
pub(super) struct Outcome {
    pub(super) calls: u64,
    pub(super) seconds: f64,
    /// From a call until its answer, in microseconds.
    pub(super) latency: Histogram<u64>,
}

impl Outcome {
    pub(super) fn per_second(&self) -> f64 {
        self.calls as f64 / self.seconds.max(1e-9)
    }
}

/// The numbers of the streams that were used so far, shared by all callers.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// How many were given out.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_US, 3).expect("the bounds are valid constants")
}

/// Adds a latency to a histogram of microseconds.
pub(super) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US));
}

/// Lets so many callers call until the window ends. `call` gets a new stream's number.
///
/// # Errors
/// The first error of a call.
pub(super) async fn closed_loop<C, F>(
    callers: usize,
    window: Window,
    numbers: &Numbers,
    call: C,
) -> Result<Outcome>
where
    C: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let taken = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (call, taken, numbers) = (call.clone(), Arc::clone(&taken), numbers.clone());
        tasks.spawn(async move {
            let mut latency = histogram();
            while begun.elapsed() < window.span
                && taken.fetch_add(1, Ordering::Relaxed) < window.calls
            {
                let called = Instant::now();
                call(numbers.next()).await?;
                record(&mut latency, called.elapsed());
            }
            anyhow::Ok(latency)
        });
    }
    let mut latency = histogram();
    while let Some(of_one) = tasks.join_next().await {
        latency.add(of_one.expect("callers do not panic")?).expect("the bounds are the same");
    }
    Ok(Outcome { calls: latency.len(), seconds: begun.elapsed().as_secs_f64(), latency })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(calls: u64) -> Window {
        Window { span: Duration::from_secs(60), calls }
    }

    #[tokio::test]
    async fn a_window_ends_after_its_calls() {
        let numbers = Numbers::default();
        let outcome = closed_loop(7, window(100), &numbers, async |_| Ok(())).await.unwrap();
        assert_eq!((outcome.calls, outcome.latency.len(), numbers.count()), (100, 100, 100));
        assert!(outcome.per_second() > 0.0);
    }

    #[tokio::test]
    async fn one_call_that_fails_fails_the_measurement() {
        let call = async |number| match number {
            3 => Err(anyhow::anyhow!("refused")),
            _ => Ok(()),
        };
        let outcome = closed_loop(2, window(100), &Numbers::default(), call).await;
        assert_eq!(outcome.err().unwrap().to_string(), "refused");
    }
}
