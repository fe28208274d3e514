//! The projections: what each event means for each read model.
//!
//! One file for each read model. `project` is pure: from an event to operations. `apply` runs the
//! operations of a batch, in the order of the log, in the transaction that also advances the
//! checkpoint (see `runner`).

pub mod api_token;
pub mod block;
pub mod call_history;
pub mod change_feed;
pub mod conversation;
pub mod conversation_ban;
pub mod erasure;
pub mod event_index;
pub mod file;
pub mod file_removal;
pub mod friend_list;
pub mod friend_request;
pub mod friendship_interval;
mod horizon;
pub mod invite;
pub mod legal_hold;
pub mod login;
pub mod member;
pub mod mention;
pub mod message;
pub mod message_search;
pub mod notification_log;
pub mod pin;
pub mod reaction;
pub mod read_cursor;
pub mod recording;
pub mod report;
pub mod standing;
pub mod study_session;
mod table;
pub mod timer;
pub mod user_profile;
pub mod webhook;
pub mod whiteboard;

pub use api_token::ApiToken;
pub use block::Block;
pub use call_history::CallHistory;
pub use change_feed::ChangeFeed;
pub use conversation::Conversation;
pub use conversation_ban::ConversationBan;
pub use erasure::Erasure;
pub use event_index::EventIndex;
pub use file::File;
pub use file_removal::FileRemoval;
pub use friend_list::FriendList;
pub use friend_request::FriendRequest;
pub use friendship_interval::FriendshipInterval;
pub use invite::Invite;
pub use legal_hold::LegalHold;
pub use login::Login;
pub use member::Member;
pub use mention::Mention;
pub use message::Message;
pub use message_search::MessageSearch;
pub use notification_log::NotificationLog;
pub use pin::Pin;
pub use reaction::Reaction;
pub use read_cursor::ReadCursor;
pub use recording::Recording;
pub use report::Report;
pub use standing::Standing;
pub use study_session::StudySession;
pub use table::Table;
pub use timer::Timer;
pub use user_profile::UserProfile;
pub use webhook::Webhook;
pub use whiteboard::Whiteboard;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use chrono::TimeDelta;
use events::{Category, DomainEvent, Envelope, Personal, UserId};
use sqlx::PgConnection;
use thiserror::Error;

/// A read model. What it remembers between batches is forgotten when a batch is rolled back, and after
/// every upkeep.
pub trait Projection: Default + Send + 'static {
    /// The name of the read model: of its table, its checkpoint and in metrics.
    const NAME: &'static str;
    /// The categories that matter to it: an event of these that cannot be decoded is parked.
    const FOLLOWS: &'static [Category];
    /// How often [`Projection::upkeep`] is done.
    const UPKEEP: Duration = Duration::from_secs(600);
    /// Of the definition of the read model: rises whenever the same events would leave other rows. A
    /// program that finds tables of another version says so at its start (`roundtable rebuild`).
    const VERSION: i32 = 1;
    /// Its tables, which nobody else writes; none, if it is a list of work that is never rebuilt.
    const TABLES: &'static [Table] = &[Table::named(Self::NAME)];
    /// The beginnings of the keys in Redis under which answers from these tables are cached.
    const CACHES: &'static [&'static str] = &[];
    /// Whether the later events of a stream wait for one that is parked.
    const IN_ORDER: bool = true;
    /// Takes out of its tables what is about a person who was erased, whose id is `$1`: what a
    /// rebuild would not find either.
    const ERASE: &'static [&'static str] = &[];
    /// What there is to do for an event.
    type Op: Clone + Send + Sync;

    /// What there is to do for this event, which is of a category that it follows.
    fn project(event: &Envelope<DomainEvent>) -> Vec<Self::Op>;

    /// Does it, for a batch in the order of the log.
    fn apply(
        &mut self,
        db: &mut PgConnection,
        ops: Vec<Self::Op>,
    ) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Takes out of its tables what is about a person who was erased. It is done after the
    /// operations of a batch: nothing that comes later in the log can be opened any more.
    fn erase(
        db: &mut PgConnection,
        user: UserId,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async move {
            for statement in Self::ERASE {
                sqlx::query(statement).bind(user.uuid()).execute(&mut *db).await?;
            }
            Ok(())
        }
    }

    /// Whatever has to be done now and then: at the start, and then regularly.
    fn upkeep(
        _db: &mut PgConnection,
        _retention: Retention,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }

    /// The cached answers (Redis keys, without a prefix) that are stale after this.
    fn stale_caches(_op: &Self::Op) -> Vec<String> {
        vec![]
    }
}

/// How long what is kept in tables is kept. The log keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The change feed.
    pub feed: TimeDelta,
    /// Messages; for ever when absent. They go by whole months.
    pub messages: Option<TimeDelta>,
}

/// Why a batch was not applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// Another projection that this one reads from has to go on first.
    #[error("waits for another projection")]
    Waits,
    /// The checkpoint is not where this runner left it.
    #[error("another runner works on this projection")]
    Overtaken,
    /// Postgres is away, or refuses.
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
}

/// The value as Postgres takes it: erased values are null, and the one character that Postgres
/// cannot store in a text is replaced.
pub(crate) fn text(personal: &Personal<String>) -> Option<String> {
    personal.open().map(|text| text.replace('\0', "\u{FFFD}"))
}

/// For each key only its last value, in the order in which the keys came first.
pub(crate) fn last_of_each<K: Eq + Hash + Clone, V>(
    ops: impl IntoIterator<Item = (K, V)>,
) -> Vec<(K, V)> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut last: Vec<(K, V)> = Vec::new();
    for (key, value) in ops {
        match places.get(&key) {
            Some(place) => last[*place].1 = value,
            None => {
                places.insert(key.clone(), last.len());
                last.push((key, value));
            }
        }
    }
    last
}

#[cfg(test)]
pub(crate) mod testing {
    //! Envelopes for the tests of projections.

    use chrono::DateTime;
    use events::message::MessageKind;
    use events::{
        ConversationId, DomainEvent, Envelope, EventId, MessageEvent, MessageId, Metadata,
        Personal, Position, StreamName, UserId,
    };
    use uuid::Uuid;

    /// A person for a test.
    pub(crate) fn user(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    /// An event at position 7, recorded at 1,000 s after the epoch.
    pub(crate) fn recorded(event: impl Into<DomainEvent>) -> Envelope<DomainEvent> {
        Envelope {
            id: EventId::new(Uuid::from_u128(70)),
            stream: StreamName::recorded("test-1"),
            revision: 0,
            position: Position::at(7),
            recorded_at: moment(),
            metadata: Metadata {
                schema_version: 1,
                actor: user(1),
                correlation_id: Uuid::nil(),
                causation_id: Uuid::nil(),
                key: Uuid::nil(),
                body_hash: String::new(),
                decided_on: None,
                token: None,
            },
            event: event.into(),
        }
    }

    /// A message of person 1 that is words only.
    pub(crate) fn sent(
        message: MessageId,
        conversation: ConversationId,
        text: &str,
    ) -> MessageEvent {
        MessageEvent::Sent {
            message,
            conversation,
            sender: user(1),
            text: Personal::new(user(1), text.to_owned()),
            kind: MessageKind::Text,
            reply_to: None,
            thread: None,
            mentions: vec![],
            attachments: vec![],
        }
    }

    pub(crate) fn moment() -> events::Moment {
        DateTime::from_timestamp(1000, 0).unwrap()
    }
}
