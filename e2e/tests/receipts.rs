//! Receipts are written behind: many become few events, nothing is lost, nothing goes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::Cluster;
use e2e::raw::Raw;
use e2e::talk::{Group, PATIENCE, Person};
use events::{ConversationId, MessageId, Position};
use futures::future::try_join_all;
use reqwest::Method;
use roundtable::client::key;
use serde_json::{Value, json};
use servers::Kind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How many messages there are to be read.
const MESSAGES: usize = 120;

/// Who read up to where, as it was acknowledged; and how many receipts that took.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<(BTreeMap<String, Position>, usize)>>);

impl Ledger {
    fn acknowledge(&self, person: &Person, upto: Position) {
        let mut inner = self.0.lock().expect("no panic holds it");
        let known = inner.0.entry(person.user().to_string()).or_default();
        *known = upto.max(*known);
        inner.1 += 1;
    }

    fn count(&self) -> usize {
        self.0.lock().expect("no panic holds it").1
    }

    fn read(&self) -> BTreeMap<String, Position> {
        self.0.lock().expect("no panic holds it").0.clone()
    }

    async fn grows_by(&self, more: usize) -> Result<()> {
        let goal = self.count() + more;
        let wait = async {
            while self.count() < goal {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, wait).await.context("receipts are not accepted any more")
    }
}

/// One receipt over REST, tried again until it is accepted; `None` for a node that does not answer.
async fn receipt(
    person: &Person,
    url: &str,
    conversation: ConversationId,
    kind: &str,
    message: MessageId,
) -> Result<Option<Position>> {
    let path = format!("/v1/conversations/{conversation}/receipts");
    let request = person.request(url, Method::PUT, &path)?;
    let body = json!({ "kind": kind, "message": message });
    let request = request.header("Idempotency-Key", key().to_string()).json(&body);
    let Ok(answer) = request.send().await else { return Ok(None) };
    match answer.status().as_u16() {
        202 => {
            let body: Value = answer.json().await?;
            Ok(Some(serde_json::from_value(body["position"].clone())?))
        }
        502..=504 => Ok(None),
        status => bail!("a receipt is answered with {status}: {}", answer.text().await?),
    }
}

/// Reads the messages again and again, in order, until it is told to stop.
async fn keep_reading(
    person: Person,
    urls: Vec<String>,
    conversation: ConversationId,
    messages: Arc<Vec<(MessageId, Position)>>,
    ledger: Ledger,
    reading: watch::Receiver<bool>,
) -> Result<()> {
    for round in 0.. {
        for (index, (message, position)) in messages.iter().enumerate() {
            if !*reading.borrow() {
                return Ok(());
            }
            // The first rounds stop earlier, so that there is always something new to read.
            if index > (round + 1) * 4 {
                break;
            }
            let kind = if index % 3 == 0 { "read" } else { "delivered" };
            let url = &urls[index % urls.len()];
            if receipt(&person, url, conversation, kind, *message).await?.is_some()
                && kind == "read"
            {
                ledger.acknowledge(&person, *position);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_receipt_is_told_at_once_among_few_people() -> Result<()> {
    // Ten seconds until the event comes: what is seen before is not the event.
    let cluster = Cluster::with(&[("ROUNDTABLE_RECEIPTS_FLUSH_MS", "10000")]).await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let mut hears = Raw::open(&nodes[0], ada.token()).await?;
    let (message, position) = group.say(0, "have you seen this?").await?;
    receipt(bob, &nodes[1], group.conversation, "read", message).await?;
    let frame = loop {
        let frame = hears.frame().await?;
        if frame["op"] == "receipt" {
            break frame;
        }
        ensure!(!frame["type"].as_str().unwrap_or_default().starts_with("receipt."), "{frame}");
    };
    let wanted = json!({ "op": "receipt", "conversation": group.conversation, "user": bob.user(),
                         "kind": "read", "message": message, "upto": position });
    ensure!(frame == wanted, "{frame}");
    // The same again is nothing new.
    receipt(bob, &nodes[1], group.conversation, "read", message).await?;
    let (next, _) = group.say(0, "and this?").await?;
    loop {
        let frame = hears.frame().await?;
        ensure!(frame["op"] != "receipt", "{frame}");
        if frame["data"]["message"] == json!(next) {
            break;
        }
    }
    cluster.stop().await;
    Ok(())
}

#[tokio::test]
async fn whatever_dies_no_receipt_is_lost_and_no_cursor_goes_back() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob", "Cleo"]).await?;
    let mut messages = vec![];
    for number in 0..MESSAGES {
        messages.push(group.say(0, &format!("number {number}")).await?);
    }
    let messages = Arc::new(messages);
    let nodes: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();
    let (ledger, reading) = (Ledger::default(), watch::Sender::new(true));
    let mut readers = JoinSet::new();
    for person in &group.people[1..] {
        for device in 0..3 {
            let mut urls = nodes.clone();
            urls.rotate_left(device % nodes.len());
            readers.spawn(keep_reading(
                person.clone(),
                urls,
                group.conversation,
                Arc::clone(&messages),
                ledger.clone(),
                reading.subscribe(),
            ));
        }
    }
    ledger.grows_by(40).await?;
    // One that takes the buffer, or has just taken it, dies: at any moment of its round.
    for round in 0..6 {
        cluster.command_apis[round % 2].process.kill().await;
        ledger.grows_by(10).await?;
        cluster.command_apis[round % 2].crash_and_restart().await?;
        ledger.grows_by(10).await?;
    }
    cluster.servers.kill(Kind::Redis).await;
    ledger.grows_by(10).await.context("without Redis")?;
    cluster.servers.restart(Kind::Redis).await?;
    ledger.grows_by(40).await.context("with Redis again")?;
    cluster.servers.pause(Kind::Redis).await;
    ledger.grows_by(10).await.context("with a Redis that is frozen")?;
    cluster.servers.resume(Kind::Redis).await;
    ledger.grows_by(40).await.context("with a Redis that woke up")?;
    reading.send_replace(false);
    while let Some(ended) = readers.join_next().await {
        ended??;
    }

    for (user, upto) in ledger.read() {
        reaches(&group.people[0], &cluster.url, group.conversation, &user, upto).await?;
    }
    let events = receipts_of(&group.people[0], &cluster.url, group.opened).await?;
    never_go_back(&events)?;
    ensure!(
        events.len() * 2 < ledger.count(),
        "{} receipts became {} events",
        ledger.count(),
        events.len()
    );
    cluster.stop().await;
    Ok(())
}

/// The read models show, sooner or later, that somebody read as far as was acknowledged.
async fn reaches(
    reader: &Person,
    url: &str,
    conversation: ConversationId,
    user: &str,
    upto: Position,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = format!("/v1/conversations/{conversation}");
        let detail: Value = reader.request(url, Method::GET, &path)?.send().await?.json().await?;
        let members = detail["members"].as_array().context("members")?;
        let member = members.iter().find(|member| member["user_id"] == user).context("a member")?;
        let read: Position = serde_json::from_value(member["read_position"].clone())?;
        if read >= upto {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{user} read up to {upto}, and is shown at {read}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The receipts in the log, as the feed tells them: whose, of which kind, up to where.
async fn receipts_of(
    person: &Person,
    url: &str,
    since: Position,
) -> Result<Vec<(String, String, Position)>> {
    let (mut found, mut since) = (vec![], since);
    loop {
        let path = format!("/v1/feed?after_position={since}");
        let page: Value = person.request(url, Method::GET, &path)?.send().await?.json().await?;
        let items = page["items"].as_array().context("items")?;
        for frame in items {
            let kind = frame["type"].as_str().unwrap_or_default();
            if kind.starts_with("receipt.") {
                let user = frame["data"]["user"].as_str().context("a user")?;
                let upto = serde_json::from_value(frame["data"]["upto"].clone())?;
                found.push((user.to_owned(), kind.to_owned(), upto));
            }
        }
        if items.is_empty() {
            return Ok(found);
        }
        since = serde_json::from_value(page["next"].clone())?;
    }
}

/// Each cursor only ever goes on, and no event says what was said before.
fn never_go_back(events: &[(String, String, Position)]) -> Result<()> {
    let mut cursors: BTreeMap<(&str, &str), Position> = BTreeMap::new();
    for (user, kind, upto) in events {
        let cursor = cursors.entry((user, kind)).or_default();
        ensure!(*upto > *cursor, "{kind} of {user}: {upto} after {cursor}");
        *cursor = *upto;
    }
    Ok(())
}

#[tokio::test]
async fn what_somebody_has_just_read_is_never_shown_to_them_as_unread() -> Result<()> {
    let cluster = Cluster::start().await?;
    let group = Group::new(&cluster.url, &["Ada", "Bob"]).await?;
    let (ada, bob) = (&group.people[0], &group.people[1]);
    let path = format!("/v1/conversations/{}", group.conversation);
    for round in 0..8 {
        let (first, _) = group.say(0, &format!("first of {round}")).await?;
        group.say(1, "his own").await?;
        group.say(0, "second").await?;
        let (last, position) = group.say(0, "third").await?;
        let node = &cluster.command_apis[round % 2].url;
        for (message, unread) in [(first, 2), (last, 0)] {
            let read = receipt(bob, node, group.conversation, "read", message).await?;
            read.context("a node does not answer")?;
            let counts = cluster.query_apis.iter().map(async |reader| {
                let request = bob.request(&reader.url, Method::GET, &path)?;
                let request = request.header("Roundtable-After", position.to_string());
                let detail: Value = request.send().await?.json().await?;
                anyhow::Ok(detail["unread"].clone())
            });
            for count in try_join_all(counts).await? {
                ensure!(count == unread, "{count} unread instead of {unread} in round {round}");
            }
        }
    }
    // And the log has it in the end, for everybody else to see.
    let (last, upto) = group.say(0, "last").await?;
    let node = &cluster.command_apis[0].url;
    receipt(bob, node, group.conversation, "read", last).await?.context("an answer")?;
    let bob = bob.user().to_string();
    reaches(ada, &cluster.url, group.conversation, &bob, upto).await?;
    cluster.stop().await;
    Ok(())
}
