//! Verification: a sound log has no faults, and every byte that is not as it was written is one.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use event_store::{Fault, Report};
use serde_json::Value;

use crate::{
    serving::Program,
    tool::{
        self, HEADER, Ran, append, append_ends, base, binary, client, records, seal, small_log,
    },
};

fn verify(data: &Path) -> (Report, Vec<Fault>) {
    let mut faults = Vec::new();
    let report = event_store::verify(data, |fault| faults.push(fault.clone())).expect("it is read");
    assert_eq!(report.faults, faults.len() as u64);
    (report, faults)
}

fn run(data: &Path) -> Ran {
    tool::run(&mut tool::command("verify", &[("--data", data)]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_log_is_summed_up() {
    let data = tempfile::tempdir().expect("a folder");
    let events = small_log(data.path(), 400).await;
    let (report, faults) = verify(data.path());
    assert_eq!(faults, []);
    let files = tool::segments(data.path());
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
    let last = base(files.last().expect("a segment"));
    assert!(files.len() > 3);
    let expected = Report {
        events: events as u64,
        // a, b, c-0, c-1, c-2, and the metadata of a and b.
        streams: 7,
        bytes,
        segments: files.len() as u64,
        head: last + fs::metadata(files.last().expect("a segment")).expect("a file").len(),
        in_flight: 0,
        faults: 0,
    };
    assert_eq!(report, expected);
    let ran = run(data.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.last_line(), format!("verified: {events} events, 0 faults"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flipped_byte_is_found_and_the_rest_is_read() {
    for (segment_bytes, flips) in [(400, &[0x01, 0x80][..]), (1 << 20, &[0xff])] {
        let data = tempfile::tempdir().expect("a folder");
        let events = small_log(data.path(), segment_bytes).await as u64;
        let files = tool::segments(data.path());
        for (number, file) in files.iter().enumerate() {
            flip_every_byte(data.path(), file, number + 1 == files.len(), events, flips);
        }
        assert_eq!(verify(data.path()).0.faults, 0);
    }
}

fn flip_every_byte(data: &Path, file: &Path, is_last: bool, events: u64, flips: &[u8]) {
    let whole = fs::read(file).expect("a segment");
    let ends = append_ends(&whole);
    // What the last append was cannot be told from one that was never whole, and a last segment
    // without any not from one that was just being made.
    let sure = match (is_last, &ends[..]) {
        (false, _) => whole.len(),
        (true, []) => 0,
        (true, [_]) => HEADER,
        (true, [.., before, _]) => *before,
    };
    for offset in 0..whole.len() {
        for flip in flips {
            let mut bytes = whole.clone();
            bytes[offset] ^= flip;
            fs::write(file, &bytes).expect("flipped");
            let (report, faults) = verify(data);
            if offset >= sure {
                assert_eq!(report.in_flight, (whole.len() - sure) as u64);
                assert_eq!(faults, []);
                continue;
            }
            let first = faults.first().unwrap_or_else(|| panic!("{file:?} at {offset}"));
            assert_eq!(first.file, *file);
            assert!(first.offset <= offset as u64, "{first:?} at {offset}");
            assert!(report.events + 1 >= events, "{report:?}: more was lost than one event");
        }
    }
    fs::write(file, &whole).expect("mended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_or_cut_segment_is_found() {
    let data = tempfile::tempdir().expect("a folder");
    small_log(data.path(), 400).await;
    let files = tool::segments(data.path());
    // Nothing tells of a last segment that is gone.
    for file in &files[..files.len() - 1] {
        let whole = fs::read(file).expect("a segment");
        fs::remove_file(file).expect("removed");
        let (report, faults) = verify(data.path());
        assert_eq!(report.segments as usize, files.len() - 1);
        assert!(faults[0].reason.contains("are missing"), "{faults:?}");
        let ran = run(data.path());
        assert_eq!(ran.code, Some(1));
        let last = format!("verified: {} events, {} faults", report.events, report.faults);
        assert_eq!(ran.last_line(), last);
        assert_eq!(
            ran.out.lines().filter(|line| line.starts_with("fault: ")).count(),
            faults.len()
        );
        for cut in [0, 7, 20, *append_ends(&whole).first().expect("an append"), whole.len() - 1] {
            fs::write(file, &whole[..cut]).expect("cut");
            assert_ne!(verify(data.path()).1, [], "{file:?} cut to {cut}");
        }
        fs::write(file, &whole).expect("mended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_sound_but_do_not_follow_are_found() {
    let data = tempfile::tempdir().expect("a folder");
    small_log(data.path(), 1 << 20).await;
    let file = &tool::segments(data.path())[0];
    let whole = fs::read(file).expect("a segment");
    let starts = records(&whole);
    // Of the fifth record: its revision, the time it was made, and how many follow it.
    for (field, value, expected) in [
        (16, 9u8, "follows revision"),
        (24 + 7, 0, "older than the one before"),
        (12, 7, "an append lacks an event"),
    ] {
        let mut bytes = whole.clone();
        bytes[starts[4] + field] = value;
        if field == 31 {
            bytes[starts[4] + 24..starts[4] + 32].fill(0);
        }
        seal(&mut bytes, 0, starts[4]);
        fs::write(file, &bytes).expect("changed");
        let (_, faults) = verify(data.path());
        assert!(faults.iter().any(|fault| fault.reason.contains(expected)), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_can_be_had_as_lines_of_json() {
    let data = tempfile::tempdir().expect("a folder");
    small_log(data.path(), 400).await;
    let file = &tool::segments(data.path())[1];
    let mut bytes = fs::read(file).expect("a segment");
    bytes[100] ^= 1;
    fs::write(file, &bytes).expect("flipped");
    let ran = tool::run(tool::command("verify", &[("--data", data.path())]).arg("--json"));
    assert_eq!(ran.code, Some(1));
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (last, faults) = lines.split_last().expect("a report");
    assert_eq!(last["verified"]["faults"].as_u64(), Some(faults.len() as u64));
    assert_eq!(faults[0]["fault"]["file"].as_str(), file.to_str());
    assert!(faults[0]["fault"]["offset"].is_u64());
}

#[test]
fn a_folder_without_a_log_is_an_error_and_not_sound() {
    let data = tempfile::tempdir().expect("a folder");
    let ran = run(data.path());
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("cannot verify"), "{ran:?}");
    assert_eq!(run(&data.path().join("missing")).code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_just_written_has_no_faults() {
    let data = tempfile::tempdir().expect("a folder");
    let program = Program::start_with(data.path(), &["--segment-bytes", "65536"]).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let shared = client(&program.url());
    let writers: Vec<_> = (0..6)
        .map(|writer: usize| {
            let (client, stop, count) = (shared.clone(), stop.clone(), count.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let events = vec![binary(writer * 900), binary(10), binary(5000)];
                    append(&client, &format!("s-{writer}"), events).await;
                    count.fetch_add(3, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..30 {
        let before = count.load(Ordering::Relaxed);
        let path = data.path().to_owned();
        let ran = tokio::task::spawn_blocking(move || run(&path)).await.expect("no panic");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let events = ran.last_line().split(' ').nth(1).and_then(|count| count.parse().ok());
        assert!(events >= Some(before), "{before} events were acknowledged before: {ran:?}");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("it wrote");
    }
}
