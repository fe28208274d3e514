//! The rules about study sessions and their whiteboards.

use domain::{session, whiteboard};
use service::Problem;

use super::{banned, conflict, forbidden, invalid, invalid_title, missing};

/// A rule of study sessions.
pub(crate) fn of_session(rejection: session::Rejection) -> Problem {
    use session::Rejection;
    match rejection {
        Rejection::AlreadyScheduled => {
            conflict("study-session-exists", "A session with this id exists already")
        }
        Rejection::NoSuchSession => missing("no-such-study-session", "This session does not exist"),
        Rejection::NotTutor => forbidden("not-tutor", "Only the tutor of the session may do this"),
        Rejection::InvalidTitle => invalid_title(),
        Rejection::InvalidSubject => {
            invalid("invalid-subject", "A subject has 1 to 50 characters that are not all blank")
        }
        Rejection::DescriptionTooLong => {
            invalid("description-too-long", "A description has at most 4000 characters")
        }
        Rejection::InvalidCapacity => invalid("invalid-capacity", "A session has 2 to 1000 seats"),
        Rejection::SeatsTaken => {
            conflict("seats-taken", "More people are in the session than that")
        }
        Rejection::StartsInPast => invalid("starts-in-past", "A session begins in the future"),
        Rejection::AlreadyStarted => {
            conflict("study-session-started", "The session has begun already")
        }
        Rejection::NotStarted => {
            conflict("study-session-not-started", "The session has not begun yet")
        }
        Rejection::Over => conflict("study-session-over", "The session is over"),
        Rejection::TooEarly => {
            conflict("too-early", "A session may be joined from 15 minutes before its start")
        }
        Rejection::Full => conflict("study-session-full", "Every seat of the session is taken"),
        Rejection::Banned => banned(),
    }
}

/// A rule of whiteboards.
pub(crate) fn of_whiteboard(rejection: whiteboard::Rejection) -> Problem {
    use whiteboard::Rejection;
    match rejection {
        Rejection::NotInSession => {
            forbidden("not-in-session", "Only people in the session use its whiteboard")
        }
        Rejection::InvalidShape => invalid("invalid-shape", "A shape has 1 to 65536 bytes"),
        Rejection::Full => conflict("whiteboard-full", "A whiteboard has at most 5000 elements"),
    }
}
