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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decider::laws::{given, hold, user};

    fn requested() -> Friendship {
        given(&[FriendshipEvent::Requested { from: user(1), to: user(2) }])
    }

    fn friends() -> Friendship {
        requested().evolve(&FriendshipEvent::Accepted { by: user(2), of: user(1) })
    }

    #[test]
    fn a_request_is_made_once() {
        let request = Command::Request { by: user(1), to: user(2) };
        let made = vec![FriendshipEvent::Requested { from: user(1), to: user(2) }];
        assert_eq!(Friendship::None.decide(&request), Ok(made));
        assert_eq!(requested().decide(&request), Ok(vec![]));
        assert_eq!(friends().decide(&request), Ok(vec![]));
    }

    #[test]
    fn two_requests_are_a_friendship() {
        let request = Command::Request { by: user(2), to: user(1) };
        let accepted = vec![FriendshipEvent::Accepted { by: user(2), of: user(1) }];
        assert_eq!(requested().decide(&request), Ok(accepted));
    }

    #[test]
    fn only_who_was_asked_answers() {
        for (by, of) in [(user(2), user(1)), (user(1), user(2))] {
            let asked = by == user(2);
            let accept = requested().decide(&Command::Accept { by, of });
            let decline = requested().decide(&Command::Decline { by, of });
            if asked {
                assert_eq!(accept, Ok(vec![FriendshipEvent::Accepted { by, of }]));
                assert_eq!(decline, Ok(vec![FriendshipEvent::Declined { by, of }]));
            } else {
                assert_eq!(accept, Err(Rejection::NoRequest));
                assert_eq!(decline, Err(Rejection::NoRequest));
            }
        }
        let (by, of) = (user(2), user(1));
        assert_eq!(Friendship::None.decide(&Command::Accept { by, of }), Err(Rejection::NoRequest));
        assert_eq!(friends().decide(&Command::Accept { by, of }), Ok(vec![]));
        assert_eq!(friends().decide(&Command::Decline { by, of }), Err(Rejection::AlreadyFriends));
    }

    #[test]
    fn only_who_asked_takes_the_request_back() {
        let cancel = |by, to| Command::Cancel { by, to };
        let cancelled = vec![FriendshipEvent::Cancelled { by: user(1), to: user(2) }];
        assert_eq!(requested().decide(&cancel(user(1), user(2))), Ok(cancelled));
        assert_eq!(requested().decide(&cancel(user(2), user(1))), Err(Rejection::NoRequest));
        assert_eq!(Friendship::None.decide(&cancel(user(1), user(2))), Ok(vec![]));
        let friends = friends().decide(&cancel(user(1), user(2)));
        assert_eq!(friends, Err(Rejection::AlreadyFriends));
    }

    #[test]
    fn either_ends_the_friendship() {
        for (by, of) in [(user(1), user(2)), (user(2), user(1))] {
            let removed = vec![FriendshipEvent::Removed { by, of }];
            assert_eq!(friends().decide(&Command::Remove { by, of }), Ok(removed));
            assert_eq!(requested().decide(&Command::Remove { by, of }), Ok(vec![]));
        }
    }

    #[test]
    fn nobody_is_their_own_friend() {
        for command in commands_of(user(1), user(1)) {
            assert_eq!(Friendship::None.decide(&command), Err(Rejection::Oneself));
        }
    }

    fn commands_of(by: UserId, other: UserId) -> [Command; 5] {
        [
            Command::Request { by, to: other },
            Command::Accept { by, of: other },
            Command::Decline { by, of: other },
            Command::Cancel { by, to: other },
            Command::Remove { by, of: other },
        ]
    }

    fn command() -> impl Strategy<Value = Command> {
        (1..3_u8, 1..3_u8, 0..5_usize)
            .prop_map(|(by, other, kind)| commands_of(user(by), user(other))[kind])
    }

    proptest! {
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..40)) {
            hold::<Friendship>(&commands, |_| false, |before, after| {
                let friends = |state: &Friendship| *state == Friendship::Friends;
                let asked = matches!(before, Friendship::Requested { .. });
                assert!(friends(before) || !friends(after) || asked, "nobody befriends unasked");
            });
        }
    }
}
