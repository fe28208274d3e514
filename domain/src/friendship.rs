//! What is between two people: nothing, a request, a friendship.

use events::{FriendshipEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// What is between two people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Friendship {
    /// Nothing, or nothing any more.
    #[default]
    None,
    /// One asked the other.
    Requested {
        /// Who asked.
        from: UserId,
        /// Who was asked.
        to: UserId,
    },
    /// They are friends.
    Friends,
}

/// What one of the two does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask to be friends; accepts, if the other has asked already.
    Request {
        /// Who asks.
        by: UserId,
        /// Who is asked.
        to: UserId,
    },
    /// Say yes.
    Accept {
        /// Who was asked.
        by: UserId,
        /// Who had asked.
        of: UserId,
    },
    /// Say no.
    Decline {
        /// Who was asked.
        by: UserId,
        /// Who had asked.
        of: UserId,
    },
    /// Take one's own request back.
    Cancel {
        /// Who had asked.
        by: UserId,
        /// Who had been asked.
        to: UserId,
    },
    /// End the friendship.
    Remove {
        /// Who ends it.
        by: UserId,
        /// The other.
        of: UserId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It takes two.
    #[error("nobody can be their own friend")]
    Oneself,
    /// There is no request of the other to answer.
    #[error("there is no friend request of this person")]
    NoRequest,
    /// They are friends already.
    #[error("the two are friends already")]
    AlreadyFriends,
}

impl Decider for Friendship {
    type Command = Command;
    type Event = FriendshipEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<FriendshipEvent>, Rejection> {
        match (*command, *self) {
            (
                Command::Request { by: one, to: other }
                | Command::Accept { by: one, of: other }
                | Command::Decline { by: one, of: other }
                | Command::Cancel { by: one, to: other }
                | Command::Remove { by: one, of: other },
                _,
            ) if one == other => Err(Rejection::Oneself),

            (Command::Request { by, to }, Self::None) => {
                Ok(vec![FriendshipEvent::Requested { from: by, to }])
            }
            (Command::Request { by, .. }, Self::Requested { from, .. }) if by == from => Ok(vec![]),
            (Command::Request { by, .. }, Self::Requested { from, .. }) => {
                Ok(vec![FriendshipEvent::Accepted { by, of: from }])
            }
            (Command::Request { .. } | Command::Accept { .. }, Self::Friends) => Ok(vec![]),

            (Command::Accept { by, of }, Self::Requested { from, .. }) if of == from => {
                Ok(vec![FriendshipEvent::Accepted { by, of }])
            }
            (Command::Decline { by, of }, Self::Requested { from, .. }) if of == from => {
                Ok(vec![FriendshipEvent::Declined { by, of }])
            }
            (
                Command::Accept { .. } | Command::Decline { .. },
                Self::None | Self::Requested { .. },
            ) => Err(Rejection::NoRequest),
            (Command::Decline { .. } | Command::Cancel { .. }, Self::Friends) => {
                Err(Rejection::AlreadyFriends)
            }

            (Command::Cancel { by, to }, Self::Requested { from, .. }) if by == from => {
                Ok(vec![FriendshipEvent::Cancelled { by, to }])
            }
            (Command::Cancel { .. }, Self::Requested { .. }) => Err(Rejection::NoRequest),
            (Command::Cancel { .. }, Self::None) => Ok(vec![]),

            (Command::Remove { by, of }, Self::Friends) => {
                Ok(vec![FriendshipEvent::Removed { by, of }])
            }
            (Command::Remove { .. }, Self::None | Self::Requested { .. }) => Ok(vec![]),
        }
    }

    fn evolve(self, event: &FriendshipEvent) -> Self {
        match *event {
            FriendshipEvent::Requested { from, to } => Self::Requested { from, to },
            FriendshipEvent::Accepted { .. } => Self::Friends,
            FriendshipEvent::Declined { .. }
            | FriendshipEvent::Cancelled { .. }
            | FriendshipEvent::Removed { .. } => Self::None,
        }
    }
}
