//! Denials as facts: every 403 that somebody who is logged in is answered with goes to the stream
//! `denial-{user}`, after the answer and without holding it up.

use std::sync::Arc;
use std::time::Duration;

use domain::denial::{Command, Denials as Decider};
use event_log::{Context, EventLog};
use events::denial::Target;
use events::{Scope, StreamName, UserId};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::limits::{Class, RateLimits};
use crate::{Problem, clock};

/// How many may wait for the log.
const WAITING: usize = 1024;

/// How long the log may take for one; a log that is away holds nothing up and loses this one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records denials. Cheap to clone.
#[derive(Clone)]
pub struct Denials {
    queue: mpsc::Sender<Command>,
    worker: Arc<Worker>,
}

struct Worker {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Denials {
    /// Starts the task that records.
    pub fn start(log: EventLog, limits: RateLimits) -> Self {
        let (queue, denied) = mpsc::channel(WAITING);
        let worker = Worker { tasks: TaskTracker::new(), ending: CancellationToken::new() };
        worker.tasks.spawn(record_all(log, limits, denied, worker.ending.clone()));
        worker.tasks.close();
        Self { queue, worker: Arc::new(worker) }
    }

    /// Records it, if a problem is a denial: a rule says no to this person (403).
    pub fn note(
        &self,
        user: UserId,
        command: &str,
        target: Option<Target>,
        status: StatusCode,
        slug: &str,
        scope: Option<Scope>,
    ) {
        if status != StatusCode::FORBIDDEN {
            return;
        }
        let (command, problem) = (command.to_owned(), slug.to_owned());
        if self.queue.try_send(Command { user, command, problem, target, scope }).is_err() {
            lost(user, "too many wait");
        }
    }

    /// The same for a command's outcome.
    pub fn note_problem(
        &self,
        user: UserId,
        command: &str,
        target: Option<Target>,
        problem: &Problem,
    ) {
        let scope = problem.missing_scope();
        self.note(user, command, target, problem.status(), problem.slug(), scope);
    }

    /// Records what waits, and ends; whatever comes later is lost.
    pub async fn drained(&self) {
        self.worker.ending.cancel();
        self.worker.tasks.wait().await;
    }
}

async fn record_all(
    log: EventLog,
    limits: RateLimits,
    mut denied: mpsc::Receiver<Command>,
    ending: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = denied.recv() => next,
            () = ending.cancelled(), if !denied.is_closed() => {
                denied.close();
                continue;
            }
        };
        let Some(denial) = next else { return };
        record(&log, &limits, denial).await;
    }
}

async fn record(log: &EventLog, limits: &RateLimits, denial: Command) {
    let user = denial.user;
    // Whoever hammers on a closed door must not fill the log with it.
    if limits.check(Class::Denial, user).await.is_err() {
        return lost(user, "too many of one person");
    }
    #[expect(clippy::disallowed_methods, reason = "each denial is a fact of its own")]
    let id = Uuid::now_v7();
    let context = Context {
        actor: user,
        key: id,
        body_hash: String::new(),
        correlation: id,
        causation: id,
        now: clock::now(),
        decided_on: None,
        token: None,
    };
    let stream = StreamName::denial(user);
    let transacted = log.transact::<Decider>(&stream, &denial, &context);
    match tokio::time::timeout(PATIENCE, transacted).await {
        Ok(Ok(_)) => metrics::counter!("roundtable_denials_total").increment(1),
        Ok(Err(_)) => lost(user, "the log does not take it"),
        Err(_) => lost(user, "the log does not answer"),
    }
}

fn lost(user: UserId, why: &'static str) {
    metrics::counter!("roundtable_denials_lost_total", "why" => why).increment(1);
    tracing::warn!(user.id = %user, why, "a denial was not recorded");
}
