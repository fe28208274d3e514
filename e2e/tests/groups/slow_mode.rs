//! Slow mode: who waits, who does not, and what does not count.

use std::time::{Duration, Instant};

use e2e::up::folder;
use roundtable::client::new_id;
use servers::{Durability, Kind, PrivateServers, Wanted};

use super::*;

/// Longer than any test takes.
const LONG: u32 = 3600;

/// Sets slow mode, and sees to it that each node knows.
async fn slow(group: &Group, nodes: &[&str], seconds: u32) -> Result<()> {
    let path = format!("/v1/conversations/{}", group.conversation);
    let body = json!({ "slow_mode_seconds": seconds });
    let _: Value = group.people[0].session.write(Method::PATCH, &path, Some(&body)).await?;
    for node in nodes {
        // Before a node says no, it reads what is new.
        let mine = write(&group.people[1], node, Method::PATCH, &path, key(), Some(&body))?;
        refused(mine, 403, "role-forbids").await?;
    }
    Ok(())
}

fn say(who: &Person, url: &str, group: &Group, key: Uuid, text: &str) -> Result<RequestBuilder> {
    let path = format!("/v1/conversations/{}/messages", group.conversation);
    write(who, url, Method::POST, &path, key, Some(&json!({ "text": text })))
}

/// Whether a message went out, or came too soon.
async fn is_sent(request: RequestBuilder) -> Result<bool> {
    let answer = request.send().await?;
    match answer.status().as_u16() {
        201 => Ok(true),
        429 => Ok(false),
        other => anyhow::bail!("{other}: {}", answer.text().await?),
    }
}

#[tokio::test]
async fn a_member_waits_between_two_messages_at_any_gateway() -> Result<()> {
    let cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo"]).await?;
    let [ada, bob, cleo] = people(&group);
    let [here, there] = [&cluster.command_apis[0].url, &cluster.command_apis[1].url];
    let path = format!("/v1/conversations/{}/members/{}/role", group.conversation, cleo.user());
    let _: Value = ada.session.write(Method::PUT, &path, Some(&json!({ "role": "admin" }))).await?;
    let early = key();
    accepted(say(bob, here, &group, early, "before")?, 201).await?;
    slow(&group, &[here, there], LONG).await?;

    // What was refused counts for nothing.
    refused(say(bob, here, &group, key(), " ")?, 422, "invalid-text").await?;
    // Of many at once, at both gateways, one gets through.
    let keys: Vec<_> = (0..10).map(|_| key()).collect();
    let tries = keys.iter().enumerate().map(|(index, key)| {
        let node = if index % 2 == 0 { here } else { there };
        say(bob, node, &group, *key, &format!("{index}")).map(RequestBuilder::send)
    });
    let mut sent = vec![];
    let answers = join_all(tries.collect::<Result<Vec<_>>>()?).await;
    for (index, answer) in answers.into_iter().enumerate() {
        let answer = answer?;
        match answer.status().as_u16() {
            201 => sent.push((index, answer.json::<Value>().await?)),
            429 => {
                let wait = answer.headers().get("Retry-After").context("Retry-After")?.to_str()?;
                let wait: u32 = wait.parse()?;
                ensure!(wait > LONG - 300 && wait <= LONG, "{wait}");
                let problem: Value = answer.json().await?;
                ensure!(problem["type"].as_str().is_some_and(|it| it.ends_with("/slow-mode")));
                ensure!(problem["retry_after"] == wait, "{problem}");
            }
            other => anyhow::bail!("{other}: {}", answer.text().await?),
        }
    }
    let [(index, first)] = &sent[..] else { anyhow::bail!("{sent:?} were sent") };
    // A repeat gets its answer again, the newest and an older one, wherever it is asked.
    for node in [here, there] {
        let again =
            accepted(say(bob, node, &group, keys[*index], &format!("{index}"))?, 201).await?;
        ensure!(again == *first, "{again} instead of {first}");
        accepted(say(bob, node, &group, early, "before")?, 201).await?;
    }
    let refusal = say(bob, there, &group, keys[*index], "another")?;
    refused(refusal, 409, "key-reused").await?;
    refused(say(bob, there, &group, key(), "again")?, 429, "slow-mode").await?;

    // One key for many messages is no repeat: each waits.
    let path = format!("/v1/conversations/{}/messages", group.conversation);
    let body = json!({ "id": new_id(), "text": "with the key of another" });
    let another = write(bob, there, Method::POST, &path, keys[*index], Some(&body))?;
    refused(another, 429, "slow-mode").await?;

    let socket = bob.session.socket(None).await?;
    let body = json!({ "conversation": group.conversation, "text": "over the socket" });
    let Err(Error::Problem(refusal)) = socket.command("message.send", body).await else {
        anyhow::bail!("it should be refused");
    };
    ensure!(refusal.slug() == "slow-mode" && refusal.retry_after.is_some(), "{refusal}");

    // The owner and admins do not wait, and somebody else's message slows nobody.
    for who in [ada, cleo, ada, cleo] {
        accepted(say(who, there, &group, key(), "I do not wait")?, 201).await?;
    }
    slow(&group, &[here, there], 0).await?;
    accepted(say(bob, there, &group, key(), "freely")?, 201).await?;
    accepted(say(bob, here, &group, key(), "freely")?, 201).await?;
    // A short wait ends by itself, and not before its time.
    slow(&group, &[here, there], 1).await?;
    let mut last = None;
    for (node, text) in [(here, "one"), (there, "two"), (here, "three")] {
        while !is_sent(say(bob, node, &group, key(), text)?).await? {}
        let now = Instant::now();
        let waited = last.replace(now).map(|last| now.duration_since(last));
        // A message is counted a little before its answer is here.
        ensure!(waited.is_none_or(|it| it >= Duration::from_millis(900)), "{text}: {waited:?}");
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_redis_the_gateway_itself_keeps_the_pace() -> Result<()> {
    let folder = folder()?;
    let data = folder.path().join("servers");
    let mut servers = PrivateServers::start_with(&data, Wanted::ALL, Durability::Relaxed).await?;
    let up = Up::on(&servers).await?;
    let group = Group::new(&up.url, &["Ada", "Bob", "Cleo"]).await?;
    let [_, bob, cleo] = people(&group);
    slow(&group, &[&up.url], LONG).await?;
    accepted(say(bob, &up.url, &group, key(), "with Redis")?, 201).await?;
    servers.kill(Kind::Redis).await;
    refused(say(bob, &up.url, &group, key(), "again")?, 429, "slow-mode").await?;
    refused(say(cleo, &up.url, &group, key(), " ")?, 422, "invalid-text").await?;
    let once = key();
    let sent = accepted(say(cleo, &up.url, &group, once, "without")?, 201).await?;
    let again = accepted(say(cleo, &up.url, &group, once, "without")?, 201).await?;
    ensure!(sent == again, "{again} instead of {sent}");
    refused(say(cleo, &up.url, &group, key(), "again")?, 429, "slow-mode").await?;
    servers.restart(Kind::Redis).await?;
    // Redis has forgotten, or never knew; the gateway did not.
    for who in [bob, cleo] {
        refused(say(who, &up.url, &group, key(), "again")?, 429, "slow-mode").await?;
    }
    up.end().await?;
    servers.destroy().await;
    Ok(())
}
