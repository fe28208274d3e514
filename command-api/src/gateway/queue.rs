//! The bounded queue of frames that wait for one socket to be written.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

use super::frames::Bye;

/// How much may wait for one socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Frames.
    pub(crate) frames: usize,
    /// Bytes of all frames together.
    pub(crate) bytes: usize,
}

/// What waits for one socket, and whether that socket has to end.
///
/// A frame is reference-counted text: many queues hold the same bytes.
#[derive(Debug)]
pub(crate) struct Outbox {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    end: Option<Bye>,
}

impl Outbox {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: Mutex::default(), wake: Notify::new() }
    }

    /// Queues a frame. When there is no room the client is too slow: all that waits is dropped,
    /// because the client will ask for it when it resumes, and the socket has to end.
    pub(crate) fn push(&self, frame: Utf8Bytes) {
        let mut waiting = self.lock();
        if waiting.end.is_some() {
            return;
        }
        let bytes = waiting.bytes + frame.len();
        if waiting.frames.len() >= self.bounds.frames || bytes > self.bounds.bytes {
            *waiting = Waiting { end: Some(Bye::slow_consumer()), ..Waiting::default() };
        } else {
            waiting.bytes = bytes;
            waiting.frames.push_back(frame);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Queues a frame that may be lost: it is, when half of the room is taken.
    pub(crate) fn whisper(&self, frame: Utf8Bytes) {
        let mut waiting = self.lock();
        let bytes = waiting.bytes + frame.len();
        let Bounds { frames: most, bytes: most_bytes } = self.bounds;
        if waiting.end.is_some() || waiting.frames.len() >= most / 2 || bytes > most_bytes / 2 {
            drop(waiting);
            metrics::counter!("roundtable_gateway_whispers_dropped_total").increment(1);
            return;
        }
        waiting.bytes = bytes;
        waiting.frames.push_back(frame);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Ends the socket after what waits already. The first reason counts.
    pub(crate) fn end(&self, bye: Bye) {
        self.lock().end.get_or_insert(bye);
        self.wake.notify_one();
    }

    /// Takes all that waits, and whether the socket has to end after it.
    pub(crate) fn take(&self) -> (VecDeque<Utf8Bytes>, Option<Bye>) {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        (std::mem::take(&mut waiting.frames), waiting.end.clone())
    }

    /// Why the socket has to end, if it has to.
    pub(crate) fn ended(&self) -> Option<Bye> {
        self.lock().end.clone()
    }

    /// Resolves once something was queued, or the end was set, since the last time.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while the lock is held, and the contents are whole at every step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn outbox(frames: usize, bytes: usize) -> Outbox {
        Outbox::new(Bounds { frames, bytes })
    }

    #[test]
    fn frames_come_out_in_order_and_once() {
        let outbox = outbox(10, 100);
        outbox.push("a".into());
        outbox.push("b".into());
        assert!(outbox.woken().now_or_never().is_some());
        let (frames, end) = outbox.take();
        assert_eq!(frames, ["a", "b"].map(Utf8Bytes::from_static));
        assert!(end.is_none());
        assert!(outbox.take().0.is_empty());
        assert!(outbox.woken().now_or_never().is_none());
    }

    #[test]
    fn too_many_frames_end_the_socket_and_are_dropped() {
        let outbox = outbox(2, 100);
        for _ in 0..3 {
            outbox.push("a".into());
        }
        let (frames, end) = outbox.take();
        assert!(frames.is_empty());
        let end = end.expect("the socket ends");
        assert_eq!((end.code, end.resume), ("slow-consumer", true));
        outbox.push("late".into());
        assert!(outbox.take().0.is_empty());
    }

    #[test]
    fn too_many_bytes_end_the_socket_too() {
        let outbox = outbox(100, 5);
        outbox.push("abc".into());
        outbox.push("de".into());
        assert!(outbox.ended().is_none());
        outbox.push("f".into());
        assert!(outbox.ended().is_some());
    }

    #[test]
    fn a_whisper_takes_half_of_the_room_at_most_and_ends_nothing() {
        let outbox = outbox(4, 100);
        for _ in 0..10 {
            outbox.whisper("w".into());
        }
        outbox.push("a".into());
        outbox.push("b".into());
        assert!(outbox.ended().is_none());
        let (frames, _) = outbox.take();
        assert_eq!(frames, ["w", "w", "a", "b"].map(Utf8Bytes::from_static));
        outbox.whisper("too long for half of a hundred bytes, whoever says it".into());
        assert!(outbox.take().0.is_empty());
        outbox.end(Bye::login_ended());
        outbox.whisper("late".into());
        assert!(outbox.take().0.is_empty());
    }

    #[test]
    fn room_is_free_again_after_a_take() {
        let outbox = outbox(1, 3);
        for _ in 0..10 {
            outbox.push("abc".into());
            assert_eq!(outbox.take().0.len(), 1);
        }
        assert!(outbox.ended().is_none());
    }

    #[test]
    fn the_first_reason_to_end_counts_and_what_waited_is_sent_before() {
        let outbox = outbox(10, 100);
        outbox.push("last".into());
        outbox.end(Bye::login_ended());
        outbox.end(Bye::slow_consumer());
        outbox.push("never".into());
        let (frames, end) = outbox.take();
        assert_eq!(frames, [Utf8Bytes::from_static("last")]);
        assert_eq!(end.expect("it ends").code, "login-ended");
    }
}
