//! What follows when somebody is erased, once, whichever projector does it.
//!
//! The fact comes first (`user.erased`): from it on nothing of the person is sealed or opened, and each
//! projection takes its rows out when it gets there. This worker does the rest, step by step; every
//! step may be done twice, so it begins again after a crash:
//!
//! 1. it destroys the key;
//! 2. it ends what the person had with others, as ordinary commands of theirs (`ends`);
//! 3. it waits until every projection has passed all that, and the files' bytes are gone;
//! 4. it rewrites the tables, in which Postgres keeps what was deleted for a while (`scrub`);
//! 5. it signs what was done and appends that (`certificate`).

mod certificate;
mod ends;
mod scrub;

use std::time::Duration;

use anyhow::Context as _;
use domain::user::{self, User};
use event_log::{Context, EventLog, Opened};
use events::{ConversationId, DomainEvent, Moment, Position, StreamName, UserEvent, UserId};
use sqlx::{Encode, PgPool, Postgres, Type};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::PROJECTIONS;
use crate::rebuild::{self, Slot};
pub use certificate::{Certificate, Signer, is_signed};

/// How often it looks for what is to be done.
const LOOK: Duration = Duration::from_secs(1);
/// So long one projector works on an erasure, and no other.
const CLAIM: Duration = Duration::from_secs(120);
/// How often it looks whether the projections have come far enough.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long it waits for that before it begins again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The namespace of the keys of its commands (UUIDv5).
const KEYS: Uuid = Uuid::from_u128(0x8c52_0f1d_6e7b_5a34_9d10_27c6_e4b8_3f95);

/// The worker.
pub struct Erasures {
    postgres: PgPool,
    log: EventLog,
    signer: Signer,
}

/// An erasure as the log has it.
struct Erased {
    user: UserId,
    by: UserId,
    at: Moment,
    position: Position,
    conversations: Vec<ConversationId>,
    names: Vec<String>,
}

impl Erasures {
    /// A worker that has nothing to do yet.
    #[must_use]
    pub fn new(postgres: PgPool, log: EventLog, signer: Signer) -> Self {
        Self { postgres, log, signer }
    }

    /// Does what is to be done, whenever there is something.
    pub async fn run(self) {
        loop {
            match self.claim().await {
                Ok(Some(user)) => {
                    if let Err(error) = self.carry_out(user).await {
                        tracing::warn!(user.id = %user, error = format!("{error:#}"), "an erasure goes on later");
                        self.failed(user, &error).await;
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "it cannot be read who is erased"),
            }
            sleep(LOOK).await;
        }
    }

    async fn claim(&self) -> sqlx::Result<Option<UserId>> {
        let user: Option<Uuid> = sqlx::query_scalar(
            "update erasure set claimed_until = clock_timestamp() + make_interval(secs => $1)
             where user_id = (
               select user_id from erasure
               where certified_at is null
                 and (claimed_until is null or claimed_until < clock_timestamp())
               order by position limit 1 for update skip locked
             )
             returning user_id",
        )
        .bind(CLAIM.as_secs_f64())
        .fetch_optional(&self.postgres)
        .await?;
        Ok(user.map(UserId::new))
    }

    async fn failed(&self, user: UserId, error: &anyhow::Error) {
        let noted = sqlx::query(
            "update erasure set failure = $2, claimed_until = clock_timestamp() + interval '5 seconds'
             where user_id = $1",
        )
        .bind(user.uuid())
        .bind(format!("{error:#}"))
        .execute(&self.postgres)
        .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "the claim on an erasure runs out by itself");
        }
    }

    async fn carry_out(&self, user: UserId) -> anyhow::Result<()> {
        let stream = StreamName::user(user);
        let state = self.log.load::<User>(&stream).await?.state;
        if state.erasure().is_none_or(|erasure| erasure.certified) {
            return Ok(());
        }
        let erased = self.erased(user).await?;
        self.log.vault().destroy(user).await?;
        let key_destroyed_at = service::clock::now();
        self.reach(erased.position).await?;
        let ended = ends::all(&self.log, &self.postgres, &erased).await?;
        let head = self.log.head().await?;
        self.reach(head).await?;
        self.bytes_are_gone(user).await?;
        self.forget_quotations().await?;
        // Versions of read models that are kept beside the live ones may be from before.
        let mut db = self.postgres.acquire().await?;
        for slot in [Slot::Old, Slot::Next] {
            rebuild::discard(&mut db, PROJECTIONS, slot).await?;
        }
        drop(db);
        let scrubbed = scrub::tables(&self.postgres, user).await?;
        let certificate = Certificate::new(&erased, key_destroyed_at, ended, head, scrubbed);
        let (certificate, signature) = self.signer.sign(&certificate)?;
        let command = user::Command::CertifyErasure { certificate, signature };
        self.log.transact::<User>(&stream, &command, &erased.context("certify")).await?;
        tracing::info!(user.id = %user, "an erasure is certified");
        Ok(())
    }

    /// Why events are parked may quote what they say, and nobody knows of whom: the next try tells it
    /// anew.
    async fn forget_quotations(&self) -> sqlx::Result<()> {
        sqlx::query("update parked_event set error = 'taken out when somebody was erased'")
            .execute(&self.postgres)
            .await
            .map(drop)
    }

    async fn erased(&self, user: UserId) -> anyhow::Result<Erased> {
        for recorded in self.log.read_stream(&StreamName::user(user), 0).await?.iter().rev() {
            let Opened::Ours(event) = self.log.open_sealed(recorded)? else { continue };
            if let DomainEvent::User(UserEvent::Erased { user, by, conversations, names }) =
                event.event
            {
                let (at, position) = (event.recorded_at, event.position);
                return Ok(Erased { user, by, at, position, conversations, names });
            }
        }
        anyhow::bail!("the log does not say that this person is erased")
    }

    /// Waits until every projection has passed a position.
    async fn reach(&self, position: Position) -> anyhow::Result<()> {
        let all = self.wait_for(
            "select count(*) = cardinality($2) from projection_checkpoint
             where position >= $1 and projection = any($2)",
            position.to_bytes().to_vec(),
            PROJECTIONS.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        );
        all.await.context("a projection is behind")
    }

    /// Waits until the bytes of all files that were ever the person's are removed.
    async fn bytes_are_gone(&self, user: UserId) -> anyhow::Result<()> {
        let gone = self.wait_for(
            "select not exists (
               select from file_removal where owner_id = $1 and done_at is null and $2
             )",
            user.uuid(),
            true,
        );
        gone.await.context("bytes of files are still there")
    }

    /// Asks Postgres, with two values, until it says yes.
    async fn wait_for<A, B>(&self, question: &'static str, one: A, two: B) -> anyhow::Result<()>
    where
        A: for<'q> Encode<'q, Postgres> + Type<Postgres> + Clone + Send,
        B: for<'q> Encode<'q, Postgres> + Type<Postgres> + Clone + Send,
    {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let asked = sqlx::query_scalar(question).bind(one.clone()).bind(two.clone());
            if asked.fetch_one(&self.postgres).await? {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
        anyhow::bail!("it took longer than {} s", PATIENCE.as_secs())
    }
}

impl Erased {
    /// The context of a command that follows from the erasure.
    fn context(&self, step: &str) -> Context {
        let key = Uuid::new_v5(&KEYS, format!("{} {} {step}", self.user, self.position).as_bytes());
        Context {
            actor: self.user,
            key,
            body_hash: String::new(),
            correlation: key,
            causation: key,
            now: service::clock::now(),
            decided_on: None,
            token: None,
        }
    }
}
