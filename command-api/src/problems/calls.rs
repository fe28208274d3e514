//! The rules about calls and lines.

use std::time::Duration;

use domain::call;
use events::CallId;
use http::StatusCode;
use service::Problem;
use service::sfu_registry::RegistryError;

use super::{conflict, forbidden, invalid, missing, not_friends};

/// A rule of calls.
pub(crate) fn of_call(rejection: call::Rejection) -> Problem {
    use call::Rejection;
    match rejection {
        Rejection::NoSuchConversation => Problem::no_such_conversation(),
        Rejection::NotFriends => not_friends(),
        Rejection::AlreadyStarted => conflict("call-exists", "A call with this id exists already"),
        Rejection::NobodyToCall => invalid("nobody-to-call", "There is nobody to call"),
        Rejection::TooManyRung => invalid("too-many-rung", "A call rings at most 32 people"),
        Rejection::Busy => conflict("people-busy", "Who is to be rung is in another call"),
        Rejection::NoSuchCall => missing("no-such-call", "This call does not exist"),
        Rejection::Over => conflict("call-over", "The call is over"),
        Rejection::NotRinging => conflict("not-ringing", "The call does not ring at this person"),
        Rejection::AnsweredElsewhere => {
            conflict("answered-elsewhere", "The call was answered on another device")
        }
        Rejection::Answered => conflict("call-answered", "The call was answered already"),
        Rejection::NotCaller => forbidden("not-caller", "Only who called may cancel the call"),
        Rejection::MayNotEnd => forbidden(
            "may-not-end-call",
            "Only who called, or moderates the group, ends the call for all",
        ),
        Rejection::NotInCall => forbidden("not-in-call", "This device is not in the call"),
        Rejection::MeshFull => {
            conflict("mesh-full", "No more devices can be connected to each other")
        }
        Rejection::Full => conflict("call-full", "A call has at most 500 devices"),
        Rejection::VoiceOnly => conflict("voice-only", "This call is voice only"),
        Rejection::NoNode => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-sfu-node",
            "No SFU node is there to carry the call",
        )
        .retry_after(Duration::from_secs(5)),
        Rejection::NotOnSfu => conflict("not-on-sfu", "The call is not on the SFU"),
        Rejection::WrongNode => conflict("wrong-sfu-node", "Another SFU node carries the call"),
        Rejection::NotAsked => {
            conflict("consent-not-asked", "Nobody asked whether the call may be recorded")
        }
        Rejection::NoConsent => {
            conflict("no-consent", "Not everybody in the call has agreed to be recorded")
        }
        Rejection::MayNotRecord => forbidden(
            "may-not-record",
            "Only who called, or moderates the group, begins and ends recordings",
        ),
        Rejection::RecordingRuns => {
            conflict("recording-runs", "The call is being recorded already")
        }
        Rejection::RecordingExists => {
            conflict("recording-exists", "A recording with this id exists already")
        }
        Rejection::NoSuchRecording => missing("no-such-recording", "This recording does not exist"),
        Rejection::TooManyRecordings => {
            conflict("too-many-recordings", "A call has at most 100 recordings")
        }
    }
}

/// 409: the device is in a call, or on the way into one.
pub(crate) const fn in_another_call() -> Problem {
    conflict("in-another-call", "This device is in another call")
}

/// 409: the conversation has a call, which may be joined.
pub(crate) fn call_in_progress(call: CallId) -> Problem {
    conflict("call-in-progress", "This conversation has a call already").detail(call.to_string())
}

/// 409: so many devices of one person are in calls.
pub(crate) const fn too_many_lines() -> Problem {
    conflict("too-many-devices", "A person has at most 32 devices in calls")
}

/// 422: it is to ring at somebody who is not there.
pub(crate) const fn rings_at_stranger() -> Problem {
    invalid("rings-at-stranger", "A call rings at people of its conversation only")
}

/// 409: a signal is for a device that is not in the call.
pub(crate) const fn peer_not_in_call() -> Problem {
    conflict("peer-not-in-call", "The device that this is for is not in the call")
}

/// 503: it is not known where calls are.
pub(crate) fn registry_away(error: &RegistryError) -> Problem {
    tracing::warn!(?error, "the registry of SFU nodes is away");
    Problem::unavailable(Duration::from_secs(1))
}
