//! A bar with rate and time left, on standard error and only where somebody looks at it.

use std::fmt::Write;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// A bar for so many events.
pub(super) fn events(total: u64, what: &'static str) -> ProgressBar {
    let form = "{msg} {wide_bar} {human_pos} of {human_len} events, {rate}, {eta} left";
    bar(total, form, what)
}

/// A bar for so many bytes.
pub(super) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    let form = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar(total, form, what)
}

/// What lies behind already when the work begins, and counts for no rate.
pub(super) fn behind(bar: &ProgressBar, done: u64) {
    bar.set_position(done);
    bar.reset_eta();
}

/// A bar for a way whose length shows later.
pub(super) fn way(form: &str) -> ProgressBar {
    bar(1, form, "")
}

/// Without a terminal it draws nothing.
fn bar(total: u64, form: &str, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(form).expect("the form is well formed");
    let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
        // What cannot be told is a rate of nothing.
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
    });
    ProgressBar::new(total).with_style(style).with_message(what)
}
