//! Whether everybody saw everything that was acknowledged: once, and in the order of the log.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use events::{MessageId, Position, UserId};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Group, Ledger, Listener, Person};

/// What was acknowledged in a group, to compare with what is seen of it.
#[derive(Debug)]
pub struct Verdict<'a> {
    group: &'a Group,
    messages: BTreeMap<MessageId, Position>,
    last: Position,
}

/// A message in a page of the history.
#[derive(Debug, Deserialize)]
struct Item {
    id: MessageId,
    ordinal: i64,
    kind: String,
    sender_id: UserId,
    text: Option<String>,
    position: Position,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<Value>,
}

impl<'a> Verdict<'a> {
    /// On all messages of the group.
    pub fn on(group: &'a Group, ledger: &Ledger) -> Self {
        Self { group, messages: ledger.acknowledged(), last: ledger.last() }
    }

    /// Everything must be true: what the listeners heard, and what each person reads at `url`.
    pub async fn holds(&self, listeners: &[Listener], url: &str) -> Result<()> {
        for listener in listeners {
            self.heard_by(listener).await?;
        }
        for person in &self.group.people {
            self.read_by(person, url).await.with_context(|| person.name.clone())?;
        }
        Ok(())
    }

    /// The listener hears every message once, and every frame in the order of positions.
    pub async fn heard_by(&self, listener: &Listener) -> Result<()> {
        listener.hears(&self.messages).await?;
        let heard = listener.heard();
        for pair in heard.windows(2) {
            ensure!(
                pair[0].position < pair[1].position,
                "{} heard {:?} after {:?}",
                listener.person.name,
                pair[1],
                pair[0]
            );
        }
        let said = heard.iter().filter_map(|heard| Some((heard.message?, heard.position)));
        self.is_all(said).with_context(|| format!("as {} heard it", listener.person.name))
    }

    /// The read models show every message once, in order, numbered without a gap.
    pub async fn read_by(&self, person: &Person, url: &str) -> Result<()> {
        let mut history = self.history(person, url).await?;
        history.reverse();
        let ordinals: Vec<_> = history.iter().map(|item| item.ordinal).collect();
        let count = i64::try_from(history.len())?;
        ensure!(ordinals == (1..=count).collect::<Vec<_>>(), "ordinals have gaps: {ordinals:?}");
        for pair in history.windows(2) {
            ensure!(pair[0].position < pair[1].position, "out of order: {pair:?}");
        }
        // What happened in the group stands between what was said.
        history.retain(|item| item.kind != "system");
        ensure!(history.iter().all(|item| item.text.is_some()), "a message has lost its text");
        self.is_all(history.iter().map(|item| (item.id, item.position)))
            .context("in the history")?;

        let feed = self.feed(person, url).await?;
        self.is_all(feed.into_iter()).context("in the change feed")?;

        let others = history.iter().filter(|item| item.sender_id != person.user()).count();
        let unread = self.conversation(person, url, self.last).await?["unread"].as_u64();
        ensure!(unread == u64::try_from(others).ok(), "{unread:?} unread instead of {others}");
        Ok(())
    }

    /// Reading the newest message leaves nothing unread.
    pub async fn can_be_read_to_the_end(&self, person: &Person, url: &str) -> Result<()> {
        let Some((message, _)) = self.messages.iter().max_by_key(|(_, position)| **position) else {
            return Ok(());
        };
        let path = format!("/v1/conversations/{}/receipts", self.group.conversation);
        let body = json!({ "kind": "read", "message": message });
        let done: Value = person.session.write(Method::PUT, &path, Some(&body)).await?;
        let position = serde_json::from_value(done["position"].clone())?;
        let unread = &self.conversation(person, url, position).await?["unread"];
        ensure!(*unread == 0, "{unread} unread after reading everything");
        Ok(())
    }

    /// Exactly the messages that were acknowledged, where they were acknowledged.
    fn is_all(&self, seen: impl Iterator<Item = (MessageId, Position)>) -> Result<()> {
        let mut found = BTreeSet::new();
        for (message, position) in seen {
            ensure!(found.insert(message), "{message} twice, again at {position}");
            match self.messages.get(&message) {
                Some(acknowledged) => ensure!(
                    *acknowledged == position,
                    "{message} was acknowledged at {acknowledged} and is at {position}"
                ),
                None => anyhow::bail!("{message} at {position} was not acknowledged"),
            }
        }
        let missing: Vec<_> =
            self.messages.iter().filter(|(message, _)| !found.contains(*message)).collect();
        ensure!(missing.is_empty(), "missing of {}: {missing:?}", self.messages.len());
        Ok(())
    }

    /// All messages, newest first, page by page.
    async fn history(&self, person: &Person, url: &str) -> Result<Vec<Item>> {
        let path = format!("/v1/conversations/{}/messages", self.group.conversation);
        let mut items = vec![];
        let mut query = String::new();
        loop {
            let path = format!("{path}?limit=100{query}");
            let page: Page<Item> = get(person, url, &path, self.last).await?;
            items.extend(page.items);
            match page.next {
                None => return Ok(items),
                Some(next) => query = format!("&before={}", text_of(&next)),
            }
        }
    }

    /// The messages among all frames that the person missed if they slept since the group opened.
    pub async fn feed(&self, person: &Person, url: &str) -> Result<Vec<(MessageId, Position)>> {
        let mut messages = vec![];
        let mut from = self.group.opened;
        loop {
            let path = format!("/v1/feed?limit=100&after_position={from}");
            let page: Page<Value> = get(person, url, &path, self.last).await?;
            let Some(newest) = page.items.last() else { return Ok(messages) };
            let next = serde_json::from_value(newest["position"].clone())?;
            for frame in &page.items {
                let position = serde_json::from_value(frame["position"].clone())?;
                ensure!(position > from, "the feed goes back to {position} from {from}");
                from = position;
                if frame["type"] == "message.sent" {
                    let message = serde_json::from_value(frame["data"]["message"].clone())?;
                    messages.push((message, position));
                }
            }
            from = next;
        }
    }

    async fn conversation(&self, person: &Person, url: &str, after: Position) -> Result<Value> {
        let page: Page<Value> = get(person, url, "/v1/conversations?limit=100", after).await?;
        let id = json!(self.group.conversation);
        let found = page.items.into_iter().find(|item| item["id"] == id);
        found.context("the conversation is not among theirs")
    }
}

/// Reads until the read model has caught up; `Retry-After` says that it may take more than one.
async fn get<T: serde::de::DeserializeOwned>(
    person: &Person,
    url: &str,
    path: &str,
    after: Position,
) -> Result<T> {
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    loop {
        let request = person.request(url, Method::GET, path)?;
        let answer = request.header("Roundtable-After", after.to_string()).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            return serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"));
        }
        let later = status == 503 && tokio::time::Instant::now() < deadline;
        ensure!(later, "GET {path}: {status}: {text}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use events::ConversationId;
    use roundtable::client::new_id;

    use super::*;

    #[test]
    fn what_is_missing_doubled_moved_or_invented_is_found() {
        let conversation = ConversationId::new(new_id());
        let group = Group { people: vec![], conversation, opened: Position::START };
        let ledger = Ledger::default();
        let id = || MessageId::new(new_id());
        let (one, two) = ((id(), Position::at(1)), (id(), Position::at(2)));
        ledger.acknowledge(one.0, one.1);
        ledger.acknowledge(two.0, two.1);
        let verdict = Verdict::on(&group, &ledger);
        let on = |seen: &[(MessageId, Position)]| verdict.is_all(seen.iter().copied());
        on(&[one, two]).unwrap();
        for (wrong, because) in [
            (vec![one], "missing of 2"),
            (vec![one, two, one], "twice"),
            (vec![one, (two.0, Position::at(3))], "was acknowledged at 2 and is at 3"),
            (vec![one, two, (id(), Position::at(3))], "was not acknowledged"),
        ] {
            let found = on(&wrong).unwrap_err().to_string();
            assert!(found.contains(because), "{found}");
        }
    }
}
