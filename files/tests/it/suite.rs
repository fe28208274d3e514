//! What holds for every storage.

use std::io::{Cursor, Read};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use events::FileId;
use files::{
    Bounds, IntakeError, KeepError, LeastRate, PictureError, Storage, StorageError, Studio, receive,
};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use image::codecs::jpeg::JpegEncoder;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use crate::s3::S3;

const MIB: usize = 1024 * 1024;
const BOUNDS: Bounds = Bounds {
    largest: 20 * MIB as u64,
    silence: Duration::from_secs(20),
    whole: Duration::from_secs(60),
    least: LeastRate { per_second: 1, after: Duration::from_secs(60) },
};

/// A storage, and what it stands on.
struct Stage {
    storage: Storage,
    folder: Option<TempDir>,
    s3: Option<S3>,
}

impl Stage {
    fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&folder.path().display().to_string(), []).unwrap();
        Self { storage, folder: Some(folder), s3: None }
    }

    async fn s3() -> Self {
        let s3 = S3::start().await;
        let storage = Storage::open(&s3.url, s3.options.clone()).unwrap();
        Self { storage, folder: None, s3: Some(s3) }
    }

    /// How many objects there are.
    fn objects(&self) -> usize {
        match (&self.folder, &self.s3) {
            (Some(folder), _) => count(folder.path()),
            (None, Some(s3)) => s3.objects(),
            (None, None) => 0,
        }
    }

    /// Waits until there are so many objects: what is dropped is cleaned up a moment later.
    async fn has(&self, objects: usize) {
        let wait = async {
            while self.objects() != objects {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "{} objects instead of {objects}", self.objects());
    }

    async fn read(&self, file: FileId, digest: &str) -> Result<Vec<u8>, StorageError> {
        let content = self.storage.read(file, digest, None).await?;
        let pieces: Vec<Bytes> = content.bytes.try_collect().await?;
        Ok(pieces.concat())
    }
}

fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

fn file(number: u128) -> FileId {
    FileId::new(Uuid::from_u128(number))
}

/// Bytes that are nothing in particular.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..length).map(next).collect()
}

/// What comes over a connection: pieces of a size that fits nothing.
fn pieces(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Unpin + use<> {
    let pieces: Vec<_> = bytes.chunks(70_001).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(pieces)
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_pixel(width, height, image::Rgb([1, 2, 3]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A JPEG of little quality that says that it lies on its side.
fn lying_jpeg() -> Vec<u8> {
    let pixels = noise(200 * 100 * 3);
    let image = image::RgbImage::from_raw(200, 100, pixels).unwrap();
    let mut plain = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut plain, 10)).unwrap();
    let exif =
        b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&plain[..2], exif, &plain[2..]].concat()
}

/// A PNG of one pixel with a colour profile of so many MiB of zeros.
fn profile_bomb(mib: u64) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(b"iCCPbomb\0\0".to_vec(), Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(mib << 20), &mut packed).unwrap();
    let chunk = packed.finish().unwrap();
    let length = u32::try_from(chunk.len() - 4).unwrap().to_be_bytes();
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    let plain = png(1, 1);
    // The header ends after 8 + 25 bytes.
    [&plain[..33], &length, &chunk, &crc.sum().to_be_bytes(), &plain[33..]].concat()
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

async fn a_file_comes_back_as_it_went(stage: Stage) {
    stage.storage.probe().await.unwrap();
    let studio = Studio::new(stage.storage.clone());
    // More than one part on every storage.
    let bytes = noise(12 * MIB + 3);
    let received = receive(&stage.storage, pieces(&bytes), BOUNDS).await.unwrap();
    let digest = hex::encode(Sha256::digest(&bytes));
    assert_eq!((received.bytes, &received.digest), (bytes.len() as u64, &digest));
    let kept = studio.keep(received, file(1)).await.unwrap();
    assert_eq!((kept.bytes, &kept.digest), (bytes.len() as u64, &digest));
    assert_eq!((kept.media_type, kept.pixels), ("application/octet-stream", None));
    stage.has(1).await;
    assert!(stage.read(file(1), &digest).await.unwrap() == bytes);
    for (from, to) in [(0, 1), (5 * MIB - 1, 5 * MIB + 1), (bytes.len() - 1, bytes.len())] {
        let range = from as u64..to as u64;
        let content = stage.storage.read(file(1), &digest, Some(range.clone())).await.unwrap();
        assert_eq!((content.range, content.length), (range, bytes.len() as u64));
        let part: Vec<Bytes> = content.bytes.try_collect().await.unwrap();
        assert!(part.concat() == bytes[from..to]);
    }
    // The same again is no harm, and is still one object.
    let again = receive(&stage.storage, pieces(&bytes), BOUNDS).await.unwrap();
    studio.keep(again, file(1)).await.unwrap();
    stage.has(1).await;
    stage.storage.remove(file(1)).await.unwrap();
    stage.storage.remove(file(1)).await.unwrap();
    stage.has(0).await;
    assert!(matches!(stage.read(file(1), &digest).await, Err(StorageError::Missing)));
}

async fn what_is_refused_leaves_nothing(stage: Stage) {
    let receive = async |body: Vec<Result<Bytes, std::io::Error>>, bounds| {
        let body = stream::iter(body).chain(stream::pending());
        receive(&stage.storage, Box::pin(body), bounds).await.unwrap_err()
    };
    let piece = || Ok(Bytes::from(noise(3 * MIB)));
    let bounds = Bounds { largest: 8 * MIB as u64, silence: Duration::from_millis(50), ..BOUNDS };
    let refused = receive(vec![piece(), piece(), piece()], bounds).await;
    assert!(matches!(refused, IntakeError::TooLarge), "{refused:?}");
    let refused = receive(vec![piece(), piece()], bounds).await;
    assert!(matches!(refused, IntakeError::Stalled), "{refused:?}");
    let slow = Bounds { silence: BOUNDS.silence, whole: Duration::from_millis(50), ..bounds };
    let refused = receive(vec![piece(), piece()], slow).await;
    assert!(matches!(refused, IntakeError::Stalled), "{refused:?}");
    let cut = std::io::Error::other("the client went away");
    let refused = receive(vec![piece(), piece(), Err(cut)], bounds).await;
    assert!(matches!(refused, IntakeError::Cut), "{refused:?}");
    stage.has(0).await;

    let studio = Studio::new(stage.storage.clone());
    let broken = [&b"\x89PNG\r\n\x1A\n"[..], b"<html>"].concat();
    let received = files::receive(&stage.storage, pieces(&broken), BOUNDS).await.unwrap();
    let refused = studio.keep(received, file(1)).await.unwrap_err();
    assert!(matches!(refused, KeepError::Picture(PictureError::Broken)), "{refused:?}");
    drop(files::receive(&stage.storage, pieces(&noise(9)), BOUNDS).await.unwrap());
    stage.has(0).await;
}

async fn a_picture_is_kept_with_its_thumbnails(stage: Stage) {
    let studio = Studio::new(stage.storage.clone());
    let keep = async |bytes: &[u8], number| {
        let received = receive(&stage.storage, pieces(bytes), BOUNDS).await.unwrap();
        studio.keep(received, file(number)).await.unwrap()
    };
    let kept = keep(&png(700, 400), 2).await;
    assert_eq!(kept.media_type, "image/png");
    let pixels = kept.pixels.unwrap();
    assert_eq!((pixels.width, pixels.height), (700, 400));
    stage.has(3).await;
    let picture = stage.read(file(2), &kept.digest).await.unwrap();
    assert_eq!(hex::encode(Sha256::digest(&picture)), kept.digest);
    for (size, dimensions) in [(320, (320, 183)), (64, (64, 37))] {
        let bytes = stage.storage.thumbnail(file(2), &kept.digest, size).await.unwrap();
        let small = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(small.dimensions(), dimensions);
    }
    // Two uploads of one id: each has its own bytes, and one can be taken back.
    let other = keep(&png(7, 4), 2).await;
    stage.has(6).await;
    stage.storage.remove_version(file(2), &other.digest).await.unwrap();
    stage.has(3).await;
    assert!(stage.read(file(2), &kept.digest).await.is_ok());
    stage.storage.remove(file(2)).await.unwrap();
    stage.has(0).await;
}

async fn a_picture_that_grows_when_it_is_turned_is_measured_again(stage: Stage) {
    let studio = Studio::new(stage.storage.clone());
    let picture = lying_jpeg();
    let keep = async |largest| {
        let bounds = Bounds { largest, ..BOUNDS };
        let received = receive(&stage.storage, pieces(&picture), bounds).await.unwrap();
        studio.keep(received, file(4)).await
    };
    let came = picture.len() as u64;
    let refused = keep(came).await.unwrap_err();
    let KeepError::Grown { bytes } = refused else { panic!("{refused:?}") };
    assert!(bytes > 2 * came, "{bytes} of {came}");
    let refused = keep(bytes - 1).await;
    assert!(matches!(refused, Err(KeepError::Grown { .. })), "{refused:?}");
    stage.has(0).await;
    let kept = keep(bytes).await.unwrap();
    assert_eq!(kept.bytes, bytes);
    assert_eq!(kept.pixels.map(|pixels| (pixels.width, pixels.height)), Some((100, 200)));
    stage.has(3).await;
}

async fn what_is_old_is_found_and_what_is_young_stays(stage: Stage) {
    let studio = Studio::new(stage.storage.clone());
    let received = receive(&stage.storage, pieces(b"some text"), BOUNDS).await.unwrap();
    let kept = studio.keep(received, file(3)).await.unwrap();
    let left = receive(&stage.storage, pieces(b"never finished"), BOUNDS).await.unwrap();
    // As a crash would leave it.
    std::mem::forget(left);
    stage.has(2).await;
    let (past, future) = (now() - TimeDelta::days(1), now() + TimeDelta::minutes(1));
    let older = async |moment| -> Vec<_> {
        stage.storage.older_than(moment).try_collect::<Vec<_>>().await.unwrap()
    };
    assert_eq!(older(past).await, []);
    let mut old = older(future).await;
    old.sort_by_key(|orphan| orphan.of.is_some());
    let of: Vec<_> = old.iter().map(|orphan| orphan.of.clone()).collect();
    assert_eq!(of, [None, Some((file(3), kept.digest.clone()))]);
    // It was written again in between.
    assert!(!stage.storage.remove_orphan(old[0].clone(), past).await.unwrap());
    assert!(stage.storage.remove_orphan(old[0].clone(), future).await.unwrap());
    assert!(!stage.storage.remove_orphan(old[0].clone(), future).await.unwrap());
    stage.has(1).await;
    assert!(stage.read(file(3), &kept.digest).await.is_ok());
}

macro_rules! on_every_storage {
    ($($test:ident)*) => {
        mod on_a_folder {
            $(#[tokio::test] async fn $test() { super::$test(super::Stage::local()).await; })*
        }
        mod on_s3 {
            $(#[tokio::test] async fn $test() { super::$test(super::Stage::s3().await).await; })*
        }
    };
}

on_every_storage! {
    a_file_comes_back_as_it_went
    what_is_refused_leaves_nothing
    a_picture_is_kept_with_its_thumbnails
    a_picture_that_grows_when_it_is_turned_is_measured_again
    what_is_old_is_found_and_what_is_young_stays
}

#[tokio::test]
async fn a_wrong_key_is_no_way_into_the_bucket() {
    let s3 = S3::start().await;
    let mut options = s3.options.clone();
    options[1].1 = "another-secret".to_owned();
    let storage = Storage::open(&s3.url, options).unwrap();
    assert!(matches!(storage.probe().await, Err(StorageError::Away(_))));
    assert!(receive(&storage, pieces(b"text"), BOUNDS).await.is_err());
    assert_eq!(s3.objects(), 0);
}

#[tokio::test]
async fn halves_that_a_crash_left_in_the_folder_are_swept() {
    let stage = Stage::local();
    let folder = stage.folder.as_ref().unwrap().path().join("incoming");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("0000#1"), "half").unwrap();
    let (past, future) = (now() - TimeDelta::days(1), now() + TimeDelta::minutes(1));
    assert_eq!(stage.storage.remove_halves(past).await.unwrap(), 0);
    assert_eq!(stage.storage.remove_halves(future).await.unwrap(), 1);
    assert_eq!(stage.objects(), 0);
}

#[tokio::test]
async fn a_picture_with_a_bomb_for_a_colour_profile_takes_little_memory() {
    let stage = Stage::local();
    let studio = Studio::new(stage.storage.clone());
    let bomb = profile_bomb(250);
    assert!(bomb.len() < MIB);
    let before = peak();
    let received = receive(&stage.storage, pieces(&bomb), BOUNDS).await.unwrap();
    let kept = studio.keep(received, file(5)).await.unwrap();
    let more = peak() - before;
    assert!(kept.bytes < 200, "{} bytes are kept", kept.bytes);
    assert!(more < 64 * MIB as u64, "{} MiB", more / MIB as u64);
}
