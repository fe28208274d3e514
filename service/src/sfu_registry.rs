//! Which SFU nodes live, and which of them carries which call: two buckets of NATS KV.
//!
//! A node says every few seconds that it lives; what it does not renew expires. A call's node is
//! set by compare-and-set, so that two who ask at once are told the same; when the node is dead,
//! the next who asks moves the call to another.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::KeyValueErrorKind;
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::{self, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use events::Moment;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// How often a node says that it lives.
pub const BEAT: Duration = Duration::from_secs(2);

/// How long it is believed.
pub const BELIEVED: Duration = Duration::from_secs(7);

/// How long NATS may take for an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The longest that a call is remembered whose end nobody told: a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a lost race is run again before one gives up.
const ATTEMPTS: usize = 8;

/// How long the registry waits for what. Tests wait longer, because a machine that stalls is no
/// node that is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a node is believed. Of all who share the registry, the one that makes the buckets
    /// decides this.
    pub believed: Duration,
    /// How long NATS may take for an answer.
    pub patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { believed: BELIEVED, patience: PATIENCE }
    }
}

/// A node that carries calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name: what tickets say.
    pub id: String,
    /// `http://` or `https://`: clients add `/v1/sfu` (with `ws` for `http`), `/v1/whip/{call}` or
    /// `/v1/whep/{call}`.
    pub url: String,
    /// How busy it is: 0 is idle, 1 is all it takes.
    pub load: f64,
    /// It ends soon, and new calls go elsewhere.
    #[serde(default)]
    pub draining: bool,
    /// When it said so.
    pub seen: Moment,
}

/// Where a call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Placed {
    node: String,
}

/// Why the registry does not answer.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// No node lives that takes calls.
    #[error("no SFU node takes calls")]
    NoNode,
    /// NATS is away, or has no JetStream.
    #[error("the registry of SFU nodes does not answer")]
    Away(#[source] async_nats::Error),
}

/// The registry. Cheap to clone; the buckets are made when they are first needed.
#[derive(Clone)]
pub struct SfuRegistry {
    context: Context,
    namespace: String,
    believed: Duration,
    buckets: std::sync::Arc<OnceCell<Buckets>>,
}

struct Buckets {
    nodes: Store,
    calls: Store,
}

impl SfuRegistry {
    /// The registry in this NATS. The namespace keeps test runs apart; it is empty otherwise.
    pub fn new(nats: Client, namespace: &str) -> Self {
        Self::with_times(nats, namespace, Times::default())
    }

    /// The same, with other times.
    pub fn with_times(nats: Client, namespace: &str, times: Times) -> Self {
        let Times { believed, patience } = times;
        let mut context = jetstream::new(nats);
        context.set_timeout(patience);
        let good = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let namespace = namespace.chars().map(good).collect();
        Self { context, namespace, believed, buckets: std::sync::Arc::default() }
    }

    /// A node lives, with this load. To be said every [`BEAT`].
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn announce(&self, node: &Node) -> Result<(), RegistryError> {
        let buckets = self.buckets().await?;
        buckets.nodes.put(&node.id, json(node)).await.map_err(away)?;
        Ok(())
    }

    /// A node ends.
    ///
    /// # Errors
    /// When NATS is away; then it is soon not believed any more.
    pub async fn withdraw(&self, node: &str) -> Result<(), RegistryError> {
        self.buckets().await?.nodes.delete(node).await.map_err(away)
    }

    /// All nodes that live, in no order.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn nodes(&self) -> Result<Vec<Node>, RegistryError> {
        let nodes = &self.buckets().await?.nodes;
        let keys: Vec<String> =
            nodes.keys().await.map_err(away)?.try_collect().await.map_err(away)?;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(self.node(&key).await?);
        }
        Ok(found)
    }

    /// A node, if it lives.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn node(&self, id: &str) -> Result<Option<Node>, RegistryError> {
        let value = self.buckets().await?.nodes.get(id).await.map_err(away)?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// The node that carries a call, if one does and lives.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn node_of(&self, call: Uuid) -> Result<Option<Node>, RegistryError> {
        match self.placed(call).await? {
            (Some(placed), _) => self.node(&placed.node).await,
            (None, _) => Ok(None),
        }
    }

    /// The node that carries a call. A call that is nowhere, or at a node that is dead, goes to the
    /// one with the least to do. Everybody who asks at once is told the same.
    ///
    /// # Errors
    /// When no node lives or NATS is away.
    pub async fn place(&self, call: Uuid) -> Result<Node, RegistryError> {
        for _ in 0..ATTEMPTS {
            let (placed, revision) = self.placed(call).await?;
            if let Some(placed) = placed
                && let Some(node) = self.node(&placed.node).await?
            {
                return Ok(node);
            }
            let node = least_loaded(self.nodes().await?).ok_or(RegistryError::NoNode)?;
            if self.put(call, &node.id, revision).await? {
                return Ok(node);
            }
        }
        Err(RegistryError::Away("the call was placed by others all the time".into()))
    }

    /// A call has ended, or everybody has left it: its next begin may be elsewhere. A call that has
    /// been moved to another node stays there.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn release(&self, call: Uuid, node: &str) -> Result<(), RegistryError> {
        let (placed, revision) = self.placed(call).await?;
        if placed.is_some_and(|placed| placed.node == node) {
            let calls = &self.buckets().await?.calls;
            // Who loses this race has nothing to release.
            let deleted = calls.delete_expect_revision(call.to_string(), Some(revision)).await;
            if let Err(error) = deleted {
                tracing::debug!(%error, "a call was not released");
            }
        }
        Ok(())
    }

    /// Where a call is, and the revision that says so: 0 if there is none.
    async fn placed(&self, call: Uuid) -> Result<(Option<Placed>, u64), RegistryError> {
        let entry = self.buckets().await?.calls.entry(call.to_string()).await.map_err(away)?;
        let Some(entry) = entry else { return Ok((None, 0)) };
        let placed = match entry.operation {
            Operation::Put => serde_json::from_slice(&entry.value).ok(),
            Operation::Delete | Operation::Purge => None,
        };
        Ok((placed, entry.revision))
    }

    /// Whether the call was put there; not if somebody else was faster.
    async fn put(&self, call: Uuid, node: &str, revision: u64) -> Result<bool, RegistryError> {
        let value = json(&Placed { node: node.to_owned() });
        let calls = &self.buckets().await?.calls;
        if revision == 0 {
            return match calls.create(call.to_string(), value).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(away(error)),
            };
        }
        match calls.update(call.to_string(), value, revision).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(away(error)),
        }
    }

    async fn buckets(&self) -> Result<&Buckets, RegistryError> {
        self.buckets.get_or_try_init(|| self.open_all()).await
    }

    async fn open_all(&self) -> Result<Buckets, RegistryError> {
        let nodes = self.open("sfu_nodes", self.believed, StorageType::Memory).await?;
        let calls = self.open("sfu_calls", REMEMBERED, StorageType::File).await?;
        Ok(Buckets { nodes, calls })
    }

    async fn open(
        &self,
        name: &str,
        max_age: Duration,
        storage: StorageType,
    ) -> Result<Store, RegistryError> {
        let bucket = format!("{}{name}", self.namespace);
        match self.context.get_key_value(&bucket).await {
            Ok(store) => return Ok(store),
            Err(error) if error.kind() == KeyValueErrorKind::GetBucket => {}
            Err(error) => return Err(away(error)),
        }
        // What `create_key_value` makes; that asks for the account first, and cannot read the answer
        // of NATS 2.9.
        let config = stream::Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            max_age,
            storage,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            num_replicas: 1,
            ..stream::Config::default()
        };
        self.context.create_stream(config).await.map_err(away)?;
        self.context.get_key_value(&bucket).await.map_err(away)
    }
}

fn least_loaded(nodes: Vec<Node>) -> Option<Node> {
    nodes.into_iter().filter(|node| !node.draining).min_by(|a, b| a.load.total_cmp(&b.load))
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("names and numbers are JSON").into()
}

fn away(error: impl std::error::Error + Send + Sync + 'static) -> RegistryError {
    RegistryError::Away(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    async fn registry() -> SfuRegistry {
        let servers = servers::shared_for_tests().await.unwrap();
        let nats = crate::nats::options(&servers.nats_url).connect(&servers.nats_url).await;
        // Nodes say once that they live, and are dead only when they are withdrawn.
        let times = Times { believed: Duration::from_secs(600), patience: Duration::from_secs(30) };
        SfuRegistry::with_times(nats.unwrap(), &servers::prefix(), times)
    }

    fn node(id: &str, load: f64) -> Node {
        let url = format!("http://{id}.example");
        Node { id: id.to_owned(), url, load, draining: false, seen: clock::now() }
    }

    #[tokio::test]
    async fn without_a_node_no_call_is_placed() {
        let registry = registry().await;
        let call = Uuid::from_u128(1);
        assert!(matches!(registry.place(call).await, Err(RegistryError::NoNode)));
        assert!(registry.node_of(call).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_call_goes_to_the_idlest_node_and_stays_there() {
        let registry = registry().await;
        registry.announce(&node("busy", 0.9)).await.unwrap();
        registry.announce(&node("idle", 0.1)).await.unwrap();
        let draining = Node { draining: true, ..node("draining", 0.0) };
        registry.announce(&draining).await.unwrap();
        let call = Uuid::from_u128(1);
        assert_eq!(registry.place(call).await.unwrap().id, "idle");
        registry.announce(&node("idle", 1.0)).await.unwrap();
        assert_eq!(registry.place(call).await.unwrap().id, "idle");
        assert_eq!(registry.node_of(call).await.unwrap().unwrap().load, 1.0);
    }

    #[tokio::test]
    async fn the_calls_of_a_dead_node_move_once_for_all() {
        let registry = registry().await;
        registry.announce(&node("first", 0.0)).await.unwrap();
        let call = Uuid::from_u128(1);
        assert_eq!(registry.place(call).await.unwrap().id, "first");
        for id in ["second", "third", "fourth"] {
            registry.announce(&node(id, 0.5)).await.unwrap();
        }
        registry.withdraw("first").await.unwrap();
        let asked = futures::future::join_all((0..8).map(|_| registry.place(call))).await;
        let mut told: Vec<String> = asked.into_iter().map(|node| node.unwrap().id).collect();
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
        // The dead one is late to let go, and does not harm.
        registry.release(call, "first").await.unwrap();
        assert_eq!(registry.place(call).await.unwrap().id, told[0]);
    }

    #[tokio::test]
    async fn a_call_that_was_released_may_begin_elsewhere() {
        let registry = registry().await;
        registry.announce(&node("one", 0.0)).await.unwrap();
        let call = Uuid::from_u128(1);
        registry.place(call).await.unwrap();
        registry.release(call, "one").await.unwrap();
        assert!(registry.node_of(call).await.unwrap().is_none());
        registry.announce(&node("two", 0.0)).await.unwrap();
        registry.withdraw("one").await.unwrap();
        assert_eq!(registry.place(call).await.unwrap().id, "two");
    }
}
