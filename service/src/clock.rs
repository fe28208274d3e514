//! The clock, for the edges that may read it.

use events::Moment;

/// The present. Only edges ask for it (a handler, an extractor, a timer): rules get it as an
/// argument.
#[expect(clippy::disallowed_methods, reason = "this is the one place that edges share")]
pub fn now() -> Moment {
    chrono::Utc::now()
}
