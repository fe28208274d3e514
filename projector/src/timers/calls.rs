//! What the timers of calls do, and the watch over the devices that are in one.
//!
//! A device in a call has a socket, or is connected to an SFU node that lives; one that has neither
//! is away, and out of the call when it does not come back in time.

use std::collections::{BTreeSet, HashMap};

use domain::call::{self, Call};
use domain::conversation::Conversation;
use domain::friendship::Friendship;
use event_log::TransactError;
use events::call::Participant;
use events::conversation::ConversationKind;
use events::{CallId, LoginId, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::act::{Failed, parse, person};
use super::rows::Due;
use super::{Kind, Timers};
use crate::projections::timer::lost_key;

/// How many devices Redis is asked about at once.
const AT_ONCE: usize = 500;

/// Which device of the person.
#[derive(Serialize, Deserialize)]
struct Lost {
    device: LoginId,
}

/// A device in a call, and the node that it is connected to.
#[derive(FromRow)]
struct Stay {
    call_id: Uuid,
    user_id: Uuid,
    device_id: Uuid,
    node: Option<String>,
}

impl Stay {
    fn device(&self) -> Participant {
        Participant { user: self.user_id.into(), device: self.device_id.into() }
    }

    fn key(&self) -> String {
        lost_key(self.call_id.into(), self.device())
    }
}

impl Timers {
    /// It rang long enough.
    pub(super) async fn stop_ringing(&self, timer: &Due) -> Result<(), Failed> {
        let command = match timer.person {
            None => call::Command::StopRinging,
            Some(user) => call::Command::StopRingingAt { user },
        };
        self.call(timer, &command).await
    }

    /// Somebody was alone for long enough.
    pub(super) async fn expire(&self, timer: &Due) -> Result<(), Failed> {
        self.call(timer, &call::Command::Expire).await
    }

    /// A device did not come back in time.
    pub(super) async fn lose(&self, timer: &Due) -> Result<(), Failed> {
        let (user, Lost { device }) = (person(timer)?, parse(timer)?);
        let participant = Participant { user, device };
        let known = self.log.load::<Call>(&StreamName::call(timer.call())).await?.state;
        let inside = known.active().and_then(|begun| Some((begun, begun.inside(participant)?)));
        let Some((begun, inside)) = inside else { return Ok(()) };
        let connected =
            self.connections.devices(&[participant]).await.map_err(|_| Failed::Away)? == [true];
        let node = begun.node.clone().filter(|_| inside.in_media);
        if connected || self.living(node.into_iter().collect()).await.contains_key(&true) {
            return Ok(());
        }
        self.call(timer, &call::Command::Lose { participant }).await
    }

    /// Who may not talk there any more leaves the call.
    pub(super) async fn send_out(&self, timer: &Due) -> Result<(), Failed> {
        let user = person(timer)?;
        let known = self.log.load::<Call>(&StreamName::call(timer.call())).await?.state;
        let Some(begun) = known.active() else { return Ok(()) };
        let room = StreamName::conversation(begun.conversation);
        let room = self.log.load::<Conversation>(&room).await?.state;
        let mut may_stay = room.has_member(user);
        if room.kind() == Some(ConversationKind::Direct)
            && let Some(other) = room.members().find(|other| *other != user)
        {
            let between = StreamName::friendship(user, other);
            may_stay &= !self.log.load::<Friendship>(&between).await?.state.is_blocked();
        }
        match may_stay {
            true => Ok(()),
            false => self.call(timer, &call::Command::Remove { user }).await,
        }
    }

    /// What the rules of a call refuse is not to be done any more.
    async fn call(&self, timer: &Due, command: &call::Command) -> Result<(), Failed> {
        let stream = StreamName::call(timer.call());
        match self.log.transact::<Call>(&stream, command, &self.context(timer).await?).await {
            Ok(_) | Err(TransactError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Of these nodes, those that live (`true`), and those that do not. Where nobody knows, they
    /// live.
    async fn living(&self, nodes: BTreeSet<String>) -> HashMap<bool, Vec<String>> {
        let mut found: HashMap<bool, Vec<String>> = HashMap::new();
        for node in nodes {
            let lives = match self.sfu.node(&node).await {
                Ok(node) => node.is_some(),
                Err(error) => {
                    tracing::debug!(%error, "it is not known which SFU nodes live");
                    true
                }
            };
            found.entry(lives).or_default().push(node);
        }
        found
    }

    /// Sets a timer for every device in a call that is away, and takes it from those that are back.
    pub(super) async fn look_at_calls(&self, db: &mut PgConnection) -> anyhow::Result<()> {
        let inside: Vec<Stay> = sqlx::query_as(
            "select p.call_id, p.user_id, p.device_id,
               case when p.in_media then h.node end as node
             from call_participant p join call_history h using (call_id)
             where p.left_at is null order by 1, 2, 3",
        )
        .fetch_all(&mut *db)
        .await?;
        let nodes = inside.iter().filter_map(|stay| stay.node.clone()).collect();
        let living = self.living(nodes).await.remove(&true).unwrap_or_default();
        for stays in inside.chunks(AT_ONCE) {
            let devices: Vec<Participant> = stays.iter().map(Stay::device).collect();
            let connected = self.connections.devices(&devices).await?;
            let in_media =
                |stay: &Stay| stay.node.as_ref().is_some_and(|node| living.contains(node));
            let (there, away): (Vec<_>, Vec<_>) = stays
                .iter()
                .zip(connected)
                .partition(|(stay, connected)| *connected || in_media(stay));
            self.set_lost(db, away.into_iter().map(|(stay, _)| stay)).await?;
            let keys: Vec<String> = there.into_iter().map(|(stay, _)| stay.key()).collect();
            if !keys.is_empty() {
                let back = sqlx::query("delete from timer where key = any($1)").bind(keys);
                back.execute(&mut *db).await?;
            }
        }
        Ok(())
    }

    async fn set_lost(
        &self,
        db: &mut PgConnection,
        away: impl Iterator<Item = &Stay>,
    ) -> Result<(), sqlx::Error> {
        let now = service::clock::now();
        for stay in away {
            sqlx::query(
                "insert into timer (key, kind, subject, person, detail, due_at, source, set_by)
                 values ($1, $2, $3, $4, $5, $6, 'presence', $7)
                 on conflict (key) do nothing",
            )
            .bind(stay.key())
            .bind(Kind::Lost.name())
            .bind(stay.call_id)
            .bind(stay.user_id)
            .bind(json!(Lost { device: stay.device_id.into() }))
            .bind(now + self.settings.call_grace)
            .bind(now.timestamp_micros().to_string())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }
}

impl Due {
    /// The call that it is about.
    pub fn call(&self) -> CallId {
        self.subject.into()
    }
}
