//! Subscriptions: reads that wait at the end for more, until the client leaves.
//!
//! Each reads the log at its own pace, so a slow one is only behind: nothing is buffered for it and
//! nothing is dropped. A subscription never ends well: at shutdown it ends with UNAVAILABLE, which
//! makes clients come back, while clients spin on a stream that ends with OK.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    convert::{self, IdForm},
    fault::Fault,
    proto::streams::{ReadResp, read_resp},
    request::{From, ReadRequest, Source},
    streams::{Answers, blocking, flatten},
};
use crate::{
    engine::Engine,
    log::reader::{LogReader, RANDOM},
    read::{
        Failure, Resolved, Resolver,
        all::{self, AllRead},
        stream::{self as one, Look},
    },
    wake::Registration,
};

/// So near the head the bytes are in the page cache: they are read without a change of thread.
const NEAR: u64 = 64 << 10;

/// Begins the subscription.
pub(crate) async fn subscribe(
    engine: Arc<Engine>,
    request: ReadRequest,
    shutdown: CancellationToken,
) -> Result<Answers<ReadResp>, Fault> {
    let head = engine.watch();
    let form = request.id_form;
    // Before the first look, so that nothing is missed.
    let wake = match &request.source {
        Source::Stream { name, .. } => Some(engine.follow(name)),
        Source::All { .. } => None,
    };
    let shared = Arc::clone(&engine);
    let follow = blocking(move || begin(&shared, request)).await??;
    let confirmation = read_resp::Content::Confirmation(read_resp::SubscriptionConfirmation {
        subscription_id: new_id().to_string(),
    });
    let state = State {
        engine,
        follow: Some(follow),
        head,
        wake,
        fresh: false,
        shutdown,
        form,
        failed: None,
    };
    let pages = stream::try_unfold(state, |mut state| async move {
        let page = state.next().await?;
        Ok(Some((page, state)))
    });
    let first = stream::iter([Ok(vec![convert::content(confirmation)])]);
    Ok(flatten(futures::StreamExt::chain(first, pages)))
}

#[expect(clippy::disallowed_methods, reason = "the server is the edge that names subscriptions")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}

struct State {
    engine: Arc<Engine>,
    /// Taken while a page is read.
    follow: Option<Follow>,
    head: watch::Receiver<u64>,
    /// Wakes the follower of one stream, who need not look at all else that is written.
    wake: Option<Registration>,
    /// What is read next was written this moment.
    fresh: bool,
    shutdown: CancellationToken,
    form: IdForm,
    /// What ends the subscription, after the last page was sent.
    failed: Option<Fault>,
}

impl State {
    /// The next page, as soon as there is one.
    async fn next(&mut self) -> Result<Vec<ReadResp>, Fault> {
        loop {
            if let Some(fault) = self.failed.take() {
                return Err(fault);
            }
            if self.shutdown.is_cancelled() {
                return Err(Fault::Stopping);
            }
            let head = *self.head.borrow_and_update();
            let (page, at_end) = self.page(head).await?;
            if !page.is_empty() {
                return Ok(page);
            }
            if !at_end || self.failed.is_some() {
                continue;
            }
            tokio::select! {
                fresh = something_new(&mut self.head, self.wake.as_ref()) => self.fresh = fresh?,
                () = self.shutdown.cancelled() => return Err(Fault::Stopping),
            }
        }
    }

    async fn page(&mut self, head: u64) -> Result<(Vec<ReadResp>, bool), Fault> {
        let mut follow = self.follow.take().expect("one page is read at a time");
        let form = self.form;
        let page = if std::mem::take(&mut self.fresh) || follow.is_near(head) {
            let page = follow.page(&self.engine, head, form);
            self.follow = Some(follow);
            page
        } else {
            let engine = Arc::clone(&self.engine);
            let (page, follow) = blocking(move || {
                let page = follow.page(&engine, head, form);
                (page, follow)
            })
            .await?;
            self.follow = Some(follow);
            page
        }?;
        self.failed = page.then;
        Ok((page.answers, page.at_end))
    }
}

/// Waits for an event that may matter; the end of the committer is told too. Says whether the event
/// was written this moment, because it was waited for: then its bytes are in the page cache.
async fn something_new(
    head: &mut watch::Receiver<u64>,
    wake: Option<&Registration>,
) -> Result<bool, Fault> {
    let stopped = |_| Fault::Stopping;
    let Some(wake) = wake else { return head.changed().await.map(|()| false).map_err(stopped) };
    let waited = wake.woken().now_or_never().is_none();
    if waited {
        wake.woken().await;
    }
    head.has_changed().map(|_| waited).map_err(stopped)
}

#[derive(Default)]
struct Page {
    answers: Vec<ReadResp>,
    at_end: bool,
    then: Option<Fault>,
}

enum Follow {
    Stream(Box<FollowStream>),
    All(Box<FollowAll>),
}

impl Follow {
    fn is_near(&self, head: u64) -> bool {
        match self {
            Self::Stream(follow) => follow.read_to + NEAR >= head,
            Self::All(follow) => follow.read.next + NEAR >= head,
        }
    }

    fn page(&mut self, engine: &Engine, head: u64, form: IdForm) -> Result<Page, Fault> {
        match self {
            Self::Stream(follow) => follow.page(engine, form),
            Self::All(follow) => follow.page(engine, head, form),
        }
    }
}

struct FollowStream {
    name: Bytes,
    next: u64,
    reader: LogReader,
    resolver: Resolver,
    caught_up: bool,
    /// The head when the stream was last read to its end.
    read_to: u64,
}

impl FollowStream {
    fn page(&mut self, engine: &Engine, form: IdForm) -> Result<Page, Fault> {
        self.read(engine, form).map_err(Fault::failed)
    }

    fn read(&mut self, engine: &Engine, form: IdForm) -> Result<Page, Failure> {
        let mut page = Page::default();
        let mut last_revision = None;
        let look = one::look(engine, &self.name, &mut self.reader)?;
        let head = engine.head();
        self.reader.set_limit(head);
        match look {
            Look::Deleted(position) => return self.ended(engine, position, form),
            Look::Missing => page.at_end = true,
            Look::Present { key, first, last } => {
                last_revision = Some(last);
                // What is hidden is behind us, even when nothing can be seen.
                self.next = self.next.max(first.min(last + 1));
                if self.next <= last {
                    let range = (self.next, last);
                    let found =
                        one::records(engine, key, range, false, u64::MAX, &mut self.reader)?;
                    self.next = found.next.unwrap_or(last + 1);
                    for record in found.records {
                        let resolved = self.resolver.resolve(engine, record)?;
                        page.answers.push(convert::event(resolved, form));
                    }
                }
                page.at_end = self.next > last;
            }
        }
        if page.at_end {
            self.read_to = head;
            if !std::mem::replace(&mut self.caught_up, true) {
                let revision = last_revision.and_then(|last| i64::try_from(last).ok());
                page.answers.push(caught_up(revision, None));
            }
        }
        Ok(page)
    }

    /// The tombstone is the last thing that is delivered, behind what was written before it.
    fn ended(&mut self, engine: &Engine, position: u64, form: IdForm) -> Result<Page, Failure> {
        let key = engine.catalog.key(&self.name);
        if let Some(last) = engine.catalog.state(key)?.last.filter(|last| self.next <= *last) {
            let range = (self.next, last);
            let found = one::records(engine, key, range, false, u64::MAX, &mut self.reader)?;
            self.next = found.next.unwrap_or(last + 1);
            let mut page = Page::default();
            for record in found.records {
                let resolved = self.resolver.resolve(engine, record)?;
                page.answers.push(convert::event(resolved, form));
            }
            return Ok(page);
        }
        let mut page = Page { at_end: true, ..Page::default() };
        if let Some(record) = self.reader.at(position, RANDOM)?
            && record.stream == self.name
        {
            let resolved = Resolved { event: Some(record), link: None };
            page.answers.push(convert::event(resolved, form));
        }
        page.then = Some(Fault::Deleted { stream: self.name.to_vec() });
        Ok(page)
    }
}

struct FollowAll {
    read: AllRead,
    checkpoint_every: Option<u64>,
    considered: u64,
    /// The position of the record looked at last.
    last: u64,
    /// The last checkpoint; none is sent twice.
    checkpoint: u64,
    caught_up: bool,
}

impl FollowAll {
    fn page(&mut self, engine: &Engine, head: u64, form: IdForm) -> Result<Page, Fault> {
        self.read.reader.set_limit(head);
        let left = self.checkpoint_every.map_or(u64::MAX, |every| every - self.considered);
        let found = self.read.page(engine, u64::MAX, left).map_err(Fault::failed)?;
        let mut page = Page { at_end: found.ended, ..Page::default() };
        page.answers.extend(found.events.into_iter().map(|event| convert::event(event, form)));
        self.last = found.last.unwrap_or(self.last);
        self.considered += found.considered;
        let going_live = found.ended && !self.caught_up;
        if let Some(every) = self.checkpoint_every
            && (self.considered >= every || going_live)
        {
            self.considered = 0;
            if self.last > self.checkpoint {
                self.checkpoint = self.last;
                page.answers.push(checkpoint(self.last));
            }
        }
        if going_live {
            self.caught_up = true;
            page.answers.push(caught_up(None, Some(self.last)));
        }
        Ok(page)
    }
}

fn begin(engine: &Engine, request: ReadRequest) -> Result<Follow, Fault> {
    let resolver = Resolver::new(engine, request.resolve_links);
    let mut reader = engine.reader();
    match request.source {
        Source::Stream { name, from } => {
            let look = one::look(engine, &name, &mut reader).map_err(Fault::failed)?;
            if let Look::Deleted(_) = look {
                return Err(Fault::Deleted { stream: name.to_vec() });
            }
            let last = engine.last_revision(&name);
            let last = last.map_err(|error| Fault::failed(error.into()))?;
            let next = match from {
                From::Start => 0,
                From::At(revision) => revision.saturating_add(1),
                From::End => last.map_or(0, |last| last + 1),
            };
            let follow =
                FollowStream { name, next, reader, resolver, caught_up: false, read_to: 0 };
            Ok(Follow::Stream(Box::new(follow)))
        }
        Source::All { from, filter } => {
            let (next, last) = all_start(&mut reader, from).map_err(Fault::failed)?;
            let (filter, checkpoint_every) = match filter {
                Some(filtered) => (Some(filtered.filter), Some(filtered.checkpoint_every)),
                None => (None, None),
            };
            let read = AllRead { next, backwards: false, filter, reader, resolver };
            Ok(Follow::All(Box::new(FollowAll {
                read,
                checkpoint_every,
                considered: 0,
                last,
                checkpoint: last,
                caught_up: false,
            })))
        }
    }
}

/// Where to read on, which is behind the position given, and that position.
fn all_start(reader: &mut LogReader, from: From) -> Result<(u64, u64), Failure> {
    match from {
        From::Start => Ok((0, 0)),
        From::End => {
            let head = reader.limit();
            let last = reader.before(head)?.map_or(0, |record| record.position);
            Ok((head, last))
        }
        From::At(position) => match all::at_position(reader, position)? {
            Some(record) => Ok((record.next, position)),
            None => Ok((position, position)),
        },
    }
}

fn checkpoint(position: u64) -> ReadResp {
    convert::content(read_resp::Content::Checkpoint(read_resp::Checkpoint {
        commit_position: position,
        prepare_position: position,
        timestamp: Some(convert::now()),
    }))
}

fn caught_up(stream_revision: Option<i64>, position: Option<u64>) -> ReadResp {
    convert::content(read_resp::Content::CaughtUp(read_resp::CaughtUp {
        timestamp: Some(convert::now()),
        stream_revision,
        position: position.map(convert::position),
    }))
}
