//! The program as a person meets it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

fn roundtable(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundtable"));
    for server in ["POSTGRES", "POSTGRES_READER", "REDIS", "NATS", "EVENTSTORE"] {
        command.env_remove(format!("ROUNDTABLE_{server}_URL"));
    }
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_command_and_its_options() {
    for (arguments, words) in [
        (&["--help"][..], &["up", "migrate", "secrets", "demo", "bench"][..]),
        (&["up", "--help"], &["--data", ".roundtable", "--listen", "127.0.0.1:8080", "--nats-url"]),
        (&["demo", "--help"], &["--url", "throw-away"]),
        (&["bench", "chat", "--help"], &["--json", "--quick", "--url", "coordinated omission"]),
        (
            &["bench", "event-store", "--help"],
            &["--json", "--quick", "--data", "--events", "--sizes", "--graph", "--from"],
        ),
        (&["secrets", "--help"], &["<DIR>", "back it up"]),
        (&["migrate", "--help"], &["--postgres-url", "ROUNDTABLE_POSTGRES_READER_URL"]),
    ] {
        let output = roundtable(arguments);
        let help = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(output.status.success());
        for word in words {
            assert!(help.contains(word), "{arguments:?} does not say {word:?}: {help}");
        }
        assert!(!help.contains("stdin"), "what is for programs is not shown: {help}");
    }
    let version = text(&roundtable(&["--version"]).stdout);
    assert!(version.starts_with("roundtable 0."), "{version}");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data").to_string_lossy().into_owned();
    for (arguments, reason) in [
        (&["up", "--listen", "nowhere"][..], "host:port is wanted"),
        (&["up", "--listen", &address, "--data", &data], &*address),
        (&["up", "--postgres-reader-url", "postgres://r:p@h/d"], "--postgres-url"),
        (&["demo", "--url", "ftp://x"], "is not an address"),
        (&["migrate"], "--postgres-url"),
        (&["bench", "event-store", "--graph", "x.svg"], "--sizes"),
        (&["bench", "event-store", "--sizes", "many"], "invalid"),
        (&["dance"], "unrecognized subcommand"),
    ] {
        let output = roundtable(arguments);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(reason), "{arguments:?} does not say {reason:?}: {said}");
    }
    assert!(!Path::new(&data).exists(), "a start that cannot work leaves nothing behind");
}

#[test]
fn secrets_are_made_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let made = |path: &Path| -> BTreeMap<String, String> {
        let output = roundtable(&["secrets", &path.to_string_lossy()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        files
            .map(|file| {
                let mode = file.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{:?}", file.path());
                let name = file.file_name().to_string_lossy().into_owned();
                (name, fs::read_to_string(file.path()).unwrap())
            })
            .collect()
    };
    let first = made(&keys);
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(names, ["audit.key", "deployment.key", "master.key", "signing.key"]);
    assert_eq!(made(&keys), first);
}
