//! What a group writes and reads in the background, and what comes of it.

use std::sync::Arc;

use super::{Done, Runner};
use crate::{
    persistent::{
        Ended, Strategy,
        group::ToPark,
        io,
        source::{Page, SourceReader},
    },
    read::Failure,
};

impl Runner {
    /// Takes in work that has come to an end.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Gone(subscriber) => self.end(subscriber, Ended::Dropped),
            Done::Page(source, page, head) => self.page(source, page, head),
            Done::Parked(messages, result) => {
                self.busy.parking = false;
                match result {
                    Ok(()) => messages.iter().for_each(|message| self.group.parked(message.token)),
                    Err(message) => {
                        self.group.not_parked(messages);
                        self.failed("park messages", &message);
                    }
                }
            }
            Done::Recorded(result) => {
                self.busy.recording = false;
                self.group.recorded(result.is_ok(), self.now());
                if let Err(message) = result {
                    self.failed("record its checkpoint", &message);
                }
            }
            Done::Cut(before, result) => {
                self.busy.cutting = false;
                match result {
                    Ok(()) => self.group.was_cut(before),
                    Err(message) => self.failed("cut its parked messages", &message),
                }
            }
            Done::ReadParked(result) => {
                self.busy.reading_parked = false;
                match result {
                    Ok((messages, next)) => self.group.read_parked(messages, next),
                    Err(message) => self.failed("read its parked messages", &message),
                }
            }
            Done::Replay(revisions, answer) => {
                self.group.replay(revisions);
                let _ = answer.send(Ok(()));
            }
            Done::Nothing => {}
        }
    }

    /// Reads on in the source if that is wanted; tells whether something was read at once.
    pub(super) fn read(&mut self) -> bool {
        let wanted = self.group.wanted();
        if wanted == 0 || self.not_before.is_some() {
            return false;
        }
        let head = *self.head.borrow_and_update();
        if self.read_to == Some(head) {
            return false;
        }
        let Some(mut source) = self.source.take() else { return false };
        let engine = Arc::clone(&self.engine);
        if source.is_near(head) {
            let page = source.page(&engine, wanted).map_err(|failure| failure.to_string());
            self.page(source, page, head);
            return self.not_before.is_none();
        }
        self.pushes(async move {
            let read = tokio::task::spawn_blocking(move || {
                let page = source.page(&engine, wanted).map_err(|failure| failure.to_string());
                Done::Page(source, page, head)
            });
            read.await.unwrap_or(Done::Nothing)
        });
        false
    }

    fn page(&mut self, source: Box<SourceReader>, page: Result<Page, String>, head: u64) {
        self.source = Some(source);
        match page {
            Ok(page) => {
                self.read_to = page.all.then_some(head);
                self.group.read(page.events, page.last, page.passed, page.all);
            }
            Err(message) => {
                self.failed("read on", &message);
                let subscribers: Vec<_> = self.doors.keys().copied().collect();
                for subscriber in subscribers {
                    self.end(subscriber, Ended::Lost(message.clone()));
                }
            }
        }
    }

    /// Parks what is to be parked, many messages with one write.
    pub(super) fn park(&mut self) {
        if self.busy.parking || self.not_before.is_some() || !self.group.has_to_park() {
            return;
        }
        self.busy.parking = true;
        let messages = self.group.take_to_park();
        let (engine, id) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        let resolve = self.group.settings.resolve_links;
        self.pushes(async move {
            let shared = (Arc::clone(&engine), Arc::clone(&id), messages.clone());
            let links = blocking(move || {
                let (engine, id, messages): (_, _, Vec<ToPark>) = shared;
                io::links(&engine, &id, resolve, &messages)
            })
            .await;
            let result = match links {
                Ok(links) => io::park(&engine, &id, links).await.map_err(io::describe),
                Err(message) => Err(message),
            };
            Done::Parked(messages, result)
        });
    }

    /// Records how far the group is, if it is time.
    pub(super) fn checkpoint(&mut self, flush: bool) {
        if self.busy.recording || self.not_before.is_some() {
            return;
        }
        let Some(place) = self.group.checkpoint(self.now(), flush) else { return };
        self.busy.recording = true;
        let (engine, id) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        self.pushes(async move {
            Done::Recorded(io::record(&engine, &id, place).await.map_err(io::describe))
        });
    }

    /// Hides the parked messages that were replayed and are finished.
    pub(super) fn cut(&mut self, flush: bool) {
        if self.busy.cutting || self.not_before.is_some() {
            return;
        }
        let Some(before) = self.group.to_cut(flush) else { return };
        self.busy.cutting = true;
        let (engine, id) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        self.pushes(async move { Done::Cut(before, io::cut(&engine, &id, before).await) });
    }

    /// Reads on in the parked messages that are replayed.
    pub(super) fn read_parked(&mut self) {
        if self.busy.reading_parked || self.not_before.is_some() {
            return;
        }
        let Some(range) = self.group.wanted_parked() else { return };
        self.busy.reading_parked = true;
        let (engine, id) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        let by_correlation = self.group.settings.strategy == Strategy::PinnedByCorrelation;
        self.pushes(async move {
            let read = blocking(move || io::read_parked(&engine, &id, by_correlation, range));
            Done::ReadParked(read.await)
        });
    }
}

/// Runs what reads the disk where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|failure| failure.to_string()),
        Err(_) => Err("the server is shutting down".to_owned()),
    }
}
