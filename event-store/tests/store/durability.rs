//! The real program beside another one, asked for its health, and starved of room.

use std::path::Path;

use event_store::Error;
use eventstore::{AppendToStreamOptions, EventData, StreamState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::Command;

use crate::{
    serving::{PROGRAM, Program, Served},
    tool::{all, client, within_a_minute},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_the_folder() {
    let data = tempfile::tempdir().expect("a folder");
    let _first = Program::start(data.path()).await;
    let second = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .await
        .expect("the program runs");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another process"));
    let here = Served::with(event_store::Config::new(data.path())).await;
    assert!(matches!(here.err(), Some(Error::Taken(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_tells_a_running_store_from_none() {
    let data = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(data.path()).await;
    let check = async |port: u16| {
        let address = format!("127.0.0.1:{port}");
        let ran = Command::new(PROGRAM).args(["--check", &address]).output().await;
        ran.expect("the program runs").status.code()
    };
    within_a_minute(async || match check(program.port).await {
        Some(0) => Ok(()),
        other => Err(other),
    })
    .await;
    let pid = program.child.id().expect("it runs");
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("a signal");
    assert!(program.child.wait().await.expect("it ends").success());
    assert_eq!(check(program.port).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_and_reading_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let program = with_little_room(data.path()).await;
    let client = client(&program.url());
    let mut written = 0;
    let refused = loop {
        let events = vec![EventData::binary("large", vec![7; 10_000].into())];
        let options = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
        let stream = format!("large-{written}");
        match client.append_to_stream(stream, &options, events).await {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
        assert!(written < 100, "the limit holds");
    };
    match refused {
        eventstore::Error::Grpc { message, .. } => assert!(message.contains("cannot write")),
        other => panic!("a clear error was expected, not {other:?}"),
    }
    assert_eq!(all(&program.url()).await.len(), written);
    // What is small enough still has room.
    let small = vec![EventData::binary("small", vec![7].into())];
    let options = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
    client.append_to_stream("small", &options, small).await.expect("written");
    drop(program);
    let again = Program::start(data.path()).await;
    assert_eq!(all(&again.url()).await.len(), written + 1);
}

/// The program with files limited to 64 KiB, and a write beyond as an error instead of a signal.
async fn with_little_room(data: &Path) -> Program {
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" --listen 127.0.0.1:0 --data \"$1\"";
    let mut shell = Command::new("/bin/sh");
    Program::spawn(shell.args(["-c", script, PROGRAM]).arg(data)).await
}
