//! All groups: made, changed and deleted one after the other, and each with a task of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{MutexGuard, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    Definition, Ended, EventSource, FilterRule, GroupId, GroupInfo, Peer, Problem, Settings,
    StartFrom, Subscription, config, io,
    runner::{self, Input},
};
use crate::{
    Error,
    committer::Refusal,
    engine::Engine,
    log::reader::{RANDOM, ReadError},
};

/// A group that is at work.
struct Entry {
    definition: Definition,
    inputs: mpsc::Sender<Input>,
    task: JoinHandle<()>,
}

/// The groups of a store.
pub(crate) struct Subsystem {
    engine: Arc<Engine>,
    shutdown: CancellationToken,
    groups: Mutex<BTreeMap<GroupId, Entry>>,
    /// Held by whoever changes which groups there are.
    changing: tokio::sync::Mutex<()>,
}

impl Subsystem {
    /// Starts all groups that were made before.
    pub(crate) async fn start(
        engine: Arc<Engine>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, Error> {
        let subsystem = Arc::new(Self {
            engine,
            shutdown,
            groups: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        });
        let data = &subsystem.engine.config.data;
        let failed = |problem: Problem| {
            let source = std::io::Error::other(format!("{problem:?}"));
            Error::io("start the persistent subscriptions of", data)(source)
        };
        subsystem.load().await.map_err(failed)?;
        Ok(subsystem)
    }

    /// Waits until all groups have ended after the shutdown.
    pub(crate) async fn stopped(&self) {
        let _changing = self.changing.lock().await;
        let entries = std::mem::take(&mut *self.groups());
        for entry in entries.into_values() {
            ended(entry.task).await;
        }
    }

    /// Makes a group.
    pub(crate) async fn create(
        &self,
        id: GroupId,
        settings: Settings,
        filter: Option<FilterRule>,
    ) -> Result<(), Problem> {
        settings.check()?;
        filter.as_ref().map(FilterRule::build).transpose()?;
        if !id.fits() {
            return Err(Problem::Bad("the name of the group is empty or too long".to_owned()));
        }
        let _turn = self.turn().await?;
        let name = id.subscription_id();
        if self.groups().keys().any(|other| other.subscription_id() == name) {
            return Err(Problem::Exists);
        }
        let begin = self.begin(&id.source, settings.start_from).await?;
        // A group of this name may have been deleted, and the deletion interrupted.
        self.clear(&id).await.map_err(refused)?;
        let definition = Definition { settings, filter, begin };
        config::write(&self.engine, &id, Some(&definition)).await.map_err(refused)?;
        self.launch(id, definition).await
    }

    /// Changes a group; its subscribers are dropped. Another start only counts for a group that has
    /// not got anywhere yet.
    pub(crate) async fn update(&self, id: &GroupId, settings: Settings) -> Result<(), Problem> {
        settings.check()?;
        let _turn = self.turn().await?;
        let old = self.definition(id).await?;
        let mut definition = Definition { settings, ..old.clone() };
        let start_from = definition.settings.start_from;
        let begun = async || match self.ask_once(id, Input::Info).await {
            Some(Ok(info)) => Ok(info.begun),
            // Where it is not at work, but got somewhere before, it goes on there all the same.
            Some(Err(Problem::Missing)) => Ok(false),
            Some(Err(problem)) => Err(problem),
            None => Err(Problem::Stopping),
        };
        if start_from != old.settings.start_from && !begun().await? {
            definition.begin = self.begin(&id.source, start_from).await?;
        }
        config::write(&self.engine, id, Some(&definition)).await.map_err(refused)?;
        self.halt(id, Ended::Dropped).await;
        self.launch(id.clone(), definition).await
    }

    /// Ends a group for good.
    pub(crate) async fn delete(&self, id: &GroupId) -> Result<(), Problem> {
        let _turn = self.turn().await?;
        self.definition(id).await?;
        config::write(&self.engine, id, None).await.map_err(refused)?;
        self.halt(id, Ended::Deleted).await;
        if let Err(refusal) = self.clear(id).await {
            // It is tried again when a group of this name is made.
            let (group, error) = (id.subscription_id(), io::describe(refusal));
            tracing::warn!(group, error, "the streams of a deleted group are still there");
        }
        Ok(())
    }

    /// Ends all groups, and starts those that were made and not deleted.
    pub(crate) async fn restart(&self) -> Result<(), Problem> {
        let _turn = self.turn().await?;
        let ids: Vec<_> = self.groups().keys().cloned().collect();
        for id in &ids {
            self.halt(id, Ended::Dropped).await;
        }
        self.load().await
    }

    /// Subscribes to a group.
    pub(crate) async fn subscribe(
        &self,
        id: &GroupId,
        buffer_size: usize,
        peer: Peer,
    ) -> Result<Subscription, Problem> {
        let peer = &peer;
        let input = |answer| Input::Subscribe { buffer_size, peer: peer.clone(), answer };
        self.ask(id, input).await
    }

    /// Replays parked messages: those before this revision, or all there are.
    pub(crate) async fn replay(&self, id: &GroupId, stop_at: Option<u64>) -> Result<(), Problem> {
        self.ask(id, |answer| Input::Replay { stop_at, answer }).await
    }

    pub(crate) async fn info(&self, id: &GroupId) -> Result<GroupInfo, Problem> {
        self.ask(id, Input::Info).await
    }

    /// What can be told of all groups, or of those that follow the source.
    pub(crate) async fn list(
        &self,
        source: Option<&EventSource>,
    ) -> Result<Vec<GroupInfo>, Problem> {
        let wanted = |id: &&GroupId| source.is_none_or(|source| id.source == *source);
        let ids: Vec<_> = {
            let _turn = self.turn().await?;
            self.groups().keys().filter(wanted).cloned().collect()
        };
        let mut infos = Vec::with_capacity(ids.len());
        for id in ids {
            match self.info(&id).await {
                Ok(info) => infos.push(info),
                // It was deleted meanwhile.
                Err(Problem::Missing) => {}
                Err(problem) => return Err(problem),
            }
        }
        if infos.is_empty() && source.is_some() {
            return Err(Problem::Missing);
        }
        Ok(infos)
    }

    /// Asks the group; when it is just being changed, asks the changed one.
    async fn ask<T>(
        &self,
        id: &GroupId,
        input: impl Fn(oneshot::Sender<Result<T, Problem>>) -> Input,
    ) -> Result<T, Problem> {
        match self.ask_once(id, &input).await {
            // A group that is being changed is away for a moment.
            None | Some(Err(Problem::Missing)) => {}
            Some(answer) => return answer,
        }
        // Held until there is an answer, or the next change could come before it.
        let _turn = self.turn().await?;
        self.ask_once(id, &input).await.unwrap_or(Err(Problem::Stopping))
    }

    /// Waits until no group is being changed; none is by others while this is held. A store that
    /// stops has no groups at work any more, which does not mean that there are none.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, Problem> {
        let stopping = || self.shutdown.is_cancelled().then_some(Problem::Stopping);
        if let Some(problem) = stopping() {
            return Err(problem);
        }
        let turn = self.changing.lock().await;
        stopping().map_or(Ok(turn), Err)
    }

    /// Asks the group; `None` when it ends before it answers.
    async fn ask_once<T>(
        &self,
        id: &GroupId,
        input: impl Fn(oneshot::Sender<Result<T, Problem>>) -> Input,
    ) -> Option<Result<T, Problem>> {
        let inputs = match self.inputs(id) {
            Ok(inputs) => inputs,
            Err(problem) => return Some(Err(problem)),
        };
        let (answer, answered) = oneshot::channel();
        inputs.send(input(answer)).await.ok()?;
        answered.await.ok()
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, BTreeMap<GroupId, Entry>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inputs(&self, id: &GroupId) -> Result<mpsc::Sender<Input>, Problem> {
        let groups = self.groups();
        groups.get(id).map(|entry| entry.inputs.clone()).ok_or(Problem::Missing)
    }

    /// How the group was last defined, also when it is not at work because it could not be started
    /// again: then it can still be changed, which starts it, and deleted.
    async fn definition(&self, id: &GroupId) -> Result<Definition, Problem> {
        let at_work = self.groups().get(id).map(|entry| entry.definition.clone());
        match at_work {
            Some(definition) => Ok(definition),
            None => self.stored().await?.remove(id).ok_or(Problem::Missing),
        }
    }

    async fn stored(&self) -> Result<BTreeMap<GroupId, Definition>, Problem> {
        let engine = Arc::clone(&self.engine);
        let groups = tokio::task::spawn_blocking(move || config::read(&engine)).await;
        let groups = groups.map_err(|_| Problem::Stopping)?;
        groups.map_err(|failure| Problem::Lost(failure.to_string()))
    }

    async fn load(&self) -> Result<(), Problem> {
        for (id, definition) in self.stored().await? {
            let name = id.subscription_id();
            // Anybody may have written what makes no sense; the other groups must start.
            if let Err(problem) = self.launch(id, definition).await {
                tracing::error!(group = name, ?problem, "a persistent subscription cannot start");
            }
        }
        Ok(())
    }

    async fn launch(&self, id: GroupId, definition: Definition) -> Result<(), Problem> {
        let (engine, group, shape) = (Arc::clone(&self.engine), id.clone(), definition.clone());
        let prepared =
            tokio::task::spawn_blocking(move || runner::prepare(&engine, &group, &shape)).await;
        let (runner, queue) = prepared.map_err(|_| Problem::Stopping)??;
        let inputs = runner.inputs();
        let task = tokio::spawn(runner.run(queue, self.shutdown.clone()));
        self.groups().insert(id, Entry { definition, inputs, task });
        Ok(())
    }

    /// Ends a group and waits until it has written what it wanted to.
    async fn halt(&self, id: &GroupId, how: Ended) {
        let entry = self.groups().remove(id);
        if let Some(Entry { inputs, task, .. }) = entry {
            // One that has ended already needs not be told.
            let _ = inputs.send(Input::Stop(how)).await;
            ended(task).await;
        }
    }

    async fn clear(&self, id: &GroupId) -> Result<(), Refusal> {
        io::clear(&self.engine, id.checkpoint_stream()).await?;
        io::clear(&self.engine, id.parked_stream()).await
    }

    /// The place where reading begins.
    async fn begin(&self, source: &EventSource, start: StartFrom) -> Result<u64, Problem> {
        match (start, source) {
            (StartFrom::Start, _) => Ok(0),
            (StartFrom::At(revision), EventSource::Stream(_)) => Ok(revision),
            (StartFrom::End, EventSource::Stream(name)) => {
                let last = self.engine.last_revision(name.as_bytes());
                let last = last.map_err(|error| Problem::Lost(error.to_string()))?;
                Ok(last.map_or(0, |last| last + 1))
            }
            (StartFrom::End, EventSource::All) => Ok(self.engine.head()),
            (StartFrom::At(position), EventSource::All) => {
                let engine = Arc::clone(&self.engine);
                tokio::task::spawn_blocking(move || is_place(&engine, position))
                    .await
                    .map_err(|_| Problem::Stopping)??;
                Ok(position)
            }
        }
    }
}

/// Whether reading can begin at the position.
fn is_place(engine: &Engine, position: u64) -> Result<(), Problem> {
    let mut reader = engine.reader();
    if position > reader.limit() {
        let reason = format!("The position {position} is behind the end of the log.");
        return Err(Problem::Failed(reason));
    }
    match reader.at(position, RANDOM) {
        Ok(_) => Ok(()),
        Err(ReadError::NotARecord { .. }) => {
            Err(Problem::Bad(format!("the position {position} is not that of an event")))
        }
        Err(error) => Err(Problem::Lost(error.to_string())),
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Storage(message) => Problem::Storage(message),
        Refusal::Stopped => Problem::Stopping,
        other => Problem::Storage(io::describe(other)),
    }
}

async fn ended(task: JoinHandle<()>) {
    if task.await.is_err() {
        tracing::error!("the task of a persistent subscription ended with a panic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, engine::Running, persistent::group::rules::settings};

    #[tokio::test]
    async fn a_group_that_could_not_be_started_again_can_be_changed_and_deleted() {
        let data = tempfile::tempdir().unwrap();
        let running = Running::open(Config::new(data.path())).unwrap();
        let shutdown = CancellationToken::new();
        let subsystem =
            Subsystem::start(Arc::clone(&running.engine), shutdown.clone()).await.unwrap();
        let source = EventSource::named("a");
        let id = GroupId { source, group: "group".to_owned() };
        subsystem.create(id.clone(), settings(), None).await.unwrap();
        // As a change leaves it when it fails to start the group with its new settings.
        subsystem.halt(&id, Ended::Dropped).await;
        assert!(matches!(subsystem.info(&id).await, Err(Problem::Missing)));
        subsystem.update(&id, settings()).await.unwrap();
        subsystem.info(&id).await.unwrap();
        subsystem.halt(&id, Ended::Dropped).await;
        subsystem.delete(&id).await.unwrap();
        assert!(matches!(subsystem.delete(&id).await, Err(Problem::Missing)));
        shutdown.cancel();
        assert!(matches!(subsystem.info(&id).await, Err(Problem::Stopping)));
        subsystem.stopped().await;
    }
}
