//! Wakes the subscribers of single streams, and only those whose stream was written.
//!
//! The head of the log tells that something is new; whoever follows one stream among millions does
//! not care for most of it. So followers register the streams they look at, and the committer wakes
//! them after it has published a batch. When nobody is registered, a batch costs one atomic load.
//!
//! No wake-up is lost: a follower registers first and looks at its stream afterwards, the committer
//! publishes first and looks for followers afterwards, and one that is woken before it waits does
//! not wait.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
};

use tokio::sync::Notify;

use crate::index::key::{ByKey, StreamKey};

/// Who follows which stream.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    registered: AtomicUsize,
    next: AtomicU64,
    followers: Mutex<ByKey<HashMap<u64, Arc<Notify>>>>,
}

impl Wakes {
    /// Registers a follower of the streams until the registration is dropped.
    pub(crate) fn register(self: &Arc<Self>, keys: Vec<StreamKey>) -> Registration {
        let notify = Arc::new(Notify::new());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut followers = self.followers();
        for key in &keys {
            followers.entry(*key).or_default().insert(number, Arc::clone(&notify));
        }
        drop(followers);
        self.registered.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either the committer sees this registration, or what it
        // published before it looked is seen by whoever reads after this.
        fence(Ordering::SeqCst);
        Registration { wakes: Arc::clone(self), keys, number, notify }
    }

    /// Wakes the followers of the streams, which were published before.
    pub(crate) fn wake(&self, keys: impl Iterator<Item = StreamKey>) {
        fence(Ordering::SeqCst);
        if self.registered.load(Ordering::Relaxed) == 0 {
            return;
        }
        let followers = self.followers();
        for notify in keys.filter_map(|key| followers.get(&key)).flat_map(HashMap::values) {
            notify.notify_one();
        }
    }

    /// Wakes everyone, because nothing will be written any more.
    fn wake_all(&self) {
        for notify in self.followers().values().flat_map(HashMap::values) {
            notify.notify_one();
        }
    }

    fn followers(&self) -> MutexGuard<'_, ByKey<HashMap<u64, Arc<Notify>>>> {
        self.followers.lock().expect("no panic while the followers are locked")
    }
}

/// One follower, who is woken while this lives.
pub(crate) struct Registration {
    wakes: Arc<Wakes>,
    keys: Vec<StreamKey>,
    /// Its own among all.
    number: u64,
    notify: Arc<Notify>,
}

impl Registration {
    /// Waits until one of the streams was written since the last wait ended.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut followers = self.wakes.followers();
        for key in &self.keys {
            if let Some(of_stream) = followers.get_mut(key) {
                of_stream.remove(&self.number);
                if of_stream.is_empty() {
                    followers.remove(key);
                }
            }
        }
        if followers.is_empty() {
            // Thousands may have come and gone: the table does not keep their room.
            followers.shrink_to_fit();
        }
        drop(followers);
        self.wakes.registered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The committer's end: when it is gone, followers wake and see that the log has ended.
pub(crate) struct Waker(pub(crate) Arc<Wakes>);

impl Drop for Waker {
    fn drop(&mut self) {
        self.0.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::index::key::Keys;

    #[test]
    fn only_followers_of_what_was_written_wake_and_the_rest_is_forgotten() {
        let (wakes, keys) = (Arc::new(Wakes::default()), Keys::new(&[7; 16]));
        let key = |name: &str| keys.key(name.as_bytes());
        let a = wakes.register(vec![key("a")]);
        let both = wakes.register(vec![key("a"), key("b")]);
        let b = wakes.register(vec![key("b")]);
        let awake = |one: &Registration| one.woken().now_or_never().is_some();
        wakes.wake([key("a"), key("c")].into_iter());
        assert_eq!([awake(&a), awake(&both), awake(&b)], [true, true, false]);
        // A wake-up counts once, and several before a wait count as one.
        assert!(!awake(&a));
        wakes.wake([key("b"), key("b"), key("a")].into_iter());
        assert_eq!([awake(&both), awake(&both), awake(&b)], [true, false, true]);
        drop((a, both));
        assert_eq!(wakes.followers().len(), 1);
        drop(Waker(Arc::clone(&wakes)));
        assert!(awake(&b));
        drop(b);
        assert_eq!(wakes.followers().capacity(), 0);
        assert_eq!(wakes.registered.load(Ordering::Relaxed), 0);
    }
}
