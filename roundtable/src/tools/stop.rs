//! What is said when long work is stopped with Ctrl-C.

use std::process::exit;

/// The exit status of what a signal ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// How most of it goes on.
pub(super) const GOES_ON: &str = "the same command goes on from there";

/// From now on, Ctrl-C ends the program and says how the work goes on.
pub(super) fn says(how: &'static str) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("\nstopped: {how}");
            exit(INTERRUPTED);
        }
    });
}
