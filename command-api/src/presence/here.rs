//! Who has a device at this gateway, and what Redis was told of it: no I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::UserId;
use tokio::sync::Notify;

use super::State;

/// The people of this gateway.
#[derive(Debug, Default)]
pub(super) struct Here {
    people: Mutex<People>,
    /// Something changed that Redis does not know.
    changed: Notify,
}

#[derive(Debug, Default)]
struct People {
    all: HashMap<UserId, Person>,
    /// Those of whom Redis may know something else.
    changed: HashSet<UserId>,
}

#[derive(Debug, Default)]
struct Person {
    devices: u32,
    away: u32,
    said: Said,
}

/// What Redis was told of somebody by this gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    /// Something, but no answer came: it may have arrived or not.
    Perhaps,
    This(State),
}

impl Person {
    /// Somebody is away when all their devices are.
    const fn state(&self) -> Option<State> {
        match self.devices {
            0 => None,
            devices if devices == self.away => Some(State::Away),
            _ => Some(State::Online),
        }
    }

    /// Whether Redis knows what is true.
    fn is_said(&self) -> bool {
        match self.said {
            Said::Nothing => self.devices == 0,
            Said::Perhaps => false,
            Said::This(said) => self.state() == Some(said),
        }
    }
}

/// What has to be said to Redis.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// These are here.
    pub(super) here: Vec<Word>,
    /// These are not any more.
    pub(super) gone: Vec<UserId>,
}

/// The word of this gateway for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) user: UserId,
    pub(super) state: State,
    /// Whether it was given before.
    pub(super) again: bool,
}

impl Here {
    pub(super) fn enter(here: &Arc<Self>, user: UserId) -> Present {
        here.change(user, |person| person.devices += 1);
        Present { here: Arc::clone(here), user, away: false }
    }

    pub(super) fn devices(&self, user: UserId) -> u32 {
        self.lock().all.get(&user).map_or(0, |person| person.devices)
    }

    /// Resolves once somebody came or went since the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What changed, at most so many people of it; it stays news until it was said.
    pub(super) fn news(&self, most: usize) -> News {
        let mut people = self.lock();
        let users: Vec<_> = people.changed.iter().take(most).copied().collect();
        let mut news = News::default();
        for user in users {
            people.settle(user);
            let Some(person) = people.all.get_mut(&user).filter(|person| !person.is_said()) else {
                continue;
            };
            match person.state() {
                Some(state) => {
                    let again = matches!(person.said, Said::This(_));
                    news.here.push(Word { user, state, again });
                }
                None => news.gone.push(user),
            }
            person.said = Said::Perhaps;
        }
        news
    }

    /// Whether there is more news, or there may be.
    pub(super) fn has_news(&self) -> bool {
        !self.lock().changed.is_empty()
    }

    /// Whether somebody went and Redis was not told yet.
    pub(super) fn has_gone(&self) -> bool {
        let people = self.lock();
        let mut changed = people.changed.iter().filter_map(|user| people.all.get(user));
        changed.any(|person| person.devices == 0 && !person.is_said())
    }

    /// These words were given.
    pub(super) fn said(&self, words: &[Word]) {
        let mut people = self.lock();
        for word in words {
            if let Some(person) = people.all.get_mut(&word.user) {
                person.said = Said::This(word.state);
            }
            people.settle(word.user);
        }
    }

    /// It was said that these are gone.
    pub(super) fn said_gone(&self, users: &[UserId]) {
        let mut people = self.lock();
        for user in users {
            if let Some(person) = people.all.get_mut(user) {
                person.said = Said::Nothing;
            }
            people.settle(*user);
        }
    }

    /// The words to renew: of everybody who is here, and for whom one was given. The others are
    /// news.
    pub(super) fn words(&self) -> Vec<Word> {
        let people = self.lock();
        let words = people.all.iter().filter_map(|(user, person)| {
            let Said::This(state) = person.said else { return None };
            person.is_said().then_some(Word { user: *user, state, again: true })
        });
        words.collect()
    }

    fn change(&self, user: UserId, change: impl FnOnce(&mut Person)) {
        let mut people = self.lock();
        let person = people.all.entry(user).or_default();
        change(person);
        if person.is_said() {
            people.settle(user);
        } else {
            people.changed.insert(user);
            drop(people);
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, People> {
        // Nothing panics while the lock is held, and the contents are whole at every step.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl People {
    /// Forgets what is said of somebody, and somebody who is gone.
    fn settle(&mut self, user: UserId) {
        let Some(person) = self.all.get(&user) else {
            self.changed.remove(&user);
            return;
        };
        if person.is_said() {
            if person.devices == 0 {
                self.all.remove(&user);
            }
            self.changed.remove(&user);
        }
    }
}

/// A device that is there, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    here: Arc<Here>,
    user: UserId,
    away: bool,
}

impl Present {
    /// Whether nobody uses it at the moment.
    pub(crate) fn set_away(&mut self, away: bool) {
        if self.away == away {
            return;
        }
        self.away = away;
        self.here.change(self.user, |person| match away {
            true => person.away += 1,
            false => person.away -= 1,
        });
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.here.change(self.user, |person| {
            person.devices -= 1;
            person.away -= u32::from(self.away);
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        Uuid::from_u128(n).into()
    }

    fn word(n: u128, state: State, again: bool) -> Word {
        Word { user: user(n), state, again }
    }

    /// Says all news to a Redis that works.
    fn say(here: &Here) -> News {
        let news = here.news(100);
        here.said(&news.here);
        here.said_gone(&news.gone);
        news
    }

    #[test]
    fn only_the_first_and_the_last_device_are_news() {
        let here = Arc::new(Here::default());
        let first = Here::enter(&here, user(1));
        assert_eq!(say(&here).here, [word(1, State::Online, false)]);
        let second = Here::enter(&here, user(1));
        drop(first);
        assert_eq!(say(&here), News::default());
        assert_eq!(here.words(), [word(1, State::Online, true)]);
        drop(second);
        assert_eq!(say(&here).gone, [user(1)]);
        assert!(here.words().is_empty() && !here.has_news() && here.lock().all.is_empty());
    }

    #[test]
    fn somebody_is_away_when_all_their_devices_are() {
        let here = Arc::new(Here::default());
        let mut first = Here::enter(&here, user(1));
        let mut second = Here::enter(&here, user(1));
        say(&here);
        first.set_away(true);
        first.set_away(true);
        assert_eq!(say(&here), News::default());
        second.set_away(true);
        assert_eq!(say(&here).here, [word(1, State::Away, true)]);
        drop(first);
        assert_eq!(say(&here), News::default());
        second.set_away(false);
        assert_eq!(say(&here).here, [word(1, State::Online, true)]);
    }

    #[test]
    fn who_comes_and_goes_before_anything_was_said_is_no_news() {
        let here = Arc::new(Here::default());
        drop(Here::enter(&here, user(1)));
        assert_eq!(say(&here), News::default());
        assert!(!here.has_news() && here.lock().all.is_empty());
    }

    #[test]
    fn what_was_not_said_stays_news_and_what_changed_meanwhile_is_news_again() {
        let here = Arc::new(Here::default());
        let device = Here::enter(&here, user(1));
        let lost = here.news(100);
        assert_eq!(here.news(100), lost);
        assert!(here.words().is_empty(), "it is still to be said");
        drop(device);
        assert!(here.has_gone());
        assert_eq!(say(&here).gone, [user(1)], "it may have arrived");
        assert!(!here.has_gone());
        let device = Here::enter(&here, user(2));
        say(&here);
        drop(device);
        let leaving = here.news(100);
        let _device = Here::enter(&here, user(2));
        here.said_gone(&leaving.gone);
        assert_eq!(say(&here).here, [word(2, State::Online, false)]);
    }

    proptest! {
        /// Whatever comes, goes, is lost and is said: in the end Redis knows what is true.
        #[test]
        fn redis_learns_what_is_true(steps in proptest::collection::vec((0..6_u8, 0..3_u128), 0..80)) {
            let here = Arc::new(Here::default());
            let mut devices: Vec<(u128, Present)> = Vec::new();
            let mut redis: HashMap<UserId, State> = HashMap::new();
            let mut learn = |news: &News| {
                redis.extend(news.here.iter().map(|word| (word.user, word.state)));
                for user in &news.gone {
                    redis.remove(user);
                }
            };
            for (what, n) in steps {
                let own = devices.iter().position(|(of, _)| *of == n);
                match (what, own) {
                    (0 | 1, _) => devices.push((n, Here::enter(&here, user(n)))),
                    (2, Some(index)) => drop(devices.swap_remove(index)),
                    (3, Some(index)) => devices[index].1.set_away(true),
                    (4, Some(index)) => devices[index].1.set_away(false),
                    // The answer of Redis is lost, though it did what it was told.
                    (5, _) => learn(&here.news(2)),
                    _ => learn(&say(&here)),
                }
            }
            while here.has_news() {
                learn(&say(&here));
            }
            let state = |n| {
                let mut own = devices.iter().filter(|(of, _)| *of == n).peekable();
                own.peek()?;
                Some(if own.all(|(_, device)| device.away) { State::Away } else { State::Online })
            };
            for n in 0..3 {
                prop_assert_eq!(redis.get(&user(n)).copied(), state(n));
            }
            prop_assert_eq!(here.words().len(), redis.len());
        }
    }
}
