//! Somebody who listens on a socket that comes back by itself, and forgets nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use events::{MessageId, Position};
use roundtable::client::{Event, Incoming, Socket};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{PATIENCE, Person};

/// An event frame that came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Where in the log.
    pub position: Position,
    /// What.
    pub kind: String,
    /// Which message, if it is `message.sent`.
    pub message: Option<MessageId>,
    /// Whether personal data could not be shown: it has to be read later.
    pub sealed: bool,
}

/// Records every event frame of one person, over as many sockets as it takes.
#[derive(Debug)]
pub struct Listener {
    /// Who listens.
    pub person: Person,
    notes: watch::Receiver<Notes>,
    scissors: Arc<Notify>,
    task: JoinHandle<Result<()>>,
}

#[derive(Clone, Debug, Default)]
struct Notes {
    heard: Vec<Heard>,
    messages: BTreeMap<MessageId, usize>,
    reconnects: usize,
    resumed: usize,
    byes: Vec<String>,
    end: Option<String>,
}

impl Listener {
    /// Connects to the first address; everything from now on is heard. Each time the socket has to
    /// be opened again, the next address is taken.
    pub async fn start(person: Person, urls: &[&str]) -> Result<Self> {
        let socket = Socket::open(urls[0], person.token(), None).await;
        let socket = socket.with_context(|| format!("{} listens", person.name))?;
        let writer = watch::Sender::new(Notes::default());
        let (notes, scissors) = (writer.subscribe(), Arc::new(Notify::new()));
        let urls = urls.iter().map(|&url| url.to_owned()).collect();
        let ear = Ear { person: person.clone(), urls, notes: writer, scissors: scissors.clone() };
        let task = tokio::spawn(ear.listen(socket));
        Ok(Self { person, notes, scissors, task })
    }

    /// Cuts the connection as a tunnel does, and waits until the listener has come back by itself
    /// and was told what it missed. This does not count as a reconnect.
    pub async fn cut(&self) -> Result<()> {
        let before = self.notes.borrow().resumed;
        let mut notes = self.notes.clone();
        self.scissors.notify_one();
        let resumed = notes.wait_for(|notes| notes.resumed > before || notes.end.is_some());
        let name = &self.person.name;
        let notes = timeout(PATIENCE, resumed).await;
        let notes = notes.with_context(|| format!("{name} could not resume in time"))??.clone();
        anyhow::ensure!(notes.end.is_none(), "{name} could not resume: {:?}", notes.end);
        Ok(())
    }

    /// Every event frame so far, in the order in which they came.
    pub fn heard(&self) -> Vec<Heard> {
        self.notes.borrow().heard.clone()
    }

    /// How often the socket had to be opened again.
    pub fn reconnects(&self) -> usize {
        self.notes.borrow().reconnects
    }

    /// What the server said before it closed sockets.
    pub fn byes(&self) -> Vec<String> {
        self.notes.borrow().byes.clone()
    }

    /// Waits until all these messages were heard.
    pub async fn hears(&self, messages: &BTreeMap<MessageId, Position>) -> Result<()> {
        let all = |notes: &Notes| messages.keys().all(|id| notes.messages.contains_key(id));
        let mut notes = self.notes.clone();
        let heard = notes.wait_for(|notes| notes.end.is_some() || all(notes));
        let notes = match timeout(PATIENCE, heard).await {
            Ok(notes) => notes.context("the listener panicked")?.clone(),
            Err(_) => self.notes.borrow().clone(),
        };
        let missing = messages.iter().filter(|(id, _)| !notes.messages.contains_key(*id));
        let missing: Vec<_> = missing.map(|(id, position)| format!("{id} at {position}")).collect();
        anyhow::ensure!(
            missing.is_empty(),
            "{} did not hear {} of {} messages ({} reconnects, {:?}, {:?}), last at {:?}: {}",
            self.person.name,
            missing.len(),
            messages.len(),
            notes.reconnects,
            notes.byes,
            notes.end,
            notes.heard.last().map(|heard| heard.position),
            missing.join(", ")
        );
        Ok(())
    }

    /// Waits until an event of this kind was heard, at this position or later.
    pub async fn hears_of(&self, kind: &str, from: Position) -> Result<()> {
        let mut notes = self.notes.clone();
        let heard = notes.wait_for(|notes| {
            notes.heard.iter().any(|heard| heard.kind == kind && heard.position >= from)
        });
        timeout(PATIENCE, heard)
            .await
            .with_context(|| format!("{} did not hear `{kind}` in time", self.person.name))??;
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task of a listener works with.
struct Ear {
    person: Person,
    urls: Vec<String>,
    notes: watch::Sender<Notes>,
    scissors: Arc<Notify>,
}

impl Ear {
    /// Listens until something cannot be mended, which the notes then say.
    async fn listen(self, mut socket: Socket) -> Result<()> {
        let ended: Result<()> = async {
            for url in self.urls.iter().cycle().skip(1) {
                let cut = tokio::select! {
                    closed = self.attend(&mut socket) => closed.map(|()| false)?,
                    () = self.scissors.notified() => true,
                };
                if !cut {
                    self.notes.send_modify(|notes| notes.reconnects += 1);
                }
                let last = socket.cut().await;
                socket = self.come_back(url, last).await?;
                self.notes.send_modify(|notes| notes.resumed += usize::from(cut));
            }
            Ok(())
        }
        .await;
        if let Err(error) = &ended {
            self.notes.send_modify(|notes| notes.end = Some(format!("{error:#}")));
        }
        ended
    }

    /// Records what comes until the socket is closed.
    async fn attend(&self, socket: &mut Socket) -> Result<()> {
        loop {
            match socket.next(Duration::from_secs(3600)).await? {
                Incoming::Event(event) => self.notes.send_modify(|notes| notes.record(&event)),
                Incoming::Ready(_) => {}
                Incoming::Refused(refusal) => anyhow::bail!("an error for no command: {refusal}"),
                Incoming::Bye(bye) => {
                    self.notes.send_modify(|notes| notes.byes.push(bye.code.clone()));
                    anyhow::ensure!(bye.resume, "told not to come back: {bye}");
                }
                Incoming::Closed => return Ok(()),
            }
        }
    }

    /// Opens the socket again and asks for what was missed.
    async fn come_back(&self, url: &str, last: Position) -> Result<Socket> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Socket::open(url, self.person.token(), Some(last)).await {
                Ok(socket) => return Ok(socket),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

impl Notes {
    fn record(&mut self, event: &Event) {
        let message = (event.kind == "message.sent")
            .then(|| event.data("message").as_str().and_then(|id| id.parse().ok()))
            .flatten();
        if let Some(message) = message {
            *self.messages.entry(message).or_default() += 1;
        }
        let sealed = event.frame["sealed"] == true;
        let kind = event.kind.clone();
        self.heard.push(Heard { position: event.position, kind, message, sealed });
    }
}
