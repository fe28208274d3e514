//! The commands of a slice, issued again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use events::{
    ConversationEvent, ConversationId, DomainEvent, Envelope, FriendshipEvent, MessageEvent,
    MessageId, Moment, ReceiptEvent, UserId, conversation::ConversationKind,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    cast::{Cast, Room},
    mask::Mask,
    report::Report,
};
use crate::client::{Client, Created, Error, Session, SignUp, key};

/// How long an answer that asks to come back later is followed.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many people are made at once: a password takes a while to hash.
const AT_ONCE: usize = 4;

/// A fact, as it is to be done again.
pub(super) struct Step {
    at: Moment,
    name: &'static str,
    by: UserId,
    act: Act,
}

/// What is done.
enum Act {
    /// Between two people, by one of them.
    Friendship {
        method: Method,
        path: fn(UserId) -> String,
        of: UserId,
        body: bool,
    },
    Open(Room),
    /// In a conversation: method, path within it, and body.
    Talk(ConversationId, Talk),
    /// This cannot be done again.
    Skip,
}

enum Talk {
    Say { message: MessageId, text: String },
    About { message: MessageId, method: Method, tail: String, body: Option<Value> },
    Person { method: Method, user: UserId },
    Title(String),
    Read { message: MessageId, kind: &'static str },
}

impl Step {
    /// What made this fact.
    pub(super) fn of(envelope: &Envelope<DomainEvent>, mask: &Mask) -> Self {
        let (at, name) = (envelope.recorded_at, envelope.event.event_type());
        let text = |text: &events::Personal<String>| {
            // What was erased has no words any more; something was said all the same.
            text.open().map_or_else(|| "…".to_owned(), |text| mask.text(text))
        };
        let act = match &envelope.event {
            DomainEvent::Message(event) => of_message(event, text),
            DomainEvent::Receipt(
                ReceiptEvent::Delivered { conversation, message, .. }
                | ReceiptEvent::Read { conversation, message, .. },
            ) => {
                let kind = if name == "receipt.read" { "read" } else { "delivered" };
                Act::Talk(*conversation, Talk::Read { message: *message, kind })
            }
            DomainEvent::Conversation(event) => of_conversation(event, text),
            DomainEvent::Friendship(event) => of_friendship(event),
            _ => Act::Skip,
        };
        Self { at, name, by: envelope.metadata.actor, act }
    }
}

fn of_message(event: &MessageEvent, masked: impl Fn(&events::Personal<String>) -> String) -> Act {
    let about = |conversation: ConversationId, message, method, tail: String, body| {
        Act::Talk(conversation, Talk::About { message, method, tail, body })
    };
    match event {
        MessageEvent::Sent { message, conversation, text, .. } => {
            // A message may be files alone, which are not sent again.
            let text = Some(masked(text)).filter(|text| !text.is_empty());
            let text = text.unwrap_or_else(|| "…".to_owned());
            Act::Talk(*conversation, Talk::Say { message: *message, text })
        }
        MessageEvent::Edited { message, conversation, text, .. } => {
            let body = json!({ "text": masked(text) });
            about(*conversation, *message, Method::PATCH, String::new(), Some(body))
        }
        MessageEvent::Deleted { message, conversation, .. } => {
            about(*conversation, *message, Method::DELETE, String::new(), None)
        }
        MessageEvent::Reacted { message, conversation, emoji, .. } => {
            about(*conversation, *message, Method::PUT, format!("/reactions/{emoji}"), None)
        }
        MessageEvent::Unreacted { message, conversation, emoji, .. } => {
            about(*conversation, *message, Method::DELETE, format!("/reactions/{emoji}"), None)
        }
    }
}

fn of_conversation(
    event: &ConversationEvent,
    masked: impl Fn(&events::Personal<String>) -> String,
) -> Act {
    match event {
        ConversationEvent::Opened { conversation, kind, members, .. } => {
            let people = members.iter().map(|member| member.user).collect();
            Act::Open(Room { id: *conversation, kind: *kind, people })
        }
        ConversationEvent::MemberAdded { conversation, user, .. } => {
            Act::Talk(*conversation, Talk::Person { method: Method::PUT, user: *user })
        }
        ConversationEvent::MemberRemoved { conversation, user, .. } => {
            Act::Talk(*conversation, Talk::Person { method: Method::DELETE, user: *user })
        }
        ConversationEvent::TitleChanged { conversation, title, .. } => {
            Act::Talk(*conversation, Talk::Title(masked(title)))
        }
        _ => Act::Skip,
    }
}

fn of_friendship(event: &FriendshipEvent) -> Act {
    let act = |method, path, of, body| Act::Friendship { method, path, of, body };
    match event {
        FriendshipEvent::Requested { to, .. } => {
            act(Method::POST, |_| "/v1/friend-requests".to_owned(), *to, true)
        }
        FriendshipEvent::Accepted { of, .. } => {
            act(Method::POST, |of| format!("/v1/friend-requests/{of}/accept"), *of, false)
        }
        FriendshipEvent::Declined { of, .. } => {
            act(Method::POST, |of| format!("/v1/friend-requests/{of}/decline"), *of, false)
        }
        FriendshipEvent::Cancelled { to, .. } => {
            act(Method::DELETE, |of| format!("/v1/friend-requests/{of}"), *to, false)
        }
        FriendshipEvent::Removed { of, .. } => {
            act(Method::DELETE, |of| format!("/v1/friends/{of}"), *of, false)
        }
        FriendshipEvent::Blocked { of, .. } => {
            act(Method::PUT, |of| format!("/v1/blocks/{of}"), *of, false)
        }
        FriendshipEvent::Unblocked { of, .. } => {
            act(Method::DELETE, |of| format!("/v1/blocks/{of}"), *of, false)
        }
    }
}

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

enum Answer {
    Done(Value),
    Refused(String),
}

/// Sends a request, with one key, until it is answered for good.
async fn patiently(request: impl Fn() -> RequestBuilder) -> Result<Answer> {
    let (key, begun) = (key().to_string(), Instant::now());
    loop {
        let answer = request().header("Idempotency-Key", &key).send().await;
        let answer = answer.context("the other stack does not answer")?;
        let status = answer.status();
        let later = answer.headers().get("Retry-After").and_then(|it| it.to_str().ok());
        let later = later.and_then(|it| it.parse().ok()).map_or(1, |seconds: u64| seconds.max(1));
        let waits =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if waits && begun.elapsed() < PATIENCE {
            sleep(Duration::from_secs(later)).await;
            continue;
        }
        let body: Value = answer.json().await.unwrap_or_default();
        if status.is_success() {
            return Ok(Answer::Done(body));
        }
        let slug = body["type"].as_str().and_then(|it| it.rsplit('/').next());
        return Ok(Answer::Refused(slug.map_or_else(|| status.to_string(), str::to_owned)));
    }
}

/// An answer that names no position is of something that was there already.
fn with_position(mut made: Value) -> Value {
    if made["position"].is_null() {
        made["position"] = json!(events::Position::START);
    }
    made
}

fn note(report: &Mutex<Report>, note: impl FnOnce(&mut Report)) {
    note(&mut report.lock().expect("nothing panics under this lock"));
}
