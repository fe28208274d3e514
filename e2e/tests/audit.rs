//! The log as others see it: auditors with an export and a key, foreign clients, and whoever has to
//! make the system again from a backup.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::files::{get, uploaded};
use e2e::operator::killed;
use e2e::process::program;
use e2e::talk::{Group, PATIENCE, Person};
use e2e::up::{Up, folder};
use events::{Position, UserId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");

/// What a program said, and whether it was content.
struct Said {
    well: bool,
    out: String,
    wrong: String,
}

impl Said {
    /// What it said line by line, as JSON.
    fn lines(&self) -> Result<Vec<Value>> {
        let read = |line| serde_json::from_str(line).with_context(|| format!("{line:?}"));
        self.out.lines().map(read).collect()
    }

    fn well(self) -> Result<Self> {
        ensure!(self.well, "{}\n{}", self.out, self.wrong);
        Ok(self)
    }
}

async fn run(program: &Path, arguments: &[&str]) -> Result<Said> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, wrong) = (text(&output.stdout), text(&output.stderr));
    Ok(Said { well: output.status.success(), out, wrong })
}

async fn roundtable(arguments: &[&str]) -> Result<Said> {
    run(&program("roundtable")?, arguments).await
}

/// Python with the official client, which `make deps tests` installs.
fn python() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("tests lie in target/*/deps")?;
    let python = target.join("clients/python/bin/python");
    ensure!(python.exists(), "{} is not there: `make test` installs it", python.display());
    Ok(python)
}

/// Waits until everything is signed.
async fn all_signed(data: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let said = roundtable(&["audit", "status", "--json", "--data", data]).await?.well()?;
        let status = said.lines()?.remove(0);
        if status["unsigned"] == 0 && !status["newest"].is_null() {
            return Ok(status);
        }
        ensure!(begun.elapsed() < PATIENCE, "{status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The faults that a verifier told, and its sum.
fn told(said: &Said) -> Result<(BTreeSet<String>, Value)> {
    let lines = said.lines()?;
    let fault = |line: &Value| {
        let fault = line.get("fault")?;
        let [kind, position] = ["kind", "position"].map(|name| fault[name].clone());
        Some(json!([kind, position, fault["stream"], fault["revision"]]).to_string())
    };
    let sum = lines.last().context("a sum")?["verified"].clone();
    ensure!(sum["events"].is_u64(), "{}", said.out);
    Ok((lines.iter().filter_map(fault).collect(), sum))
}

/// What both verifiers say of an export, which has to be the same.
async fn verified(export: &Path, key: &str) -> Result<(BTreeSet<String>, u64)> {
    let file = export.to_string_lossy();
    let ours = ["audit", "verify", "--json", "--from", &file, "--public-key", key];
    let ours = roundtable(&ours).await?;
    let script = format!("{EXAMPLES}/verify_log.py");
    let other = run(&python()?, &["-B", &script, &file, key]).await?;
    let ((faults, sum), (theirs, their_sum)) = (told(&ours)?, told(&other)?);
    ensure!(faults == theirs, "{faults:?} is not {theirs:?}");
    for name in ["events", "faults", "unsigned"] {
        ensure!(sum[name] == their_sum[name], "{name}: {sum} is not {their_sum}");
    }
    ensure!(ours.well == faults.is_empty() && other.well == faults.is_empty(), "the exit status");
    Ok((faults, sum["unsigned"].as_u64().context("a number")?))
}

#[tokio::test]
async fn an_auditor_with_an_export_and_a_key_finds_whatever_was_done_to_the_log() -> Result<()> {
    let up = Up::start().await?;
    let data = up.data().to_string_lossy().into_owned();
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    for number in 0..6 {
        group.say(number % 2, &format!("message {number}, and \u{1f600}")).await?;
    }
    all_signed(&data).await?;
    let said = roundtable(&["audit", "verify", "--data", &data]).await?.well()?;
    let last = said.out.lines().last().unwrap_or_default();
    ensure!(last.starts_with("verified: ") && last.ends_with(" events, 0 faults"), "{last}");

    let place = folder()?;
    let (export, key) = (place.path().join("log.jsonl"), place.path().join("audit.pem"));
    let file = export.to_string_lossy().into_owned();
    roundtable(&["audit", "export", &file, "--data", &data]).await?.well()?;
    fs::write(&key, roundtable(&["audit", "key", "--data", &data]).await?.well()?.out)?;
    let key = key.to_string_lossy().into_owned();
    ensure!(verified(&export, &key).await? == (BTreeSet::new(), 0));

    // More is said; half a line is left of an export that was cut off; it goes on from there.
    group.say(0, "later").await?;
    let newest = all_signed(&data).await?;
    let text = fs::read_to_string(&export)?;
    fs::write(&export, &text[..text.len() - 40])?;
    roundtable(&["audit", "export", &file, "--data", &data]).await?.well()?;
    ensure!(verified(&export, &key).await? == (BTreeSet::new(), 0));
    let text = fs::read_to_string(&export)?;
    ensure!(!text.contains("later") && !text.contains("message 0"), "what people said is sealed");
    tampered(&text, place.path(), &key).await?;

    // Who knows a checkpoint finds that the log was cut off behind it, which leaves no other trace.
    let hash = newest["newest"]["hash"].as_str().context("a hash")?;
    let known = ["audit", "verify", "--from", &file, "--public-key", &key, "--known", hash];
    roundtable(&known).await?.well()?;
    let lines: Vec<_> = text.lines().collect();
    let is_checkpoint = |line: &&str| line.contains(r#""stream":"notary-checkpoints""#);
    let checkpoints = lines.iter().filter(|line| is_checkpoint(line)).count();
    ensure!(checkpoints >= 2, "{checkpoints}");
    let first = lines.iter().position(is_checkpoint).context("a checkpoint")?;
    fs::write(&export, lines[..=first].join("\n"))?;
    ensure!(verified(&export, &key).await?.0.is_empty());
    ensure!(!roundtable(&known).await?.well);
    up.end().await
}

/// Both find the same in every export that somebody had their hands on.
async fn tampered(text: &str, place: &Path, key: &str) -> Result<()> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let middle = lines.len() / 2;
    let line = |line: &str| serde_json::from_str::<Value>(line);
    let at = |number: usize| Ok::<_, serde_json::Error>(line(&lines[number])?["position"].clone());
    let changed = |name: &str, value: Value| {
        let mut event = line(&lines[middle])?;
        event[name] = value;
        let mut lines = lines.clone();
        lines[middle] = event.to_string();
        anyhow::Ok(lines)
    };
    let mut tries = vec![
        ("changed", changed("data", json!("{}"))?),
        ("changed", changed("created", json!("17000000000000001"))?),
        ("changed", changed("type", json!("message.recalled"))?),
        ("changed", changed("revision", json!(7))?),
        ("changed", changed("metadata", json!(7))?),
    ];
    let mut dropped = lines.clone();
    dropped.remove(middle);
    let mut swapped = lines.clone();
    swapped.swap(middle, middle + 1);
    let mut twice = lines.clone();
    twice.insert(middle, lines[middle].clone());
    tries.extend([("missing", dropped), ("reordered", swapped), ("inserted", twice)]);
    let file = place.join("tampered.jsonl");
    for (kind, lines) in tries {
        fs::write(&file, lines.join("\n") + "\n")?;
        let (faults, _) = verified(&file, key).await?;
        // Of two that change places, either may be the one that is out of place.
        let places = [at(middle)?, at(middle + 1)?];
        let places = if kind == "reordered" { &places[..] } else { &places[..1] };
        let found = faults.iter().any(|fault| {
            let fault: Value = serde_json::from_str(fault).unwrap_or_default();
            fault[0] == kind && places.contains(&fault[1])
        });
        ensure!(found, "{kind} at {}: {faults:?}", at(middle)?);
    }
    // A signature of somebody else, and a key of somebody else.
    let forged = text.replace("\\\"signature\\\":\\\"", "\\\"signature\\\":\\\"AAAA");
    fs::write(&file, forged)?;
    let (faults, unsigned) = verified(&file, key).await?;
    ensure!(faults.iter().any(|it| it.contains("bad-signature")) && unsigned > 0, "{faults:?}");
    fs::write(&file, text)?;
    let other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let (faults, _) = verified(&file, other).await?;
    ensure!(faults.iter().any(|it| it.contains("bad-signature")), "{faults:?}");
    Ok(())
}

#[tokio::test]
async fn the_official_python_client_reads_the_log_and_decodes_the_envelope() -> Result<()> {
    let up = Up::start().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let (message, position) = group.say(0, "hello").await?;
    let port = fs::read_to_string(up.data().join("event-store.port"))?;
    let url = format!("kurrentdb://127.0.0.1:{}?tls=false", port.trim());
    let script = format!("{EXAMPLES}/read_log.py");
    let said = run(&python()?, &["-B", &script, &url]).await?.well()?;
    let lines = said.lines()?;
    let stream = json!(format!("message-{message}"));
    let sent = lines.iter().find(|line| line["stream"] == stream).context("the message")?;
    let ada = json!(group.people[0].user());
    ensure!(sent["type"] == "message.sent" && sent["position"] == json!(position), "{sent}");
    ensure!(sent["actor"] == ada && sent["sealed_for"] == json!([ada]), "{sent}");
    ensure!(sent["correlation"].is_string() && sent["causation"].is_string(), "{sent}");
    ensure!(!said.out.contains("hello"), "what was said is sealed");
    up.end().await
}

/// What the clients of a person read.
async fn seen(up: &Up, who: &Person, group: &Group, after: Position) -> Result<Vec<Value>> {
    let conversation = format!("/v1/conversations/{}", group.conversation);
    let mut answers = vec![];
    for path in [
        "/v1/users/me",
        "/v1/conversations",
        &conversation,
        &format!("{conversation}/messages"),
        "/v1/friends",
        "/v1/files",
        "/v1/sessions",
        "/v1/notifications/unread",
        "/v1/search/messages?q=three",
        "/v1/feed?limit=100",
    ] {
        let request = who.request(&up.url, Method::GET, path)?;
        let request = request.header("Roundtable-After", after.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(status.is_success(), "{path} of {}: {status} {body}", who.name);
        answers.push(json!({ "path": path, "body": body }));
    }
    Ok(answers)
}

#[tokio::test]
async fn everything_is_made_again_from_a_backup_and_clients_read_what_they_read_before()
-> Result<()> {
    let mut up = Up::alone().await?;
    let data = up.data().to_string_lossy().into_owned();
    let group = Group::new(&up.url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = std::array::from_fn(|index| &group.people[index]);
    ada.session.ask_for_friendship(bob.user()).await?;
    bob.session.accept_friendship(ada.user()).await?;
    let bytes = vec![7; 70_000];
    let file = uploaded(&up.url, ada, group.conversation, "seven.bin", &bytes).await?;
    for text in ["one", "two and two", "three of us"] {
        group.say(1, text).await?;
    }
    let (_, after) = group.say(2, "I am soon gone").await?;
    let place = folder()?;
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    roundtable(&["backup", &path("early"), "--data", &data]).await?.well()?;

    let erase = ["erase", &cleo.user().to_string(), "--yes", "--json", "--data", &data];
    let certificate = path("certificate.json");
    let mut erase = erase.to_vec();
    erase.extend(["--certificate", &certificate]);
    roundtable(&erase).await?.well()?;
    let (_, after) =
        group.say(0, "three is a crowd").await.map(|said| (said.0, said.1.max(after)))?;
    let newest = all_signed(&data).await?["newest"].clone();
    let before = [seen(&up, ada, &group, after).await?, seen(&up, bob, &group, after).await?];
    let said = json!(before).to_string();
    ensure!(said.contains("three of us") && !said.contains("soon gone"), "{said}");
    let late = path("late");
    roundtable(&["backup", &late, "--data", &data]).await?.well()?;
    older_keys(&place.path().join("early"), &place.path().join("late"))?;

    // Nothing is left of the system but the backup.
    let family = up.process.family();
    up.process.kill().await;
    family.gone(PATIENCE).await?;
    fs::remove_dir_all(&data)?;
    half_restored(&late, &data).await?;
    roundtable(&["restore", &late, "--data", &data]).await?.well()?;
    let again = roundtable(&["restore", &late, "--data", &data]).await?;
    ensure!(!again.well && again.wrong.contains("is not empty"), "{}", again.wrong);
    up.process.restart().await?;
    up.ready().await?;

    let now = [seen(&up, ada, &group, after).await?, seen(&up, bob, &group, after).await?];
    for (before, now) in before.iter().flatten().zip(now.iter().flatten()) {
        ensure!(before == now, "{before}\nis now\n{now}");
    }
    let content = format!("/v1/files/{}/content", file.id);
    let answer = get(&up.url, ada, &content, Some(after), &[]).await?;
    ensure!(answer.status() == StatusCode::OK && answer.bytes().await? == bytes, "the file");
    is_gone(&up, cleo.user(), ada, after).await?;
    group.say(1, "We go on").await?;
    all_signed(&data).await?;
    let hash = newest["hash"].as_str().context("a hash")?;
    let verify = ["audit", "verify", "--known", hash, "--data", &data];
    roundtable(&verify).await?.well()?;
    up.end().await
}

/// A restore that is killed when the log is there: nothing starts on that, and no other backup goes there.
async fn half_restored(backup: &str, data: &str) -> Result<()> {
    let folder = Path::new(data);
    let log_is_there = || folder.join("event-store").exists();
    let was = killed(folder, &["restore", backup], log_is_there).await?;
    ensure!(was, "it was quicker");
    let up = roundtable(&["up", "--listen", "127.0.0.1:0", "--data", data]).await?;
    ensure!(!up.well && up.wrong.contains("is half restored"), "{}", up.wrong);
    let early = backup.replace("late", "early");
    let other = roundtable(&["restore", &early, "--data", data]).await?;
    ensure!(!other.well && other.wrong.contains("half restored from another"), "{}", other.wrong);
    Ok(())
}

/// Puts the keys of an older backup into another one, as somebody would who has lost the newer ones.
fn older_keys(early: &Path, late: &Path) -> Result<()> {
    let read = |folder: &Path| -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(folder.join("backup.json"))?)?)
    };
    let (old, mut new) = (read(early)?, read(late)?);
    for name in ["keys", "keys_sha256"] {
        new[name] = old[name].clone();
    }
    fs::copy(early.join("vault.jsonl"), late.join("vault.jsonl"))?;
    fs::write(late.join("backup.json"), new.to_string())?;
    Ok(())
}

/// Who was erased stays erased, although a key of theirs was in the backup.
async fn is_gone(up: &Up, who: UserId, reader: &Person, after: Position) -> Result<()> {
    let messages: Value = reader.session.read("/v1/search/messages?q=gone", Some(after)).await?;
    ensure!(messages["items"] == json!([]), "{messages}");
    let path = format!("/v1/users/{who}");
    let answer = reader.request(&up.url, Method::GET, &path)?.send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(!body.contains("Cleo"), "{status}: {body}");
    Ok(())
}
