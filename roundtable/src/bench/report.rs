//! What a bench prints: one JSON object, or a table for people.

use std::{fmt, fmt::Write as _};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{machine::Machine, processes::ByProcess};

/// The result of `roundtable bench chat`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which bench it is.
    pub bench: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// When (RFC 3339).
    pub date: String,
    /// What was measured: the commit of this program.
    pub commit: &'static str,
    /// How long all of it took.
    pub seconds: f64,
    /// How many sockets get every message.
    pub subscribers: usize,
    /// How many of them send.
    pub senders: usize,
    /// Every step that was offered.
    pub steps: Vec<Step>,
    /// The highest step that passed, if one did.
    pub saturation: Option<Saturation>,
    /// Processor time at that step, in microseconds for each delivery; unknown with `--url`.
    pub cpu_us_per_delivery: Option<ByProcess<f64>>,
    /// Memory at that step; unknown with `--url`.
    pub rss_mb: Option<ByProcess<f64>>,
    /// At that step: from an acknowledgement until a read shows it.
    pub projection_lag_ms: Option<Lag>,
}

/// One offered rate.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Messages a second that were due.
    pub offered_per_s: u32,
    /// Messages a second that reached everybody.
    pub achieved_per_s: f64,
    /// Frames a second that subscribers received.
    pub deliveries_per_s: f64,
    /// From the moment a message was due until its sender knew it was stored.
    pub ack: Latency,
    /// From the moment a message was due until a subscriber had it.
    pub delivery: Latency,
    /// From an acknowledgement until a read shows it.
    pub projection_lag_ms: Option<Lag>,
    /// Processor time in microseconds for each delivery, by process.
    pub cpu_us_per_delivery: Option<ByProcess<f64>>,
    /// Memory at the end of the step, by process.
    pub rss_mb: Option<ByProcess<f64>>,
    /// Deliveries that never came, came twice, or came out of order.
    pub lost: u64,
    /// See `lost`.
    pub doubled: u64,
    /// See `lost`.
    pub disordered: u64,
    /// Why it does not count, if it does not.
    pub failed: Option<String>,
}

/// The highest step that passed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Saturation {
    /// Messages a second.
    pub messages_per_s: f64,
    /// Frames a second that subscribers received.
    pub deliveries_per_s: f64,
}

/// A distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Latency {
    /// Half are below.
    pub p50: f64,
    /// 95 of 100 are below.
    pub p95: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1000 are below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    pub(super) fn of(microseconds: &Histogram<u64>) -> Self {
        let at = |quantile| rounded(microseconds.value_at_quantile(quantile) as f64 / 1e3, 3);
        let max = rounded(microseconds.max() as f64 / 1e3, 3);
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max }
    }
}

/// How far read models are behind, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lag {
    /// How often it was looked at.
    pub samples: usize,
    /// Half are below.
    pub p50: f64,
    /// 95 of 100 are below.
    pub p95: f64,
    /// The longest.
    pub max: f64,
    /// The last sample.
    pub last: f64,
}

impl Lag {
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        let last = *samples.last()?;
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quantile: f64| sorted[((sorted.len() - 1) as f64 * quantile).round() as usize];
        Some(Self {
            samples: samples.len(),
            p50: rounded(at(0.5), 1),
            p95: rounded(at(0.95), 1),
            max: rounded(at(1.0), 1),
            last: rounded(last, 1),
        })
    }
}

pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// The head of the table.
const HEAD: &str = "\
offered/s  achieved/s  deliveries/s | delivery ms p50     p95     p99   p99.9     max | ack p50     p99 | lag p95 |";

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lag = self.projection_lag_ms.map_or_else(|| "-".to_owned(), |lag| lag.p95.to_string());
        write!(
            f,
            "{:>9} {:>11.1} {:>13.0} | {:>15.2} {:>7.2} {:>7.2} {:>7.2} {:>7.2} | {:>7.2} {:>7.2} | {:>7} | {}",
            self.offered_per_s,
            self.achieved_per_s,
            self.deliveries_per_s,
            self.delivery.p50,
            self.delivery.p95,
            self.delivery.p99,
            self.delivery.p999,
            self.delivery.max,
            self.ack.p50,
            self.ack.p99,
            lag,
            self.failed.as_deref().unwrap_or("ok"),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "commit {}, {}, {:.0} s", self.commit, self.date, self.seconds)?;
        writeln!(
            f,
            "one conversation, {} sockets, {} of them send; stored durably before acknowledged\n",
            self.subscribers, self.senders
        )?;
        writeln!(f, "{HEAD}")?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        match self.saturation {
            Some(Saturation { messages_per_s, deliveries_per_s }) => writeln!(
                f,
                "\nsaturation: {messages_per_s:.0} messages/s, {deliveries_per_s:.0} deliveries/s \
                 (the highest step with a delivery p99 below 100 ms)"
            )?,
            None => writeln!(f, "\nsaturation: none, not even the first step passed")?,
        }
        let by_process = |name: &str, values: &Option<ByProcess<f64>>, unit: &str| {
            let mut line = format!("{name}:");
            for (process, value) in values.iter().flatten() {
                let _ = write!(line, "  {process} {value:.1}{unit}");
            }
            line
        };
        if self.cpu_us_per_delivery.is_some() {
            writeln!(f, "{}", by_process("cpu per delivery", &self.cpu_us_per_delivery, " us"))?;
            writeln!(f, "{}", by_process("memory", &self.rss_mb, " MiB"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut histogram = Histogram::new(3).unwrap();
        for value in 1..=1000 {
            histogram.record(value * 1000).unwrap();
        }
        let latency = Latency::of(&histogram);
        assert!((latency.p50 - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p999 - 999.0).abs() < 1.5, "{latency:?}");
        let lag = Lag::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((lag.p50, lag.max, lag.last, lag.samples), (2.0, 3.0, 2.0, 3));
        assert!(Lag::of(&[]).is_none());
    }
}
