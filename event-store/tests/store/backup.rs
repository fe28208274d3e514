//! Backups: consistent while the store serves, noticed when damaged, never half taken for whole.

use std::{
    collections::HashSet,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use event_store::{BackupError, Config, Copied, Error};
use eventstore::RecordedEvent;
use uuid::Uuid;

use crate::{
    random::Random,
    serving::{Program, Served, new_id},
    tool::{self, Ran, all, append, binary, client, run, segments, small_log},
};

fn backup(data: &Path, to: &Path) -> Result<Copied, BackupError> {
    event_store::backup(data, to, SystemTime::now(), |_, _| {})
}

fn back_up(data: &Path, to: &Path) -> Ran {
    run(&mut tool::command("backup", &[("--data", data), ("--to", to)]))
}

fn restore(from: &Path, data: &Path) -> Ran {
    run(&mut tool::command("restore", &[("--from", from), ("--data", data)]))
}

fn places(events: &[RecordedEvent]) -> Vec<(Uuid, u64, u64)> {
    events.iter().map(|event| (event.id, event.revision, event.position.commit)).collect()
}

/// Writers that note the ids of what is acknowledged, until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Uuid>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let shared = client(url);
        let tasks = (0..6).map(|writer| {
            let (client, stop) = (shared.clone(), stop.clone());
            let acknowledged = acknowledged.clone();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let ids = [new_id(), new_id(), new_id()];
                    let events = ids.iter().map(|id| binary(writer * 700).id(*id)).collect();
                    append(&client, &format!("s-{writer}"), events).await;
                    acknowledged.lock().expect("no panic").extend(ids);
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, tasks, acknowledged }
    }

    fn acknowledged(&self) -> Vec<Uuid> {
        self.acknowledged.lock().expect("no panic").clone()
    }

    async fn wait_for(&self, count: usize) {
        while self.acknowledged.lock().expect("no panic").len() < count {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("it wrote");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_a_prefix_with_all_that_was_acknowledged_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to) = (folder.path().join("data"), folder.path().join("backup"));
    let program = Program::start_with(&data, &["--segment-bytes", "65536"]).await;
    let writers = Writers::start(&program.url());
    let mut backups = Vec::new();
    for round in 0..4 {
        writers.wait_for((round + 1) * 60).await;
        let before = writers.acknowledged();
        let ran = back_up(&data, &to);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let restored = folder.path().join(format!("restored-{round}"));
        let ran = restore(&to, &restored);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.last_line().ends_with(" 0 faults"), "{ran:?}");
        backups.push((before, restored));
    }
    writers.stop().await;
    let whole = places(&all(&program.url()).await);
    for (before, restored) in backups {
        let served = Served::start(&restored).await;
        let there = places(&all(&served.url()).await);
        assert_eq!(there, whole[..there.len()], "it is no prefix");
        assert_eq!(there.len() % 3, 0, "half an append is there");
        let ids: HashSet<_> = there.iter().map(|(id, ..)| *id).collect();
        assert!(before.iter().all(|id| ids.contains(id)), "an acknowledged event is missing");
        // It is a store like any other.
        let position = append(&client(&served.url()), "new", vec![binary(1)]).await;
        assert!(Some(position) > there.last().map(|last| last.2));
        assert_eq!(all(&served.url()).await.len(), there.len() + 1);
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_backup_copies_only_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to) = (folder.path().join("data"), folder.path().join("backup"));
    let config = Config { segment_bytes: 5000, ..Config::new(&data) };
    let served = Served::with(config).await.expect("it opens");
    let client = client(&served.url());
    let mut bytes = 0;
    for _ in 0..5 {
        for _ in 0..7 {
            append(&client, "a", vec![binary(500), binary(1)]).await;
        }
        let copied = backup(&data, &to).expect("a backup");
        assert!(copied.bytes > bytes);
        assert_eq!(copied.copied, copied.bytes - bytes);
        assert_eq!(copied.segments as usize, segments(&to).len());
        bytes = copied.bytes;
        let again = backup(&data, &to).expect("a backup");
        assert_eq!(again, Copied { copied: 0, ..copied });
    }
    served.stop().await;
    for (one, other) in segments(&data).into_iter().zip(segments(&to)) {
        assert_eq!(fs::read(one).expect("a file"), fs::read(other).expect("a file"));
    }
}

/// A store of some segments and a backup of it.
async fn backed_up(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (data, to) = (folder.join("data"), folder.join("backup"));
    small_log(&data, 400).await;
    backup(&data, &to).expect("a backup");
    (data, to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_changed_in_any_byte_is_refused_and_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, to) = backed_up(folder.path()).await;
    let (missing, empty) = (folder.path().join("new/store"), folder.path().join("empty"));
    fs::create_dir(&empty).expect("a folder");
    let mut number = 0;
    let mut refused = |what: &dyn std::fmt::Debug| {
        number += 1;
        let data = if number % 2 == 0 { &missing } else { &empty };
        let refused = event_store::restore(&to, data, |_, _| {});
        assert!(
            matches!(refused, Err(BackupError::Damaged { .. } | BackupError::Manifest { .. })),
            "{what:?}: {refused:?}"
        );
        assert!(!missing.exists());
        let left: Vec<_> = fs::read_dir(&empty)
            .expect("a folder")
            .chain(fs::read_dir(missing.parent().expect("a parent")).into_iter().flatten())
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "lock")
            .collect();
        assert!(left.is_empty(), "{what:?}: {left:?}");
    };
    let mut files = segments(&to);
    files.push(to.join("manifest.json"));
    for file in files {
        let whole = fs::read(&file).expect("a file");
        for offset in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[offset] ^= if offset % 2 == 0 { 0x20 } else { 0x01 };
            fs::write(&file, &bytes).expect("flipped");
            refused(&(&file, offset));
        }
        fs::write(&file, &whole[..whole.len() - 1]).expect("cut");
        refused(&(&file, "cut"));
        if file.ends_with("manifest.json") {
            fs::write(&file, [&whole[..], b" "].concat()).expect("longer");
            refused(&(&file, "longer"));
        } else {
            fs::remove_file(&file).expect("removed");
            refused(&(&file, "removed"));
        }
        fs::write(&file, &whole).expect("mended");
    }
    let ran = restore(&to, &empty);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = restore(&to, &missing);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_damaged_log_is_refused_and_the_one_before_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to) = (folder.path().join("data"), folder.path().join("backup"));
    small_log(&data, 400).await;
    let file = &segments(&data)[1];
    let whole = fs::read(file).expect("a segment");
    let mut bytes = whole.clone();
    bytes[60] ^= 1;
    fs::write(file, &bytes).expect("flipped");
    let refused = back_up(&data, &to);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("is corrupt at byte 20"), "{refused:?}");
    assert!(matches!(
        event_store::restore(&to, &folder.path().join("new"), |_, _| {}),
        Err(BackupError::Incomplete(_))
    ));
    fs::write(file, &whole).expect("mended");
    let copied = backup(&data, &to).expect("a backup");
    fs::remove_file(file).expect("removed");
    assert!(matches!(backup(&data, &to), Err(BackupError::Store(Error::Corrupt { .. }))));
    let report =
        event_store::restore(&to, &folder.path().join("new"), |_, _| {}).expect("restored");
    assert_eq!(report.head, copied.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_only_into_its_own_folder_and_a_restore_only_into_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to) = backed_up(folder.path()).await;
    assert!(matches!(backup(&data, &data), Err(BackupError::Foreign(_))));
    assert!(matches!(event_store::restore(&to, &data, |_, _| {}), Err(BackupError::NotEmpty(_))));
    // Another store, and one that has lost what the backup holds.
    let other = folder.path().join("other");
    small_log(&other, 400).await;
    assert!(matches!(backup(&other, &to), Err(BackupError::OtherHistory { .. })));
    let last = segments(&data).pop().expect("a segment");
    let whole = fs::read(&last).expect("a segment");
    fs::write(&last, &whole[..whole.len() - 1]).expect("cut");
    assert!(matches!(backup(&data, &to), Err(BackupError::OtherHistory { .. })));
    fs::remove_file(&last).expect("removed");
    assert!(matches!(backup(&data, &to), Err(BackupError::OtherHistory { .. })));
    fs::write(&last, &whole).expect("mended");
    // A store that was restored from it is the same store.
    let again = folder.path().join("again");
    event_store::restore(&to, &again, |_, _| {}).expect("restored");
    assert_eq!(backup(&again, &to).expect("a backup").copied, 0);
    // Never two at a time, and none into a folder that a store has open.
    let lock = fs::File::open(to.join("backup-lock")).expect("a lock");
    lock.lock().expect("locked");
    assert!(matches!(backup(&data, &to), Err(BackupError::Store(Error::Taken(_)))));
    let served_folder = folder.path().join("served");
    fs::create_dir(&served_folder).expect("a folder");
    let lock = fs::File::create(served_folder.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    let refused = event_store::restore(&to, &served_folder, |_, _| {});
    assert!(matches!(refused, Err(BackupError::Store(Error::Taken(_)))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backup_is_not_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let config = Config { segment_bytes: 1 << 20, ..Config::new(&data) };
    let served = Served::with(config).await.expect("it opens");
    let client = client(&served.url());
    for _ in 0..12 {
        append(&client, "a", vec![binary(300_000), binary(1000)]).await;
    }
    let old = backup(&data, &folder.path().join("old")).expect("a backup");
    for _ in 0..12 {
        append(&client, "a", vec![binary(300_000), binary(1000)]).await;
    }
    let new = backup(&data, &folder.path().join("new")).expect("a backup");
    let mut random = Random::from_clock();
    let mut cut_short = 0;
    for round in 0..30 {
        let to = folder.path().join("to");
        let goes_on = round % 2 == 0;
        if goes_on {
            copy_folder(&folder.path().join("old"), &to);
        }
        let mut child = tool::command("backup", &[("--data", &data), ("--to", &to)])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        // Not a wait for a fact: the moment of the kill is what is varied.
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        child.kill().expect("killed");
        child.wait().expect("it ends");
        let restored = folder.path().join("restored");
        match event_store::restore(&to, &restored, |_, _| {}) {
            Ok(report) if report.head == new.head => {}
            Ok(report) => {
                assert!(goes_on && report.head == old.head, "{report:?}, {random}");
                cut_short += 1;
            }
            Err(BackupError::Incomplete(_)) if !goes_on => cut_short += 1,
            // It was killed before it made the folder.
            Err(BackupError::Store(Error::Io { .. })) if !to.exists() => cut_short += 1,
            Err(other) => panic!("{other}, {random}"),
        }
        let _ = fs::remove_dir_all(&restored);
        let copied = backup(&data, &to).expect("the next one makes it whole");
        assert_eq!(Copied { copied: new.copied, ..copied }, new);
        event_store::restore(&to, &restored, |_, _| {}).expect("restored");
        fs::remove_dir_all(&restored).expect("removed");
        fs::remove_dir_all(&to).expect("removed");
    }
    assert!(cut_short > 0, "no kill came in time");
    served.stop().await;
}

/// Does it, and is interrupted where so many bytes are copied.
fn interrupted<T>(at: u64, work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) {
    let mut told = |copied: u64, of: u64| {
        assert!(copied <= of, "{copied} of {of}");
        assert!(copied < at, "interrupted");
    };
    let ended = panic::catch_unwind(AssertUnwindSafe(|| drop(work(&mut told))));
    ended.expect_err("it was not interrupted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_interrupted_goes_on_with_the_segment_that_it_had_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to) = (folder.path().join("data"), folder.path().join("to"));
    let config = Config { segment_bytes: 1 << 20, ..Config::new(&data) };
    let served = Served::with(config).await.expect("it opens");
    let client = client(&served.url());
    for _ in 0..12 {
        append(&client, "a", vec![binary(300_000), binary(1000)]).await;
    }
    let bytes = 2 << 20;
    interrupted(bytes, |told| event_store::backup(&data, &to, SystemTime::now(), told));
    let refused = event_store::restore(&to, &folder.path().join("new"), |_, _| {});
    assert!(matches!(refused, Err(BackupError::Incomplete(_))), "{refused:?}");
    let copied = backup(&data, &to).expect("a backup");
    assert!(copied.copied < copied.bytes && copied.copied + bytes >= copied.bytes - (1 << 20));
    assert!(!to.join("begun.json").exists());
    assert_eq!(backup(&data, &to).expect("a backup").copied, 0);

    // A restore too; and what somebody changed meanwhile is copied anew.
    let new = folder.path().join("new");
    interrupted(bytes, |told| event_store::restore(&to, &new, told));
    assert!(!new.exists());
    let left = segments(&folder.path().join("new.restoring"));
    assert!(left.len() >= 2, "{left:?}");
    let written = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).expect("a file");
    let whole = written(&left[0]);
    let mut changed = fs::read(&left[1]).expect("a file");
    changed[5000] ^= 1;
    fs::write(&left[1], changed).expect("changed");
    fs::write(folder.path().join("new.restoring/stranger"), "").expect("a file");
    let report = event_store::restore(&to, &new, |_, _| {}).expect("restored");
    assert_eq!((report.head, report.faults), (copied.head, 0));
    assert_eq!(written(&segments(&new)[0]), whole, "it is not copied twice");
    assert!(!new.join("stranger").exists());
    served.stop().await;
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}
