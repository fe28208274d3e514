//! What is between two people: nothing, a request, a friendship, a block in either direction.

use std::collections::BTreeSet;

use events::serde::Serialize;
use events::{FriendshipEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// What is between two people, and which of them blocks the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Friendship {
    tie: Tie,
    blocking: BTreeSet<UserId>,
}

/// What is between two people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
pub enum Tie {
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

impl Friendship {
    /// What is between the two.
    pub const fn tie(&self) -> Tie {
        self.tie
    }

    /// Whether they are friends.
    pub fn are_friends(&self) -> bool {
        self.tie == Tie::Friends
    }

    /// Whether this one of the two blocks the other.
    pub fn is_blocking(&self, user: UserId) -> bool {
        self.blocking.contains(&user)
    }

    /// Whether one of them blocks the other: then nothing passes between them.
    pub fn is_blocked(&self) -> bool {
        !self.blocking.is_empty()
    }
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
    /// Want nothing to do with the other.
    Block {
        /// Who blocks.
        by: UserId,
        /// Whom.
        of: UserId,
    },
    /// Let the other come near again.
    Unblock {
        /// Who blocks.
        by: UserId,
        /// Whom.
        of: UserId,
    },
}

impl Command {
    /// Who gives the command, and whom it is about.
    const fn people(self) -> (UserId, UserId) {
        match self {
            Self::Request { by, to: other }
            | Self::Accept { by, of: other }
            | Self::Decline { by, of: other }
            | Self::Cancel { by, to: other }
            | Self::Remove { by, of: other }
            | Self::Block { by, of: other }
            | Self::Unblock { by, of: other } => (by, other),
        }
    }
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
    /// Whoever blocks somebody cannot ask them.
    #[error("this person is blocked by the one who asks")]
    Blocking,
    /// To whom they block, people do not exist.
    #[error("this person does not exist")]
    NoSuchUser,
}

impl Decider for Friendship {
    type Command = Command;
    type Event = FriendshipEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<FriendshipEvent>, Rejection> {
        let (one, other) = command.people();
        if one == other {
            return Err(Rejection::Oneself);
        }
        match (*command, self.tie) {
            (Command::Block { by, .. }, _) if self.is_blocking(by) => Ok(vec![]),
            (Command::Block { by, of }, _) => Ok(vec![FriendshipEvent::Blocked { by, of }]),
            (Command::Unblock { by, of }, _) if self.is_blocking(by) => {
                Ok(vec![FriendshipEvent::Unblocked { by, of }])
            }
            (Command::Unblock { .. }, _) => Ok(vec![]),

            (Command::Request { by, .. }, _) if self.is_blocking(by) => Err(Rejection::Blocking),
            (Command::Request { .. }, _) if self.is_blocked() => Err(Rejection::NoSuchUser),
            (Command::Request { by, to }, Tie::None) => {
                Ok(vec![FriendshipEvent::Requested { from: by, to }])
            }
            (Command::Request { by, .. }, Tie::Requested { from, .. }) if by == from => Ok(vec![]),
            (Command::Request { by, .. }, Tie::Requested { from, .. }) => {
                Ok(vec![FriendshipEvent::Accepted { by, of: from }])
            }
            (Command::Request { .. } | Command::Accept { .. }, Tie::Friends) => Ok(vec![]),

            (Command::Accept { by, of }, Tie::Requested { from, .. }) if of == from => {
                Ok(vec![FriendshipEvent::Accepted { by, of }])
            }
            (Command::Decline { by, of }, Tie::Requested { from, .. }) if of == from => {
                Ok(vec![FriendshipEvent::Declined { by, of }])
            }
            (
                Command::Accept { .. } | Command::Decline { .. },
                Tie::None | Tie::Requested { .. },
            ) => Err(Rejection::NoRequest),
            (Command::Decline { .. } | Command::Cancel { .. }, Tie::Friends) => {
                Err(Rejection::AlreadyFriends)
            }

            (Command::Cancel { by, to }, Tie::Requested { from, .. }) if by == from => {
                Ok(vec![FriendshipEvent::Cancelled { by, to }])
            }
            (Command::Cancel { .. }, Tie::Requested { .. }) => Err(Rejection::NoRequest),
            (Command::Cancel { .. }, Tie::None) => Ok(vec![]),

            (Command::Remove { by, of }, Tie::Friends) => {
                Ok(vec![FriendshipEvent::Removed { by, of }])
            }
            (Command::Remove { .. }, Tie::None | Tie::Requested { .. }) => Ok(vec![]),
        }
    }

    fn evolve(mut self, event: &FriendshipEvent) -> Self {
        self.tie = match *event {
            FriendshipEvent::Requested { from, to } => Tie::Requested { from, to },
            FriendshipEvent::Accepted { .. } => Tie::Friends,
            FriendshipEvent::Declined { .. }
            | FriendshipEvent::Cancelled { .. }
            | FriendshipEvent::Removed { .. } => Tie::None,
            FriendshipEvent::Blocked { by, .. } => {
                self.blocking.insert(by);
                Tie::None
            }
            FriendshipEvent::Unblocked { by, .. } => {
                self.blocking.remove(&by);
                self.tie
            }
        };
        self
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
        assert_eq!(Friendship::default().decide(&request), Ok(made));
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
        assert_eq!(
            Friendship::default().decide(&Command::Accept { by, of }),
            Err(Rejection::NoRequest)
        );
        assert_eq!(friends().decide(&Command::Accept { by, of }), Ok(vec![]));
        assert_eq!(friends().decide(&Command::Decline { by, of }), Err(Rejection::AlreadyFriends));
    }

    #[test]
    fn only_who_asked_takes_the_request_back() {
        let cancel = |by, to| Command::Cancel { by, to };
        let cancelled = vec![FriendshipEvent::Cancelled { by: user(1), to: user(2) }];
        assert_eq!(requested().decide(&cancel(user(1), user(2))), Ok(cancelled));
        assert_eq!(requested().decide(&cancel(user(2), user(1))), Err(Rejection::NoRequest));
        assert_eq!(Friendship::default().decide(&cancel(user(1), user(2))), Ok(vec![]));
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

    /// Blocked by 1.
    fn blocked() -> Friendship {
        friends().evolve(&FriendshipEvent::Blocked { by: user(1), of: user(2) })
    }

    #[test]
    fn a_block_ends_whatever_is_between_the_two_and_is_made_once() {
        for (by, of) in [(user(1), user(2)), (user(2), user(1))] {
            let block = Command::Block { by, of };
            for state in [Friendship::default(), requested(), friends()] {
                let made = vec![FriendshipEvent::Blocked { by, of }];
                assert_eq!(state.decide(&block), Ok(made.clone()));
                let state = state.evolve(&made[0]);
                assert_eq!((state.tie(), state.is_blocking(by)), (Tie::None, true));
                assert_eq!(state.decide(&block), Ok(vec![]));
            }
        }
    }

    #[test]
    fn who_is_blocked_finds_nobody_and_who_blocks_is_told_so() {
        let request = |by, to| Command::Request { by: user(by), to: user(to) };
        assert_eq!(blocked().decide(&request(2, 1)), Err(Rejection::NoSuchUser));
        assert_eq!(blocked().decide(&request(1, 2)), Err(Rejection::Blocking));
        let accept = Command::Accept { by: user(2), of: user(1) };
        assert_eq!(blocked().decide(&accept), Err(Rejection::NoRequest));
    }

    #[test]
    fn each_blocks_and_unblocks_on_their_own() {
        let event = |by, of| FriendshipEvent::Blocked { by: user(by), of: user(of) };
        let lift = |by, of| Command::Unblock { by: user(by), of: user(of) };
        assert_eq!(blocked().decide(&lift(2, 1)), Ok(vec![]), "that one never blocked");
        let both = blocked().evolve(&event(2, 1));
        assert!(both.is_blocking(user(1)) && both.is_blocking(user(2)));
        let lifted = FriendshipEvent::Unblocked { by: user(1), of: user(2) };
        assert_eq!(both.decide(&lift(1, 2)), Ok(vec![lifted.clone()]));
        let one = both.evolve(&lifted);
        assert!(one.is_blocked() && !one.is_blocking(user(1)));
        let request = Command::Request { by: user(1), to: user(2) };
        assert_eq!(one.decide(&request), Err(Rejection::NoSuchUser), "the other still blocks");
        let none = one.evolve(&FriendshipEvent::Unblocked { by: user(2), of: user(1) });
        assert_eq!(none, Friendship::default(), "friends they have to become anew");
    }

    #[test]
    fn nobody_is_their_own_friend() {
        for command in commands_of(user(1), user(1)) {
            assert_eq!(Friendship::default().decide(&command), Err(Rejection::Oneself));
        }
    }

    fn commands_of(by: UserId, other: UserId) -> [Command; 7] {
        [
            Command::Request { by, to: other },
            Command::Accept { by, of: other },
            Command::Decline { by, of: other },
            Command::Cancel { by, to: other },
            Command::Remove { by, of: other },
            Command::Block { by, of: other },
            Command::Unblock { by, of: other },
        ]
    }

    fn command() -> impl Strategy<Value = Command> {
        (1..3_u8, 1..3_u8, 0..7_usize)
            .prop_map(|(by, other, kind)| commands_of(user(by), user(other))[kind])
    }

    proptest! {
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..40)) {
            hold::<Friendship>(&commands, |_| false, |before, after| {
                let asked = matches!(before.tie(), Tie::Requested { .. });
                let befriended = !before.are_friends() && after.are_friends();
                assert!(!befriended || asked, "nobody befriends unasked");
                assert!(!after.is_blocked() || after.tie() == Tie::None, "a block lets nothing pass");
            });
        }
    }
}
