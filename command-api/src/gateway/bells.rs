//! Which of many subscriptions something has come for, without looking at the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use events::Audience;
use tokio::sync::Notify;

/// All bells hang here.
#[derive(Debug, Default)]
pub(super) struct Tower {
    rung: Mutex<Vec<Audience>>,
    notify: Notify,
}

/// The bell of one subscription.
#[derive(Debug)]
pub(super) struct Bell {
    audience: Audience,
    tower: Arc<Tower>,
    /// It has rung, and nobody has answered.
    rung: AtomicBool,
}

impl Tower {
    /// Resolves once a bell has rung since the last time.
    pub(super) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Those whose bells have rung since the last time.
    pub(super) fn take(&self) -> Vec<Audience> {
        std::mem::take(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bell {
    pub(super) fn new(audience: Audience, tower: Arc<Tower>) -> Arc<Self> {
        Arc::new(Self { audience, tower, rung: AtomicBool::new(false) })
    }

    /// The bell may ring again: for what comes after the subscription is polled with this waker.
    pub(super) fn answer(self: &Arc<Self>) -> Waker {
        self.rung.store(false, Ordering::Release);
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let mut rung = self.tower.rung.lock().unwrap_or_else(PoisonError::into_inner);
            rung.push(self.audience);
            drop(rung);
            self.tower.notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_bell_is_heard_once_until_somebody_answers() {
        let tower = Arc::<Tower>::default();
        let audience = |n| Audience::User(Uuid::from_u128(n).into());
        let bells = [1, 2].map(|n| Bell::new(audience(n), Arc::clone(&tower)));
        let wakers = bells.each_ref().map(Bell::answer);
        assert!(tower.rung().now_or_never().is_none());
        wakers[1].wake_by_ref();
        wakers[1].wake_by_ref();
        wakers[0].wake_by_ref();
        assert!(tower.rung().now_or_never().is_some());
        assert_eq!(tower.take(), [audience(2), audience(1)]);
        wakers[0].wake_by_ref();
        assert!(tower.take().is_empty(), "nobody has answered yet");
        bells[0].answer().wake();
        assert_eq!(tower.take(), [audience(1)]);
    }
}
