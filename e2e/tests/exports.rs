//! What operators write out of the log: a person's data, and what was said in a conversation.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::acts::done;
use e2e::files::uploaded;
use e2e::operator::{run, tried};
use e2e::talk::Group;
use e2e::up::Up;
use reqwest::Method;
use serde_json::{Value, json};

fn lines(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Ada says something with a file, edits something, and somebody comes later.
async fn talked(up: &Up, group: &Group) -> Result<String> {
    let (ada, url) = (&group.people[0], &up.url);
    let file = uploaded(url, ada, group.conversation, "plan.txt", b"the plan of Ada").await?;
    let conversation = format!("/v1/conversations/{}", group.conversation);
    let body = json!({ "text": "see the plan", "attachments": [file.id] });
    let path = format!("{conversation}/messages");
    let answer = e2e::acts::write(ada, url, Method::POST, &path, Some(body))?;
    e2e::refusal::accepted(answer, 201).await?;
    let (message, _) = group.say(0, "=SUM(the first words)").await?;
    let edit = json!({ "text": "the second words" });
    let path = format!("{conversation}/messages/{message}");
    done(ada, url, Method::PATCH, &path, Some(edit)).await?;
    group.say(1, "private words of Bob").await?;
    let bob = group.people[1].user();
    done(ada, url, Method::DELETE, &format!("{conversation}/members/{bob}"), None).await?;
    group.say(0, "without Bob").await?;
    Ok(message.to_string())
}

#[tokio::test]
async fn a_person_gets_all_of_their_data_and_nothing_of_others() -> Result<()> {
    let up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    talked(&up, &group).await?;
    let folder = tempfile::tempdir()?;
    let into = folder.path().join("ada");
    let to = into.to_str().context("a path")?;
    let id = group.people[0].user().to_string();
    let printed = run(&up.data(), &["export", &id, "--into", to]).await?;
    ensure!(printed.contains("1 files"), "{printed}");
    let whole = fs::read_to_string(into.join("events.jsonl"))?;
    for hers in ["see the plan", "the second words", "plan.txt", &group.people[0].email] {
        ensure!(whole.contains(hers), "{hers} is missing");
    }
    for not_hers in ["private words of Bob", &group.people[1].email, "password_hash", "argon2"] {
        ensure!(!whole.contains(not_hers), "{not_hers} is not hers");
    }
    let mut files = into.join("files").read_dir()?;
    let file = files.next().context("a file")??;
    ensure!(fs::read(file.path())? == b"the plan of Ada");

    // One that was cut off goes on where it ended, and what is new comes behind it.
    let cut = whole.len() * 2 / 3;
    fs::write(into.join("events.jsonl"), &whole[..cut])?;
    run(&up.data(), &["export", &id, "--into", to]).await?;
    ensure!(fs::read_to_string(into.join("events.jsonl"))? == whole, "it is the same again");
    group.say(0, "one more").await?;
    run(&up.data(), &["export", &id, "--into", to, "--json"]).await?;
    let more = lines(&into.join("events.jsonl"))?;
    ensure!(more.iter().filter(|line| line["data"]["text"] == "one more").count() == 1);
    let nobody = tried(&up.data(), &["export", "nobody_at_all", "--into", to]).await?;
    ensure!(!nobody.status.success());
    up.end().await
}

#[tokio::test]
async fn what_was_said_is_exported_with_who_was_there_and_checked_against_the_log() -> Result<()> {
    let up = Up::alone().await?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let other = Group::new(&up.url, &["Cleo", "Dan"]).await?;
    other.say(0, "elsewhere").await?;
    let edited = talked(&up, &group).await?;
    let folder = tempfile::tempdir()?;
    let into = folder.path().join("case");
    let to = into.to_str().context("a path")?;
    let id = group.conversation.to_string();
    run(&up.data(), &["compliance", "--conversation", &id, "--into", to]).await?;
    let events = lines(&into.join("events.jsonl"))?;
    let said = |text: &str| {
        let found = events.iter().find(|line| line["data"]["text"] == text);
        found.with_context(|| text.to_owned())
    };
    let count = |line: &Value| line["members"].as_array().map_or(0, Vec::len);
    ensure!(count(said("private words of Bob")?) == 2 && count(said("without Bob")?) == 1);
    let edit = said("the second words")?;
    ensure!(edit["before"] == "=SUM(the first words)" && edit["data"]["message"] == edited);
    ensure!(events.iter().all(|line| !line.to_string().contains("elsewhere")));
    let table = fs::read_to_string(into.join("messages.csv"))?;
    ensure!(table.contains("'=SUM(the first words)"), "a formula is none: {table}");
    ensure!(into.join("files").read_dir()?.count() == 1);

    let check = run(&up.data(), &["compliance", "--check", to]).await?;
    ensure!(check.contains("0 faults"), "{check}");
    // Whatever is left out, changed or put in is noticed.
    let whole = fs::read_to_string(into.join("events.jsonl"))?;
    fs::write(into.join("events.jsonl"), whole.replace("without Bob", "with Bob"))?;
    let check = tried(&up.data(), &["compliance", "--check", to]).await?;
    ensure!(!check.status.success());
    fs::write(into.join("events.jsonl"), &whole)?;
    let manifest = fs::read_to_string(into.join("manifest.json"))?;
    let mut less: Value = serde_json::from_str(&manifest)?;
    let gone = less["events"].as_array_mut().context("a list")?.remove(2);
    fs::write(into.join("manifest.json"), less.to_string())?;
    let check = tried(&up.data(), &["compliance", "--check", to]).await?;
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    ensure!(told.contains(&format!("event {} is missing", gone.as_str().unwrap_or_default())));
    ensure!(told.contains("not the one that was signed"), "{told}");
    // A manifest that fits everything else, without its signature, is none either.
    fs::write(into.join("manifest.json"), &manifest)?;
    let signature = fs::read_to_string(into.join("manifest.sig"))?;
    fs::remove_file(into.join("manifest.sig"))?;
    let check = tried(&up.data(), &["compliance", "--check", to]).await?;
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    ensure!(!check.status.success() && told.contains(" 1 faults"), "{told}");
    fs::write(into.join("manifest.sig"), signature)?;
    run(&up.data(), &["compliance", "--check", to]).await?;

    // A period is a part of it.
    let from = events[events.len() - 2]["at"].as_str().context("a time")?;
    let part = folder.path().join("part");
    let to = part.to_str().context("a path")?;
    run(&up.data(), &["compliance", "--from", from, "--into", to]).await?;
    let part = lines(&part.join("events.jsonl"))?;
    ensure!(part.len() < events.len() && part.iter().any(|it| it["data"]["text"] == "without Bob"));
    up.end().await
}
