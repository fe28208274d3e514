//! Tells who has a socket here, so that study sessions notice whose last one was lost.
//!
//! Sockets say when they begin and end; one task brings what changed to Redis, and says once a
//! second that this process lives (see [`service::connections`]). What Redis forgets is told anew.
//! With Redis away nobody is taken for away, and what changed meanwhile is told later.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use events::UserId;
use service::connections::BEAT;
use service::{Connections, Redis};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Changes are told together that come within this.
const GATHER: Duration = Duration::from_millis(50);

/// How many people are told of at once.
const AT_ONCE: usize = 1000;

/// Who has a socket in this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rooms(Arc<Shared>);

#[derive(Default)]
struct Shared {
    people: Mutex<People>,
    changed: Notify,
}

#[derive(Default)]
struct People {
    sockets: HashMap<UserId, usize>,
    /// Of whom it has to be told that they came or went.
    untold: HashSet<UserId>,
}

/// A socket of somebody; dropped when it ends.
pub(crate) struct Here {
    rooms: Rooms,
    user: UserId,
}

impl Rooms {
    /// Starts telling, until the shutdown.
    pub(crate) fn start(redis: Redis, node: &str, shutdown: CancellationToken) -> Self {
        let rooms = Self(Arc::default());
        #[expect(clippy::disallowed_methods, reason = "a start is an edge")]
        let start = Uuid::now_v7();
        // Another start of the same node serves other sockets.
        let teller = Teller {
            rooms: rooms.clone(),
            connections: Connections::new(redis),
            node: format!("{node}:{start}"),
        };
        tokio::spawn(teller.run(shutdown));
        rooms
    }

    /// Somebody has one more socket here.
    pub(crate) fn here(&self, user: UserId) -> Here {
        let mut people = self.people();
        let sockets = people.sockets.entry(user).or_default();
        *sockets += 1;
        if *sockets == 1 {
            people.untold.insert(user);
            self.0.changed.notify_one();
        }
        drop(people);
        Here { rooms: self.clone(), user }
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.0.people.lock().expect("nothing panics under this lock")
    }

    /// Some of those of whom it has to be told that they came, or went.
    fn untold(&self) -> (Vec<UserId>, Vec<UserId>) {
        let mut people = self.people();
        let some: Vec<UserId> = people.untold.iter().copied().take(AT_ONCE).collect();
        for user in &some {
            people.untold.remove(user);
        }
        some.into_iter().partition(|user| people.sockets.contains_key(user))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut people = self.rooms.people();
        let last = people.sockets.get_mut(&self.user).is_some_and(|sockets| {
            *sockets -= 1;
            *sockets == 0
        });
        if last {
            people.sockets.remove(&self.user);
            people.untold.insert(self.user);
            self.rooms.0.changed.notify_one();
        }
    }
}

struct Teller {
    rooms: Rooms,
    connections: Connections,
    node: String,
}

impl Teller {
    async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = self.rooms.0.changed.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(BEAT) => {}
                () = shutdown.cancelled() => break,
            }
            self.tell().await;
        }
        // If that is not heard, nobody believes for long that this process lives.
        let _ = self.connections.gone(&self.node).await;
    }

    async fn tell(&self) {
        loop {
            let (came, went) = self.rooms.untold();
            let Ok(known) = self.connections.here(&self.node, &came, &went).await else {
                self.rooms.people().untold.extend(came.into_iter().chain(went));
                return;
            };
            let (here, more) = {
                let people = self.rooms.people();
                (people.sockets.len(), !people.untold.is_empty())
            };
            if more {
                continue;
            }
            if known != here {
                self.tell_anew().await;
            }
            return;
        }
    }

    /// Redis forgot somebody, or remembers somebody it should not: the next beat tells everything.
    async fn tell_anew(&self) {
        if self.connections.gone(&self.node).await.is_ok() {
            let mut people = self.rooms.people();
            let People { sockets, untold } = &mut *people;
            untold.extend(sockets.keys());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_socket_of_somebody_and_the_end_of_the_last_are_told() {
        let rooms = Rooms(Arc::default());
        let ada = UserId::new(Uuid::from_u128(1));
        let first = rooms.here(ada);
        assert_eq!(rooms.untold(), (vec![ada], vec![]));
        let second = rooms.here(ada);
        drop(first);
        assert_eq!(rooms.untold(), (vec![], vec![]));
        drop(second);
        assert_eq!(rooms.untold(), (vec![], vec![ada]));
        drop(rooms.here(ada));
        assert_eq!(rooms.untold(), (vec![], vec![ada]), "what is true now is told");
    }
}
