//! The keeper: a thread that writes frozen tables as runs, merges runs so that they stay few, and
//! sweeps out what was scavenged.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    Frozen, Index, Reach, checkpoint,
    run::Run,
    write::{Merge, RunWriter},
};
use crate::Error;

/// So many runs of about the same size become one, which is about as many times larger.
const FAN_IN: usize = 4;
/// During a merge a frozen table waits for at most this many entries.
const ATTENTION: u64 = 1 << 16;
/// How soon a step that failed is tried again, at first and when it has failed many times.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_LAST: Duration = Duration::from_secs(600);

/// What the keeper is asked to do.
enum Task {
    /// Write the frozen table, and merge what is due.
    Write,
    /// Drop the entries of events that are no longer there.
    Sweep(Present),
    Stop,
}

/// Says whether there is still an event at the position.
pub(crate) type Present = Box<dyn Fn(u64) -> io::Result<bool> + Send>;

/// A running keeper; dropping it ends the thread after the step it is at.
pub(crate) struct Keeper {
    tasks: Sender<Task>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Asks the keeper to do something. One that has ended does nothing, which is no fault.
#[derive(Clone)]
pub(crate) struct Tasks(Sender<Task>);

impl Tasks {
    /// There is a frozen table.
    pub(crate) fn write(&self) {
        let _ = self.0.send(Task::Write);
    }

    /// Events were scavenged.
    pub(crate) fn sweep(&self, present: Present) {
        let _ = self.0.send(Task::Sweep(present));
    }
}

impl Keeper {
    pub(crate) fn start(index: Arc<Index>) -> Result<Self, Error> {
        let (tasks, asked) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("index-keeper".to_owned())
            .spawn(move || keep(&index, &asked, &stopped))
            .map_err(Error::Thread)?;
        Ok(Self { tasks, stop, thread: Some(thread) })
    }

    pub(crate) fn tasks(&self) -> Tasks {
        Tasks(self.tasks.clone())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.tasks.send(Task::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the keeper of the index ended with a panic");
        }
    }
}

fn keep(index: &Index, asked: &Receiver<Task>, stop: &AtomicBool) {
    let mut again = None;
    loop {
        let task = match again {
            Some(delay) => match asked.recv_timeout(delay) {
                Err(RecvTimeoutError::Timeout) => Ok(Task::Write),
                task => task,
            },
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let worked = match task {
            Ok(_) if stop.load(Ordering::Acquire) => return,
            Ok(Task::Write) => index.write_frozen().and_then(|()| index.merge_due(stop)),
            Ok(Task::Sweep(present)) => index.sweep(&present, stop),
            Ok(Task::Stop) | Err(_) => return,
        };
        again = match worked {
            Ok(()) => None,
            Err(error) => {
                let error = index.note(error);
                tracing::error!(%error, "the index cannot be written and grows in memory meanwhile");
                Some(again.map_or(AGAIN, |delay: Duration| (2 * delay).min(AGAIN_AT_LAST)))
            }
        };
    }
}

impl Index {
    /// Writes the frozen table, if there is one, as a run.
    pub(crate) fn write_frozen(&self) -> io::Result<()> {
        let Some(Frozen { memory, reach }) = self.read().frozen.clone() else { return Ok(()) };
        let number = self.next_number();
        let entries = memory.sorted();
        let mut writer =
            RunWriter::create(&checkpoint::run_path(&self.folder, number), entries.len() as u64)?;
        entries.into_iter().try_for_each(|entry| writer.push(entry))?;
        writer.finish()?;
        let run = self.open_run(number)?;
        self.exchange(&[], (number, run), Some(reach))
    }

    /// Merges runs until there are fewer than [`FAN_IN`] of each size.
    pub(crate) fn merge_due(&self, stop: &AtomicBool) -> io::Result<()> {
        // A run that cannot be read cannot be merged either; the next start builds all anew.
        while !self.is_damaged()
            && let Some(group) = self.due()
        {
            if !self.merge(&group, &|_| Ok(true), stop)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes all runs anew as one, without the entries of events that are no longer there.
    pub(crate) fn sweep(&self, present: &Present, stop: &AtomicBool) -> io::Result<()> {
        self.write_frozen()?;
        let runs = Arc::clone(&self.read().runs);
        if !runs.is_empty() {
            self.merge(&runs, present, stop)?;
        }
        Ok(())
    }

    /// Puts one run in the place of these. False when it was stopped half-way.
    fn merge(
        &self,
        group: &[(u64, Arc<Run>)],
        present: &dyn Fn(u64) -> io::Result<bool>,
        stop: &AtomicBool,
    ) -> io::Result<bool> {
        let beside = self.folder.join("merge.new");
        match self.write_merged(group, &beside, present, stop) {
            Ok(true) => {}
            // What is half done only takes room, which the log may need.
            unfinished => {
                fs::remove_file(&beside)?;
                return unfinished;
            }
        }
        // The number is taken last: a table may have been written while this merge went on.
        let number = self.next_number();
        fs::rename(&beside, checkpoint::run_path(&self.folder, number))?;
        let numbers: Vec<u64> = group.iter().map(|(number, _)| *number).collect();
        self.exchange(&numbers, (number, self.open_run(number)?), None)?;
        for number in numbers {
            // Whoever reads the run has it open; a name that stays is removed at the next start.
            if let Err(error) = fs::remove_file(checkpoint::run_path(&self.folder, number)) {
                tracing::warn!(%error, "a run that was merged cannot be removed");
            }
        }
        Ok(true)
    }

    fn write_merged(
        &self,
        group: &[(u64, Arc<Run>)],
        path: &Path,
        present: &dyn Fn(u64) -> io::Result<bool>,
        stop: &AtomicBool,
    ) -> io::Result<bool> {
        let streams = group.iter().map(|(_, run)| run.streams).sum();
        let mut writer = RunWriter::create(path, streams)?;
        let mut merge = Merge::new(group.iter().map(|(_, run)| run))?;
        let mut seen = 0u64;
        while let Some(entry) = merge.next()? {
            if present(entry.position)? {
                writer.push(entry)?;
            }
            seen += 1;
            if seen.is_multiple_of(ATTENTION) {
                if stop.load(Ordering::Acquire) {
                    return Ok(false);
                }
                self.write_frozen()?;
            }
        }
        writer.finish()?;
        Ok(true)
    }

    /// Neighbouring runs that are due for a merge, oldest first.
    fn due(&self) -> Option<Vec<(u64, Arc<Run>)>> {
        let runs = Arc::clone(&self.read().runs);
        let tier = |run: &Run| run.entries.max(1).ilog2() / FAN_IN.ilog2();
        let mut end = runs.len();
        while end > 0 {
            // Younger runs that are larger than their elders go with them.
            let largest = tier(&runs[end - 1].1);
            let same = runs[..end].iter().rev().take_while(|(_, run)| tier(run) <= largest);
            let start = end - same.count();
            if end - start >= FAN_IN {
                return Some(runs[start..end].to_vec());
            }
            end = start;
        }
        None
    }

    fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn open_run(&self, number: u64) -> io::Result<Arc<Run>> {
        Run::open(&checkpoint::run_path(&self.folder, number)).map(Arc::new)
    }

    /// Puts a run in the place of others, or behind all; durably first, then for the readers. With
    /// a reach, the run holds the frozen table.
    fn exchange(
        &self,
        replaced: &[u64],
        run: (u64, Arc<Run>),
        reach: Option<Reach>,
    ) -> io::Result<()> {
        let (mut checkpoint, mut runs) = {
            let tables = self.read();
            (tables.checkpoint.clone(), tables.runs.as_ref().clone())
        };
        let is_replaced = |(number, _): &(u64, Arc<Run>)| replaced.contains(number);
        let at = runs.iter().position(is_replaced).unwrap_or(runs.len());
        runs.retain(|run| !is_replaced(run));
        runs.insert(at, run);
        checkpoint.runs = runs.iter().map(|(number, _)| *number).collect();
        if let Some(Reach { covered, last, recent_from }) = reach {
            (checkpoint.covered, checkpoint.last) = (covered, last);
            checkpoint.recent_from = recent_from;
        }
        if !self.is_damaged() {
            checkpoint.store(&self.folder)?;
        }
        let mut tables = self.write();
        tables.checkpoint = checkpoint;
        tables.runs = Arc::new(runs);
        if reach.is_some() {
            tables.frozen = None;
        }
        Ok(())
    }
}
