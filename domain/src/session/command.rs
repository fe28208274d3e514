//! What somebody wants of a study session, and why not.

use events::{ConversationId, Moment, StudySessionId, UserId};
use thiserror::Error;

/// A plan for a session.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called.
    pub title: String,
    /// What it is about, in a word that many sessions share.
    pub subject: String,
    /// What it is about, at length.
    pub description: String,
    /// How many people may be in it at a time, the tutor included.
    pub capacity: u16,
    /// When it is to begin.
    pub starts: Moment,
}

/// What is to be different in a plan; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct PlanChange {
    /// The new title.
    pub title: Option<String>,
    /// The new subject.
    pub subject: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new number of seats.
    pub capacity: Option<u16>,
    /// The new beginning.
    pub starts: Option<Moment>,
}

/// What somebody does about a session.
#[derive(Clone, Debug)]
pub enum Command {
    /// Plan it.
    Schedule {
        /// The new id.
        session: StudySessionId,
        /// Where its people are to talk.
        conversation: ConversationId,
        /// Who plans it, and leads it.
        tutor: UserId,
        /// The plan.
        plan: Plan,
        /// The present.
        now: Moment,
    },
    /// Change the plan.
    Change {
        /// Who.
        by: UserId,
        /// What is to be different.
        change: PlanChange,
        /// The present.
        now: Moment,
    },
    /// Begin.
    Start {
        /// Who.
        by: UserId,
    },
    /// End it.
    Complete {
        /// Who.
        by: UserId,
    },
    /// Call it off, or break it off.
    Cancel {
        /// Who.
        by: UserId,
    },
    /// Come in.
    Join {
        /// Who.
        user: UserId,
        /// Whether the person is banned from its conversation.
        banned: bool,
        /// The present.
        now: Moment,
    },
    /// Go.
    Leave {
        /// Who.
        user: UserId,
        /// Whether the connection was lost, and nobody said so.
        lost: bool,
    },
    /// Send somebody out.
    Remove {
        /// Who.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Tell everybody who asked to be told that it is about to begin.
    Remind {
        /// The beginning that the reminder was made for.
        starts: Moment,
        /// How many minutes before it.
        minutes: u16,
    },
    /// Close it, if nobody is in it and nobody did: a timer's command.
    Close {
        /// In whose name.
        by: UserId,
        /// The present.
        now: Moment,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id is taken.
    #[error("a session with this id exists already")]
    AlreadyScheduled,
    /// There is none.
    #[error("this session does not exist")]
    NoSuchSession,
    /// It is somebody else's.
    #[error("only the tutor of the session may do this")]
    NotTutor,
    /// Nothing to show.
    #[error("a title has 1 to 200 characters that are not all blank")]
    InvalidTitle,
    /// Nothing to find it by.
    #[error("a subject has 1 to 50 characters that are not all blank")]
    InvalidSubject,
    /// Too long.
    #[error("a description has at most 4000 characters")]
    DescriptionTooLong,
    /// Too few, or too many.
    #[error("a session has 2 to 1000 seats")]
    InvalidCapacity,
    /// More are in it than would have a seat.
    #[error("more people are in the session than that")]
    SeatsTaken,
    /// Nobody plans the past.
    #[error("a session begins in the future")]
    StartsInPast,
    /// It has begun.
    #[error("the session has begun already")]
    AlreadyStarted,
    /// It has not begun.
    #[error("the session has not begun yet")]
    NotStarted,
    /// Nothing happens in it any more.
    #[error("the session is over")]
    Over,
    /// The doors are closed.
    #[error("a session may be joined from 15 minutes before its start")]
    TooEarly,
    /// All seats but the tutor's are taken.
    #[error("every seat of the session is taken")]
    Full,
    /// The tutor does not want them there.
    #[error("this person is banned from the session")]
    Banned,
}
