//! One webhook's deliveries, one after the other, as long as this process has the claim.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::webhook::{Command, Hook, Webhook};
use event_log::{Context, Loaded};
use events::webhook::DisableReason;
use events::{Moment, Position, StreamName};
use rand::Rng;
use service::clock;
use service::webhooks::Secret;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::rows::{self, Attempt, Row};
use super::send::Sent;
use super::telling::{self, Away, Told, concerns};
use super::{SYSTEM, Shared};
use crate::tail::{Content, Item};

/// How many events are looked at together.
const PAGE: usize = 256;
/// At the latest then it is noted how far the lane is, which renews the claim.
const RENEW: Duration = Duration::from_secs(4);
/// An attempt is made with a claim that is no older.
const FRESH: Duration = Duration::from_secs(2);
/// After a failure of ours, the next try is after this long.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a save that failed is tried again, from the one before: after that the claim has run out.
const INSISTS: Duration = Duration::from_secs(15);
/// How soon a change of a webhook that waits is noticed.
const NOTICE: Duration = Duration::from_millis(500);
/// The longest rest between two attempts.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// Why this process stops working on a lane.
enum End {
    /// Somebody else works on it, or Postgres does not say that nobody does.
    Lost,
    /// There is nothing to do until its owner does something.
    Silent,
    /// The webhook was removed.
    Removed,
}

/// Why it does not go on with the next event at once.
enum Stop {
    End(End),
    /// Something that is needed does not answer.
    Away,
}

impl From<Away> for Stop {
    fn from(_: Away) -> Self {
        Self::Away
    }
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// One webhook's deliveries.
pub(super) struct Lane {
    shared: Arc<Shared>,
    row: Row,
    /// When it was noted last how far it is, and the claim renewed.
    saved: Instant,
    /// The next events after the position, as far as they were looked at.
    ahead: VecDeque<Arc<Item>>,
    /// Whoever gets more of them.
    getting: Option<AbortOnDropHandle<Vec<Arc<Item>>>>,
    /// The revision of the webhook when the last attempt failed: a change is a reason to try at once.
    failed_at: Option<u64>,
}

impl Lane {
    /// A lane that was claimed just after this moment.
    pub(super) fn new(shared: Arc<Shared>, row: Row, saved: Instant) -> Self {
        let ahead = VecDeque::new();
        Self { shared, row, saved, ahead, getting: None, failed_at: None }
    }

    /// Works until there is nothing to do, or the claim is lost.
    pub(super) async fn run(mut self) {
        let end = loop {
            match self.step().await {
                Ok(()) => {}
                Err(Stop::End(end)) => break end,
                Err(Stop::Away) => {
                    sleep(PAUSE).await;
                    if let Err(end) = self.renew(FRESH).await {
                        break end;
                    }
                }
            }
        };
        let Shared { postgres, process, .. } = &*self.shared;
        let (process, webhook) = (*process, self.row.webhook);
        let done = match end {
            // Should this process have claimed it again meanwhile, it is free for whoever comes.
            End::Lost | End::Silent => rows::release(postgres, process, webhook).await,
            End::Removed => rows::remove(postgres, process, webhook).await,
        };
        if let Err(error) = done {
            tracing::debug!(%error, webhook.id = %webhook, "a claim on a webhook ends by itself");
        }
    }

    /// Goes on by one event, or waits a little.
    async fn step(&mut self) -> Result<(), Stop> {
        let known = self.known().await?;
        let hook = match &*known.state {
            Webhook::There(hook) => hook,
            Webhook::Removed { .. } => return Err(End::Removed.into()),
            // The read model is ahead of what is read here, which passes.
            Webhook::None => return Err(Stop::Away),
        };
        if hook.disabled.is_some() {
            self.renew(Duration::ZERO).await?;
            return Err(End::Silent.into());
        }
        if self.row.replays < hook.replays {
            self.begin_replay(hook).await?;
        }
        if self.waits(known.revision).await? {
            return Ok(());
        }
        self.look_ahead().await?;
        let Some(item) = self.ahead.front().cloned() else { return Ok(()) };
        match &item.content {
            Content::Ours(event) if concerns(hook, &event.event) => {
                self.deliver(hook, known.revision, item.position).await
            }
            Content::Ours(_) | Content::Foreign | Content::Poison(_) => {
                self.pass(item.position);
                self.renew(RENEW).await.map_err(Stop::from)
            }
        }
    }

    /// The webhook, as it was less than a second ago.
    async fn known(&self) -> Result<Loaded<Webhook>, Away> {
        let stream = StreamName::webhook(self.row.webhook);
        let known = self.shared.log.state::<Webhook>(&stream).await?;
        // Its address is sealed.
        if known.sealed { Err(Away) } else { Ok(known) }
    }

    async fn begin_replay(&mut self, hook: &Hook) -> Result<(), End> {
        self.ahead.clear();
        self.getting = None;
        self.row.position = hook.replay_from;
        self.row.replays = hook.replays;
        self.taken();
        self.renew(Duration::ZERO).await
    }

    /// Whether it is too early for the next attempt; waits a little then. A change of the webhook is
    /// a reason to try at once.
    async fn waits(&mut self, revision: Option<u64>) -> Result<bool, End> {
        let Ok(left) = (self.row.due_at - clock::now()).to_std() else { return Ok(false) };
        if self.failed_at.is_some() && self.failed_at != revision {
            self.row.due_at = clock::now();
            return Ok(false);
        }
        self.failed_at = revision;
        sleep(left.min(NOTICE)).await;
        self.renew(RENEW).await?;
        Ok(true)
    }

    /// Sees to it that the next events are at hand, or waits for them a little.
    async fn look_ahead(&mut self) -> Result<(), End> {
        if !self.ahead.is_empty() {
            return Ok(());
        }
        // In a task of its own, which goes on while others things are looked at.
        let getting = self.getting.get_or_insert_with(|| {
            let (tail, position) = (self.shared.tail.clone(), self.row.position);
            AbortOnDropHandle::new(tokio::spawn(async move { tail.after(position, PAGE).await }))
        });
        if let Ok(got) = tokio::time::timeout(NOTICE, getting).await {
            self.getting = None;
            self.ahead = got.unwrap_or_default().into();
        }
        self.renew(RENEW).await
    }

    /// Makes an attempt to deliver the next event.
    async fn deliver(
        &mut self,
        hook: &Hook,
        revision: Option<u64>,
        position: Position,
    ) -> Result<(), Stop> {
        let shared = Arc::clone(&self.shared);
        if !telling::may_see(&shared.log, hook).await? {
            return self.disable(hook, revision, DisableReason::RightsLost).await;
        }
        let Some(url) = hook.url.open() else {
            return self.disable(hook, revision, DisableReason::RightsLost).await;
        };
        let told =
            telling::tell(&shared.log, &shared.postgres, self.row.position, position).await?;
        let Some(told) = told else {
            self.pass(position);
            return Ok(());
        };
        let place = shared.places.acquire().await.expect("nobody closes it");
        self.renew(FRESH).await?;
        let (at, begun) = (clock::now(), Instant::now());
        let id = format!("msg_{}", told.event.uuid().simple());
        let secrets = self.secrets(hook, at);
        let sent = shared.sender.send(url, &id, &secrets, at, told.body.clone().into()).await;
        drop(place);
        let milliseconds = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        let attempt = self.row.attempts + 1;
        let attempt = Attempt { attempt, at, milliseconds, status: None, reason: None };
        self.settle(hook, revision, &told, attempt, sent).await
    }

    /// Notes what came of an attempt.
    async fn settle(
        &mut self,
        hook: &Hook,
        revision: Option<u64>,
        told: &Told,
        mut attempt: Attempt,
        sent: Sent,
    ) -> Result<(), Stop> {
        let mut disabled = None;
        let outcome = match sent {
            Sent::Taken(status) => {
                attempt.status = Some(status.as_u16());
                self.pass(told.position);
                self.taken();
                "delivered"
            }
            Sent::Gone(status) => {
                attempt.status = Some(status.as_u16());
                attempt.reason = Some("the receiver says that it is gone (410)".to_owned());
                disabled = Some(DisableReason::Gone);
                "gone"
            }
            Sent::Refused { status, reason, after } => {
                attempt.status = status.map(|status| status.as_u16());
                attempt.reason = Some(reason);
                self.failed(attempt.at, after);
                self.failed_at = revision;
                disabled = self.has_failed_for_long().then_some(DisableReason::Failing);
                "failed"
            }
        };
        metrics::counter!("roundtable_webhook_attempts_total", "outcome" => outcome).increment(1);
        if let Some(reason) = disabled {
            // What is enabled again begins anew, with this event.
            self.taken();
            self.save(Some((told, &attempt))).await?;
            return self.disable(hook, revision, reason).await;
        }
        self.save(Some((told, &attempt))).await.map_err(Stop::from)
    }

    /// An event is done with.
    fn pass(&mut self, position: Position) {
        self.row.position = position;
        self.ahead.pop_front();
    }

    /// The next event is a new one.
    fn taken(&mut self) {
        self.row.attempts = 0;
        self.row.failing_since = None;
        self.row.due_at = clock::now();
        self.failed_at = None;
    }

    /// Each rest is twice as long as the one before, give or take a quarter, so that what failed
    /// together does not come back together; and at least as long as the receiver wants it.
    fn failed(&mut self, at: Moment, after: Option<Moment>) {
        let factor = 2_u32.saturating_pow(self.row.attempts);
        let rest = self.shared.settings.first_rest.saturating_mul(factor).min(LONGEST_REST);
        let rest = rest.mul_f64(rand::rng().random_range(0.75..1.25));
        self.row.attempts += 1;
        self.row.failing_since = self.row.failing_since.or(Some(at));
        let due = clock::now() + rest;
        self.row.due_at = after.map_or(due, |after| after.max(due));
    }

    fn has_failed_for_long(&self) -> bool {
        let failing = self.row.failing_since.map(|since| clock::now() - since);
        let failing = failing.and_then(|failing| failing.to_std().ok());
        failing.is_some_and(|failing| failing >= self.shared.settings.give_up)
    }

    /// The secrets that sign now: the newest, and for a while the one before.
    fn secrets(&self, hook: &Hook, now: Moment) -> Vec<Secret> {
        let before = hook.before.filter(|(_, until)| now < *until).map(|(salt, _)| salt);
        let derive = |salt| Secret::derive(self.shared.log.secrets(), hook.webhook, salt);
        std::iter::once(hook.salt).chain(before).map(derive).collect()
    }

    /// Disables the webhook, as a fact that its owner is told live.
    async fn disable(
        &mut self,
        hook: &Hook,
        revision: Option<u64>,
        reason: DisableReason,
    ) -> Result<(), Stop> {
        let step = format!("disable {revision:?}");
        let key = Uuid::new_v5(&hook.webhook.uuid(), step.as_bytes());
        let context = Context {
            actor: SYSTEM,
            key,
            body_hash: String::new(),
            correlation: key,
            causation: key,
            now: clock::now(),
            decided_on: None,
            token: None,
        };
        let (stream, command) = (StreamName::webhook(hook.webhook), Command::Disable { reason });
        match self.shared.log.transact::<Webhook>(&stream, &command, &context).await {
            Ok(_) => {
                let (webhook, reason) = (hook.webhook, reason.as_str());
                tracing::warn!(webhook.id = %webhook, reason, "a webhook was disabled");
                Err(End::Silent.into())
            }
            Err(error) => {
                tracing::warn!(%error, "a webhook could not be disabled");
                Err(Stop::Away)
            }
        }
    }

    /// Notes how far it is, if that was not done for so long.
    async fn renew(&mut self, older: Duration) -> Result<(), End> {
        if self.saved.elapsed() < older { Ok(()) } else { self.save(None).await }
    }

    /// Notes how far it is. What was tried is noted as long as the claim may hold: what is not noted is
    /// told again.
    async fn save(&mut self, tried: Option<(&Told, &Attempt)>) -> Result<(), End> {
        let Shared { postgres, process, .. } = &*self.shared;
        loop {
            let asked = Instant::now();
            match rows::save(postgres, *process, &self.row, tried).await {
                Ok(true) => {
                    self.saved = asked;
                    return Ok(());
                }
                Ok(false) => return Err(End::Lost),
                Err(error) => {
                    tracing::warn!(%error, "how far a webhook was told cannot be noted");
                    if self.saved.elapsed() >= INSISTS {
                        return Err(End::Lost);
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
