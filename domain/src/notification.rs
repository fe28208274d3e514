//! One notification of one person: raised once, tried on several ways, read once.

use std::collections::BTreeMap;

use events::notification::{About, Channel, Outcome};
use events::serde::Serialize;
use events::{EventId, NotificationEvent, NotificationId, UserId};
use thiserror::Error;

use crate::Decider;

/// What is known of a notification.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Notification {
    raised: Option<Raised>,
}

/// A notification that was raised.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Raised {
    /// The notification.
    pub notification: NotificationId,
    /// Whom it is for.
    pub user: UserId,
    /// What it tells.
    pub about: About,
    /// Whether the person has seen it.
    pub read: bool,
    /// For each way, how often it was tried, and what came of it last.
    pub attempts: BTreeMap<Channel, (u16, Outcome)>,
}

impl Notification {
    /// The notification, once it was raised.
    pub const fn raised(&self) -> Option<&Raised> {
        self.raised.as_ref()
    }
}

impl Raised {
    /// The number of the next attempt on a way, if there is to be one.
    pub fn next_attempt(&self, channel: Channel) -> Option<u16> {
        match self.attempts.get(&channel) {
            None => Some(1),
            Some((made, Outcome::Failed)) => made.checked_add(1),
            Some((_, Outcome::Delivered | Outcome::Dead | Outcome::Skipped)) => None,
        }
    }
}

/// What happens to a notification.
#[derive(Clone, Debug)]
pub enum Command {
    /// There is something to tell.
    Raise {
        /// The id, which follows from the person and the cause.
        notification: NotificationId,
        /// Whom.
        user: UserId,
        /// What.
        about: About,
        /// The event that caused it.
        cause: EventId,
    },
    /// It was tried to deliver it.
    Attempt {
        /// On which way.
        channel: Channel,
        /// The how-manieth attempt on this way, from 1.
        attempt: u16,
        /// What came of it.
        outcome: Outcome,
        /// Why, if it failed; never personal data.
        reason: Option<String>,
    },
    /// The person has seen it.
    Read {
        /// Who.
        user: UserId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is none for this person.
    #[error("this notification does not exist")]
    NoSuchNotification,
    /// The id means something else.
    #[error("a notification with this id exists already")]
    AlreadyRaised,
    /// An earlier attempt was not recorded.
    #[error("the attempts on a way are counted up from 1")]
    AttemptOutOfTurn,
    /// There is nothing to try any more.
    #[error("the notification is done with on this way")]
    ChannelDone,
}

impl Decider for Notification {
    type Command = Command;
    type Event = NotificationEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<NotificationEvent>, Rejection> {
        if let Command::Raise { notification, user, about, cause } = *command {
            return match self.raised() {
                None => Ok(vec![NotificationEvent::Raised { notification, user, about, cause }]),
                Some(raised) if (raised.user, raised.about) == (user, about) => Ok(vec![]),
                Some(_) => Err(Rejection::AlreadyRaised),
            };
        }
        let raised = self.raised().ok_or(Rejection::NoSuchNotification)?;
        match command {
            Command::Raise { .. } => Err(Rejection::AlreadyRaised),
            Command::Attempt { channel, attempt, outcome, reason } => {
                raised.attempt(*channel, *attempt, *outcome, reason.clone())
            }
            Command::Read { user } if *user != raised.user => Err(Rejection::NoSuchNotification),
            Command::Read { .. } if raised.read => Ok(vec![]),
            Command::Read { user } => {
                let notification = raised.notification;
                Ok(vec![NotificationEvent::Read { notification, user: *user }])
            }
        }
    }

    fn evolve(mut self, event: &NotificationEvent) -> Self {
        match event {
            NotificationEvent::Raised { notification, user, about, cause: _ } => {
                self.raised = Some(Raised {
                    notification: *notification,
                    user: *user,
                    about: *about,
                    read: false,
                    attempts: BTreeMap::new(),
                });
            }
            NotificationEvent::Attempted { channel, attempt, outcome, .. } => {
                if let Some(raised) = &mut self.raised {
                    raised.attempts.insert(*channel, (*attempt, *outcome));
                }
            }
            NotificationEvent::Read { .. } => {
                if let Some(raised) = &mut self.raised {
                    raised.read = true;
                }
            }
        }
        self
    }
}

impl Raised {
    fn attempt(
        &self,
        channel: Channel,
        attempt: u16,
        outcome: Outcome,
        reason: Option<String>,
    ) -> Result<Vec<NotificationEvent>, Rejection> {
        let made = self.attempts.get(&channel).map_or(0, |(made, _)| *made);
        if (1..=made).contains(&attempt) {
            return Ok(vec![]);
        }
        match self.next_attempt(channel) {
            None => Err(Rejection::ChannelDone),
            Some(next) if next != attempt => Err(Rejection::AttemptOutOfTurn),
            Some(_) => {
                let (notification, user) = (self.notification, self.user);
                Ok(vec![NotificationEvent::Attempted {
                    notification,
                    user,
                    channel,
                    attempt,
                    outcome,
                    reason,
                }])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{hold, user};

    const CHANNELS: [Channel; 3] = [Channel::Live, Channel::Push, Channel::Email];
    const OUTCOMES: [Outcome; 4] =
        [Outcome::Failed, Outcome::Delivered, Outcome::Dead, Outcome::Skipped];

    fn raise(from: u8) -> Command {
        Command::Raise {
            notification: NotificationId::new(Uuid::from_u128(1)),
            user: user(1),
            about: About::FriendRequest { from: user(from) },
            cause: EventId::new(Uuid::from_u128(2)),
        }
    }

    fn attempt(channel: Channel, attempt: u16, outcome: Outcome) -> Command {
        Command::Attempt { channel, attempt, outcome, reason: None }
    }

    fn after(commands: &[Command]) -> Notification {
        commands.iter().fold(Notification::default(), |state, command| {
            state.decide(command).unwrap().iter().fold(state, Notification::evolve)
        })
    }

    #[test]
    fn a_notification_is_raised_once() {
        let state = after(&[raise(2)]);
        assert_eq!(state.raised().unwrap().user, user(1));
        assert_eq!(state.decide(&raise(2)), Ok(vec![]));
        assert_eq!(state.decide(&raise(3)), Err(Rejection::AlreadyRaised));
    }

    #[test]
    fn attempts_are_counted_on_each_way_and_recorded_once() {
        let failed = |number| attempt(Channel::Email, number, Outcome::Failed);
        let state = after(&[raise(2), failed(1), failed(2)]);
        for number in [0, 4] {
            assert_eq!(state.decide(&failed(number)), Err(Rejection::AttemptOutOfTurn));
        }
        assert_eq!(state.decide(&failed(1)), Ok(vec![]));
        assert_eq!(state.decide(&failed(2)), Ok(vec![]));
        assert_eq!(state.decide(&failed(3)).unwrap().len(), 1);
        let raised = state.raised().unwrap();
        assert_eq!(raised.next_attempt(Channel::Email), Some(3));
        assert_eq!(raised.next_attempt(Channel::Push), Some(1));
    }

    #[test]
    fn on_a_way_that_is_done_with_nothing_is_tried_any_more() {
        for outcome in [Outcome::Delivered, Outcome::Dead, Outcome::Skipped] {
            let done = attempt(Channel::Push, 1, outcome);
            let state = after(&[raise(2), done.clone()]);
            assert_eq!(state.decide(&done), Ok(vec![]));
            let next = attempt(Channel::Push, 2, Outcome::Failed);
            assert_eq!(state.decide(&next), Err(Rejection::ChannelDone));
            assert!(state.decide(&attempt(Channel::Email, 1, Outcome::Failed)).is_ok());
        }
    }

    #[test]
    fn only_its_person_reads_a_notification_and_once() {
        let read = |who| Command::Read { user: user(who) };
        let state = after(&[raise(2)]);
        assert_eq!(state.decide(&read(2)), Err(Rejection::NoSuchNotification));
        assert_eq!(state.decide(&read(1)).unwrap().len(), 1);
        let state = after(&[raise(2), read(1)]);
        assert!(state.raised().unwrap().read);
        assert_eq!(state.decide(&read(1)), Ok(vec![]));
    }

    #[test]
    fn nothing_happens_to_what_was_never_raised() {
        let commands =
            [attempt(Channel::Live, 1, Outcome::Delivered), Command::Read { user: user(1) }];
        for command in commands {
            let refused = Notification::default().decide(&command);
            assert_eq!(refused, Err(Rejection::NoSuchNotification));
        }
    }

    fn command() -> impl Strategy<Value = Command> {
        (0..8_u8, 1..3_u8, 0..3_usize, 0..5_u16, 0..8_usize).prop_map(
            |(kind, who, channel, number, outcome)| match kind {
                0 => raise(who),
                1 => Command::Read { user: user(who) },
                _ => {
                    // Mostly failures, so that there are second attempts.
                    let outcome = OUTCOMES.get(outcome).copied().unwrap_or(Outcome::Failed);
                    attempt(CHANNELS[channel], number, outcome)
                }
            },
        )
    }

    proptest! {
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..60)) {
            let commands: Vec<_> = std::iter::once(raise(1)).chain(commands).collect();
            hold::<Notification>(&commands, |_| false, |before, after| {
                let Some(raised) = before.raised() else { return };
                let next = after.raised().expect("what was raised stays");
                assert!(!raised.read || next.read);
                for (channel, (made, outcome)) in &raised.attempts {
                    let (later, _) = next.attempts[channel];
                    let most = if *outcome == Outcome::Failed { made + 1 } else { *made };
                    assert!((*made..=most).contains(&later), "attempts are counted one by one");
                }
            });
        }
    }
}
