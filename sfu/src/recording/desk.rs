//! Looks at the calls of this node as the log has them: puts out who is not in them any more, and lets
//! those be recorded that are, who agreed and nobody else. It looks again and again, so nothing that it
//! missed stays wrong.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::call::{Begun, Call};
use event_log::EventLog;
use events::call::Participant;
use events::{CallId, RecordingId, StreamName, UserId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Tape;
use super::spool::{Folder, Slate};
use super::store::{self, Store};
use super::writer::{self, Written};
use crate::App;
use crate::room::Who;

/// How often calls are looked at.
const LOOK: Duration = Duration::from_millis(400);

/// What recordings need of the process.
pub(crate) struct Studio {
    /// Where files are written.
    pub(crate) folder: Folder,
    /// Where they are stored.
    pub(crate) storage: files::Storage,
    pub(crate) log: EventLog,
    pub(crate) node: String,
    pub(crate) shutdown: CancellationToken,
}

impl Studio {
    /// Records and stores until the process ends. `connected` tells of calls that somebody is in.
    pub(crate) async fn run(self, app: App, connected: mpsc::UnboundedReceiver<Uuid>) {
        let (log, node, shutdown) = (self.log.clone(), self.node, self.shutdown);
        let store = Store::new(self.folder.clone(), self.storage, self.log, node.clone());
        let (ended, endings) = mpsc::unbounded_channel();
        let desk = Desk {
            app,
            log,
            node,
            folder: self.folder,
            store: store.clone(),
            calls: HashSet::new(),
            running: HashMap::new(),
            given_up: HashSet::new(),
            begun: HashSet::new(),
            ended,
        };
        tokio::join!(desk.run(connected, endings, shutdown.clone()), store.run(shutdown));
        store.farewell().await;
    }
}

/// A recording that is written.
struct Running {
    slate: Slate,
    thread: JoinHandle<Written>,
}

/// A writer ended.
struct Ending {
    slate: Slate,
    written: Written,
}

/// See the module.
struct Desk {
    app: App,
    log: EventLog,
    node: String,
    folder: Folder,
    store: Store,
    /// Calls that somebody is connected to.
    calls: HashSet<Uuid>,
    running: HashMap<Uuid, Running>,
    /// What could not be written.
    given_up: HashSet<RecordingId>,
    /// What was begun: how it ends is known when its writer does.
    begun: HashSet<RecordingId>,
    ended: mpsc::UnboundedSender<Ending>,
}

impl Desk {
    async fn run(
        mut self,
        mut connected: mpsc::UnboundedReceiver<Uuid>,
        mut endings: mpsc::UnboundedReceiver<Ending>,
        shutdown: CancellationToken,
    ) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(call) = connected.recv() => {
                    self.calls.insert(call);
                }
                Some(ending) = endings.recv() => self.end(ending).await,
                _ = look.tick() => self.look().await,
            }
        }
        // The media threads end, and the writers with them.
        let running = std::mem::take(&mut self.running);
        let joined = tokio::task::spawn_blocking(move || {
            running.into_values().filter_map(|it| it.thread.join().err()).count()
        });
        if joined.await.is_ok_and(|panicked| panicked > 0) {
            tracing::error!("the writer of a recording panicked");
        }
        metrics::gauge!("roundtable_sfu_recordings").set(0.0);
    }

    async fn look(&mut self) {
        let calls: Vec<Uuid> = self.calls.iter().copied().collect();
        for call in calls {
            self.check(call).await;
        }
        metrics::gauge!("roundtable_sfu_recordings").set(self.running.len() as f64);
    }

    /// Lets a call be recorded as it should be.
    async fn check(&mut self, call: Uuid) {
        let known = self.log.state::<Call>(&StreamName::call(call.into())).await;
        // As long as the log is away nobody can have said no; what is too much is cut off later.
        let Ok(known) = known else { return };
        let begun = known.state.begun();
        let here = begun.filter(|it| !it.is_over() && it.node.as_ref() == Some(&self.node));
        let wanted = here.and_then(|begun| wanted(call.into(), begun));
        let wanted = wanted.filter(|(slate, _)| !self.given_up.contains(&slate.recording));
        let elsewhere = here.is_none();
        let there = self.put_out(call, begun).await;
        let recording = self.running.get(&call).map(|running| running.slate.recording);
        match (recording, wanted) {
            (None, None) => {}
            (None, Some((slate, users))) => self.begin(call, slate, users).await,
            (Some(recording), Some((slate, users))) if recording == slate.recording => {
                self.go_on(call, recording, users).await;
            }
            (Some(_), _) => self.stop(call).await,
        }
        let noted = match begun {
            Some(begun) => self.note_unheard_of(call.into(), begun).await,
            None => true,
        };
        if elsewhere && !there && noted && !self.running.contains_key(&call) {
            self.calls.remove(&call);
        }
    }

    /// Whoever left the call, or was put out of it, hears and sees nothing of it any more, whatever
    /// their device does. Returns whether anybody may be there still.
    async fn put_out(&self, call: Uuid, begun: Option<&Begun>) -> bool {
        // A ticket of a call that never was is not ours to doubt.
        let Some(begun) = begun else { return false };
        let (now, over) = (inside_of(begun), begun.is_over());
        let thread = self.app.thread(call);
        let looked = thread.with_known(call, move |room, around| {
            let doubts = room.look(around, &now);
            // What is over stays so, whoever comes.
            if over {
                room.put_out(around, &now);
            }
            (room.people() > 0, doubts && !over)
        });
        let (there, doubts) = match looked.await {
            Ok(Some(looked)) => looked,
            Ok(None) => return false,
            Err(_) => return true,
        };
        if !doubts {
            return there;
        }
        // They may have come since: the log itself is asked. As long as it is away, they stay.
        let Ok(now) = self.log.load::<Call>(&StreamName::call(call.into())).await else {
            return true;
        };
        let now = now.state.begun().map(inside_of).unwrap_or_default();
        let kept = thread.with_known(call, move |room, around| {
            room.put_out(around, &now);
            room.people() > 0
        });
        !matches!(kept.await, Ok(None | Some(false)))
    }

    async fn begin(&mut self, call: Uuid, slate: Slate, users: BTreeSet<UserId>) {
        let thread = self.app.thread(call);
        if !matches!(thread.with_known(call, |_, _| ()).await, Ok(Some(()))) {
            return;
        }
        let (queue, writer) = match writer::start(self.folder.clone(), slate) {
            Ok(started) => started,
            Err(error) => {
                tracing::error!(%error, "a recording cannot be begun");
                return;
            }
        };
        let tape = Tape::new(slate.recording, users, queue);
        self.begun.insert(slate.recording);
        self.running.insert(call, Running { slate, thread: writer });
        // Should the room be gone, or the thread busy, the next look finds that nothing is recorded.
        thread.with_known(call, move |room, _| room.record_with(Some(tape))).await.ok();
    }

    async fn go_on(&mut self, call: Uuid, recording: RecordingId, users: BTreeSet<UserId>) {
        let there = self.app.thread(call).with_known(call, move |room, _| {
            let tape = room.tape().filter(|tape| tape.recording() == Some(recording));
            tape.map(|tape| tape.of(users)).is_some()
        });
        if let Ok(None | Some(false)) = there.await {
            self.stop(call).await;
        }
    }

    async fn stop(&mut self, call: Uuid) {
        let stopped = self.app.thread(call).with_known(call, |room, _| room.record_with(None));
        if stopped.await.is_err() {
            return;
        }
        let Some(Running { slate, thread }) = self.running.remove(&call) else { return };
        let ended = self.ended.clone();
        tokio::task::spawn_blocking(move || {
            let failed = || Written { failed: Some("the writer failed".to_owned()), files: 0 };
            let written = thread.join().unwrap_or_else(|_| failed());
            // At the end of the process nobody listens any more.
            ended.send(Ending { slate, written }).ok();
        });
    }

    /// A writer ended: what it wrote is stored, and what it did not write is a fact.
    async fn end(&mut self, Ending { slate, written }: Ending) {
        self.store.wake();
        if let Some(reason) = written.failed {
            self.given_up.insert(slate.recording);
            store::fail(&self.log, slate.call, slate.recording, &reason).await;
        } else if written.files == 0 && self.is_empty(&slate).await {
            let reason = "nobody sent anything that could be recorded";
            store::fail(&self.log, slate.call, slate.recording, reason).await;
        }
    }

    /// Recordings that were stopped before they were begun here are a fact. Returns whether all of
    /// them are known.
    async fn note_unheard_of(&mut self, call: CallId, begun: &Begun) -> bool {
        let mut all = true;
        let new = begun.unheard_of(&self.node).filter(|it| !self.begun.contains(it));
        for recording in new.collect::<Vec<_>>() {
            let waiting = self.folder.waiting().unwrap_or_default();
            let has_files = waiting.iter().any(|(_, label)| label.recording == recording);
            let reason = "it was stopped before it was begun";
            if has_files || store::fail(&self.log, call, recording, reason).await {
                self.begun.insert(recording);
            } else {
                all = false;
            }
        }
        all
    }

    /// Whether a recording stopped without any file.
    async fn is_empty(&self, slate: &Slate) -> bool {
        let known = self.log.load::<Call>(&StreamName::call(slate.call)).await;
        let stopped = known.is_ok_and(|known| {
            let begun = known.state.begun();
            begun.is_some_and(|it| {
                it.runs() != Some(slate.recording) && !it.has_files(slate.recording)
            })
        });
        let waiting = self.folder.waiting().unwrap_or_default();
        stopped && !waiting.iter().any(|(_, label)| label.recording == slate.recording)
    }
}

/// Which devices are in a call: none, once it is over.
fn inside_of(begun: &Begun) -> HashSet<Who> {
    let devices = begun.devices().iter().filter(|_| !begun.is_over());
    let who = |it: Participant| Who { user: it.user, device: it.device.uuid() };
    devices.map(|it| who(it.participant)).collect()
}

/// The recording that runs in a call, and who is recorded: who is in it, and agreed.
fn wanted(call: CallId, begun: &Begun) -> Option<(Slate, BTreeSet<UserId>)> {
    let recording = begun.runs()?;
    let users = begun.devices().iter().map(|inside| inside.participant.user);
    let users = users.filter(|user| begun.agrees(*user)).collect();
    Some((Slate { call, conversation: begun.conversation, recording }, users))
}
