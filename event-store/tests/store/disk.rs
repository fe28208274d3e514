//! A disk that fills up and gets room again: appends are refused meanwhile, and nothing else is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eventstore::{AppendToStreamOptions, Client, EventData, ReadAllOptions, StreamState};
use tokio::process::Command;

use crate::serving::{PROGRAM, Program};

/// The program with its data on a file system of 8 MiB, which it alone sees.
async fn on_a_small_disk(folder: &Path) -> Program {
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" && \
                  exec \"$0\" --listen 127.0.0.1:0 --data \"$1/data\"";
    let mut shell = Command::new("unshare");
    let shell = shell.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", script]);
    Program::spawn(shell.arg(PROGRAM).arg(folder)).await
}

/// Where that file system can be reached from outside.
fn seen_from_here(program: &Program, folder: &Path) -> PathBuf {
    let pid = program.child.id().expect("it runs");
    let inside = folder.strip_prefix("/").expect("an absolute path");
    PathBuf::from(format!("/proc/{pid}/root")).join(inside)
}

async fn append(client: &Client, number: usize) -> eventstore::Result<()> {
    let event = EventData::binary("large", vec![7; 10_000].into());
    let options = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
    client.append_to_stream(format!("large-{number}"), &options, event).await.map(|_| ())
}

async fn count(client: &Client) -> usize {
    let mut read = client.read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut count = 0;
    while read.next().await.expect("an event").is_some() {
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_until_there_is_room_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = on_a_small_disk(folder.path()).await;
    let disk = seen_from_here(&program, folder.path());
    let client = Client::new(program.url().parse().expect("a URL")).expect("a client");
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).expect("half of the disk is taken");
    let mut written = 0;
    let refused = loop {
        match append(&client, written).await {
            Ok(()) => written += 1,
            Err(refused) => break refused,
        }
        assert!(written < 1000, "the disk is small");
    };
    match refused {
        eventstore::Error::Grpc { code, message } => {
            assert_eq!(code, tonic::Code::ResourceExhausted);
            assert!(message.contains("No space left"), "{message}");
        }
        other => panic!("a clear error was expected, not {other:?}"),
    }
    assert_eq!(count(&client).await, written, "what is there can be read");
    append(&client, written).await.expect_err("there is still no room");
    fs::remove_file(&ballast).expect("there is room again");
    for number in written..written + 50 {
        append(&client, number).await.expect("it recovers by itself");
    }
    assert_eq!(count(&client).await, written + 50);
}
