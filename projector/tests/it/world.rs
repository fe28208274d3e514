//! What the tests share: real servers, a log of its own for each test, and people who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use chrono::TimeDelta;
use domain::{Decider, conversation, friendship, login, message, receipt, user};
use event_log::{Context, EventLog, Outcome, Secrets};
use events::{ConversationId, LoginId, MessageId, Moment, Position, StreamName, UserId};
use projector::Settings;
use projector::subjects::Subjects;
use redis::aio::MultiplexedConnection;
use servers::{TestDatabase, TestServers};
use service::Connections;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const SECRETS: Secrets = Secrets { master: [1; 32], deployment: [2; 32] };

/// A log, a database and a namespace that nobody else uses.
pub(crate) struct World {
    pub(crate) servers: TestServers,
    pub(crate) database: TestDatabase,
    pub(crate) postgres: PgPool,
    pub(crate) namespace: String,
    pub(crate) log: EventLog,
    pub(crate) store_url: String,
    keys: AtomicU64,
    _store: DropGuard,
    pub(crate) data: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let servers = servers::shared_for_tests().await.unwrap();
        let database = servers.database().await.unwrap();
        let postgres = PgPool::connect(&database.url).await.unwrap();
        projector::migrate(&postgres).await.unwrap();
        let data = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store_url = format!("esdb://{}?tls=false", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let config = event_store::Config::new(data.path());
        tokio::spawn(event_store::serve(config, listener, shutdown.clone()));
        let log = log(&store_url, postgres.clone()).await;
        Self {
            namespace: servers::prefix(),
            servers,
            database,
            postgres,
            log,
            store_url,
            keys: AtomicU64::new(1),
            _store: shutdown.drop_guard(),
            data,
        }
    }

    /// The settings of a projector of this world.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            signing: [7; 32],
            postgres_url: self.database.url.clone(),
            redis_url: self.servers.redis_url.clone(),
            nats_url: self.servers.nats_url.clone(),
            namespace: self.namespace.clone(),
            retention: TimeDelta::days(7),
            message_retention: None,
            files: service::FileSettings::in_folder(&self.data.path().join("files")),
            idle_pace: projector::runner::IDLE_PACE,
            notifications: None,
            audit: None,
            webhooks: None,
        }
    }

    /// Starts a projector, which works until the guard is dropped.
    pub(crate) async fn start(&self) -> DropGuard {
        let shutdown = CancellationToken::new();
        projector::start(self.settings(), self.log.clone(), shutdown.clone()).await.unwrap();
        shutdown.drop_guard()
    }

    pub(crate) fn names(&self) -> Subjects {
        Subjects::new(&self.namespace)
    }

    pub(crate) async fn nats(&self) -> Client {
        service::nats::options(&self.servers.nats_url)
            .connect(&self.servers.nats_url)
            .await
            .unwrap()
    }

    /// A connection to Redis that waits for its answers as long as they take.
    pub(crate) async fn redis(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.servers.redis_url.as_str()).unwrap();
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
    }

    /// Who has a socket, asked as a gateway or a projector asks.
    pub(crate) fn connections(&self) -> Connections {
        let redis = service::Redis::new(&self.servers.redis_url, &self.namespace).unwrap();
        Connections::new(redis)
    }

    /// People or devices come to a node that is believed until it says something else: a node that says
    /// once a second that it lives is not believed any more after the machine stood still.
    /// Answers with how many the node serves.
    pub(crate) async fn connect_for_good(&self, node: &str, came: &[Uuid]) -> usize {
        let connections = self.connections();
        let serves = answered(|| connections.here(node, came, &[])).await;
        let nodes = format!("{}room-devices", self.namespace);
        let far = 1_000_000_000_000_000_u64;
        let mut told = redis::pipe();
        told.cmd("ZADD").arg(&nodes).arg("XX").arg("CH").arg(far).arg(node);
        told.cmd("PERSIST").arg(format!("{nodes}:{node}"));
        let told: (u64, u64) = told.query_async(&mut self.redis().await).await.unwrap();
        assert_eq!(told, (1, 1), "the keys are those of `Connections`");
        serves
    }

    /// A log whose key vault is away.
    pub(crate) async fn log_without_vault(&self) -> EventLog {
        let options = sqlx::postgres::PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(200))
            .connect_lazy("postgres://nobody@127.0.0.1:1/nowhere")
            .unwrap();
        log(&self.store_url, options).await
    }

    /// Carries out a command and answers with its position.
    pub(crate) async fn act<D: Decider>(
        &self,
        stream: &StreamName,
        actor: UserId,
        command: D::Command,
    ) -> Position {
        let key = Uuid::from_u128(u128::from(self.keys.fetch_add(1, Ordering::Relaxed)));
        #[expect(clippy::disallowed_methods, reason = "a test is an edge")]
        let now = chrono::Utc::now();
        let context = Context {
            actor,
            key,
            body_hash: String::new(),
            correlation: key,
            causation: key,
            now,
            decided_on: None,
            token: None,
        };
        let outcome: Result<Outcome, _> = self.log.transact::<D>(stream, &command, &context).await;
        outcome.unwrap().position
    }

    pub(crate) async fn sign_up(&self, name: &str) -> UserId {
        let user = person(name);
        let command = user::Command::SignUp {
            user,
            email: format!("{name}@example.org"),
            handle: name.to_owned(),
            name: name.to_uppercase(),
            password_hash: "$argon2id$".to_owned(),
        };
        self.act::<user::User>(&StreamName::user(user), user, command).await;
        user
    }

    pub(crate) async fn ask(&self, from: UserId, to: UserId) -> Position {
        let command = friendship::Command::Request { by: from, to };
        self.friendship(from, to, command).await
    }

    pub(crate) async fn accept(&self, by: UserId, of: UserId) -> Position {
        self.friendship(by, of, friendship::Command::Accept { by, of }).await
    }

    pub(crate) async fn unfriend(&self, by: UserId, of: UserId) -> Position {
        self.friendship(by, of, friendship::Command::Remove { by, of }).await
    }

    pub(crate) async fn block(&self, by: UserId, of: UserId) -> Position {
        self.friendship(by, of, friendship::Command::Block { by, of }).await
    }

    async fn friendship(&self, by: UserId, of: UserId, command: friendship::Command) -> Position {
        self.act::<friendship::Friendship>(&StreamName::friendship(by, of), by, command).await
    }

    /// A log-in of somebody, by its number, refreshed once.
    pub(crate) async fn log_in(&self, by: UserId, number: u128) -> LoginId {
        let login = LoginId::new(Uuid::from_u128(0xd000 + number));
        let (stream, expires) =
            (StreamName::login(login), Moment::from_timestamp(4_000_000_000, 0).unwrap());
        let (device, refresh_digest) = (Some("Phone".to_owned()), "a".to_owned());
        let open = login::Command::Open { login, user: by, refresh_digest, expires, device };
        self.act::<login::Login>(&stream, by, open).await;
        let (shown_digest, next_digest) = ("a".to_owned(), "b".to_owned());
        let now = Moment::UNIX_EPOCH;
        let expires = expires + Duration::from_secs(1);
        let refresh = login::Command::Refresh { shown_digest, next_digest, now, expires };
        self.act::<login::Login>(&stream, by, refresh).await;
        login
    }

    pub(crate) async fn group(&self, by: UserId, members: &[UserId]) -> ConversationId {
        let number = self.keys.fetch_add(1, Ordering::Relaxed);
        let conversation = ConversationId::new(Uuid::from_u128(0xc000 + u128::from(number)));
        let (title, members) = ("Reading".to_owned(), members.to_vec());
        let command = conversation::Command::OpenGroup { conversation, by, title, members };
        self.conversation(conversation, by, command).await;
        conversation
    }

    pub(crate) async fn conversation(
        &self,
        id: ConversationId,
        by: UserId,
        command: conversation::Command,
    ) -> Position {
        self.act::<conversation::Conversation>(&StreamName::conversation(id), by, command).await
    }

    pub(crate) async fn send(
        &self,
        by: UserId,
        conversation: ConversationId,
        text: &str,
    ) -> (MessageId, Position) {
        let number = self.keys.fetch_add(1, Ordering::Relaxed);
        let message = MessageId::new(Uuid::from_u128(0xd000 + u128::from(number)));
        let draft = message::Draft { text: text.to_owned(), ..message::Draft::default() };
        let action = message::Action::Send(draft);
        self.message(by, conversation, message, action).await
    }

    /// Does something to a message, as somebody who may do everything.
    pub(crate) async fn message(
        &self,
        by: UserId,
        conversation: ConversationId,
        message: MessageId,
        action: message::Action,
    ) -> (MessageId, Position) {
        let place = message::Place { conversation, member: true, blocked: false, moderator: true };
        let command = message::Command { message, by, place, action };
        let stream = StreamName::message(message);
        (message, self.act::<message::Message>(&stream, by, command).await)
    }

    pub(crate) async fn receipt(
        &self,
        user: UserId,
        conversation: ConversationId,
        (message, upto): (MessageId, Position),
        kind: receipt::Kind,
    ) -> Position {
        let command = receipt::Command { kind, conversation, user, message, upto, member: true };
        let stream = StreamName::receipt(conversation, user);
        self.act::<receipt::Receipt>(&stream, user, command).await
    }

    /// Waits until every projection has reached the head of the log.
    pub(crate) async fn settle(&self) -> Position {
        let head = self.log.head().await.unwrap();
        settled(&self.postgres, head).await;
        head
    }

    /// All rows of all tables, as another projector makes them from the whole log.
    pub(crate) async fn rebuilt(&self) -> String {
        let head = self.log.head().await.unwrap();
        let again = self.servers.database().await.unwrap();
        let postgres = PgPool::connect(&again.url).await.unwrap();
        let settings = Settings {
            postgres_url: again.url.clone(),
            namespace: servers::prefix(),
            ..self.settings()
        };
        let shutdown = CancellationToken::new();
        let _ended = shutdown.clone().drop_guard();
        projector::start(settings, self.log.clone(), shutdown).await.unwrap();
        settled(&postgres, head).await;
        dump(&postgres).await
    }

    /// Appends events as somebody who does not use our log.
    pub(crate) async fn append_raw(
        &self,
        stream: &str,
        event_type: &str,
        data: &serde_json::Value,
        metadata: &serde_json::Value,
    ) {
        let settings: eventstore::ClientSettings = self.store_url.parse().unwrap();
        let client = eventstore::Client::new(settings).unwrap();
        let event = eventstore::EventData::json(event_type, data)
            .unwrap()
            .metadata_as_json(metadata)
            .unwrap();
        client.append_to_stream(stream, &Default::default(), event).await.unwrap();
    }
}

pub(crate) async fn log(store_url: &str, postgres: PgPool) -> EventLog {
    let config =
        event_log::Config { eventstore_url: store_url.to_owned(), postgres, secrets: SECRETS };
    EventLog::connect(config).await.unwrap()
}

pub(crate) fn person(name: &str) -> UserId {
    let number = name.bytes().fold(0_u128, |number, byte| number * 256 + u128::from(byte));
    UserId::new(Uuid::from_u128(number))
}

/// Waits until all projections have reached a position.
pub(crate) async fn settled(postgres: &PgPool, head: Position) {
    let there = || async {
        let count: i64 =
            sqlx::query_scalar("select count(*) from projection_checkpoint where position >= $1")
                .bind(head.to_bytes())
                .fetch_one(postgres)
                .await
                .unwrap();
        usize::try_from(count).unwrap() == projector::PROJECTIONS.len()
    };
    eventually("the projections reach the head", there).await;
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ask().await {
        assert!(tokio::time::Instant::now() < deadline, "in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asks again and again until there is an answer: Redis is not waited for when it is slow.
pub(crate) async fn answered<T, E, F>(ask: impl Fn() -> F) -> T
where
    E: std::fmt::Debug,
    F: Future<Output = Result<T, E>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "in time: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hundredths of a second in which this process could run: a machine that stands still for a while
/// counts one.
pub(crate) struct Ticks {
    count: Arc<AtomicU32>,
    task: AbortHandle,
}

impl Ticks {
    pub(crate) fn start() -> Self {
        let count = Arc::<AtomicU32>::default();
        let counted = count.clone();
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(Duration::from_millis(10));
            interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                interval.tick().await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { count, task: task.abort_handle() }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Every table that is derived from the log.
pub(crate) const TABLES: &[&str] = &[
    "user_profile",
    "user_account",
    "user_search_term",
    "block",
    "friend_list",
    "friend_request",
    "login",
    "conversation",
    "member",
    "message",
    "message_counter",
    "message_month",
    "message_floor",
    "message_edit",
    "uncounted_message",
    "message_search",
    "reaction",
    "mention",
    "pin",
    "read_cursor",
    "read_cursor_counter",
    "change_feed_entry",
    "change_feed_frame",
    "change_feed_member",
    "unread_count",
    "study_session",
    "study_participant",
    "whiteboard",
    "file",
    "file_link",
    "file_avatar",
    "notification_log",
    "call_history",
    "recording",
    "recording_file",
    "call_person",
    "call_participant",
];

/// All rows of all tables, as one text.
pub(crate) async fn dump(postgres: &PgPool) -> String {
    let mut dump = String::new();
    for table in TABLES {
        let rows = format!("select to_jsonb(t)::text from {table} t order by 1");
        let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(postgres).await.unwrap();
        dump += &format!("{table}\n{}\n", rows.join("\n"));
    }
    dump
}
