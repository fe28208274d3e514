//! A Matroska file (RFC 9559) while it is written: whole clusters of a second, one after the other, so
//! that a file that is cut off anywhere plays up to its last cluster. [`super::finish`] makes it
//! seekable.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::ebml::{self, id};
use crate::room::codec::Codec;

/// The numbers of the tracks, in every file of ours.
pub(super) const VIDEO: u64 = 1;
pub(super) const AUDIO: u64 = 2;

/// Room for the index of the file, which is written in the end.
pub(super) const SEEK_HEAD_LEN: usize = 96;
/// Room for the duration.
pub(super) const DURATION_LEN: usize = 11;

/// How long a cluster is, in milliseconds, and the most bytes of one.
const CLUSTER: u64 = 1000;
const CLUSTER_BYTES: usize = 4 * 1024 * 1024;

/// A block of one track waits for those of the other one at most so long, in milliseconds.
const WAIT: u64 = 2000;

/// What pictures there are in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pictures {
    pub(super) codec: Codec,
    pub(super) width: u32,
    pub(super) height: u32,
    /// What a decoder has to know before the first picture.
    pub(super) private: Vec<u8>,
}

/// A file that is written.
#[derive(Debug)]
pub(super) struct Webm {
    file: File,
    both: bool,
    /// Blocks that wait for their turn, by time, track and order.
    waiting: BTreeMap<(u64, u64, u64), Block>,
    count: u64,
    /// The last times of the tracks.
    last: [Option<u64>; 2],
    cluster: Vec<u8>,
    begun: Option<u64>,
    /// Bytes written.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Block {
    key: bool,
    data: Vec<u8>,
}

impl Webm {
    /// Begins a file that is not there yet.
    pub(super) fn create(
        path: &Path,
        pictures: Option<&Pictures>,
        sound: bool,
    ) -> io::Result<Self> {
        let mut file = File::create_new(path)?;
        let header = header(pictures, sound);
        file.write_all(&header)?;
        Ok(Self {
            file,
            both: pictures.is_some() && sound,
            waiting: BTreeMap::new(),
            count: 0,
            last: [None; 2],
            cluster: Vec::new(),
            begun: None,
            bytes: header.len() as u64,
        })
    }

    /// Adds a block. Of each track times do not go back; in between tracks they may.
    pub(super) fn block(
        &mut self,
        track: u64,
        time: u64,
        key: bool,
        data: Vec<u8>,
    ) -> io::Result<()> {
        self.count += 1;
        self.waiting.insert((time, track, self.count), Block { key, data });
        self.last[usize::from(track == AUDIO)] = Some(time);
        let newest = self.last.iter().flatten().max().copied().unwrap_or(0);
        let oldest = match self.both {
            true => self.last.iter().map(|last| last.unwrap_or(0)).min().unwrap_or(0),
            false => newest,
        };
        self.write_until(oldest.max(newest.saturating_sub(WAIT)))
    }

    /// Writes what waits, and nothing more.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.write_until(u64::MAX)?;
        self.end_cluster()?;
        self.file.sync_data()
    }

    fn write_until(&mut self, time: u64) -> io::Result<()> {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= time
        {
            let ((time, track, _), block) = entry.remove_entry();
            self.write(track, time, &block)?;
        }
        Ok(())
    }

    fn write(&mut self, track: u64, time: u64, block: &Block) -> io::Result<()> {
        let passed = self.begun.map(|begun| time.saturating_sub(begun));
        let begins_picture = track == VIDEO && block.key && passed.is_some_and(|passed| passed > 0);
        let full = self.cluster.len() + block.data.len() > CLUSTER_BYTES;
        if passed.is_some_and(|passed| passed >= CLUSTER) || begins_picture || full {
            self.end_cluster()?;
        }
        let begun = match self.begun {
            Some(begun) => begun,
            None => {
                ebml::uint(&mut self.cluster, id::TIMESTAMP, time);
                self.begun = Some(time);
                time
            }
        };
        write_block(&mut self.cluster, track, time, begun, block.key, &block.data);
        Ok(())
    }

    fn end_cluster(&mut self) -> io::Result<()> {
        if self.begun.take().is_none() {
            return Ok(());
        }
        let mut whole = Vec::with_capacity(self.cluster.len() + 12);
        ebml::element(&mut whole, id::CLUSTER, &self.cluster);
        self.cluster.clear();
        self.file.write_all(&whole)?;
        self.bytes += whole.len() as u64;
        Ok(())
    }
}

/// Appends a block to a cluster that begins at `begun`.
pub(super) fn write_block(
    out: &mut Vec<u8>,
    track: u64,
    time: u64,
    begun: u64,
    key: bool,
    data: &[u8],
) {
    // Blocks come in the order of time, and a cluster is short.
    let relative = i16::try_from(time.saturating_sub(begun)).unwrap_or(i16::MAX);
    ebml::write_id(out, id::SIMPLE_BLOCK);
    ebml::write_size(out, data.len() as u64 + 4);
    ebml::write_size(out, track);
    out.extend_from_slice(&relative.to_be_bytes());
    out.push(if key { 0x80 } else { 0 });
    out.extend_from_slice(data);
}

/// All that comes before the first cluster. Of the two sizes and the index, which are known in the
/// end only, there are placeholders, with which a file plays as well.
fn header(pictures: Option<&Pictures>, sound: bool) -> Vec<u8> {
    // WebM is Matroska with certain codecs; browsers go by the name.
    let is_webm = pictures.is_none_or(|pictures| pictures.codec != Codec::H264);
    let mut out = Vec::new();
    ebml::master(&mut out, id::EBML, |out| {
        ebml::uint(out, 0x4286, 1);
        ebml::uint(out, 0x42f7, 1);
        ebml::uint(out, 0x42f2, 4);
        ebml::uint(out, 0x42f3, 8);
        ebml::element(out, id::DOC_TYPE, if is_webm { b"webm" } else { b"matroska" });
        ebml::uint(out, 0x4287, 4);
        ebml::uint(out, 0x4285, 2);
    });
    ebml::write_id(&mut out, id::SEGMENT);
    out.extend_from_slice(&ebml::UNKNOWN);
    ebml::void(&mut out, SEEK_HEAD_LEN);
    ebml::master(&mut out, id::INFO, |out| {
        // First, so that the duration is found again: see `finish`.
        ebml::void(out, DURATION_LEN);
        ebml::uint(out, 0x2a_d7b1, 1_000_000);
        ebml::element(out, 0x4d80, b"roundtable");
        ebml::element(out, 0x5741, b"roundtable");
    });
    ebml::master(&mut out, id::TRACKS, |out| {
        if let Some(pictures) = pictures {
            ebml::master(out, 0xae, |out| video_entry(out, pictures));
        }
        if sound {
            ebml::master(out, 0xae, audio_entry);
        }
    });
    out
}

fn video_entry(out: &mut Vec<u8>, pictures: &Pictures) {
    let name: &[u8] = match pictures.codec {
        Codec::Vp9 => b"V_VP9",
        Codec::H264 => b"V_MPEG4/ISO/AVC",
        Codec::Av1 => b"V_AV1",
        Codec::Vp8 | Codec::Opus | Codec::Red => b"V_VP8",
    };
    ebml::uint(out, 0xd7, VIDEO);
    ebml::uint(out, 0x73c5, VIDEO);
    ebml::uint(out, 0x83, 1);
    ebml::uint(out, 0x9c, 0);
    ebml::element(out, 0x86, name);
    if !pictures.private.is_empty() {
        ebml::element(out, 0x63a2, &pictures.private);
    }
    ebml::master(out, 0xe0, |out| {
        ebml::uint(out, 0xb0, pictures.width.into());
        ebml::uint(out, 0xba, pictures.height.into());
    });
}

fn audio_entry(out: &mut Vec<u8>) {
    // An identification header of Ogg Opus (RFC 7845): two channels, no pre-skip, 48 kHz.
    let mut private = b"OpusHead\x01\x02".to_vec();
    private.extend_from_slice(&0u16.to_le_bytes());
    private.extend_from_slice(&48_000u32.to_le_bytes());
    private.extend_from_slice(&[0, 0, 0]);
    ebml::uint(out, 0xd7, AUDIO);
    ebml::uint(out, 0x73c5, AUDIO);
    ebml::uint(out, 0x83, 2);
    ebml::uint(out, 0x9c, 0);
    ebml::element(out, 0x86, b"A_OPUS");
    // What has to be decoded before a place that is sought, in nanoseconds.
    ebml::uint(out, 0x56bb, 80_000_000);
    ebml::element(out, 0x63a2, &private);
    ebml::master(out, 0xe1, |out| {
        ebml::float(out, 0xb5, 48_000.0);
        ebml::uint(out, 0x9f, 2);
    });
}
