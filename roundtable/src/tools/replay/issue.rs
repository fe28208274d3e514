//! The commands of a slice, issued again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use events::{ConversationId, UserId};
use indicatif::ProgressBar;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    ask::{Answer, patiently},
    journal::{Journal, Line, Past},
    mask::Mask,
    report::{Became, Report},
    step::{Act, Step, Talk},
};
use crate::{
    client::{Client, Session},
    tools::progress,
};

/// Issues commands on the other stack.
pub(super) struct Issuer {
    pub(super) client: Client,
    pub(super) mask: Mask,
    pub(super) journal: Journal,
    people: Mutex<HashMap<UserId, Arc<Session>>>,
    prepared: AtomicBool,
    /// Conversations and messages, and what they are called there.
    made: Mutex<HashMap<Uuid, Uuid>>,
}

impl Issuer {
    pub(super) fn new(client: Client, mask: Mask, journal: Journal, past: &mut Past) -> Self {
        let made = Mutex::new(std::mem::take(&mut past.made));
        Self {
            client,
            mask,
            journal,
            people: Mutex::default(),
            prepared: AtomicBool::new(false),
            made,
        }
    }

    /// Issues the steps at their pace, each conversation in its own order beside the others.
    pub(super) async fn issue(self, steps: Vec<Step>, past: &Past, speed: f64) -> Result<Report> {
        let (left, report) = left(steps, past);
        let Some(first) = left.first().map(|step| step.at) else {
            self.journal.end()?;
            return Ok(report);
        };
        let bar = progress::events(left.len() as u64, "replaying");
        let tally = Arc::new(Tally { report: Mutex::new(report), bar });
        let (issuer, begun) = (Arc::new(self), Instant::now());
        let mut lanes: HashMap<ConversationId, mpsc::UnboundedSender<(Instant, Step)>> =
            HashMap::new();
        let mut working = JoinSet::new();
        for step in left {
            let passed = (step.at - first).to_std().unwrap_or_default();
            let due = match speed > 0.0 {
                true => begun + passed.div_f64(speed),
                false => Instant::now(),
            };
            sleep_until(due).await;
            let Act::Talk(conversation, _) = &step.act else {
                issuer.carry_out(&step, due, &tally).await?;
                continue;
            };
            let lane = lanes.entry(*conversation).or_insert_with(|| {
                let (sender, mut queue) = mpsc::unbounded_channel::<(Instant, Step)>();
                let (issuer, tally) = (issuer.clone(), tally.clone());
                working.spawn(async move {
                    while let Some((due, step)) = queue.recv().await {
                        issuer.carry_out(&step, due, &tally).await?;
                    }
                    anyhow::Ok(())
                });
                sender
            });
            if lane.send((due, step)).is_err() {
                break;
            }
        }
        drop(lanes);
        while let Some(ended) = working.join_next().await {
            ended??;
        }
        issuer.journal.end()?;
        tally.bar.finish_and_clear();
        Ok(std::mem::take(&mut *locked(&tally.report)))
    }

    async fn carry_out(&self, step: &Step, due: Instant, tally: &Tally) -> Result<()> {
        let key = self.mask.request(&format!("fact {}", step.event));
        let done = match &step.act {
            Act::Skip => Done::Unknown,
            Act::Open(room) => self.open(room).await?,
            Act::Friendship { method, path, of, body } => match self.of(*of) {
                None => Done::Unknown,
                Some(other) => {
                    let body = body.then(|| json!({ "to": other.user() }));
                    self.ask(key, step.by, method, &path(other.user()), body).await?
                }
            },
            Act::Talk(conversation, talk) => self.talk(key, step.by, *conversation, talk).await?,
        };
        let mut lines = Vec::new();
        if let Done::Made { of, there } = &done {
            lines.push(Line::Made { of: *of, there: *there });
        }
        let became = done.became(due.elapsed());
        tally.count(step.name, &became);
        lines.push(Line::Fact { event: step.event, became });
        self.journal.note(&lines)
    }

    async fn talk(
        &self,
        key: Uuid,
        by: UserId,
        conversation: ConversationId,
        talk: &Talk,
    ) -> Result<Done> {
        let Some(there) = self.there(conversation.uuid()) else { return Ok(Done::Unknown) };
        let room = format!("/v1/conversations/{there}");
        let (method, path, body) = match talk {
            Talk::Say { message, text } => {
                let (path, body) = (format!("{room}/messages"), json!({ "text": text }));
                return self.made(key, by, message.uuid(), &path, &body).await;
            }
            Talk::About { message, method, tail, body } => match self.there(message.uuid()) {
                None => return Ok(Done::Unknown),
                Some(message) => (method, format!("{room}/messages/{message}{tail}"), body.clone()),
            },
            Talk::Person { method, user } => match self.of(*user) {
                None => return Ok(Done::Unknown),
                Some(user) => (method, format!("{room}/members/{}", user.user()), None),
            },
            Talk::Title(title) => (&Method::PATCH, room, Some(json!({ "title": title }))),
            Talk::Read { message, kind } => match self.there(message.uuid()) {
                None => return Ok(Done::Unknown),
                Some(message) => {
                    let body = json!({ "kind": kind, "message": message });
                    (&Method::PUT, format!("{room}/receipts"), Some(body))
                }
            },
        };
        self.ask(key, by, method, &path, body).await
    }

    /// Asks for something that has a name then, and remembers it.
    pub(super) async fn made(
        &self,
        key: Uuid,
        by: UserId,
        of: Uuid,
        path: &str,
        body: &Value,
    ) -> Result<Done> {
        #[derive(Deserialize)]
        struct Made {
            id: Uuid,
        }
        Ok(match self.answer(key, by, &Method::POST, path, Some(body)).await? {
            None => Done::Unknown,
            Some(Err(slug)) => Done::Refused(slug),
            Some(Ok(made)) => {
                let Made { id: there } = serde_json::from_value(made)?;
                locked(&self.made).insert(of, there);
                Done::Made { of, there }
            }
        })
    }

    pub(super) async fn ask(
        &self,
        key: Uuid,
        by: UserId,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Done> {
        Ok(match self.answer(key, by, method, path, body.as_ref()).await? {
            None => Done::Unknown,
            Some(Ok(_)) => Done::Yes,
            Some(Err(slug)) => Done::Refused(slug),
        })
    }

    /// What somebody is answered, or why not; nothing if they are not there. Tokens last for minutes.
    async fn answer(
        &self,
        key: Uuid,
        by: UserId,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Result<Value, String>>> {
        for _ in 0..2 {
            let Some(session) = self.of(by) else { return Ok(None) };
            let request = || {
                let request = session.request(method.clone(), path);
                match body {
                    Some(body) => request.json(body),
                    None => request,
                }
            };
            match patiently(key, request).await? {
                Answer::Done(body) => return Ok(Some(Ok(body))),
                Answer::Failed(slug) if !self.is_prepared() => {
                    bail!("the other stack cannot be prepared: {slug}")
                }
                Answer::Refused(slug) | Answer::Failed(slug) => return Ok(Some(Err(slug))),
                Answer::Stranger => self.come([(by, self.log_in(by).await?)]),
            }
        }
        bail!("the other stack does not know somebody who has just logged in")
    }

    /// From now on the slice is issued, in which errors of the other stack are what came of it.
    pub(super) fn prepared(&self) {
        self.prepared.store(true, Ordering::Relaxed);
    }

    fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Relaxed)
    }

    /// These people are there now.
    pub(super) fn come(&self, people: impl IntoIterator<Item = (UserId, Session)>) {
        let people = people.into_iter().map(|(user, session)| (user, Arc::new(session)));
        locked(&self.people).extend(people);
    }

    pub(super) fn of(&self, user: UserId) -> Option<Arc<Session>> {
        locked(&self.people).get(&user).cloned()
    }

    /// What a conversation or a message is called there.
    fn there(&self, of: Uuid) -> Option<Uuid> {
        locked(&self.made).get(&of).copied()
    }
}

/// What is left to be done, and what became of the rest.
fn left(steps: Vec<Step>, past: &Past) -> (Vec<Step>, Report) {
    let (mut left, mut report) = (Vec::new(), Report::default());
    for step in steps {
        match past.facts.get(&step.event) {
            Some(became) => report.count_before(step.name, became),
            None if matches!(step.act, Act::Skip) => report.count(step.name, &Became::Skipped),
            None => left.push(step),
        }
    }
    (left, report)
}

/// What was done so far.
struct Tally {
    report: Mutex<Report>,
    bar: ProgressBar,
}

impl Tally {
    fn count(&self, name: &'static str, became: &Became) {
        locked(&self.report).count(name, became);
        self.bar.inc(1);
    }
}

/// What became of a step.
pub(super) enum Done {
    Yes,
    /// Something new, and what it is called there.
    Made {
        of: Uuid,
        there: Uuid,
    },
    /// The other stack said no.
    Refused(String),
    /// What it is about is not there: it is older than the slice.
    Unknown,
}

impl Done {
    fn became(self, taken: Duration) -> Became {
        match self {
            Self::Yes | Self::Made { .. } => {
                Became::Done(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX))
            }
            Self::Refused(slug) => Became::Refused(slug),
            Self::Unknown => Became::Skipped,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
