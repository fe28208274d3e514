//! The commands of a slice, issued again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use events::{ConversationId, MessageId, UserId, conversation::ConversationKind};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    ask::{Answer, PATIENCE, patiently, with_position},
    cast::{Cast, Room},
    mask::Mask,
    report::Report,
    step::{Act, Step, Talk},
};
use crate::client::{Client, Created, Error, Session, SignUp};

/// How many people are made at once: a password takes a while to hash.
const AT_ONCE: usize = 4;

/// Issues commands on the other stack.
pub(super) struct Issuer {
    client: Client,
    mask: Mask,
    people: OnceLock<HashMap<UserId, Arc<Session>>>,
    rooms: Mutex<HashMap<ConversationId, ConversationId>>,
}

impl Issuer {
    pub(super) fn new(client: Client, mask: Mask) -> Self {
        Self { client, mask, people: OnceLock::new(), rooms: Mutex::default() }
    }

    /// Makes the people of the slice, and what was between them before.
    pub(super) async fn prepare(&self, cast: &Cast, steps: &[Step]) -> Result<()> {
        let (mut people, mut rooms) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match &step.act {
                Act::Skip => continue,
                Act::Friendship { of, .. } => drop(people.insert(*of)),
                Act::Open(room) => people.extend(&room.people),
                Act::Talk(conversation, talk) => {
                    rooms.insert(*conversation);
                    if let Talk::Person { user, .. } = talk {
                        people.insert(*user);
                    }
                }
            }
            people.insert(step.by);
        }
        let rooms: Vec<Room> = cast.rooms(&rooms).collect();
        people.extend(rooms.iter().flat_map(|room| &room.people));
        let people: Vec<UserId> = people.into_iter().filter(|user| !user.uuid().is_nil()).collect();
        let mut made = HashMap::new();
        for some in people.chunks(AT_ONCE) {
            let sessions =
                futures::future::try_join_all(some.iter().map(|user| self.person(*user)));
            made.extend(some.iter().copied().zip(sessions.await?.into_iter().map(Arc::new)));
        }
        drop(self.people.set(made));
        for (at, one) in people.iter().enumerate() {
            for other in &people[at + 1..] {
                if cast.are_friends(*one, *other) {
                    self.befriend(*one, *other).await?;
                }
            }
        }
        for room in &rooms {
            self.open(room).await?;
        }
        Ok(())
    }

    /// Issues the steps at their pace, each conversation in its own order beside the others.
    pub(super) async fn issue(self, steps: Vec<Step>, speed: f64) -> Result<Report> {
        let issuer = Arc::new(self);
        let report = Arc::new(Mutex::new(Report::default()));
        let Some(first) = steps.first().map(|step| step.at) else { return Ok(Report::default()) };
        let begun = Instant::now();
        let mut lanes: HashMap<ConversationId, mpsc::UnboundedSender<(Instant, Step)>> =
            HashMap::new();
        let mut working = JoinSet::new();
        for step in steps {
            let passed = (step.at - first).to_std().unwrap_or_default();
            let due = match speed > 0.0 {
                true => begun + passed.div_f64(speed),
                false => Instant::now(),
            };
            sleep_until(due).await;
            match &step.act {
                Act::Skip => note(&report, |report| report.skip(step.name)),
                Act::Friendship { .. } | Act::Open(_) => {
                    issuer.carry_out(&step, &mut HashMap::new(), due, &report).await?;
                }
                Act::Talk(conversation, _) => {
                    let lane = lanes.entry(*conversation).or_insert_with(|| {
                        let (sender, mut queue) = mpsc::unbounded_channel::<(Instant, Step)>();
                        let (issuer, report) = (issuer.clone(), report.clone());
                        working.spawn(async move {
                            let mut messages = HashMap::new();
                            while let Some((due, step)) = queue.recv().await {
                                issuer.carry_out(&step, &mut messages, due, &report).await?;
                            }
                            anyhow::Ok(())
                        });
                        sender
                    });
                    if lane.send((due, step)).is_err() {
                        break;
                    }
                }
            }
        }
        drop(lanes);
        while let Some(ended) = working.join_next().await {
            ended??;
        }
        let report = std::mem::take(&mut *report.lock().expect("nothing panics under this lock"));
        Ok(report)
    }

    async fn carry_out(
        &self,
        step: &Step,
        messages: &mut HashMap<MessageId, MessageId>,
        due: Instant,
        report: &Mutex<Report>,
    ) -> Result<()> {
        let done = match &step.act {
            Act::Skip => return Ok(()),
            Act::Open(room) => self.open(room).await.map(|()| Done::Yes),
            Act::Friendship { method, path, of, body } => match self.of(*of) {
                None => Ok(Done::Unknown),
                Some(other) => {
                    let body = body.then(|| json!({ "to": other.user() }));
                    self.ask(step.by, method, &path(other.user()), body).await
                }
            },
            Act::Talk(conversation, talk) => {
                self.talk(step.by, *conversation, talk, messages).await
            }
        };
        let taken = due.elapsed();
        note(report, |report| match &done {
            Ok(Done::Yes) => report.done(step.name, taken),
            Ok(Done::Refused(slug)) => report.refused(step.name, slug),
            Ok(Done::Unknown) => report.skip(step.name),
            Err(_) => {}
        });
        done.map(drop)
    }

    async fn talk(
        &self,
        by: UserId,
        conversation: ConversationId,
        talk: &Talk,
        messages: &mut HashMap<MessageId, MessageId>,
    ) -> Result<Done> {
        let there =
            self.rooms.lock().expect("nothing panics under this lock").get(&conversation).copied();
        let Some(there) = there else { return Ok(Done::Unknown) };
        let room = format!("/v1/conversations/{there}");
        match talk {
            Talk::Say { message, text } => {
                let Some(session) = self.of(by) else { return Ok(Done::Unknown) };
                let path = format!("{room}/messages");
                let body = json!({ "text": text });
                let request = || session.request(Method::POST, &path).json(&body);
                match patiently(request).await? {
                    Answer::Done(made) => {
                        let made: Created<MessageId> = serde_json::from_value(with_position(made))?;
                        messages.insert(*message, made.id);
                        Ok(Done::Yes)
                    }
                    Answer::Refused(slug) => Ok(Done::Refused(slug)),
                }
            }
            Talk::About { message, method, tail, body } => match messages.get(message) {
                None => Ok(Done::Unknown),
                Some(message) => {
                    let path = format!("{room}/messages/{message}{tail}");
                    self.ask(by, method, &path, body.clone()).await
                }
            },
            Talk::Person { method, user } => match self.of(*user) {
                None => Ok(Done::Unknown),
                Some(user) => {
                    self.ask(by, method, &format!("{room}/members/{}", user.user()), None).await
                }
            },
            Talk::Title(title) => {
                self.ask(by, &Method::PATCH, &room, Some(json!({ "title": title }))).await
            }
            Talk::Read { message, kind } => match messages.get(message) {
                None => Ok(Done::Unknown),
                Some(message) => {
                    let body = json!({ "kind": kind, "message": message });
                    self.ask(by, &Method::PUT, &format!("{room}/receipts"), Some(body)).await
                }
            },
        }
    }

    async fn ask(
        &self,
        by: UserId,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Done> {
        let Some(session) = self.of(by) else { return Ok(Done::Unknown) };
        let request = || {
            let request = session.request(method.clone(), path);
            match &body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        Ok(match patiently(request).await? {
            Answer::Done(_) => Done::Yes,
            Answer::Refused(slug) => Done::Refused(slug),
        })
    }

    async fn person(&self, user: UserId) -> Result<Session> {
        let name = self.mask.name(user.uuid());
        let who = SignUp {
            email: format!("{name}@replay.invalid"),
            handle: format!("r_{name}"),
            name: format!("Replayed {name}"),
            password: format!("{name}{name}"),
        };
        let body = json!({
            "email": who.email, "handle": who.handle, "name": who.name, "password": who.password,
        });
        let request = || self.client.request(Method::POST, "/v1/users").json(&body);
        if let Answer::Refused(slug) = patiently(request).await? {
            bail!("nobody can sign up there: {slug}");
        }
        let begun = Instant::now();
        loop {
            match self.client.log_in(&who.email, &who.password).await {
                Err(Error::Problem(refusal))
                    if refusal.slug().contains("too-many") && begun.elapsed() < PATIENCE =>
                {
                    sleep(Duration::from_secs(1)).await;
                }
                session => return session.context("a new person cannot log in"),
            }
        }
    }

    async fn befriend(&self, one: UserId, other: UserId) -> Result<()> {
        let (Some(one_there), Some(other_there)) = (self.of(one), self.of(other)) else {
            return Ok(());
        };
        let body = json!({ "to": other_there.user() });
        self.ask(one, &Method::POST, "/v1/friend-requests", Some(body)).await?;
        let path = format!("/v1/friend-requests/{}/accept", one_there.user());
        self.ask(other, &Method::POST, &path, None).await.map(drop)
    }

    async fn open(&self, room: &Room) -> Result<()> {
        let mut there = room.people.iter().filter_map(|user| self.of(*user));
        let Some(owner) = there.next() else { return Ok(()) };
        let others: Vec<UserId> = there.map(|session| session.user()).collect();
        let body = match (room.kind, others.first()) {
            (ConversationKind::Direct, None) => return Ok(()),
            (ConversationKind::Direct, Some(with)) => json!({ "kind": "direct", "with": with }),
            // The room of a study session is a group there.
            (ConversationKind::Group | ConversationKind::Study, _) => {
                json!({ "kind": "group", "title": "A replay", "members": others })
            }
        };
        let request = || owner.request(Method::POST, "/v1/conversations").json(&body);
        if let Answer::Done(made) = patiently(request).await? {
            let made: Created<ConversationId> = serde_json::from_value(with_position(made))?;
            let mut rooms = self.rooms.lock().expect("nothing panics under this lock");
            rooms.insert(room.id, made.id);
        }
        Ok(())
    }

    fn of(&self, user: UserId) -> Option<Arc<Session>> {
        self.people.get()?.get(&user).cloned()
    }
}

/// What became of a step.
enum Done {
    Yes,
    /// The other stack said no.
    Refused(String),
    /// What it is about is not there: it is older than the slice.
    Unknown,
}

fn note(report: &Mutex<Report>, note: impl FnOnce(&mut Report)) {
    note(&mut report.lock().expect("nothing panics under this lock"));
}
