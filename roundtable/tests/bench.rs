//! Benches in their smallest form: that they measure, not what.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs `roundtable bench event-store --json` with its data below a folder.
fn bench(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundtable"));
    command.args(["bench", "event-store", "--json", "--data"]).arg(folder).args(arguments);
    command.output().unwrap()
}

fn assert_above_zero(object: &Value, keys: &[&str]) {
    for key in keys {
        let value = object[key].as_f64();
        assert!(value.is_some_and(|value| value > 0.0), "{key} is {:?} in {object}", object[key]);
    }
}

fn assert_latency(latency: &Value) {
    let keys = ["p50", "p95", "p99", "p999", "max"];
    assert_above_zero(latency, &keys);
    let values: Vec<f64> = keys.iter().map(|key| latency[key].as_f64().unwrap()).collect();
    assert!(values.is_sorted(), "{latency}");
}

fn assert_says_where_and_when(report: &Value) {
    assert_eq!(report["bench"], "event-store");
    assert_above_zero(report, &["seconds"]);
    assert_above_zero(&report["machine"], &["cores", "memory_mb"]);
    for key in ["date", "commit", "store", "file_system"] {
        assert!(!report[key].as_str().unwrap().is_empty(), "{key}");
    }
}

#[test]
fn every_read_of_the_bench_is_answered_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundtable"));
    command.args(["bench", "reads", "--json", "--quick", "--messages", "1000"]);
    let output = command.env("TMPDIR", folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_above_zero(&report, &["seconds", "messages", "readable_messages", "filled_per_s"]);
    let latency = report["latency"].as_object().unwrap();
    for (name, figures) in latency {
        assert_latency(figures);
        assert_above_zero(&report["per_s"], &[name]);
    }
    for kind in ["conversations", "messages_half_way", "feed", "search_rare", "search_chinese"] {
        assert!(latency.contains_key(kind), "{kind}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something is left");
}

#[test]
fn every_figure_of_the_event_store_is_there_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let report = bench(folder.path(), &["--quick", "--events", "40"]);
    assert_says_where_and_when(&report);
    let rates = [
        "fdatasync_per_s",
        "grpc_echo_256_per_s",
        "grpc_echo_append_256_per_s",
        "append_1_per_s",
        "append_16_per_s",
        "append_256_per_s",
        "append_256_by_4_connections_per_s",
        "batch_append_256_per_s",
        "batch_append_256_by_10_per_s",
        "postgres_append_1_per_s",
        "postgres_append_16_per_s",
        "postgres_append_256_per_s",
        "postgres_batch_append_256_per_s",
        "postgres_batch_append_256_by_10_per_s",
        "read_all_per_s",
        "read_stream_per_s",
        "open_ms",
        "bytes_per_event",
        "events",
    ];
    assert_above_zero(&report, &rates);
    for key in ["subscriber", "subscriber_append", "subscriber_at_2000_per_s"] {
        assert_latency(&report[key]);
    }
    for (name, latency) in report["latency_ms"].as_object().unwrap() {
        // In memory, where a test may run, a sync takes no time.
        if name != "fdatasync" {
            assert_latency(latency);
        }
    }
    let by_round = report["by_round"].as_object().unwrap();
    assert!(by_round.values().all(|rounds| rounds.as_array().unwrap().len() == 3));
    assert_above_zero(&report["ratios"], &["append_256_over_echo", "append_256_over_postgres"]);
    assert_above_zero(&report["memory_after_load"], &["rss_mb", "anonymous_mb", "peak_mb"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn sizes_are_measured_and_drawn_at_once_or_from_what_was_printed() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = tempfile::tempdir().unwrap();
    let path = |name: &str| drawn.path().join(name).to_string_lossy().into_owned();
    let (first, again, json) = (path("first.svg"), path("again.svg"), path("sizes.json"));
    let report = bench(folder.path(), &["--sizes", "900,300", "--graph", &first]);
    assert_says_where_and_when(&report);
    let sizes = report["sizes"].as_array().unwrap();
    let events: Vec<u64> = sizes.iter().map(|size| size["events"].as_u64().unwrap()).collect();
    assert_eq!(events, [300, 900]);
    for size in sizes {
        let keys = ["batch_append_256_per_s", "append_256_per_s", "open_ms", "open_after_kill_ms"];
        assert_above_zero(size, &keys);
        assert_above_zero(size, &["bytes_per_event"]);
        assert_latency(&size["read"]);
        for memory in ["memory_after_load", "memory_after_open", "memory_after_kill"] {
            assert_above_zero(&size[memory], &["rss_mb"]);
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    fs::write(&json, report.to_string()).unwrap();
    let output = run(folder.path(), &["--from", &json, "--graph", &again]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let graph = fs::read_to_string(first).unwrap();
    assert!(graph.starts_with("<svg ") && graph.ends_with("</svg>\n"));
    assert_eq!(fs::read_to_string(again).unwrap(), graph);
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--sizes", "0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("above 0"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
