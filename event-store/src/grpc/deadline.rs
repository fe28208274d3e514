//! Until when a write may be handed over, and until when a call may last.
//!
//! The deadline of a write in a batch is looked at before the write goes to the committer, and never
//! after: what was handed over is answered with what became of it. So a client that is told
//! "timeout" of such a write knows that nothing was written, and one that is told of a success knows
//! that it was, however late it is. A write that is a call of its own promises less: the server
//! around us ends the call when its time is up, and what was handed over by then may be written.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::proto::streams::batch_append_req::options::DeadlineOption;

/// A deadline further off than this is none. Some clients send the seconds since 1970 where the
/// seconds from now are meant, and others the longest time there is.
const FURTHEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When the write, which comes in now, is too late to be handed over; `None` for never.
pub(crate) fn of_write(option: Option<DeadlineOption>) -> Option<Instant> {
    let left = match option? {
        DeadlineOption::Deadline(duration) => from_now(duration.seconds, duration.nanos),
        DeadlineOption::Deadline21100(time) => {
            let now = prost_types::Timestamp::from(SystemTime::now());
            let seconds = time.seconds.saturating_sub(now.seconds);
            from_now(seconds, time.nanos.saturating_sub(now.nanos))
        }
    };
    (left <= FURTHEST).then(|| Instant::now() + left)
}

/// The time from now; nothing when it is over. Both parts may be of either sign.
fn from_now(seconds: i64, nanos: i32) -> Duration {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let nanos = u64::try_from(nanos.max(0)).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos)
}

/// When the client gives the call up, by its `grpc-timeout`. The server around us ends calls that
/// have not answered by then, but not those that stream their answers.
pub(crate) fn of_call(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count = u64::from(digits.parse::<u32>().ok()?);
    let left = match unit {
        "H" => Duration::from_secs(count * 60 * 60),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    (left <= FURTHEST).then(|| Instant::now() + left)
}

/// Waits for the deadline; for ever when there is none.
pub(crate) async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
