//! The servers and the process that started them: nothing survives it, nothing strange is ended.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use servers::{Durability, Kind, PrivateServers, Wanted};

const BINARY: &str = env!("CARGO_BIN_EXE_roundtable-servers");
const NATS_ONLY: Wanted = Wanted { postgres: false, redis: false, nats: true };

/// Starts `roundtable-servers` and waits until its servers are ready.
fn parent(data: &Path) -> Child {
    let mut child = Command::new(BINARY)
        .args(["--relaxed", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let urls: Vec<String> = lines.take(3).map(Result::unwrap).collect();
    assert!(urls[0].starts_with("ROUNDTABLE_TEST_POSTGRES_URL=postgres://"), "{urls:?}");
    assert!(urls[1].starts_with("ROUNDTABLE_TEST_REDIS_URL=redis://"), "{urls:?}");
    assert!(urls[2].starts_with("ROUNDTABLE_TEST_NATS_URL=nats://"), "{urls:?}");
    child
}

/// The pid in a pid file, with the start time that tells it from a later process.
fn recorded(data: &Path, name: &str) -> (i32, String) {
    let line = fs::read_to_string(data.join(format!("{name}.pid"))).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    (words[1].parse().unwrap(), words[2].to_owned())
}

/// State and start time of a process, as proc(5) has them.
fn living(pid: i32) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    (fields[0] != "Z" && fields[0] != "X").then(|| fields[19].to_owned())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn processes_under(data: &Path) -> Vec<i32> {
    let data = fs::canonicalize(data).unwrap();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let cwd = fs::read_link(entry.path().join("cwd")).ok()?;
        (cwd.starts_with(&data) && living(pid).is_some()).then_some(pid)
    })
    .collect()
}

#[test]
fn a_killed_parent_takes_its_servers_with_it_and_the_next_start_finds_their_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = parent(folder.path());
    let pids = ["postgres", "redis", "nats"].map(|name| recorded(folder.path(), name));
    for (pid, started) in &pids {
        assert_eq!(living(*pid).as_ref(), Some(started));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("the servers ended with their parent", || {
        pids.iter().all(|(pid, started)| living(*pid).as_ref() != Some(started))
    });
    wait_until("the backends of PostgreSQL ended", || processes_under(folder.path()).is_empty());

    let mut second = parent(folder.path());
    let pid = nix::unistd::Pid::from_raw(second.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(second.wait().unwrap().success());
    assert_eq!(processes_under(folder.path()), [] as [i32; 0]);
}

#[test]
fn the_command_gets_the_addresses_and_its_exit_status_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("servers");
    let script = "case $ROUNDTABLE_TEST_POSTGRES_URL$ROUNDTABLE_TEST_NATS_URL in \
                  postgres://*nats://*) exit 7;; esac";
    let status = Command::new(BINARY)
        .args(["--relaxed", "--throw-away", "--data"])
        .arg(&data)
        .args(["--", "sh", "-c", script])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
    assert!(!data.exists(), "the data was to be thrown away");
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    // Without setpriv no server can be started, and the PATH has nothing else either.
    let output = Command::new(BINARY)
        .args(["--relaxed", "--data"])
        .arg(folder.path())
        .env("PATH", folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("setpriv is in the package util-linux"), "{text}");
}

/// A server that an earlier run left: here one that runs apart from us, with its pid file.
fn leftover(data: &Path, program: &Path, started: impl Fn(String) -> String) -> Child {
    let child = Command::new(program)
        .arg("-c")
        .arg(data.join("nats.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id().cast_signed();
    wait_until("the program runs", || {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "nats-server\n")
    });
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let line = format!("{} {pid} {}\n", boot.trim(), started(living(pid).unwrap()));
    fs::write(data.join("nats.pid"), line).unwrap();
    child
}

async fn start(data: &Path) -> PrivateServers {
    PrivateServers::start_with(data, NATS_ONLY, Durability::Relaxed).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_left_by_an_earlier_run_is_ended_and_its_port_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    let port = servers.port(Kind::Nats).unwrap();
    servers.stop().await;

    let nats = servers::find(Kind::Nats).unwrap();
    let mut left = leftover(folder.path(), &nats, |started| started);
    let pid = left.id().cast_signed();
    wait_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let servers = start(folder.path()).await;
    assert_eq!(living(pid), None, "the left-over still runs");
    assert_eq!(servers.port(Kind::Nats), Some(port));
    left.wait().unwrap();
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_has_the_pid_of_a_left_over_is_let_be() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    let port = servers.port(Kind::Nats).unwrap();
    servers.stop().await;
    let nats = servers::find(Kind::Nats).unwrap();
    let mut stranger = leftover(folder.path(), &nats, |started| format!("{started}0"));
    let pid = stranger.id().cast_signed();
    wait_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // It holds our port and our store, but is not provably ours: we go elsewhere.
    let servers = start(folder.path()).await;
    assert!(living(pid).is_some());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_were_dropped_are_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let servers = PrivateServers::start_with(folder.path(), Wanted::ALL, Durability::Relaxed);
    let servers = servers.await.unwrap();
    servers.pause(Kind::Postgres).await;
    drop(servers);
    wait_until("nothing is left", || processes_under(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_without_their_server_are_ended_before_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { postgres: true, redis: false, nats: false };
    let data = folder.path();
    let mut servers = PrivateServers::start_with(data, wanted, Durability::Relaxed).await.unwrap();
    // Paused backends do not notice that their server died.
    servers.pause(Kind::Postgres).await;
    let server = servers.pid(Kind::Postgres).unwrap();
    let pid = nix::unistd::Pid::from_raw(server.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(servers.exited().await, Kind::Postgres);
    assert!(!processes_under(data).is_empty(), "the test needs backends that were left");
    servers.restart(Kind::Postgres).await.unwrap();
    servers.stop().await;
    assert_eq!(processes_under(data), [] as [i32; 0]);
}
