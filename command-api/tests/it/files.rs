//! Uploads: what is asked again once the bytes are here, and what is not known for certain.

use std::path::Path;
use std::time::{Duration, Instant};

use domain::user::{Command, User};
use event_log::Context;
use events::user::PlatformRole;
use events::{StreamName, UserId};
use image::codecs::jpeg::JpegEncoder;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::client::{Person, slug};
use crate::world::{PATIENCE, World};

async fn upload(world: &World, who: &Person, key: Uuid, to: &str, bytes: &[u8]) -> Response {
    reqwest::Client::new()
        .post(format!("{}/v1/files?name=a&conversation={to}", world.url))
        .bearer_auth(&who.token)
        .header("idempotency-key", key.to_string())
        .body(bytes.to_vec())
        .send()
        .await
        .unwrap()
}

/// The answer once it is known: on a busy machine the read model of files may be behind for longer
/// than an upload waits for it.
async fn decided(world: &World, who: &Person, key: Uuid, to: &str, bytes: &[u8]) -> Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = upload(world, who, key, to, bytes).await;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE || Instant::now() >= deadline {
            return answer;
        }
    }
}

/// How many objects there are.
fn objects(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.map(|path| if path.is_dir() { objects(&path) } else { 1 }).sum()
}

async fn has(world: &World, count: usize) {
    let wait = async {
        while objects(&world.files) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{} objects instead of {count}", objects(&world.files));
}

/// As a moderator would, whom this world has not.
async fn suspend(world: &World, who: &Person) {
    let (by, now) = (UserId::new(world.id()), std::time::SystemTime::now().into());
    let (by_role, reason) = (PlatformRole::Admin, "Spam".to_owned());
    let command = Command::Suspend { by, by_role, until: None, reason, now };
    let stream = StreamName::user(who.id.parse().unwrap());
    let context = Context {
        actor: by,
        key: world.id(),
        body_hash: String::new(),
        correlation: world.id(),
        causation: world.id(),
        now,
        decided_on: None,
        token: None,
    };
    world.log.transact::<User>(&stream, &command, &context).await.unwrap();
}

#[tokio::test]
async fn who_is_suspended_while_they_upload_has_uploaded_nothing() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let group = ada.group(&world, &[]).await;
    let host = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /v1/files?conversation={group}&name=a HTTP/1.1\r\nHost: {host}\r\n\
         Connection: close\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {}\r\n\
         Content-Length: 8\r\n\r\nfour",
        ada.token,
        world.id()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // They were let in.
    has(&world, 1).await;
    suspend(&world, &ada).await;
    stream.write_all(b"more").await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("/suspended"), "{answer}");
    has(&world, 0).await;
}

#[tokio::test]
async fn while_the_read_model_of_files_stands_still_nobody_passes_the_quota() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let group = ada.group(&world, &[]).await;
    let mut standing = world.direct.begin().await.unwrap();
    // It can be read, and not be written.
    sqlx::query("lock table file in share mode").execute(&mut *standing).await.unwrap();
    let (one, other) = (world.id(), world.id());
    let mib = vec![7; 1 << 20];
    let answer = decided(&world, &ada, one, &group, &mib).await;
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let answer = upload(&world, &ada, other, &group, b"more").await;
    assert_eq!(answer.status(), 503, "{:?}", answer.text().await);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    // What is recorded is known all the same.
    assert_eq!(upload(&world, &ada, one, &group, &mib).await.status(), 201);
    standing.rollback().await.unwrap();
    let answer = decided(&world, &ada, other, &group, b"more").await;
    assert_eq!(answer.status(), 409, "{:?}", answer.text().await);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(slug(&problem), "files-full");
    has(&world, 1).await;
}

/// A JPEG of little quality that says that it lies on its side.
fn lying_jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut state = 7_u64;
    let noise = image::RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        image::Rgb([(state >> 33) as u8, (state >> 41) as u8, (state >> 49) as u8])
    });
    let mut plain = Vec::new();
    noise.write_with_encoder(JpegEncoder::new_with_quality(&mut plain, 10)).unwrap();
    let exif =
        b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&plain[..2], exif, &plain[2..]].concat()
}

#[tokio::test]
async fn a_picture_that_grows_beyond_the_quota_when_it_is_turned_is_not_kept() {
    let world = World::new().await;
    let ada = world.person("ada").await;
    let group = ada.group(&world, &[]).await;
    let picture = lying_jpeg(2400, 1600);
    assert!(picture.len() < 1 << 20, "{} bytes have room as they are", picture.len());
    let answer = decided(&world, &ada, world.id(), &group, &picture).await;
    assert_eq!(answer.status(), 409, "{:?}", answer.text().await);
    assert_eq!(slug(&answer.json().await.unwrap()), "files-full");
    has(&world, 0).await;
    let small = decided(&world, &ada, world.id(), &group, &lying_jpeg(40, 20)).await;
    assert_eq!(small.status(), 201, "{:?}", small.text().await);
    has(&world, 3).await;
}
