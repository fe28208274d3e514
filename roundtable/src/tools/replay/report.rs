//! What came of a replay.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What became of a fact.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Became {
    /// It was done: after so many microseconds from when it was due.
    Done(u64),
    /// The other stack said no, and why.
    Refused(String),
    /// What it is about is not there, or it cannot be done again.
    Skipped,
}

/// What came of the facts of one type.
#[derive(Default)]
struct Row {
    done: u64,
    skipped: u64,
    refused: BTreeMap<String, u64>,
}

/// What came of a replay.
#[derive(Default)]
pub(super) struct Report {
    rows: BTreeMap<&'static str, Row>,
    /// How many of them an earlier run has done, which was stopped.
    before: u64,
    /// From the moment it was due to the answer, in microseconds.
    taken: Option<Histogram<u64>>,
}

impl Report {
    /// Counts a fact of this type.
    pub(super) fn count(&mut self, name: &'static str, became: &Became) {
        let row = self.rows.entry(name).or_default();
        match became {
            Became::Skipped => row.skipped += 1,
            Became::Refused(slug) => *row.refused.entry(slug.clone()).or_default() += 1,
            Became::Done(taken) => {
                row.done += 1;
                if self.taken.is_none() {
                    self.taken = Histogram::new_with_max(600_000_000, 3).ok();
                }
                self.taken.iter_mut().for_each(|all| all.saturating_record(*taken));
            }
        }
    }

    /// Counts a fact of an earlier run.
    pub(super) fn count_before(&mut self, name: &'static str, became: &Became) {
        self.count(name, became);
        self.before += u64::from(matches!(became, Became::Done(_)));
    }

    /// Prints it: a table, or one JSON object.
    pub(super) fn print(&self, took: Duration, json: bool) -> Result<()> {
        let ms = |quantile: f64| {
            let taken = self.taken.as_ref().map_or(0, |all| all.value_at_quantile(quantile));
            taken as f64 / 1000.0
        };
        let sum = |of: fn(&Row) -> u64| self.rows.values().map(of).sum::<u64>();
        let (done, skipped) = (sum(|row| row.done), sum(|row| row.skipped));
        let refused = sum(|row| row.refused.values().sum());
        let mut out = std::io::stdout().lock();
        if json {
            let types: BTreeMap<_, _> = self
                .rows
                .iter()
                .map(|(name, row)| {
                    let Row { done, skipped, refused } = row;
                    (*name, json!({ "done": done, "skipped": skipped, "refused": refused }))
                })
                .collect();
            let latency =
                json!({ "p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99), "max": ms(1.0) });
            let report = json!({
                "done": done, "refused": refused, "skipped": skipped, "before": self.before, "seconds": took.as_secs_f64(),
                "latency": latency, "types": types,
            });
            writeln!(out, "{report}")?;
            return Ok(());
        }
        writeln!(out, "{:32} {:>8} {:>8} {:>8}", "fact", "done", "refused", "skipped")?;
        for (name, row) in &self.rows {
            let refused: u64 = row.refused.values().sum();
            writeln!(out, "{name:32} {:>8} {refused:>8} {:>8}", row.done, row.skipped)?;
            for (slug, count) in &row.refused {
                writeln!(out, "  {count} times {slug}")?;
            }
        }
        writeln!(
            out,
            "replayed: {done} facts ({} before it was stopped) in {:.1} s, {refused} refused, {skipped} skipped; answered after \
             {:.1} ms (median), {:.1} ms (99 %)",
            self.before,
            took.as_secs_f64(),
            ms(0.5),
            ms(0.99),
        )?;
        Ok(())
    }
}
