//! A recording as people make it: they consent, it runs, and everybody who was in the call has the files.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::acts::position;
use e2e::files::{get, says};
use e2e::phone::Phone;
use e2e::refusal::{accepted, refused};
use e2e::talk::{Group, Person};
use e2e::up::Up;
use events::{CallId, Position};
use reqwest::Method;
use roundtable::client::{key, new_id};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// One participant in a browser, as the SFU's own tests have it.
const PAGE: &str = include_str!("../../sfu/tests/browser/page.html");

/// A page of Chromium with a fake camera and microphone, in a call.
struct Page {
    _child: Child,
    _profile: tempfile::TempDir,
    _site: tokio::task::JoinHandle<()>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self._site.abort();
    }
}

impl Page {
    async fn open(ticket: &Value) -> Result<Self> {
        let (site, address) = site().await?;
        let url = ticket["url"].as_str().context("a URL")?.replacen("http", "ws", 1);
        let ticket = ticket["ticket"].as_str().context("a ticket")?;
        let profile = tempfile::tempdir()?;
        let child = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
            .args(["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--no-first-run"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{address}/?name=page&sfu={url}/v1/sfu&ticket={ticket}"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("`scripts/deps tests` installs chromium")?;
        Ok(Self { _child: child, _profile: profile, _site: site })
    }
}

/// Gives the page to whoever asks, and takes its reports.
async fn site() -> Result<(tokio::task::JoinHandle<()>, std::net::SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 64 * 1024];
                let len = client.read(&mut asked).await.unwrap_or(0);
                let is_page =
                    asked[..len].starts_with(b"GET / ") || asked[..len].starts_with(b"GET /?");
                let (kind, body) =
                    if is_page { ("text/html", PAGE) } else { ("application/json", "{}") };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                // A browser that is gone reads nothing.
                client.write_all(format!("{head}{body}").as_bytes()).await.ok();
            });
        }
    });
    Ok((serving, address))
}

/// A group of two who talk on the SFU, and one who is in the group and stays out of the call.
struct Stage {
    up: Up,
    group: Group,
    ada: Phone,
    ben: Phone,
    cleo: Phone,
    call: CallId,
}

impl Stage {
    async fn new() -> Result<Self> {
        let up = Up::start().await?;
        let group = Group::new(&up.url, &["Ada", "Ben", "Cleo"]).await?;
        let mut ada = Phone::of(&group.people[0], &up.url).await?;
        let mut ben = Phone::of(&group.people[1], &up.url).await?;
        let cleo = Phone::of(&group.people[2], &up.url).await?;
        let more = json!({ "carrier": "sfu", "ring": [] });
        let call = ada.calls(group.conversation, more).await?;
        ben.done("call.join", json!({ "call": call })).await?;
        Ok(Self { up, group, ada, ben, cleo, call })
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/calls/{}{rest}", self.call)
    }

    fn person(&self, index: usize) -> &Person {
        &self.group.people[index]
    }

    async fn everybody_agrees(&mut self) -> Result<()> {
        let about = json!({ "call": self.call });
        self.ada.done("call.ask_consent", about).await?;
        self.ben.event("call.consent_asked").await?;
        self.ben.done("call.consent", json!({ "call": self.call, "agrees": true })).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_and_those_who_were_in_it_have_the_files() -> Result<()> {
    let mut stage = Stage::new().await?;
    let (call, url) = (stage.call, stage.up.url.clone());
    let eve = Person::new(&url, "Eve").await?;
    let ticket = stage.ada.posts(&stage.path("/ticket")).await?;
    let _page = Page::open(&ticket).await?;
    stage.ben.event("call.media_joined").await?;

    // Not without everybody's consent, and not by anybody.
    let post = |who: &Person, path: &str| who.request(&url, Method::POST, path);
    let recordings = stage.path("/recordings");
    let keyed = |who: &Person, key: &str| -> Result<_> {
        Ok(post(who, &recordings)?.header("Idempotency-Key", key.to_owned()).json(&json!({})))
    };
    let ada = stage.person(0).clone();
    refused(keyed(&ada, &key().to_string())?, 409, "no-consent").await?;
    stage.everybody_agrees().await?;
    refused(keyed(stage.person(1), &key().to_string())?, 403, "may-not-record").await?;
    refused(keyed(stage.person(2), &key().to_string())?, 403, "not-in-call").await?;
    refused(keyed(&eve, &key().to_string())?, 404, "no-such-call").await?;
    refused(post(&ada, &recordings)?.json(&json!({})), 400, "idempotency-key").await?;
    let bad = post(&ada, &recordings)?.header("Idempotency-Key", key().to_string());
    refused(bad.json(&json!({ "recording": 7 })), 422, "wrong-shape").await?;

    // It runs, once, and everybody is told.
    let same = key().to_string();
    let begun = accepted(keyed(&ada, &same)?, 201).await?;
    ensure!(accepted(keyed(&ada, &same)?, 201).await? == begun, "it was begun twice");
    refused(keyed(&ada, &key().to_string())?, 409, "recording-runs").await?;
    for phone in [&mut stage.ada, &mut stage.ben, &mut stage.cleo] {
        let told = phone.event("call.recording_started").await?;
        ensure!(told["data"]["recording"] == begun["id"], "{told}");
    }
    let seen = stage.cleo.sees(call, position(&begun)?).await?;
    ensure!(seen["recording_id"] == begun["id"], "{seen}");

    // Media flows for a while; this is how long the file is.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stop = |id: &Value| format!("{recordings}/{}/stop", id.as_str().unwrap_or_default());
    let stop_by = |who: &Person, id: &Value| -> Result<_> {
        Ok(post(who, &stop(id))?.header("Idempotency-Key", key().to_string()))
    };
    refused(stop_by(stage.person(1), &begun["id"])?, 403, "may-not-record").await?;
    refused(stop_by(&eve, &begun["id"])?, 404, "no-such-call").await?;
    refused(stop_by(&ada, &json!(new_id()))?, 404, "no-such-recording").await?;
    accepted(stop_by(&ada, &begun["id"])?, 202).await?;
    accepted(stop_by(&ada, &begun["id"])?, 202).await?;
    let stopped = stage.ben.event("call.recording_stopped").await?;
    ensure!(stopped["data"]["cause"] == "stopped", "{stopped}");
    let stored = stage.ben.event("call.recording_stored").await?;
    ensure!(stored["data"]["of"] == stage.ada.participant(), "{stored}");
    ensure!(stored["data"]["source"] == "camera", "{stored}");
    let after: Position = serde_json::from_value(stored["position"].clone())?;

    // Who was in the call has the list and the file; who was not has neither.
    let list: Value = stage.ben.session.read(&recordings, Some(after)).await?;
    let recording = &list["items"][0];
    ensure!(recording["id"] == begun["id"] && recording["cause"] == "stopped", "{list}");
    ensure!(recording["files"][0]["file"] == stored["data"]["file"], "{list}");
    ensure!(recording["files"][0]["media_type"] == "video/webm", "{list}");
    let empty: Value = stage.cleo.session.read(&recordings, Some(after)).await?;
    ensure!(empty == json!({ "items": [] }), "{empty}");
    let file = format!("/v1/files/{}", stored["data"]["file"].as_str().context("a file")?);
    let content = format!("{file}/content");
    for stranger in [&eve, stage.person(2)] {
        for path in [&file, &content] {
            ensure!(get(&url, stranger, path, Some(after), &[]).await?.status() == 404, "{path}");
        }
    }
    let answer = get(&url, &eve, &recordings, Some(after), &[]).await?;
    ensure!(answer.status() == 404, "{}", answer.status());
    let answer = get(&url, stage.person(1), &content, Some(after), &[]).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    ensure!(says(answer.headers(), "content-type") == "video/webm", "{:?}", answer.headers());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("recording.webm");
    tokio::fs::write(&path, answer.bytes().await?).await?;
    let milliseconds = stored["data"]["milliseconds"].as_f64().context("a length")?;
    check(&path, milliseconds / 1000.0).await?;

    // What is recorded of somebody is theirs: it goes when they remove it.
    let remove = |who: &Person| -> Result<_> {
        let request = who.request(&url, Method::DELETE, &file)?;
        Ok(request.header("Idempotency-Key", key().to_string()))
    };
    let ben = stage.person(1).clone();
    ensure!(remove(&ben)?.send().await?.status() == 403, "it is Ada's");
    let removed = position(&accepted(remove(&ada)?, 202).await?)?;
    let list: Value = stage.ben.session.read(&recordings, Some(removed)).await?;
    ensure!(list["items"][0]["files"] == json!([]), "{list}");
    ensure!(get(&url, &ben, &content, Some(removed), &[]).await?.status() == 404);
    stage.up.end().await
}

/// Sound and pictures, of this length, and without a fault.
async fn check(path: &std::path::Path, seconds: f64) -> Result<()> {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-show_format", "-of", "json"])
        .arg(path)
        .output()
        .await
        .context("`scripts/deps tests` installs ffmpeg")?;
    ensure!(probed.stderr.is_empty(), "{}", String::from_utf8_lossy(&probed.stderr));
    let probed: Value = serde_json::from_slice(&probed.stdout)?;
    let duration: f64 = probed["format"]["duration"].as_str().context("a length")?.parse()?;
    ensure!((duration - seconds).abs() < 0.01 && duration > 2.0, "{duration} of {seconds}");
    let kinds: Vec<_> = probed["streams"].as_array().context("streams")?.iter().collect();
    ensure!(kinds.iter().any(|stream| stream["codec_name"] == "vp8"), "{probed}");
    ensure!(kinds.iter().any(|stream| stream["codec_name"] == "opus"), "{probed}");
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-vsync", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .await?;
    ensure!(decoded.status.success() && decoded.stderr.is_empty(), "it is not decoded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_sees_that_it_is_recorded_and_ends_it_by_not_agreeing() -> Result<()> {
    let mut stage = Stage::new().await?;
    let call = stage.call;
    stage.everybody_agrees().await?;
    let recording = new_id();
    let start = json!({ "call": call, "recording": recording });
    stage.cleo.refused("call.start_recording", start.clone(), "not-in-call").await?;
    stage.ben.refused("call.start_recording", start.clone(), "may-not-record").await?;
    let made = stage.ada.done("call.start_recording", start.clone()).await?;
    ensure!(made["recording"] == json!(recording), "{made}");
    stage.ada.done("call.start_recording", start).await?;
    let joined = stage.cleo.done("call.join", json!({ "call": call, "agrees": true })).await?;
    ensure!(joined["joined"]["recorded"] == true, "{joined}");
    stage.cleo.done("call.leave", json!({ "call": call })).await?;
    let joined = stage.cleo.done("call.join", json!({ "call": call })).await?;
    ensure!(joined["joined"]["recorded"] == false, "{joined}");
    let stopped = stage.ben.event("call.recording_stopped").await?;
    ensure!(stopped["data"]["cause"] == "newcomer", "{stopped}");
    let stop = json!({ "call": call, "recording": recording });
    stage.ada.done("call.stop_recording", stop).await?;
    stage.up.end().await
}
