//! Files over real processes: what comes back, who sees it, and what hostile people get.

use std::io::Cursor;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::files::{get, says, upload, uploaded};
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::Up;
use events::{ConversationId, Position};
use reqwest::{Method, RequestBuilder};
use roundtable::client::{Accepted, key};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../../files/tests/it/s3.rs"]
mod s3;

const MIB: usize = 1024 * 1024;

/// A picture of this size, one colour.
fn png(width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 30]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture can be written");
    bytes.into_inner()
}

#[tokio::test]
async fn a_file_comes_back_whole_in_parts_and_safely() -> Result<()> {
    let up = Up::start().await?;
    a_file_comes_back(&up.url).await?;
    up.end().await
}

#[tokio::test]
async fn the_same_holds_with_a_server_that_speaks_s3() -> Result<()> {
    let s3 = s3::S3::start().await;
    let mut given = s3.options.clone();
    given.push(("ROUNDTABLE_FILES_URL".to_owned(), s3.url.clone()));
    let given: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let up = Up::with(&given).await?;
    a_file_comes_back(&up.url).await?;
    ensure!(s3.objects() > 0, "nothing came to the bucket");
    up.end().await
}

async fn a_file_comes_back(url: &str) -> Result<()> {
    let group = Group::new(url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    // More than one part, and not a multiple of anything.
    let bytes: Vec<u8> = (0..6 * MIB + 17).map(|place| (place * 31 % 251) as u8).collect();
    let file = uploaded(url, ada, group.conversation, "Übung 1.bin", &bytes).await?;
    let path = format!("/v1/files/{}", file.id);
    let about: Value = ada.session.read(&path, Some(file.position)).await?;
    ensure!(about["name"] == "Übung 1.bin" && about["bytes"] == bytes.len(), "{about}");
    ensure!(about["media_type"] == "application/octet-stream", "{about}");
    ensure!(about["thumbnails"] == json!([]) && about["width"].is_null(), "{about}");
    let own: Value = ada.session.read("/v1/files", Some(file.position)).await?;
    ensure!(own["items"] == json!([about]), "{own}");

    let content = format!("{path}/content");
    let whole = get(url, ada, &content, Some(file.position), &[]).await?;
    ensure!(whole.status() == 200, "{whole:?}");
    let headers = whole.headers().clone();
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename*=UTF-8''%C3%9Cbung%201.bin"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("accept-ranges", "bytes"),
    ] {
        ensure!(says(&headers, name) == value, "{name}: {headers:?}");
    }
    ensure!(says(&headers, "cache-control").starts_with("private"), "{headers:?}");
    ensure!(whole.bytes().await? == bytes, "other bytes came back");

    let tag = says(&headers, "etag");
    let known = get(url, ada, &content, None, &[("if-none-match", tag)]).await?;
    ensure!(known.status() == 304, "{known:?}");
    let end = bytes.len();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=5242879-5242881", 5_242_879, 5_242_882),
        ("bytes=-5", end - 5, end),
        ("bytes=6291000-99999999999", 6_291_000, end),
    ] {
        let part = get(url, ada, &content, None, &[("range", range)]).await?;
        ensure!(part.status() == 206, "{range}: {part:?}");
        let expected = format!("bytes {from}-{}/{end}", to - 1);
        ensure!(says(part.headers(), "content-range") == expected, "{range}: {part:?}");
        ensure!(part.bytes().await? == bytes[from..to], "{range}: other bytes");
    }
    let beyond = get(url, ada, &content, None, &[("range", "bytes=99999999-")]).await?;
    ensure!(beyond.status() == 416, "{beyond:?}");
    ensure!(says(beyond.headers(), "content-range") == format!("bytes */{end}"), "{beyond:?}");
    let abuse = vec!["0-"; 500].join(",");
    let abuse = get(url, ada, &content, None, &[("range", &format!("bytes={abuse}"))]).await?;
    ensure!(abuse.status() == 200, "{abuse:?}");
    let head = ada.request(url, Method::HEAD, &content)?.send().await?;
    ensure!(says(head.headers(), "content-length") == end.to_string(), "{head:?}");

    a_picture_has_thumbnails(url, &group).await
}

async fn a_picture_has_thumbnails(url: &str, group: &Group) -> Result<()> {
    let ada = &group.people[0];
    // It says that it is something else, which counts for nothing.
    let file = uploaded(url, ada, group.conversation, "page.html", &png(640, 480)).await?;
    let path = format!("/v1/files/{}", file.id);
    let about: Value = ada.session.read(&path, Some(file.position)).await?;
    ensure!(about["media_type"] == "image/png", "{about}");
    ensure!(about["width"] == 640 && about["height"] == 480, "{about}");
    ensure!(about["thumbnails"] == json!([320, 64]), "{about}");
    let shown = get(url, ada, &format!("{path}/content"), None, &[]).await?;
    ensure!(says(shown.headers(), "content-type") == "image/png", "{shown:?}");
    ensure!(says(shown.headers(), "content-disposition").starts_with("inline;"), "{shown:?}");
    for (size, expected) in [(320, (320, 240)), (64, (64, 48))] {
        let small = get(url, ada, &format!("{path}/thumbnails/{size}"), None, &[]).await?;
        ensure!(says(small.headers(), "content-type") == "image/jpeg", "{small:?}");
        let tag = says(small.headers(), "etag").to_owned();
        let picture = image::load_from_memory(&small.bytes().await?)?.to_rgb8();
        ensure!(picture.dimensions() == expected, "{size}: {:?}", picture.dimensions());
        let path = format!("{path}/thumbnails/{size}");
        let known = get(url, ada, &path, None, &[("if-none-match", &tag)]).await?;
        ensure!(known.status() == 304, "{known:?}");
    }
    let other = ada.request(url, Method::GET, &format!("{path}/thumbnails/65"))?;
    refused(other, 404, "no-such-thumbnail").await.map(|_| ())
}

#[tokio::test]
async fn a_hostile_file_is_refused_or_made_harmless() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let send = |name: &str, bytes: &[u8]| -> Result<RequestBuilder> {
        Ok(upload(&up.url, ada, Some(group.conversation), name, key())?.body(bytes.to_vec()))
    };
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    let html = b"<!doctype html><script>alert(1)</script>";
    for (name, bytes) in [("a.png", &html[..]), ("a.svg", svg), ("a.jpg", b"#!/bin/sh\nreboot\n")] {
        let file = accepted(send(name, bytes)?, 201).await?;
        let path = format!("/v1/files/{}/content", file["id"].as_str().context("an id")?);
        let position = file["position"].as_str().context("a position")?.parse()?;
        let answer = get(&up.url, ada, &path, Some(position), &[]).await?;
        let headers = answer.headers();
        ensure!(says(headers, "content-type") == "application/octet-stream", "{name}: {headers:?}");
        ensure!(says(headers, "content-disposition").starts_with("attachment"), "{headers:?}");
    }
    for (name, kept) in [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\0b.txt", "ab.txt"),
        ("photo\u{202E}gpj.exe", "photogpj.exe"),
        ("..", "file"),
        ("", "file"),
        ("a\r\nSet-Cookie: x=1.txt", "aSet-Cookie: x=1.txt"),
    ] {
        let file = uploaded(&up.url, ada, group.conversation, name, b"text").await?;
        let path = format!("/v1/files/{}", file.id);
        let about: Value = ada.session.read(&path, Some(file.position)).await?;
        ensure!(about["name"] == kept, "{name:?}: {about}");
    }
    let mut bomb = png(1, 1);
    bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let polyglot = [b"GIF89a/*", &html[..]].concat();
    let cut = png(100, 100);
    for (what, bytes) in
        [("bomb", &bomb[..]), ("polyglot", &polyglot), ("cut", &cut[..cut.len() - 20])]
    {
        let refused = send("a.png", bytes)?.send().await?;
        let status = refused.status();
        let text = refused.text().await?;
        ensure!(status == 422 && text.contains("picture-"), "{what}: {status} {text}");
    }
    refused(send("empty", b"")?, 422, "file-empty").await?;
    let zipped = send("a.gz", b"text")?.header("Content-Encoding", "gzip");
    refused(zipped, 415, "content-encoding").await?;
    // Somebody without a conversation has only pictures of themselves.
    let avatar = upload(&up.url, ada, None, "a.txt", key())?.body("text");
    refused(avatar, 422, "not-a-picture").await?;
    ensure!(stored(&up) == 3 + 7, "{} files are stored", stored(&up));
    up.end().await
}

/// How many objects the stack keeps, without thumbnails.
fn stored(up: &Up) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        let paths = entries.flatten().map(|entry| entry.path());
        paths
            .map(|path| match path.is_dir() {
                true => count(&path),
                false => usize::from(path.extension().is_none()),
            })
            .sum()
    }
    count(&up.data().join("files"))
}

#[tokio::test]
async fn a_repeated_upload_is_one_file_and_another_body_is_refused() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    for bytes in [png(50, 40), b"plain text".to_vec()] {
        let key = key();
        let send = |bytes: Vec<u8>| -> Result<RequestBuilder> {
            Ok(upload(&up.url, ada, Some(group.conversation), "a", key)?.body(bytes))
        };
        let first = send(bytes.clone())?;
        let (one, other) = tokio::join!(accepted(first, 201), accepted(send(bytes.clone())?, 201));
        let (one, other) = (one?, other?);
        ensure!(one == other, "{one} and {other}");
        ensure!(one == accepted(send(bytes.clone())?, 201).await?, "a third time is another");
        refused(send(b"something else".to_vec())?, 409, "key-reused").await?;
        let renamed = upload(&up.url, ada, Some(group.conversation), "b", key)?.body(bytes);
        refused(renamed, 409, "key-reused").await?;
    }
    // Two different bodies with one key at once: one of them is the file.
    let key = key();
    let send = |bytes: Vec<u8>| -> Result<RequestBuilder> {
        Ok(upload(&up.url, ada, Some(group.conversation), "a", key)?.body(bytes))
    };
    let (one, other) = tokio::join!(send(vec![1; 3 * MIB])?.send(), send(vec![2; 3 * MIB])?.send());
    let mut statuses = [one?.status().as_u16(), other?.status().as_u16()];
    statuses.sort_unstable();
    ensure!(statuses == [201, 409], "{statuses:?}");
    ensure!(stored(&up) == 3, "{} files are stored", stored(&up));
    let page: Value = ada.session.read("/v1/files", Some(head(ada).await?)).await?;
    ensure!(page["items"].as_array().is_some_and(|items| items.len() == 3), "{page}");
    up.end().await
}

/// A position after everything so far: a write of one's own.
async fn head(who: &Person) -> Result<Position> {
    let body = json!({ "bio": key().to_string() });
    let done: Accepted = who.session.write(Method::PATCH, "/v1/users/me", Some(&body)).await?;
    Ok(done.position)
}

#[tokio::test]
async fn an_upload_that_is_too_large_cut_or_lied_about_leaves_nothing() -> Result<()> {
    let up = Up::with(&[
        ("ROUNDTABLE_FILES_LARGEST", &MIB.to_string()),
        ("ROUNDTABLE_FILES_QUOTA", &(2 * MIB + 10).to_string()),
    ])
    .await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    let send = || upload(&up.url, ada, Some(group.conversation), "a", key());
    refused(send()?.body(vec![7; MIB + 1]), 413, "too-large").await?;
    let to = group.conversation;
    // Without an announced length it is found out on the way.
    let answer = chunked(&up.url, ada, to, 20, MIB / 16, true).await?;
    ensure!(answer.starts_with("HTTP/1.1 413") && answer.contains("/too-large"), "{answer}");
    // The client goes away in the middle; it announces more than it sends.
    let answer = chunked(&up.url, ada, to, 8, MIB / 16, false).await?;
    ensure!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    let answer = short_of_its_length(&up.url, ada, to).await?;
    ensure!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    nothing_is_stored(&up, 0).await?;

    for _ in 0..2 {
        accepted(send()?.body(vec![7; MIB]), 201).await?;
    }
    head_is_read(ada).await?;
    refused(send()?.body(vec![7; 100]), 409, "files-full").await?;
    let accepted_still = accepted(send()?.body("0123456789"), 201).await?;
    ensure!(accepted_still["id"].is_string(), "{accepted_still}");
    nothing_is_stored(&up, 3).await?;
    up.end().await
}

/// Waits until the read models know everything so far.
async fn head_is_read(who: &Person) -> Result<()> {
    let head = head(who).await?;
    let _: Value = who.session.read("/v1/files", Some(head)).await?;
    Ok(())
}

/// The head of an upload, which ends with how its body comes.
async fn begin(url: &str, who: &Person, to: ConversationId, framing: &str) -> Result<TcpStream> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await?;
    let head = format!(
        "POST /v1/files?conversation={to}&name=a HTTP/1.1\r\nHost: {host}\r\n\
         Connection: close\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {}\r\n{framing}\r\n\r\n",
        who.token(),
        key()
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// Sends an upload in pieces, with or without its end, and reads the answer, if there is one.
async fn chunked(
    url: &str,
    who: &Person,
    to: ConversationId,
    pieces: usize,
    size: usize,
    ends: bool,
) -> Result<String> {
    let stream = begin(url, who, to, "Transfer-Encoding: chunked").await?;
    let (mut answers, mut body) = stream.into_split();
    let sending = async {
        for number in 0..pieces {
            body.write_all(format!("{size:x}\r\n").as_bytes()).await?;
            body.write_all(&vec![(number % 251) as u8; size]).await?;
            body.write_all(b"\r\n").await?;
        }
        // Who closes their half has gone away, as servers see it.
        match ends {
            true => body.write_all(b"0\r\n\r\n").await,
            false => body.shutdown().await,
        }
    };
    let mut answer = Vec::new();
    // Who is refused may find the way closed while they still send.
    let (_, answered) = tokio::join!(sending, answers.read_to_end(&mut answer));
    drop(answered);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Announces a thousand bytes and sends four.
async fn short_of_its_length(url: &str, who: &Person, to: ConversationId) -> Result<String> {
    let mut stream = begin(url, who, to, "Content-Length: 1000").await?;
    stream.write_all(b"four").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

async fn nothing_is_stored(up: &Up, but: usize) -> Result<()> {
    let wait = async {
        while stored(up) != but {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.with_context(|| format!("{} files instead of {but}", stored(up)))
}

#[tokio::test]
async fn a_file_belongs_to_its_owner_until_it_is_removed_for_good() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let eve = Person::new(&up.url, "Eve").await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let file = uploaded(&up.url, ada, group.conversation, "a.png", &png(9, 9)).await?;
    let path = format!("/v1/files/{}", file.id);
    let paths = [path.clone(), format!("{path}/content"), format!("{path}/thumbnails/64")];
    let sees = async |who: &Person, after: Position, expected: u16| -> Result<()> {
        for path in &paths {
            let status = get(&up.url, who, path, Some(after), &[]).await?.status();
            ensure!(status == expected, "{} at {path}: {status}", who.name);
        }
        Ok(())
    };
    // Uploaded is not sent: only its owner sees it.
    sees(ada, file.position, 200).await?;
    sees(bob, file.position, 404).await?;
    sees(&eve, file.position, 404).await?;
    let nobody = reqwest::get(format!("{}{}", up.url, paths[1])).await?;
    ensure!(nobody.status() == 401, "{nobody:?}");
    // Who is not in the conversation uploads nothing to it.
    let foreign = upload(&up.url, &eve, Some(group.conversation), "a", key())?.body("text");
    refused(foreign, 404, "no-such-conversation").await?;

    let remove = |who: &Person| -> Result<RequestBuilder> {
        let request = who.request(&up.url, Method::DELETE, &path)?;
        Ok(request.header("Idempotency-Key", key().to_string()))
    };
    refused(remove(bob)?, 403, "file-not-yours").await?;
    refused(remove(&eve)?, 404, "no-such-file").await?;
    let removed = accepted(remove(ada)?, 202).await?;
    let again = accepted(remove(ada)?, 202).await?;
    ensure!(removed == again, "{removed} and {again}");
    sees(ada, removed["position"].as_str().context("a position")?.parse()?, 404).await?;
    nothing_is_stored(&up, 0).await?;
    up.end().await
}

#[tokio::test]
async fn a_large_upload_takes_little_memory() -> Result<()> {
    const SIZE: usize = 200 * MIB;
    let large = (2 * SIZE).to_string();
    let up = Up::with(&[("ROUNDTABLE_FILES_LARGEST", &large)]).await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let ada = &group.people[0];
    // A small one first, so that everything that is made once is there.
    uploaded(&up.url, ada, group.conversation, "a", &vec![7; MIB]).await?;
    let pid = up.process.pid().context("it runs")?;
    let before = resident(pid)?;
    let sending = chunked(&up.url, ada, group.conversation, SIZE / MIB, MIB, true);
    let peak = std::sync::atomic::AtomicUsize::new(before);
    let watch = async {
        loop {
            if let Ok(now) = resident(pid) {
                peak.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::select! {
        done = sending => done?,
        never = watch => never,
    };
    let (_, done) = done.rsplit_once("\r\n\r\n").context("an answer with a body")?;
    let done: Value = serde_json::from_str(done).with_context(|| done.to_owned())?;
    let up_by = peak.load(std::sync::atomic::Ordering::Relaxed).saturating_sub(before);
    let path = format!("/v1/files/{}/content", done["id"].as_str().context("an id")?);
    let after = done["position"].as_str().context("a position")?.parse()?;
    let mut answer = get(&up.url, ada, &path, Some(after), &[]).await?;
    let (mut length, mut peak) = (0, before);
    while let Some(piece) = answer.chunk().await? {
        length += piece.len();
        peak = peak.max(resident(pid)?);
    }
    ensure!(length == SIZE, "{length} bytes came back");
    let down_by = peak.saturating_sub(before);
    println!(
        "resident: {} MiB, +{} MiB up, +{} MiB down",
        before / MIB,
        up_by / MIB,
        down_by / MIB
    );
    ensure!(up_by < 48 * MIB && down_by < 48 * MIB, "up {up_by}, down {down_by} bytes");
    up.end().await
}

/// The resident memory of a process, in bytes.
fn resident(pid: u32) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
