//! Cached lists: what each command deletes of them, and that none is ever older than what its reader
//! has been told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::refusal::{accepted, refused_with};
use e2e::talk::{PATIENCE, Person};
use e2e::up::{Up, folder};
use events::{Position, UserId};
use futures::future::try_join_all;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use reqwest::Method;
use roundtable::client::{Client, key};
use serde_json::{Value, json};
use servers::{Durability, PrivateServers, Wanted};

/// What stands in the place of every cached list.
const SENTINEL: &str = "as it was";

/// The four lists that are cached for a person.
const LISTS: [&str; 4] =
    ["friends:", "friend_requests:in:", "friend_requests:out:", "recommended:"];

/// Ada, Bob, Cleo and Dan, whose lists nobody reads, and two who make the projector move.
struct Stage {
    url: String,
    people: Vec<Person>,
    movers: [Person; 2],
    redis: MultiplexedConnection,
}

impl Stage {
    fn key(&self, list: &str, of: usize) -> String {
        format!("{list}{}", self.people[of].user())
    }

    fn keys(&self) -> Vec<String> {
        let people = 0..self.people.len();
        people.flat_map(|of| LISTS.map(|list| self.key(list, of))).collect()
    }

    /// Puts the sentinels there, has something done, and tells which of them are gone when it has
    /// taken effect.
    async fn deleted_by(
        &mut self,
        act: impl Future<Output = Result<Option<Position>>>,
    ) -> Result<BTreeSet<String>> {
        let keys = self.keys();
        for key in &keys {
            let _: () = self.redis.set(key, SENTINEL).await?;
        }
        if let Some(position) = act.await? {
            self.passed(position).await?;
        }
        // Every projection begins its next batch only when it has marked what the one before made
        // stale, and marks are sent in their order.
        let [eve, fay] = self.movers.clone();
        let block = self.write(&eve, Method::PUT, &format!("/v1/blocks/{}", fay.user())).await?;
        self.passed(block).await?;
        let last = self.write(&fay, Method::PUT, &format!("/v1/blocks/{}", eve.user())).await?;
        self.marked(&format!("friends:{}:floor", eve.user()), last).await?;
        for (by, of) in [(&eve, &fay), (&fay, &eve)] {
            self.write(by, Method::DELETE, &format!("/v1/blocks/{}", of.user())).await?;
        }
        let mut deleted = BTreeSet::new();
        for key in keys {
            match self.redis.get::<_, Option<String>>(&key).await? {
                None => drop(deleted.insert(key)),
                Some(value) => ensure!(value == SENTINEL, "{key} was filled by somebody: {value}"),
            }
        }
        Ok(deleted)
    }

    /// Waits until every read model of people has reached a position.
    async fn passed(&self, position: Position) -> Result<()> {
        for path in
            ["/v1/users/me", "/v1/friends", "/v1/friend-requests?direction=incoming", "/v1/blocks"]
        {
            let _: Value = self.movers[0].session.read(path, Some(position)).await?;
        }
        Ok(())
    }

    /// Waits until a mark is at a position, or beyond.
    async fn marked(&mut self, mark: &str, position: Position) -> Result<()> {
        let wanted = hex::encode(position.to_bytes());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let floor: Option<String> = self.redis.get(mark).await?;
            if floor.is_some_and(|floor| floor >= wanted) {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "{mark} did not reach {position}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn write(&self, by: &Person, method: Method, path: &str) -> Result<Position> {
        let answer: Value = by.session.write(method, path, None).await?;
        Ok(serde_json::from_value(answer["position"].clone())?)
    }
}

/// What a command deletes: of which list, of whom.
type Stale = &'static [(&'static str, usize)];

const NOTHING: Stale = &[];
const RECOMMENDED: Stale = &[("recommended:", 0), ("recommended:", 1)];
const REQUEST: Stale = &[
    ("friend_requests:out:", 0),
    ("friend_requests:in:", 1),
    ("recommended:", 0),
    ("recommended:", 1),
];
const ACCEPTANCE: Stale = &[
    ("friends:", 0),
    ("friends:", 1),
    ("friend_requests:out:", 0),
    ("friend_requests:in:", 1),
    ("recommended:", 0),
    ("recommended:", 1),
];
const REMOVAL: Stale =
    &[("friends:", 0), ("friends:", 1), ("recommended:", 0), ("recommended:", 1)];
const BLOCK: Stale = &[
    ("friends:", 0),
    ("friends:", 1),
    ("friend_requests:in:", 0),
    ("friend_requests:in:", 1),
    ("friend_requests:out:", 0),
    ("friend_requests:out:", 1),
    ("recommended:", 0),
    ("recommended:", 1),
];
const OWN: Stale = &[("recommended:", 0)];

/// Who does what over REST, with which fields, and what that deletes. Ada and Bob are 0 and 1.
#[rustfmt::skip]
const COMMANDS: &[(usize, &str, &str, &str, Stale)] = &[
    (0, "POST", "/v1/friend-requests", r#"{"to": "BOB"}"#, REQUEST),
    // Once more: there is nothing new.
    (0, "POST", "/v1/friend-requests", r#"{"to": "BOB"}"#, NOTHING),
    (1, "POST", "/v1/friend-requests/ADA/accept", "", ACCEPTANCE),
    (1, "POST", "/v1/friend-requests/ADA/accept", "", NOTHING),
    (0, "DELETE", "/v1/friends/BOB", "", REMOVAL),
    (0, "DELETE", "/v1/friends/BOB", "", NOTHING),
    (0, "POST", "/v1/friend-requests", r#"{"to": "BOB"}"#, REQUEST),
    (1, "POST", "/v1/friend-requests/ADA/decline", "", REQUEST),
    (0, "POST", "/v1/friend-requests", r#"{"to": "BOB"}"#, REQUEST),
    (0, "DELETE", "/v1/friend-requests/BOB", "", REQUEST),
    (0, "DELETE", "/v1/friend-requests/BOB", "", NOTHING),
    (0, "POST", "/v1/friend-requests", r#"{"to": "BOB"}"#, REQUEST),
    // Crossing requests are an acceptance.
    (1, "POST", "/v1/friend-requests", r#"{"to": "ADA"}"#, ACCEPTANCE),
    (1, "DELETE", "/v1/friends/ADA", "", REMOVAL),
    (0, "PUT", "/v1/blocks/BOB", "", BLOCK),
    (0, "PUT", "/v1/blocks/BOB", "", NOTHING),
    (1, "PUT", "/v1/blocks/ADA", "", BLOCK),
    (1, "DELETE", "/v1/blocks/ADA", "", RECOMMENDED),
    (0, "DELETE", "/v1/blocks/BOB", "", RECOMMENDED),
    (0, "DELETE", "/v1/blocks/BOB", "", NOTHING),
    (0, "PATCH", "/v1/users/me", r#"{"name": "Ada L.", "bio": "Numbers", "avatar": {"preset": 2}}"#, NOTHING),
    (0, "PATCH", "/v1/users/me", r#"{"native_language": "en"}"#, OWN),
    (0, "PATCH", "/v1/users/me", r#"{"learning_language": "fr"}"#, OWN),
    (0, "PATCH", "/v1/users/me", r#"{"location": "London"}"#, OWN),
    (0, "PATCH", "/v1/users/me", r#"{"location": "London"}"#, NOTHING),
    // All that it says was said before.
    (0, "POST", "/v1/users/me/onboarding", r#"{"name": "Ada L.", "bio": "Numbers", "native_language": "en", "learning_language": "fr"}"#, NOTHING),
    (0, "POST", "/v1/users/me/onboarding", r#"{"name": "Ada L.", "bio": "Numbers", "native_language": "en", "learning_language": "it"}"#, OWN),
];

async fn stage() -> Result<(Stage, Up, PrivateServers, tempfile::TempDir)> {
    let data = folder()?;
    let servers =
        PrivateServers::start_with(&data.path().join("servers"), Wanted::ALL, Durability::Relaxed)
            .await?;
    let up = Up::on(&servers).await?;
    let names = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Fay"];
    let mut people = try_join_all(names.map(|name| Person::new(&up.url, name))).await?;
    let [eve, fay]: [Person; 2] = people.split_off(4).try_into().expect("six people");
    let url = servers.redis_url.clone().context("Redis was wanted")?;
    let redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    Ok((Stage { url: up.url.clone(), people, movers: [eve, fay], redis }, up, servers, data))
}

#[tokio::test]
async fn each_command_deletes_exactly_the_lists_it_changes() -> Result<()> {
    let (mut stage, up, servers, _data) = stage().await?;
    let ids = [stage.people[0].user().to_string(), stage.people[1].user().to_string()];
    let fill_in = |text: &str| text.replace("ADA", &ids[0]).replace("BOB", &ids[1]);
    for (step, (by, method, path, body, stale)) in COMMANDS.iter().enumerate() {
        let by = stage.people[*by].clone();
        let body: Option<Value> =
            if body.is_empty() { None } else { Some(serde_json::from_str(&fill_in(body))?) };
        let path = fill_in(path);
        let act = async {
            let answer: Value = by.session.write(method.parse()?, &path, body.as_ref()).await?;
            Ok(serde_json::from_value(answer["position"].clone())?)
        };
        let deleted = stage.deleted_by(act).await?;
        let expected: BTreeSet<_> = stale.iter().map(|(list, of)| stage.key(list, *of)).collect();
        ensure!(deleted == expected, "step {step}: {deleted:?} instead of {expected:?}");
    }
    up.end().await?;
    servers.destroy().await;
    Ok(())
}

#[tokio::test]
async fn what_is_refused_and_what_is_about_something_else_deletes_nothing() -> Result<()> {
    let (mut stage, up, servers, _data) = stage().await?;
    let people = stage.people.clone();
    let (ada, bob, cleo) = (&people[0], &people[1], &people[2]);
    let url = stage.url.clone();
    let request = |by: &Person, method, path: &str, body: Value| -> Result<_> {
        let request = by.request(&url, method, path)?.json(&body);
        Ok(request.header("Idempotency-Key", key().to_string()))
    };
    let no = json!({});
    let refused = [
        request(ada, Method::POST, "/v1/friend-requests", json!({ "to": ada.user() }))?,
        request(ada, Method::POST, "/v1/friend-requests", json!({ "to": key() }))?,
        request(ada, Method::PUT, &format!("/v1/blocks/{}", key()), no.clone())?,
        request(ada, Method::POST, &format!("/v1/friend-requests/{}/accept", bob.user()), no)?,
        request(ada, Method::PATCH, "/v1/users/me", json!({ "native_language": "klingon!" }))?,
        request(ada, Method::POST, "/v1/users/me/onboarding", json!({ "name": "Ada" }))?,
    ];
    let all = async {
        for request in refused {
            let answer = request.send().await?.status().as_u16();
            ensure!((400..500).contains(&answer), "{answer}");
        }
        Ok(None)
    };
    ensure!(stage.deleted_by(all).await?.is_empty(), "something that was refused");

    let others = async {
        let group = ada.session.open_group("Others", &[bob.user(), cleo.user()]).await?;
        ada.session.send(group.id, "hello").await?;
        Person::new(&url, "Gus").await?;
        Client::new(&url)?.log_in(&ada.email, e2e::talk::PASSWORD).await?;
        let last = ada.session.send(group.id, "bye").await?;
        Ok(Some(last.position))
    };
    ensure!(stage.deleted_by(others).await?.is_empty(), "something that is no list of people");
    up.end().await?;
    servers.destroy().await;
    Ok(())
}

/// Readers that never wait, and so fill the caches of some people whenever they can.
async fn read_on(people: Vec<Person>, urls: Vec<String>, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut reads = 0;
    let paths = ["/v1/friends", "/v1/friend-requests?direction=incoming", "/v1/users/recommended"];
    while !stop.load(Ordering::Relaxed) {
        for person in &people {
            for url in &urls {
                for path in paths {
                    accepted(person.request(url, Method::GET, path)?, 200).await?;
                    reads += 1;
                }
            }
        }
    }
    Ok(reads)
}

/// The people of a list, as each query-api tells them, when it is read with `after`.
async fn told(
    cluster: &Cluster,
    reader: &Person,
    path: &str,
    after: Position,
) -> Result<Vec<BTreeMap<UserId, String>>> {
    let mut told = vec![];
    for node in &cluster.query_apis {
        let read = reader.request(&node.url, Method::GET, path)?;
        let page = accepted(read.header("Roundtable-After", after.to_string()), 200).await?;
        let items = page["items"].as_array().context("a list")?;
        let person = |item: &Value| {
            let id = serde_json::from_value(item["person"]["id"].clone())?;
            let name = item["person"]["name"].as_str().context("a name")?;
            Ok((id, name.to_owned()))
        };
        told.push(items.iter().map(person).collect::<Result<_>>()?);
    }
    Ok(told)
}

#[tokio::test]
async fn a_list_read_with_after_is_never_stale_on_any_node() -> Result<()> {
    let cluster = Cluster::start().await?;
    let people = try_join_all(["Ada", "Bob"].map(|name| Person::new(&cluster.url, name))).await?;
    let (ada, bob) = (&people[0], &people[1]);
    for (person, native, learning) in [(ada, "en", "es"), (bob, "es", "en")] {
        let body = json!({
            "name": person.name, "bio": "Hi", "native_language": native,
            "learning_language": learning,
        });
        let _: Value =
            person.session.write(Method::POST, "/v1/users/me/onboarding", Some(&body)).await?;
    }
    let urls: Vec<_> = cluster.query_apis.iter().map(|node| node.url.clone()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> =
        (0..3).map(|_| tokio::spawn(read_on(people.clone(), urls.clone(), stop.clone()))).collect();
    for round in 0..8 {
        let (from, to) = if round % 2 == 0 { (ada, bob) } else { (bob, ada) };
        let asked = from.session.ask_for_friendship(to.user()).await?.position;
        for list in told(&cluster, to, "/v1/friend-requests?direction=incoming", asked).await? {
            ensure!(list.contains_key(&from.user()), "round {round}: the request is not there");
        }
        for list in told(&cluster, to, "/v1/users/recommended", asked).await? {
            ensure!(list.is_empty(), "round {round}: recommended, and asked already");
        }
        let yes = to.session.accept_friendship(from.user()).await?.position;
        let name = format!("{} {round}", to.name);
        let renamed: Value =
            to.session.write(Method::PATCH, "/v1/users/me", Some(&json!({ "name": name }))).await?;
        let renamed: Position = serde_json::from_value(renamed["position"].clone())?;
        for (reader, friend) in [(from, to), (to, from)] {
            for list in told(&cluster, reader, "/v1/friends", yes).await? {
                ensure!(
                    list.contains_key(&friend.user()),
                    "round {round}: the friend is not there"
                );
            }
            for list in told(&cluster, reader, "/v1/users/recommended", yes).await? {
                ensure!(list.is_empty(), "round {round}: recommended, and a friend");
            }
        }
        for list in told(&cluster, from, "/v1/friends", renamed).await? {
            ensure!(list[&to.user()] == name, "round {round}: {list:?} instead of {name}");
        }
        let path = format!("/v1/friends/{}", from.user());
        let gone: Value = to.session.write(Method::DELETE, &path, None).await?;
        let gone = serde_json::from_value(gone["position"].clone())?;
        for (reader, friend) in [(from, to), (to, from)] {
            for list in told(&cluster, reader, "/v1/friends", gone).await? {
                ensure!(list.is_empty(), "round {round}: still there: {list:?}");
            }
            for list in told(&cluster, reader, "/v1/users/recommended", gone).await? {
                ensure!(list.contains_key(&friend.user()), "round {round}: not recommended again");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let reads = reader.await??;
        ensure!(reads > 50, "only {reads} reads went on meanwhile");
    }
    let stranger =
        refused_with(Client::new(&urls[0])?.request(Method::GET, "/v1/users/recommended"), 401);
    stranger.await?;
    cluster.stop().await;
    Ok(())
}
