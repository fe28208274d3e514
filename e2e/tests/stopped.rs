//! Long work of the operator that is killed on its way, and goes on from there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::narrow::Narrow;
use e2e::operator::{killed, run, tried};
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::{Up, folder};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// More than tools read at once.
const MESSAGES: usize = 2500;

/// Bytes a second: the log takes some seconds.
const SLOWLY: usize = 400_000;

/// Something in a bookmark.
fn kept(file: &Path, pointer: &str) -> Option<Value> {
    let read: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    read.pointer(pointer).cloned()
}

/// A stack with a log that takes a while, and the group that talked.
async fn talked() -> Result<(Up, Group)> {
    let up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let said = stream::iter(0..MESSAGES)
        .map(|index| group.say(index % 2, "one of very many words"))
        .buffer_unordered(32);
    said.try_for_each(async |_| Ok(())).await?;
    Ok((up, group))
}

fn url(way: &Narrow) -> String {
    format!("esdb://{}?tls=false", way.address)
}

/// Waits until the notary has signed everything.
async fn signed(up: &Up) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = run(&up.data(), &["audit", "status", "--json"]).await?;
        let status: Value = serde_json::from_str(&status)?;
        if status["unsigned"] == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{status}");
        sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_is_stopped_goes_on_and_comes_to_the_same() -> Result<()> {
    let (up, group) = talked().await?;
    signed(&up).await?;
    let data = up.data();
    let port = fs::read_to_string(data.join("event-store.port"))?;
    let way = Narrow::to(&format!("127.0.0.1:{}", port.trim()), SLOWLY).await?;
    let place = folder()?;
    verification(&data, &way, place.path()).await?;
    verification_of_a_file(&data, place.path()).await?;
    let conversation = group.conversation.to_string();
    compliance(&data, &way, place.path(), &conversation).await?;
    what_was_erased_meanwhile_is_in_no_export(&data, &way, place.path(), &group).await?;
    up.end().await
}

async fn verification(data: &Path, way: &Narrow, place: &Path) -> Result<()> {
    let bookmark = place.join("verify");
    let (file, url) = (bookmark.to_string_lossy(), url(way));
    let verify = ["audit", "verify", "--resume", &file, "--eventstore-url", &url];
    let halfway = || kept(&bookmark, "/place/verifier/read").is_some_and(|read| read != 0);
    ensure!(killed(data, &verify, halfway).await?, "it was quicker");
    way.narrow(false);
    // The log of another deployment is other work.
    let other = Up::alone().await?;
    Person::new(&other.url, "Cleo").await?;
    let output = tried(&other.data(), &verify[..4]).await?;
    other.end().await?;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && wrong.contains("is of other work than this"), "{wrong}");
    let read = kept(&bookmark, "/place/verifier/read").context("a count")?;
    let output = tried(data, &verify).await?;
    let (out, wrong) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(wrong.contains(&format!("going on after {read} events")), "{wrong}");
    let events = |out: &str| {
        let line = out.lines().find(|line| line.starts_with("verified: "))?;
        line.split(' ').nth(1)?.parse::<usize>().ok()
    };
    let whole = run(data, &["audit", "verify"]).await?;
    ensure!(output.status.success() && events(&out) >= Some(MESSAGES), "{out}");
    // The notary goes on meanwhile.
    ensure!(events(&out) <= events(&whole) && out.contains(", 0 faults"), "{out}{whole}");
    ensure!(!bookmark.exists());
    Ok(())
}

async fn verification_of_a_file(data: &Path, place: &Path) -> Result<()> {
    let (export, bookmark) = (place.join("export"), place.join("verify-file"));
    let (from, file) = (export.to_string_lossy(), bookmark.to_string_lossy());
    run(data, &["audit", "export", &from]).await?;
    let verify = ["audit", "verify", "--from", &from, "--resume", &file];
    stopped(data, &verify, &bookmark).await?;
    let of_other_work = ["audit", "verify", "--resume", &file];
    let output = tried(data, &of_other_work).await?;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && wrong.contains("is of other work than this"), "{wrong}");
    // Something is changed that it has not read.
    let whole = fs::read_to_string(&export)?;
    let sent = "\"type\":\"message.sent\"";
    let last = whole.rfind(sent).context("a message")?;
    let changed = format!(
        "{}{}",
        &whole[..last],
        whole[last..].replacen(sent, "\"type\":\"message.seen\"", 1)
    );
    fs::write(&export, changed)?;
    let output = tried(data, &verify).await?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!output.status.success() && out.contains(", 1 faults"), "{out}");
    fs::write(&export, &whole)?;
    let out = run(data, &verify).await?;
    ensure!(out.contains(", 0 faults"), "{out}");

    // And something that it has.
    stopped(data, &verify, &bookmark).await?;
    fs::write(&export, whole.replacen("\"type\":\"", "\"type\":\"un", 1))?;
    let output = tried(data, &verify).await?;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(wrong.contains("what was read of the file has changed"), "{wrong}");
    ensure!(!output.status.success() && out.contains(", 1 faults"), "{out}");
    Ok(())
}

/// Begins it until it is killed in time.
async fn stopped(data: &Path, verify: &[&str], bookmark: &Path) -> Result<()> {
    let begun = Instant::now();
    while !killed(data, verify, || bookmark.exists()).await? {
        ensure!(begun.elapsed() < PATIENCE, "it is always quicker");
    }
    Ok(())
}

async fn compliance(data: &Path, way: &Narrow, place: &Path, conversation: &str) -> Result<()> {
    let (stopped, whole) = (place.join("stopped"), place.join("whole"));
    let bookmark = stopped.join("unfinished.json");
    let (into, url) = (stopped.to_string_lossy(), url(way));
    let export =
        ["compliance", "--eventstore-url", &url, "--conversation", conversation, "--into", &into];
    let halfway = || kept(&bookmark, "/place/lines").is_some_and(|lines| lines != 0);
    way.narrow(true);
    ensure!(killed(data, &export, halfway).await?, "it was quicker");
    way.narrow(false);
    let lines = kept(&bookmark, "/place/lines").context("bytes")?;
    let output = tried(data, &["compliance", "--into", &into]).await?;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(wrong.contains("is of other work than this"), "{wrong}");
    run(data, &export).await?;
    let into_whole = whole.to_string_lossy();
    run(data, &["compliance", "--conversation", conversation, "--into", &into_whole]).await?;
    for name in ["events.jsonl", "messages.csv"] {
        let [one, other] = [&stopped, &whole].map(|folder| fs::read(folder.join(name)));
        ensure!(one? == other?, "{name} is another");
    }
    let all = fs::metadata(stopped.join("events.jsonl"))?.len();
    ensure!(lines.as_u64() < Some(all), "{lines} of {all} bytes");
    ensure!(!bookmark.exists());
    let check = run(data, &["compliance", "--check", &into]).await?;
    ensure!(check.contains(" 0 faults"), "{check}");
    let again = tried(data, &export).await?;
    let wrong = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(!again.status.success() && wrong.contains("holds a whole export already"), "{wrong}");
    Ok(())
}

async fn what_was_erased_meanwhile_is_in_no_export(
    data: &Path,
    way: &Narrow,
    place: &Path,
    group: &Group,
) -> Result<()> {
    let folder = place.join("erased-meanwhile");
    let (bookmark, into, url) =
        (folder.join("unfinished.json"), folder.to_string_lossy(), url(way));
    let export = ["compliance", "--eventstore-url", &url, "--into", &into];
    let halfway = || kept(&bookmark, "/place/lines").is_some_and(|lines| lines != 0);
    let words = "one of very many words";
    way.narrow(true);
    ensure!(killed(data, &export, halfway).await?, "it was quicker");
    way.narrow(false);
    ensure!(fs::read_to_string(folder.join("events.jsonl"))?.contains(words));
    for person in &group.people {
        let certificate = place.join("certificate").to_string_lossy().into_owned();
        let user = person.user().to_string();
        run(data, &["erase", &user, "--yes", "--certificate", &certificate]).await?;
    }
    let output = tried(data, &export).await?;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{wrong}");
    ensure!(wrong.contains("beginning anew: somebody was erased meanwhile"), "{wrong}");
    for name in ["events.jsonl", "messages.csv"] {
        ensure!(!fs::read_to_string(folder.join(name))?.contains(words), "{name}");
    }
    Ok(())
}
