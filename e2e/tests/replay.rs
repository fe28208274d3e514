//! A slice of the past, done again against another stack.

use anyhow::{Context, Result, ensure};
use e2e::acts::done;
use e2e::operator::{run, tried};
use e2e::talk::Group;
use e2e::up::Up;
use reqwest::Method;
use serde_json::{Value, json};

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
