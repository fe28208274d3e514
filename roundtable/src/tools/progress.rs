//! A bar with rate and time left, on standard error and only where somebody looks at it.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for so many events.
pub(super) fn events(total: u64, what: &'static str) -> ProgressBar {
    let form = "{msg} {wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left";
    bar(total, form, what)
}

/// A bar for so many bytes.
pub(super) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    let form = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar(total, form, what)
}

/// A bar for a way whose length shows later.
pub(super) fn way(form: &str) -> ProgressBar {
    bar(1, form, "")
}

/// Without a terminal it draws nothing.
fn bar(total: u64, form: &str, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(form).expect("the form is well formed");
    ProgressBar::new(total).with_style(style).with_message(what)
}
