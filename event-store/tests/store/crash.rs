//! The real program, killed at any moment, and the power cut: what was acknowledged is there, once
//! and at its place, and the rest is whole or gone.
//!
//! `CRASH_ROUNDS` sets how often each test kills, `SEED` repeats a run (as far as two processes
//! can be repeated).

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    ledger::Ledger,
    load::Load,
    random::{Random, rounds},
    serving::{PROGRAM, Program},
    tool::{HEADER, base, records, segments},
};

/// So small that many a kill hits the making of a segment.
const SETTINGS: [&str; 2] = ["--segment-bytes", "16384"];
/// Rounds with one folder; then a new one, so that checking stays quick.
const ROUNDS_PER_FOLDER: usize = 15;

/// A folder whose store is killed again and again.
struct Stage {
    data: TempDir,
    ledger: Arc<Mutex<Ledger>>,
    random: Random,
}

impl Stage {
    /// Serves under load, kills the program at a random moment, and waits until all have seen it.
    async fn serve_and_kill(&mut self) {
        let mut program = Program::start_with(self.data.path(), &SETTINGS).await;
        self.look(&program).await;
        let load = Load::start(&program.url(), &self.ledger, &mut self.random);
        // Not a wait for a fact: the moment of the kill is what is varied.
        tokio::time::sleep(Duration::from_micros(self.random.below(50_000))).await;
        program.child.kill().await.expect("killed");
        load.end().await;
    }

    /// Kills a program that is just opening the folder.
    fn kill_opening(&mut self) {
        let mut child = std::process::Command::new(PROGRAM)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(self.data.path())
            .args(SETTINGS)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_micros(self.random.below(25_000)));
        child.kill().expect("killed");
        child.wait().expect("it ends");
    }

    #[expect(clippy::await_holding_lock, reason = "nobody else is at work between two loads")]
    async fn look(&self, program: &Program) {
        let mut ledger = self.ledger.lock().expect("no panic");
        ledger.look(&program.url()).await;
    }

    #[expect(clippy::await_holding_lock, reason = "nobody else is at work between two loads")]
    async fn finish(self) -> usize {
        let mut program = Program::start_with(self.data.path(), &SETTINGS).await;
        let mut ledger = self.ledger.lock().expect("no panic");
        ledger.look_at_all(&program.url(), self.data.path()).await;
        program.child.kill().await.expect("killed");
        ledger.len()
    }
}

/// Runs the rounds, each a kill and then what the test adds to it.
async fn crash(default: usize, mut then: impl FnMut(&mut Stage)) {
    let mut left = rounds("CRASH_ROUNDS", default);
    let mut random = Random::from_clock();
    println!("{random}");
    let mut kept = 0;
    while left > 0 {
        let data = tempfile::tempdir().expect("a folder");
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let mut stage = Stage { data, ledger, random: random.fork() };
        for _ in 0..left.min(ROUNDS_PER_FOLDER) {
            stage.serve_and_kill().await;
            then(&mut stage);
            left -= 1;
        }
        kept += stage.finish().await;
    }
    println!("{kept} events were kept");
    assert!(kept > 0, "no kill left anything to check");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed_again_and_again() {
    crash(90, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed_while_it_opens() {
    crash(45, |stage| {
        let end = fs::metadata(segments(stage.data.path()).pop().expect("a segment"));
        let torn = stage.random.bytes(700);
        // Something to cut off, so that opening has work to do.
        if end.expect("a file").len() > 20 && stage.random.one_in(2) {
            garbage_behind(stage.data.path(), &torn);
        }
        for _ in 0..stage.random.below(3) {
            stage.kill_opening();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_unsynced_writes_are() {
    crash(75, |stage| {
        lose_unsynced(stage);
        let faults = event_store::verify(stage.data.path(), |fault| panic!("{fault:?}"));
        assert_eq!(faults.expect("it is read").faults, 0);
    })
    .await;
}

fn garbage_behind(data: &Path, garbage: &[u8]) {
    let last = segments(data).pop().expect("a segment");
    let file = fs::File::options().write(true).open(last).expect("a segment");
    let end = file.metadata().expect("a file").len();
    file.write_all_at(garbage, end).expect("written");
}

/// Does to the files what a power cut may do: whatever was not synced is there, or is not, or is
/// there in part, sector by sector.
fn lose_unsynced(stage: &mut Stage) {
    let files = segments(stage.data.path());
    let last_position = stage.ledger.lock().expect("no panic").last_position();
    let synced = synced_to(&files, last_position.unwrap_or(0));
    for file in files {
        let random = &mut stage.random;
        let mut bytes = fs::read(&file).expect("a segment");
        // A header was durable before the first record behind it was written.
        let header = if bytes.len() > HEADER { HEADER as u64 } else { 0 };
        let from = synced.saturating_sub(base(&file)).max(header);
        if from >= bytes.len() as u64 {
            continue;
        }
        if random.one_in(2) {
            let length = from + random.below(bytes.len() as u64 - from + 1);
            bytes.truncate(length as usize);
        }
        let lost = random.below(4);
        for _ in 0..lost {
            let sector = random.below(bytes.len() as u64 / 512 + 1) * 512;
            let start = sector.max(from) as usize;
            let end = (sector as usize + 512).min(bytes.len());
            if start < end {
                let noise = random.bytes(end - start);
                let zeros = random.one_in(2);
                bytes[start..end].copy_from_slice(&if zeros {
                    vec![0; end - start]
                } else {
                    noise
                });
            }
        }
        fs::write(&file, &bytes).expect("written");
    }
}

/// The position up to which the log was synced for certain: the append of the last record that was
/// promised or found, and whatever a later record says was durable when it was written.
fn synced_to(files: &[PathBuf], last_position: u64) -> u64 {
    let mut synced = 0;
    for file in files {
        let (base, bytes) = (base(file), fs::read(file).expect("a segment"));
        // A segment is begun when all before it is durable.
        synced = synced.max(base);
        let mut within = false;
        for at in records(&bytes) {
            let Some(head) = bytes.get(at..at + 16) else { break };
            let number = |at: usize| {
                u64::from(u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")))
            };
            let position = base + at as u64;
            synced = synced.max(position - number(8).min(position));
            if within || position <= last_position {
                synced = synced.max(position + number(0) + 12);
                within = number(12) > 0;
            }
        }
    }
    synced
}
