//! A slice of the past, done again against another stack.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::acts::done;
use e2e::operator::{killed, run, tried};
use e2e::talk::Group;
use e2e::up::{Up, folder};
use reqwest::Method;
use roundtable::client::{Client, new_id};
use serde_json::{Value, json};
use tokio::time::sleep;

#[tokio::test]
async fn a_slice_is_done_again_elsewhere_by_others_with_other_words() -> Result<()> {
    let (up, other) = tokio::try_join!(Up::alone(), Up::alone())?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let [ada, bob] = std::array::from_fn(|index| &group.people[index]);
    ada.session.ask_for_friendship(bob.user()).await?;
    bob.session.accept_friendship(ada.user()).await?;
    let (_, from) = group.say(0, "before the slice").await?;
    let mut last = None;
    for round in 0..5 {
        last = Some(group.say(round % 2, "confidential whereabouts of the strongbox").await?);
    }
    let (message, _) = last.context("messages")?;
    let conversation = format!("/v1/conversations/{}", group.conversation);
    let path = format!("{conversation}/messages/{message}");
    let edit = json!({ "text": "entirely otherwise" });
    done(ada, &up.url, Method::PATCH, &path, Some(edit)).await?;
    let direct = ada.session.open_direct(bob.user()).await?;
    let to = ada.session.send(direct.id, "privately").await?.position;

    let (from, to) = (from.to_string(), to.to_string());
    let slice = ["replay", "--from", &from, "--to", &to, "--speed", "0", "--into", &other.url];
    let printed = run(&up.data(), &[&slice[..], &["--json"]].concat()).await?;
    let report: Value = serde_json::from_str(&printed)?;
    let types = &report["types"];
    ensure!(types["message.sent"]["done"] == 6, "{report}");
    ensure!(types["message.edited"]["done"] == 1, "{report}");
    ensure!(types["conversation.opened"]["done"] == 1, "{report}");
    ensure!(report["refused"] == 0, "{report}");

    // It happened there, in other words of the same length, and nothing of it can be read.
    let list = ["events", "list", "--type", "message.sent", "--open", "--json"];
    let there = run(&other.data(), &list).await?;
    ensure!(there.lines().count() == 6, "{there}");
    for word in ["confidential", "strongbox", "privately", "before", &ada.email, &ada.name] {
        ensure!(!there.contains(word), "{word} went there: {there}");
    }
    let texts: Vec<usize> = there
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|event| find(&event, "text").map(|text| text.chars().count()))
        .collect();
    let length = "confidential whereabouts of the strongbox".len();
    ensure!(texts.iter().filter(|count| **count == length).count() == 5, "{there}");

    let empty = ["replay", "--from", &to, "--to", &from, "--into", &other.url];
    let output = tried(&up.data(), &empty).await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && told.contains("there is nothing between"), "{told}");
    let itself = ["replay", "--from", &from, "--to", &to, "--into", &up.url];
    let output = tried(&up.data(), &itself).await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && told.contains("is the stack that is replayed"), "{told}");
    other.end().await?;
    up.end().await
}

/// The facts that a journal has.
fn facts(journal: &Path) -> usize {
    fs::read_to_string(journal).map_or(0, |text| text.matches("{\"fact\":").count())
}

/// Ends all log-ins of the people of a replay, once it does something.
async fn ended(other: &Up, journal: &Path, before: usize) -> Result<()> {
    while facts(journal) <= before && journal.exists() {
        sleep(Duration::from_millis(1)).await;
    }
    let list = ["events", "list", "--type", "user.signed_up", "--open", "--json"];
    for line in run(&other.data(), &list).await?.lines() {
        let email = find(&serde_json::from_str(line)?, "email").context("an address")?;
        let name = email.split('@').next().context("a name")?;
        let session = Client::new(&other.url)?.log_in(&email, &format!("{name}{name}")).await?;
        let end = session.request(Method::DELETE, "/v1/sessions");
        let answer = end.header("Idempotency-Key", new_id().to_string()).send().await?;
        ensure!(answer.status().is_success(), "{answer:?}");
    }
    ensure!(journal.exists(), "it was quicker");
    Ok(())
}

#[tokio::test]
async fn a_replay_that_was_killed_goes_on_and_does_nothing_twice() -> Result<()> {
    let (up, other) = tokio::try_join!(Up::alone(), Up::alone())?;
    let group = Group::new(&up.url, &["Ada", "Bob"]).await?;
    let (_, from) = group.say(0, "before the slice").await?;
    let said = 40;
    for round in 0..said {
        let (message, _) = group.say(round % 2, "one of some").await?;
        if round % 10 == 0 {
            let path = format!("/v1/conversations/{}/messages/{message}", group.conversation);
            let edit = json!({ "text": "otherwise" });
            let by = &group.people[round % 2];
            done(by, &up.url, Method::PATCH, &path, Some(edit)).await?;
        }
    }
    let place = folder()?;
    let journal = place.path().join("journal");
    let (from, file) = (from.to_string(), journal.to_string_lossy());
    let replay = ["replay", "--from", &from, "--into", &other.url, "--resume", &file, "--json"];
    let slowly = [&replay[..], &["--speed", "0.2"]].concat();
    ensure!(killed(&up.data(), &slowly, || facts(&journal) >= 10).await?, "it was quicker");
    let halfway = facts(&journal);
    ensure!(halfway < said, "{halfway}");
    // It died after the answer and before it had written that, and while it wrote.
    let text = fs::read_to_string(&journal)?;
    let mut lines: Vec<_> = text.lines().collect();
    let made =
        lines.iter().rposition(|line| line.starts_with("{\"made\":")).context("a message")?;
    lines.truncate(made);
    fs::write(&journal, format!("{}\n{{\"fact\":", lines.join("\n")))?;

    let other_slice = ["replay", "--into", &other.url, "--from", "1", "--resume", &file];
    let output = tried(&up.data(), &other_slice).await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && told.contains("is of another replay"), "{told}");
    // Tokens end while it goes on.
    let (data, again) = (up.data(), [&replay[..], &["--speed", "0.2"]].concat());
    let (printed, ()) = tokio::try_join!(run(&data, &again), ended(&other, &journal, halfway))?;
    let report: Value = serde_json::from_str(&printed)?;
    ensure!(report["types"]["message.sent"]["done"] == said, "{report}");
    ensure!(report["types"]["message.edited"]["done"] == 4 && report["refused"] == 0, "{report}");
    ensure!(!journal.exists(), "the key of the pseudonyms is destroyed");
    for (kind, count) in [("message.sent", said), ("message.edited", 4), ("user.signed_up", 2)] {
        let list = ["events", "list", "--type", kind, "--json"];
        let there = run(&other.data(), &list).await?;
        ensure!(there.lines().count() == count, "{kind}: {there}");
    }
    other.end().await?;
    up.end().await
}

/// A text by its name, however deep it is.
fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Object(open)) if open.contains_key("$personal") => {
                open["$personal"]["value"].as_str().map(str::to_owned)
            }
            _ => fields.values().find_map(|value| find(value, name)),
        },
        Value::Array(items) => items.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}
