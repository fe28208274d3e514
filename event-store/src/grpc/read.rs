//! Read with a count: pages until the count or the end is reached.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;

use super::{
    convert::{self, IdForm},
    fault::Fault,
    proto::streams::{ReadResp, read_resp},
    request::{Filtered, From, ReadRequest, Source, Wanted},
    streams::{Answers, blocking, flatten},
};
use crate::{
    engine::Engine,
    read::{
        Resolver,
        all::{self, AllRead},
        stream::{self as one, Look, StreamRead},
    },
};

/// The original server reads this many events at a time; it tells where a truncated stream begins
/// when its first page is empty.
const ORIGINAL_PAGE: u64 = 32;

/// Begins the read; what is wrong with it shows before the first answer.
pub(crate) async fn read(
    engine: Arc<Engine>,
    request: ReadRequest,
) -> Result<Answers<ReadResp>, Fault> {
    let form = request.id_form;
    let shared = Arc::clone(&engine);
    let (first, pages) = blocking(move || {
        let (mut first, mut pages) = begin(&shared, request)?;
        // Most reads are short: their answer is whole with the first page.
        first.extend(pages.next(&shared, form)?);
        Ok::<_, Fault>((first, pages))
    })
    .await??;
    let rest = stream::try_unfold(pages, move |mut pages| {
        let engine = Arc::clone(&engine);
        async move {
            if pages.done {
                return Ok(None);
            }
            blocking(move || pages.next(&engine, form).map(|page| Some((page, pages)))).await?
        }
    });
    Ok(flatten(futures::StreamExt::chain(stream::iter([Ok(first)]), rest)))
}

/// A read that goes on, and the message that ends it.
struct Pages {
    cursor: Cursor,
    last: Option<ReadResp>,
    done: bool,
}

enum Cursor {
    Nothing,
    Stream(Box<StreamRead>),
    All { read: Box<AllRead>, remaining: u64 },
}

impl Pages {
    fn next(&mut self, engine: &Engine, form: IdForm) -> Result<Vec<ReadResp>, Fault> {
        let (events, done) = match &mut self.cursor {
            Cursor::Nothing => (Vec::new(), true),
            Cursor::Stream(read) => {
                let events = read.page(engine).map_err(Fault::failed)?;
                (events, read.remaining == 0 || read.range.is_none())
            }
            Cursor::All { read, remaining } => {
                let page = read.page(engine, *remaining, u64::MAX).map_err(Fault::failed)?;
                *remaining -= page.events.len() as u64;
                (page.events, page.ended || *remaining == 0)
            }
        };
        self.done = done;
        let mut page = Vec::with_capacity(events.len() + 1);
        page.extend(events.into_iter().map(|resolved| convert::event(resolved, form)));
        if done {
            page.extend(self.last.take());
        }
        Ok(page)
    }
}

fn begin(engine: &Engine, request: ReadRequest) -> Result<(Vec<ReadResp>, Pages), Fault> {
    let Wanted::Count(count) = request.wanted else {
        return Err(Fault::bad("a subscription is not a read"));
    };
    let resolver = Resolver::new(engine, request.resolve_links);
    match request.source {
        Source::Stream { name, from } => {
            let direction = (request.backwards, request.compatibility);
            begin_stream(engine, name, from, count, direction, resolver)
        }
        Source::All { from, filter } => {
            let cursor = begin_all(engine, from, filter, request.backwards, resolver)?;
            let cursor = Cursor::All { read: Box::new(cursor), remaining: count };
            let pages = Pages { cursor, last: None, done: false };
            Ok((Vec::new(), pages))
        }
    }
}

fn begin_stream(
    engine: &Engine,
    name: Bytes,
    from: From,
    count: u64,
    (backwards, compatibility): (bool, u32),
    resolver: Resolver,
) -> Result<(Vec<ReadResp>, Pages), Fault> {
    let mut reader = engine.reader();
    let look = one::look(engine, &name, &mut reader).map_err(Fault::failed)?;
    let (key, first, last) = match look {
        Look::Deleted(_) => return Err(Fault::Deleted { stream: name.to_vec() }),
        Look::Missing => {
            let stream_identifier = Some(convert::identifier(name));
            let missing = read_resp::StreamNotFound { stream_identifier };
            let answer = convert::content(read_resp::Content::StreamNotFound(missing));
            return Ok((vec![answer], Pages { cursor: Cursor::Nothing, last: None, done: false }));
        }
        Look::Present { key, first, last } => (key, first, last),
    };
    // The index may have moved on since the reader was made.
    reader.set_limit(engine.head());
    let asked = match from {
        From::Start => 0,
        From::At(revision) => revision,
        From::End => u64::MAX,
    };
    let range = if backwards {
        // `start` backwards is the first event that there ever was.
        Some((asked.min(last), first)).filter(|(next, end)| next >= end)
    } else {
        Some((asked.max(first), last)).filter(|(next, end)| next <= end)
    };
    let mut answers = Vec::new();
    let mut ending = None;
    if compatibility >= 1 {
        if !backwards && first <= last && asked.saturating_add(ORIGINAL_PAGE) <= first {
            answers.push(convert::content(read_resp::Content::FirstStreamPosition(first)));
        }
        ending = Some(convert::content(read_resp::Content::LastStreamPosition(last)));
    }
    let read = StreamRead { key, range, backwards, remaining: count, reader, resolver };
    let cursor = Cursor::Stream(Box::new(read));
    Ok((answers, Pages { cursor, last: ending, done: false }))
}

fn begin_all(
    engine: &Engine,
    from: From,
    filter: Option<Filtered>,
    backwards: bool,
    resolver: Resolver,
) -> Result<AllRead, Fault> {
    let mut reader = engine.reader();
    let next = match from {
        From::Start => 0,
        From::End => reader.limit(),
        From::At(position) => {
            all::at_position(&mut reader, position).map_err(Fault::failed)?;
            position
        }
    };
    let filter = filter.map(|filtered| filtered.filter);
    Ok(AllRead { next, backwards, filter, reader, resolver })
}
