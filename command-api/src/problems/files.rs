//! Why an upload is refused before any rule of the domain is asked.

use std::time::Duration;

use files::{IntakeError, PictureError, StorageError};
use http::StatusCode;
use service::Problem;

use super::{conflict, invalid};

/// 413: more bytes than a file may have.
pub(crate) fn file_too_large(largest: u64) -> Problem {
    Problem::too_large().detail(format!("a file has at most {largest} bytes"))
}

/// 409: more than a person may have.
pub(crate) fn files_full(quota: u64) -> Problem {
    conflict("files-full", "There is no more room for files of this person")
        .detail(format!("all files of a person have at most {quota} bytes; remove one first"))
}

/// Why an upload was not received.
pub(crate) fn of_intake(error: IntakeError, largest: u64) -> Problem {
    match error {
        IntakeError::TooLarge => file_too_large(largest),
        IntakeError::Stalled => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "upload-stalled", "The upload takes too long")
        }
        IntakeError::Cut => Problem::malformed("the body ended early"),
        IntakeError::Storage(error) => storage_away(&error),
    }
}

/// Why something that says it is a picture is none that may be kept.
pub(crate) const fn of_picture(error: PictureError) -> Problem {
    match error {
        PictureError::Broken => {
            invalid("picture-broken", "This begins like a picture, and cannot be read as one")
        }
        PictureError::TooLarge => {
            invalid("picture-too-large", "A picture has too many bytes, pixels or frames")
        }
    }
}

/// 422: a picture that was turned is a larger file than any may be.
pub(crate) fn picture_grown(bytes: u64, largest: u64) -> Problem {
    of_picture(PictureError::TooLarge).detail(format!(
        "once it is upright it has {bytes} bytes, and a file has at most {largest}"
    ))
}

/// 503: it is not known yet how much a person has.
pub(crate) const fn files_not_counted() -> Problem {
    Problem::unavailable(Duration::from_secs(5))
}

/// 503: the storage is away. Logged here, once.
pub(crate) fn storage_away(error: &StorageError) -> Problem {
    tracing::warn!(error = error as &dyn std::error::Error, "a file could not be stored");
    Problem::unavailable(Duration::from_secs(5))
}
