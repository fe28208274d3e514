//! What a timer does when it goes off: an ordinary command, with a key that follows from the timer.

use domain::conversation::{self, Conversation};
use domain::session::{self, Planned, Session};
use event_log::{Context, LogError, TransactError};
use events::conversation::Role;
use events::{ConversationId, Moment, Position, StreamName, UserId};
use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

use super::rows::{self, Due, Kind};
use super::{SYSTEM, Timers};

/// The namespace of the keys of timers (UUIDv5).
const KEYS: Uuid = Uuid::from_u128(0x3b1d_77a2_90c4_5e0f_a6d8_41f2_0c9e_5b63);

/// Why a timer has to go off again.
#[derive(Debug, Error)]
pub(super) enum Failed {
    /// The log, or Redis, does not answer.
    #[error("something it needs is away")]
    Away,
    /// Something is wrong with the log, or with the timer.
    #[error("{0}")]
    Fault(String),
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) => Self::Away,
            fault @ (LogError::Undecodable { .. } | LogError::Refused(_)) => {
                Self::Fault(fault.to_string())
            }
        }
    }
}

impl<R: std::error::Error + 'static> From<TransactError<R>> for Failed {
    fn from(error: TransactError<R>) -> Self {
        match error {
            TransactError::Unavailable(_) | TransactError::Contention => Self::Away,
            other => Self::Fault(other.to_string()),
        }
    }
}

/// Of which beginning, and how long before it.
#[derive(Deserialize)]
struct Reminder {
    starts: Moment,
    minutes: u16,
}

/// Whether somebody went out of the room last.
#[derive(Deserialize)]
struct Moved {
    gone: bool,
}

impl Timers {
    /// Does what a timer is for, and deletes it; or puts it off.
    pub(super) async fn act(&self, timer: &Due) -> Result<(), sqlx::Error> {
        let kind = timer.kind.name();
        let acted = match timer.kind {
            Kind::Reminder => self.remind(timer).await,
            Kind::Room => self.settle(timer).await,
            Kind::Grace => self.end_grace(timer).await,
            Kind::Close => {
                let command = session::Command::Close { by: SYSTEM, now: service::clock::now() };
                self.session(timer, &command).await
            }
            Kind::Ring => self.stop_ringing(timer).await,
            Kind::Alone => self.expire(timer).await,
            Kind::Lost => self.lose(timer).await,
            Kind::Out => self.send_out(timer).await,
        };
        match acted {
            Ok(()) => {
                metrics::counter!("roundtable_timers_total", "kind" => kind).increment(1);
                rows::done(&self.postgres, timer).await
            }
            Err(Failed::Away) => rows::put_off(&self.postgres, timer).await,
            Err(error @ Failed::Fault(_)) => {
                tracing::error!(%error, kind, timer.attempts, "a timer failed");
                rows::put_off(&self.postgres, timer).await
            }
        }
    }

    /// A reminder that is late is still good before the start; after it, it is none.
    async fn remind(&self, timer: &Due) -> Result<(), Failed> {
        let Reminder { starts, minutes } = parse(timer)?;
        if service::clock::now() >= starts {
            return Ok(());
        }
        self.session(timer, &session::Command::Remind { starts, minutes }).await
    }

    async fn end_grace(&self, timer: &Due) -> Result<(), Failed> {
        let user = person(timer)?;
        let connected = self.connections.anywhere(&[user]).await.map_err(|_| Failed::Away)?;
        if connected == [true] {
            return Ok(());
        }
        // Their going out of the room follows: the event sets a timer of the kind `Room`.
        self.session(timer, &session::Command::Leave { user, lost: true }).await
    }

    /// Who went out of the room, or was sent out, leaves the session too; otherwise who is in the
    /// session comes into the room, and who is not goes out of it. Those who were there when the
    /// session ended keep the room, to read what was said.
    async fn settle(&self, timer: &Due) -> Result<(), Failed> {
        let (user, Moved { gone }) = (person(timer)?, parse(timer)?);
        let stream = StreamName::session(timer.session());
        let known = self.log.load::<Session>(&stream).await?.state;
        let Some(planned) = known.planned() else { return Ok(()) };
        let room = planned.conversation;
        let state = self.log.load::<Conversation>(&StreamName::conversation(room)).await?.state;
        let in_room = state.role(user);
        if state.kind().is_none() && !planned.status.is_over() {
            self.open(timer, planned).await?;
        }
        let leave = session::Command::Leave { user, lost: false };
        match (known.has(user), in_room) {
            (true, None) if gone => self.session(timer, &leave).await,
            (true, None) => {
                let enter = conversation::Command::Enter { user, admitted: true };
                match self.room(timer, room, &enter).await? {
                    Ok(()) => Ok(()),
                    // Banned meanwhile, or there is no room for them.
                    Err(_) => self.session(timer, &leave).await,
                }
            }
            (false, Some(Role::Admin | Role::Member)) if !planned.status.is_over() => {
                let leave = conversation::Command::Leave { user };
                self.room(timer, room, &leave).await?.map_err(|no| Failed::Fault(no.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Whoever planned the session died before its room was opened.
    async fn open(&self, timer: &Due, planned: &Planned) -> Result<(), Failed> {
        let title = planned.title.open().cloned().unwrap_or_else(|| planned.subject.clone());
        let (conversation, tutor) = (planned.conversation, planned.tutor);
        let command = conversation::Command::OpenStudy { conversation, tutor, title };
        let stream = StreamName::conversation(conversation);
        let context = self.context(timer).await?.step("open");
        match self.log.transact::<Conversation>(&stream, &command, &context).await {
            Ok(_) | Err(TransactError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the rules of a session refuse is not to be done any more.
    async fn session(&self, timer: &Due, command: &session::Command) -> Result<(), Failed> {
        let stream = StreamName::session(timer.session());
        match self.log.transact::<Session>(&stream, command, &self.context(timer).await?).await {
            Ok(_) | Err(TransactError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn room(
        &self,
        timer: &Due,
        room: ConversationId,
        command: &conversation::Command,
    ) -> Result<Result<(), conversation::Rejection>, Failed> {
        let stream = StreamName::conversation(room);
        match self.log.transact::<Conversation>(&stream, command, &self.context(timer).await?).await
        {
            Ok(_) => Ok(Ok(())),
            Err(TransactError::Rejected(rejection)) => Ok(Err(rejection)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Timers {
    /// The same timer has the same key, whoever lets it go off, and however often. What it does
    /// follows from the event that set it; what a watch of connections set, from the beginning of
    /// the session or the call.
    pub(super) async fn context(&self, timer: &Due) -> Result<Context, Failed> {
        let key = Uuid::new_v5(&KEYS, format!("{} {}", timer.key, timer.set_by).as_bytes());
        let context = Context {
            actor: SYSTEM,
            key,
            body_hash: String::new(),
            correlation: key,
            causation: key,
            now: service::clock::now(),
            decided_on: None,
            token: None,
        };
        let cause = match (timer.kind, timer.set_by.parse::<Position>()) {
            (Kind::Grace, _) => {
                self.log.beginning_of(&StreamName::session(timer.session())).await?
            }
            (Kind::Lost, _) => self.log.beginning_of(&StreamName::call(timer.call())).await?,
            (_, Ok(position)) => self.log.cause_at(position).await?,
            (_, Err(_)) => None,
        };
        Ok(context.because(cause))
    }
}

pub(super) fn person(timer: &Due) -> Result<UserId, Failed> {
    timer.person.ok_or_else(|| Failed::Fault(format!("{} names nobody", timer.key)))
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(timer: &Due) -> Result<T, Failed> {
    serde_json::from_value(timer.detail.clone()).map_err(|error| Failed::Fault(error.to_string()))
}
