//! `roundtable demo`: two people meet and talk, and every step is shown.

use std::{
    fmt,
    future::Future,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use events::Position;

use crate::client::{self, Client};

mod story;

/// How the demo went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many steps were tried.
    pub steps: usize,
    /// How many of them failed.
    pub failed: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "demo: {} steps, {} failed", self.steps, self.failed)
    }
}

/// Plays the demo against the stack at `url` and tells it on `out`.
///
/// # Errors
/// [`client::Error::Address`] if `url` is none; everything else is a failed step.
pub async fn run(url: &str, out: impl Write, colour: bool) -> Result<Outcome, client::Error> {
    let client = Client::new(url)?;
    let mut stage = Stage { out, colour, outcome: Outcome { steps: 0, failed: 0 } };
    if story::play(&client, &mut stage).await.is_err() {
        stage.line("    the steps after this one need it, and were not tried");
    }
    Ok(stage.outcome)
}

/// Whether to use colour on standard output.
#[must_use]
pub fn colour() -> bool {
    #[expect(clippy::disallowed_methods, reason = "NO_COLOR is the user's, not configuration")]
    let unwanted = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}

/// A step failed: the rest cannot be played if it needs the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// What was expected, and what came instead.
#[derive(Debug)]
pub(crate) struct Surprise {
    expected: String,
    came: String,
}

impl Surprise {
    pub(crate) fn new(expected: impl Into<String>, came: impl fmt::Display) -> Self {
        Self { expected: expected.into(), came: came.to_string() }
    }
}

/// Turns whatever went wrong into what was expected and what came.
pub(crate) trait Expecting<T> {
    fn expecting(self, what: &str) -> Result<T, Surprise>;
}

impl<T> Expecting<T> for Result<T, client::Error> {
    fn expecting(self, what: &str) -> Result<T, Surprise> {
        self.map_err(|error| Surprise::new(what, error))
    }
}

/// What a step gives to the later ones, and the position it is shown with.
pub(crate) type Step<T> = Result<(T, Position), Surprise>;

/// Where the steps are told.
pub(crate) struct Stage<Out> {
    out: Out,
    colour: bool,
    outcome: Outcome,
}

impl<Out: Write> Stage<Out> {
    /// A heading between steps.
    pub(crate) fn chapter(&mut self, title: &str) {
        let title = self.paint("1", title);
        self.line(&format!("\n{title}"));
    }

    /// Plays one step and tells how it went.
    pub(crate) async fn step<T>(
        &mut self,
        title: &str,
        play: impl Future<Output = Step<T>>,
    ) -> Result<T, Failed> {
        self.outcome.steps += 1;
        let begun = Instant::now();
        let result = play.await;
        let took = begun.elapsed();
        let number = self.outcome.steps;
        match result {
            Ok((value, position)) => {
                let mark = self.paint("32", "ok");
                let facts = self.paint("2", &facts(position, took));
                self.line(&format!("{number:>3}  {mark}  {title:<56} {facts}"));
                Ok(value)
            }
            Err(Surprise { expected, came }) => {
                self.outcome.failed += 1;
                let mark = self.paint("31", "FAILED");
                self.line(&format!("{number:>3}  {mark}  {title}  ({:.1} ms)", millis(took)));
                self.line(&format!("      expected: {expected}"));
                self.line(&format!("      came:     {came}"));
                Err(Failed)
            }
        }
    }

    /// Writes at once. A reader that went away is no reason to stop: the status still tells.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn facts(position: Position, took: Duration) -> String {
    format!("position {position:>10} {:>9.1} ms", millis(took), position = position.to_string())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn played(result: Step<()>) -> (String, Outcome) {
        let mut out = Vec::new();
        let outcome = Outcome { steps: 0, failed: 0 };
        let mut stage = Stage { out: &mut out, colour: false, outcome };
        let _ = stage.step("Ada waves", async { result }).await;
        let outcome = stage.outcome;
        (String::from_utf8(out).unwrap(), outcome)
    }

    #[tokio::test]
    async fn a_step_is_told_with_its_position_and_time() {
        let (told, outcome) = played(Ok(((), Position::at(42)))).await;
        assert!(told.starts_with("  1  ok  Ada waves "), "{told}");
        assert!(told.contains("position         42"), "{told}");
        assert!(told.trim_end().ends_with(" ms"), "{told}");
        assert_eq!(outcome.to_string(), "demo: 1 steps, 0 failed");
    }

    #[tokio::test]
    async fn a_failed_step_tells_what_was_expected_and_what_came() {
        let (told, outcome) = played(Err(Surprise::new("a wave", "a yawn"))).await;
        assert!(told.contains("expected: a wave\n"), "{told}");
        assert!(told.contains("came:     a yawn\n"), "{told}");
        assert_eq!(outcome.to_string(), "demo: 1 steps, 1 failed");
    }

    #[tokio::test]
    async fn a_demo_without_a_stack_fails_at_its_first_step() {
        let mut out = Vec::new();
        // Port 1 is reserved and nobody listens there.
        let outcome = run("http://127.0.0.1:1", &mut out, false).await.unwrap();
        let told = String::from_utf8(out).unwrap();
        assert_eq!(outcome, Outcome { steps: 1, failed: 1 }, "{told}");
        assert!(told.contains("were not tried"), "{told}");
        assert!(run("ftp://x", Vec::new(), false).await.is_err());
    }
}
