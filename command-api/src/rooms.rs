//! Tells who has a socket here, so that study sessions notice whose last one was lost, and calls
//! which device's.
//!
//! Sockets say when they begin and end; one task brings what changed to Redis, and says once a
//! second that this process lives (see [`service::connections`]). What Redis forgets is told anew.
//! With Redis away nobody is taken for away, and what changed meanwhile is told later.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use service::connections::BEAT;
use service::{Connections, Identity, Redis};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Changes are told together that come within this.
const GATHER: Duration = Duration::from_millis(50);

/// How many people and devices are told of at once.
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
    /// The sockets of each person, and of each device.
    sockets: HashMap<Uuid, usize>,
    /// Of whom it has to be told that they came or went.
    untold: HashSet<Uuid>,
}

/// A socket of somebody; dropped when it ends.
pub(crate) struct Here {
    rooms: Rooms,
    ids: [Uuid; 2],
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

    /// Somebody has one more socket here, on one of their devices.
    pub(crate) fn here(&self, identity: Identity) -> Here {
        let ids = [identity.user.uuid(), identity.login.uuid()];
        let mut people = self.people();
        for id in ids {
            let sockets = people.sockets.entry(id).or_default();
            *sockets += 1;
            if *sockets == 1 {
                people.untold.insert(id);
                self.0.changed.notify_one();
            }
        }
        drop(people);
        Here { rooms: self.clone(), ids }
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.0.people.lock().expect("nothing panics under this lock")
    }

    /// Some of those of whom it has to be told that they came, or went.
    fn untold(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        let mut people = self.people();
        let some: Vec<Uuid> = people.untold.iter().copied().take(AT_ONCE).collect();
        for one in &some {
            people.untold.remove(one);
        }
        some.into_iter().partition(|one| people.sockets.contains_key(one))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut people = self.rooms.people();
        for id in self.ids {
            let last = people.sockets.get_mut(&id).is_some_and(|sockets| {
                *sockets -= 1;
                *sockets == 0
            });
            if last {
                people.sockets.remove(&id);
                people.untold.insert(id);
                self.rooms.0.changed.notify_one();
            }
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
        let [ada, phone, laptop] = [1, 2, 3].map(Uuid::from_u128);
        let here = |device: Uuid| rooms.here(Identity::new(ada.into(), device.into()));
        let untold = || {
            let (mut came, mut went) = rooms.untold();
            came.sort();
            went.sort();
            (came, went)
        };
        let first = here(phone);
        assert_eq!(untold(), (vec![ada, phone], vec![]));
        let second = here(phone);
        drop(first);
        assert_eq!(untold(), (vec![], vec![]));
        let third = here(laptop);
        assert_eq!(untold(), (vec![laptop], vec![]), "another device of the same person");
        drop(second);
        assert_eq!(untold(), (vec![], vec![phone]));
        drop(third);
        assert_eq!(untold(), (vec![], vec![ada, laptop]));
        drop(here(phone));
        assert_eq!(untold(), (vec![], vec![ada, phone]), "what is true now is told");
    }
}
