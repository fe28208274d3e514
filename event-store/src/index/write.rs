//! Writes runs: sorted entries in, a durable file out; and merges several runs into one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    sync::Arc,
};

use super::{
    bloom::Bloom,
    entry::{Entry, METADATA},
    key::StreamKey,
    page::{self, ENTRIES, PAGE_BYTES, Page},
    run::{Footer, Run},
};

/// So much is written between two syncs: a file system that orders its journal makes the log's
/// sync wait for what others have written.
const SYNC_EVERY: u64 = 8 << 20;

/// A run that is being written.
pub(crate) struct RunWriter {
    out: BufWriter<File>,
    pending: Vec<Entry>,
    fences: Vec<u64>,
    filter: Bloom,
    last: Option<StreamKey>,
    entries: u64,
    streams: u64,
    unsynced: u64,
}

impl RunWriter {
    /// Begins a run of at most this many streams.
    pub(crate) fn create(path: &Path, streams: u64) -> io::Result<Self> {
        Ok(Self {
            out: BufWriter::with_capacity(16 * PAGE_BYTES, File::create(path)?),
            pending: Vec::with_capacity(ENTRIES),
            fences: Vec::new(),
            filter: Bloom::new(streams),
            last: None,
            entries: 0,
            streams: 0,
            unsynced: 0,
        })
    }

    /// Adds an entry, which sorts behind those before.
    pub(crate) fn push(&mut self, entry: Entry) -> io::Result<()> {
        if self.last != Some(entry.key) {
            self.last = Some(entry.key);
            self.filter.insert(entry.key);
            self.streams += 1;
        }
        self.entries += 1;
        self.pending.push(entry);
        if self.pending.len() == ENTRIES { self.page() } else { Ok(()) }
    }

    /// Ends the file and does not return before it is durable; its name is the caller's matter.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.page()?;
        }
        let mut tail: Vec<u8> = self.fences.iter().flat_map(|fence| fence.to_le_bytes()).collect();
        tail.extend(self.filter.to_bytes());
        let footer = Footer {
            entries: self.entries,
            streams: self.streams,
            pages: u32::try_from(self.fences.len()).map_err(io::Error::other)?,
            blocks: u32::try_from(self.filter.blocks()).map_err(io::Error::other)?,
            crc: crc32c::crc32c(&tail),
        };
        self.out.write_all(&tail)?;
        self.out.write_all(&footer.encode())?;
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }

    fn page(&mut self) -> io::Result<()> {
        let number = u32::try_from(self.fences.len()).map_err(io::Error::other)?;
        self.fences.push(self.pending[0].key.0);
        self.out.write_all(&page::encode(&self.pending, number))?;
        self.pending.clear();
        self.unsynced += PAGE_BYTES as u64;
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.out.flush()?;
            self.out.get_ref().sync_data()?;
        }
        Ok(())
    }
}

/// The entries of several runs as one sorted sequence. Of the metadata entries of a stream only
/// that of the newest run stays.
pub(crate) struct Merge {
    /// In the order of the log: a later one is newer.
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(StreamKey, u64, Reverse<usize>)>>,
    last_metadata: Option<StreamKey>,
}

struct Source {
    run: Arc<Run>,
    next_page: usize,
    page: Option<Page>,
    at: usize,
}

impl Source {
    fn entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(page) = &self.page
                && self.at < page.len()
            {
                return Ok(Some(page.entry(self.at)));
            }
            if self.next_page == self.run.pages() {
                return Ok(None);
            }
            self.page = Some(self.run.page(self.next_page)?);
            self.next_page += 1;
            self.at = 0;
        }
    }
}

impl Merge {
    pub(crate) fn new<'a>(runs: impl Iterator<Item = &'a Arc<Run>>) -> io::Result<Self> {
        let source =
            |run: &Arc<Run>| Source { run: Arc::clone(run), next_page: 0, page: None, at: 0 };
        let mut sources: Vec<_> = runs.map(source).collect();
        let mut heads = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(entry) = source.entry()? {
                heads.push(Reverse((entry.key, entry.slot, Reverse(number))));
            }
        }
        Ok(Self { sources, heads, last_metadata: None })
    }

    /// The next entry in the order of entries.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        while let Some(mut head) = self.heads.peek_mut() {
            let Reverse((_, _, Reverse(number))) = *head;
            let source = &mut self.sources[number];
            let entry = source.entry()?.expect("a head stands for an entry");
            source.at += 1;
            match source.entry()? {
                Some(next) => *head = Reverse((next.key, next.slot, Reverse(number))),
                None => drop(std::collections::binary_heap::PeekMut::pop(head)),
            }
            // Newer sources come first among equals.
            let outdated = entry.slot == METADATA && self.last_metadata == Some(entry.key);
            if entry.slot == METADATA {
                self.last_metadata = Some(entry.key);
            }
            if !outdated {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}
