//! Delivers: each notification first to connected devices, then to browsers and by e-mail, again
//! and again until it is taken, or given up.

use std::time::Duration;

use anyhow::Context as _;
use domain::notification::{self, Notification, Raised};
use domain::user::{self, Account, User};
use event_log::{Context, EventLog, LogError, OpenError, Opened, TransactError};
use events::notification::{Channel, Outcome};
use events::{DomainEvent, Envelope, Moment, PushId, StreamName, UserEvent, UserId};
use rand::Rng;
use serde_json::json;
use service::{Connections, NotificationSettings, Vapid};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::email::Post;
use super::push::{Push, Sent};
use super::rows::{self, Due, Next};
use super::{Refused, SYSTEM, words};

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// After a failure of ours, the next try is after this long.
const PAUSE: Duration = Duration::from_secs(2);
/// How many deliveries are claimed at once.
const AT_ONCE: i64 = 32;
/// The longest rest between two attempts.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// How often old rows are forgotten.
const UPKEEP: Duration = Duration::from_secs(3600);

/// Why something could not even be tried.
#[derive(Debug, Error)]
enum Failed {
    /// The log, the vault or Redis does not answer, or somebody else was quicker.
    #[error("something it needs is away")]
    Away,
    /// Something is wrong with the log, or with the row.
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

/// What came of an attempt.
struct Tried {
    outcome: Outcome,
    reason: Option<String>,
}

impl Tried {
    const fn delivered() -> Self {
        Self { outcome: Outcome::Delivered, reason: None }
    }

    fn skipped(reason: &str) -> Self {
        Self { outcome: Outcome::Skipped, reason: Some(reason.to_owned()) }
    }
}

/// The deliveries of one projector.
#[derive(Clone)]
pub struct Deliveries {
    postgres: PgPool,
    log: EventLog,
    connections: Connections,
    settings: NotificationSettings,
    post: Option<Post>,
    push: Push,
}

impl Deliveries {
    /// Deliveries that work on connections of their own.
    ///
    /// # Errors
    /// When the settings for e-mail are wrong.
    pub fn new(
        postgres: PgConnectOptions,
        log: EventLog,
        connections: Connections,
        settings: NotificationSettings,
    ) -> anyhow::Result<Self> {
        let postgres = PgPoolOptions::new()
            .max_connections(3)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(postgres.application_name("projector notifications"));
        let mail = settings.mail.as_ref();
        let post = mail.map(|mail| Post::new(mail, settings.public_url.clone())).transpose();
        let post = post.context("notifications by e-mail")?;
        // Whom a push service asks when something is wrong: RFC 8292 knows these two schemes.
        let public = settings.public_url.clone().filter(|url| url.starts_with("https://"));
        let contact = post.as_ref().map(Post::contact).or(public);
        let push = Push::new(Vapid::of(log.secrets()), contact, settings.push_private)?;
        Ok(Self { postgres, log, connections, settings, post, push })
    }

    /// Delivers what is due, until it is dropped.
    pub async fn run(self) {
        let mut failing = false;
        let mut next_upkeep = Instant::now();
        loop {
            let done = async {
                if Instant::now() >= next_upkeep {
                    next_upkeep = Instant::now() + UPKEEP;
                    rows::forget_old(&self.postgres).await?;
                }
                self.round().await
            };
            match done.await {
                Ok(full) => {
                    failing = false;
                    if !full {
                        sleep(LOOK).await;
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "no notifications are delivered for a while");
                    }
                    failing = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Delivers what is due now; says whether there may be more of it.
    async fn round(&self) -> Result<bool, sqlx::Error> {
        let mut due = rows::claim(&self.postgres, AT_ONCE).await?;
        let full = i64::try_from(due.len()).is_ok_and(|claimed| claimed == AT_ONCE);
        let acts = due.iter_mut().map(|due| self.act(due));
        for done in futures::future::join_all(acts).await {
            done?;
        }
        Ok(full)
    }

    async fn act(&self, due: &mut Due) -> Result<(), sqlx::Error> {
        match self.deliver(due).await {
            Ok((attempt, tried, next)) => {
                rows::settle(&self.postgres, due, attempt, tried.reason.as_deref(), &next).await
            }
            Err(error) => {
                if let Failed::Fault(_) = error {
                    tracing::error!(%error, notification.id = %due.notification, "not delivered");
                }
                rows::put_off(&self.postgres, due, service::clock::now() + PAUSE).await
            }
        }
    }

    /// Makes the next attempt and records it, unless somebody who died had recorded the last one.
    async fn deliver(&self, due: &mut Due) -> Result<(u16, Tried, Next), Failed> {
        let stream = StreamName::notification(due.notification);
        let known = self.log.load::<Notification>(&stream).await?.state;
        let raised = known.raised().ok_or_else(|| Failed::Fault("never raised".to_owned()))?;
        let person = self.log.load::<User>(&StreamName::user(due.user)).await?;
        if person.sealed {
            return Err(Failed::Away);
        }
        let account = person.state.account();
        let (attempt, tried) = match raised.next_attempt(due.channel) {
            Some(attempt) => {
                let tried = self.attempt(due, raised, account, attempt).await?;
                self.record(due, attempt, &tried).await?;
                (attempt, tried)
            }
            None => {
                let (attempt, outcome) = raised.attempts[&due.channel];
                (attempt, Tried { outcome, reason: None })
            }
        };
        let next = match tried.outcome {
            Outcome::Delivered => Next::Done,
            Outcome::Skipped if due.channel == Channel::Live => {
                Next::Instead(self.other_ways(raised, account))
            }
            Outcome::Skipped => Next::Done,
            Outcome::Failed => Next::Again(self.after(attempt)),
            Outcome::Dead => Next::Dead,
        };
        Ok((attempt, tried, next))
    }

    async fn attempt(
        &self,
        due: &mut Due,
        raised: &Raised,
        account: Option<&Account>,
        attempt: u16,
    ) -> Result<Tried, Failed> {
        let account = account.ok_or_else(|| Failed::Fault("nobody to be told".to_owned()))?;
        if raised.read || account.notifications_read >= due.position {
            return Ok(match due.channel {
                Channel::Live => Tried::delivered(),
                Channel::Push | Channel::Email => Tried::skipped("it was read"),
            });
        }
        if due.channel == Channel::Live {
            let there = self.connections.anywhere(&[due.user]).await.map_err(|_| Failed::Away)?;
            return Ok(match there == [true] {
                true => Tried::delivered(),
                false => Tried::skipped("no device is connected"),
            });
        }
        if account.is_suspended(service::clock::now()) {
            return Ok(Tried::skipped("the person is suspended"));
        }
        let Some(address) = self.address(due.user).await? else {
            return Ok(Tried::skipped("the person was erased"));
        };
        let line = words::line(&self.log, raised.about).await?;
        match due.channel {
            Channel::Live => Err(Failed::Fault("nobody is told live here".to_owned())),
            Channel::Push => self.push(due, raised, account, attempt, &line).await,
            Channel::Email => {
                let Some(post) = &self.post else {
                    return Ok(Tried::skipped("e-mail is switched off"));
                };
                let sent = post.send(&address, due.notification, &line).await;
                Ok(sent
                    .map_or_else(|refused| self.failed(attempt, refused), |()| Tried::delivered()))
            }
        }
    }

    /// The e-mail address, as the vault opens it now: not as it is remembered, so that nothing is
    /// sent to who was erased since.
    async fn address(&self, user: UserId) -> Result<Option<String>, Failed> {
        let events = self.log.read_stream(&StreamName::user(user), 0).await?;
        let Some(first) = events.first() else { return Ok(None) };
        match self.log.open(first).await {
            Ok(Opened::Ours(Envelope {
                event: DomainEvent::User(UserEvent::SignedUp { email, .. }),
                ..
            })) => Ok(email.open().cloned()),
            Ok(_) => Ok(None),
            Err(OpenError::VaultUnavailable(_)) => Err(Failed::Away),
            Err(error) => Err(Failed::Fault(error.to_string())),
        }
    }

    /// Tells every browser that does not have it yet. It is delivered if one of them has it, and
    /// none has to be tried again.
    async fn push(
        &self,
        due: &mut Due,
        raised: &Raised,
        account: &Account,
        attempt: u16,
        line: &str,
    ) -> Result<Tried, Failed> {
        let text = json!({ "notification": due.notification, "about": raised.about, "text": line });
        let text = text.to_string();
        let rest = account.subscriptions.iter().filter(|(id, _)| !due.reached.contains(&id.uuid()));
        let sent = rest.map(async |(id, browser)| {
            (*id, self.push.send(browser, due.notification, text.as_bytes()).await)
        });
        let mut refused: Option<Refused> = None;
        for (id, sent) in futures::future::join_all(sent).await {
            match sent {
                Sent::Taken => due.reached.push(id.uuid()),
                Sent::Gone => self.unsubscribe(due, id).await?,
                // What may still come right goes before what never will.
                Sent::Refused(other) if refused.as_ref().is_none_or(|one| one.for_ever) => {
                    refused = Some(other);
                }
                Sent::Refused(_) => {}
            }
        }
        Ok(match refused {
            Some(refused) if due.reached.is_empty() || !refused.for_ever => {
                self.failed(attempt, refused)
            }
            _ if !due.reached.is_empty() => Tried::delivered(),
            _ => Tried::skipped("no browser is subscribed"),
        })
    }

    /// The push service does not know a browser any more.
    async fn unsubscribe(&self, due: &Due, push: PushId) -> Result<(), Failed> {
        let key = Uuid::new_v5(&due.notification.uuid(), format!("gone {push}").as_bytes());
        let command = user::Command::UnsubscribePush { push };
        let (stream, context) = (StreamName::user(due.user), self.context(due, key).await?);
        match self.log.transact::<User>(&stream, &command, &context).await {
            Ok(_) | Err(TransactError::Rejected(_)) => Ok(()),
            Err(TransactError::Unavailable(_) | TransactError::Contention) => Err(Failed::Away),
            Err(error) => Err(Failed::Fault(error.to_string())),
        }
    }

    /// The ways that are tried when no device is connected.
    fn other_ways(&self, raised: &Raised, account: Option<&Account>) -> Vec<Channel> {
        let Some(account) = account else { return vec![] };
        let mut ways = vec![];
        if !account.subscriptions.is_empty() {
            ways.push(Channel::Push);
        }
        if self.post.is_some() && words::is_for_mail(raised.about) {
            ways.push(Channel::Email);
        }
        ways
    }

    fn failed(&self, attempt: u16, refused: Refused) -> Tried {
        let last = refused.for_ever || attempt >= self.settings.attempts;
        let outcome = if last { Outcome::Dead } else { Outcome::Failed };
        Tried { outcome, reason: Some(refused.reason) }
    }

    async fn record(&self, due: &Due, attempt: u16, tried: &Tried) -> Result<(), Failed> {
        let Tried { outcome, reason } = tried;
        let (channel, outcome) = (due.channel, *outcome);
        let step = format!("{channel:?} {attempt}");
        let key = Uuid::new_v5(&due.notification.uuid(), step.as_bytes());
        let reason = reason.clone();
        let command = notification::Command::Attempt { channel, attempt, outcome, reason };
        let stream = StreamName::notification(due.notification);
        let context = self.context(due, key).await?;
        match self.log.transact::<Notification>(&stream, &command, &context).await {
            Ok(_) => {
                let labels = [
                    ("channel", crate::projections::notification_log::channel_name(channel)),
                    ("outcome", crate::projections::notification_log::status(outcome)),
                ];
                metrics::counter!("roundtable_notification_attempts_total", &labels).increment(1);
                if outcome == Outcome::Dead {
                    tracing::warn!(notification.id = %due.notification, "a notification is given up");
                }
                Ok(())
            }
            // Somebody else took over because this took too long: what they recorded counts.
            Err(TransactError::Rejected(_) | TransactError::Contention) => Err(Failed::Away),
            Err(TransactError::Unavailable(_)) => Err(Failed::Away),
            Err(error) => Err(Failed::Fault(error.to_string())),
        }
    }

    /// When it is tried again after an attempt: each rest is four times as long as the one before,
    /// give or take a quarter, so that what failed together does not come back together.
    fn after(&self, attempt: u16) -> Moment {
        let factor = 4_u32.saturating_pow(u32::from(attempt.saturating_sub(1)));
        let rest = self.settings.first_rest.saturating_mul(factor).min(LONGEST_REST);
        service::clock::now() + rest.mul_f64(rand::rng().random_range(0.75..1.25))
    }
}

impl Deliveries {
    /// What surrounds an event that a delivery causes: it follows from the raising.
    async fn context(&self, due: &Due, key: Uuid) -> Result<Context, Failed> {
        let context = Context {
            actor: SYSTEM,
            key,
            body_hash: String::new(),
            correlation: due.notification.uuid(),
            causation: due.notification.uuid(),
            now: service::clock::now(),
            decided_on: None,
            token: None,
        };
        Ok(context.because(self.log.cause_at(due.position).await?))
    }
}
