//! The real program against hostile bytes: it answers everyone else, stays small and loses nothing.
//!
//! `FUZZ_ROUNDS` says how long to go on, and `FUZZ_SEED` repeats what a failure has printed.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::Duration,
};

use eventstore::{
    AppendToStreamOptions, Client, EventData, ReadAllOptions, ReadStreamOptions, StreamPosition,
    StreamState,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
    time::timeout,
};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::{
    corpus::{self, Call},
    mutate::{self, Random},
    raw::make,
    serving::{PROGRAM, Program, new_id},
};

const ROUNDS: u64 = 60;
/// Calls of one round, made at once.
const CALLS: usize = 24;
/// Calls that were begun and are neither ended nor cancelled yet.
const LINGERING: usize = 64;
/// No client may make the program larger than this many bytes.
const LARGEST: u64 = 768 << 20;
/// Nothing that is answered at all takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, what it promised to keep, and what is still going on with it.
struct Target {
    data: tempfile::TempDir,
    program: Program,
    promised: Vec<Uuid>,
    lingering: VecDeque<JoinHandle<()>>,
    seed: u64,
}

impl Target {
    async fn new(seed: u64) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let program = start(data.path()).await;
        Self { data, program, promised: Vec::new(), lingering: VecDeque::new(), seed }
    }

    async fn channel(&self) -> Channel {
        let url = format!("http://127.0.0.1:{}", self.program.port);
        let endpoint = Endpoint::from_shared(url).expect("a URL");
        timeout(PATIENCE, endpoint.connect()).await.expect("in time").expect("it accepts")
    }

    /// The program lives, is small, and serves a client that behaves.
    async fn assert_well(&mut self, round: u64) {
        let context = format!("FUZZ_SEED={} round {round}", self.seed);
        let ended = self.program.child.try_wait().expect("a child");
        let said = std::fs::read_to_string(said(self.data.path())).expect("its errors");
        assert!(ended.is_none() && !said.contains("panicked"), "{context}: {ended:?} {said}");
        let size = memory(self.program.child.id().expect("it runs"), "VmRSS:");
        assert!(size < LARGEST, "{context}: it has {} MiB", size >> 20);
        let served = timeout(PATIENCE, self.promise()).await;
        assert!(served.is_ok(), "{context}: no answer in time");
    }

    /// Writes one more event as a client does, and reads the newest ones back.
    async fn promise(&mut self) {
        let client = Client::new(self.program.url().parse().expect("a URL")).expect("a client");
        let id = new_id();
        let event = EventData::binary("kept", vec![7; 100].into()).id(id);
        let state = match self.promised.len() as u64 {
            0 => StreamState::NoStream,
            count => StreamState::StreamRevision(count - 1),
        };
        let options = AppendToStreamOptions::default().stream_state(state);
        client.append_to_stream("promised", &options, event).await.expect("written");
        self.promised.push(id);
        self.assert_kept(&client, 20).await;
    }

    async fn assert_kept(&self, client: &Client, newest: usize) {
        let options = ReadStreamOptions::default().position(StreamPosition::End).backwards();
        let options = options.max_count(newest);
        let mut read = client.read_stream("promised", &options).await.expect("a read");
        for id in self.promised.iter().rev().take(newest) {
            let event = read.next().await.expect("an event").expect("one more");
            assert_eq!(event.get_original_event().id, *id, "FUZZ_SEED={}", self.seed);
        }
    }

    /// Kills the program and starts it again with what it left: all promises were kept.
    async fn restart(&mut self) {
        self.lingering.clear();
        self.program.child.kill().await.expect("it ends");
        self.program = start(self.data.path()).await;
        let client = Client::new(self.program.url().parse().expect("a URL")).expect("a client");
        self.assert_kept(&client, self.promised.len()).await;
    }

    /// Leaves the call open, and gives up the oldest of those that are.
    fn linger(&mut self, task: JoinHandle<()>) {
        self.lingering.push_back(task);
        if self.lingering.len() > LINGERING
            && let Some(oldest) = self.lingering.pop_front()
        {
            oldest.abort();
        }
    }
}

fn said(data: &Path) -> PathBuf {
    data.join("stderr")
}

async fn start(data: &Path) -> Program {
    let script = "exec \"$0\" --listen 127.0.0.1:0 --data \"$1\" 2>>\"$1/stderr\"";
    Program::spawn(Command::new("/bin/sh").args(["-c", script, PROGRAM]).arg(data)).await
}

/// The bytes of memory that a process has, or at most had.
fn memory(pid: u32, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("a size");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

/// A call that is spoilt in some way: in its messages, in their order, or in its method.
fn spoilt(random: &mut Random) -> Call {
    let mut call = corpus::valid(random);
    match random.below(12) {
        0 => call.messages.reverse(),
        1 => call.messages.clear(),
        2 => call.method = corpus::valid(random).method,
        3 => call.messages.extend(corpus::valid(random).messages),
        4 => {}
        _ => {
            let at = random.below(call.messages.len());
            call.messages[at] = mutate::message(random, &call.messages[at]).into();
        }
    }
    call
}

/// One round of spoilt calls: some are completed, some cancelled, some left open.
async fn calls(target: &mut Target, random: &mut Random) {
    let channel = target.channel().await;
    let mut whole = Vec::new();
    for _ in 0..CALLS {
        let call = spoilt(random);
        let is_read = call.method.ends_with("/Read");
        let channel = channel.clone();
        match random.below(6) {
            0 => target.linger(tokio::spawn(make(channel, call, false))),
            1 => tokio::spawn(make(channel, call, false)).abort(),
            // What reads may be a subscription, which has no end.
            _ if is_read => target.linger(tokio::spawn(make(channel, call, true))),
            _ => whole.push((call.method, tokio::spawn(make(channel, call, true)))),
        }
    }
    for (method, task) in whole {
        let ended = timeout(PATIENCE, task).await;
        ended.unwrap_or_else(|_| panic!("FUZZ_SEED={}: {method} hangs", target.seed)).expect("ok");
    }
}

/// The bytes that a client sends for a few calls, as they go over the wire.
async fn recorded(target: &Target, random: &mut Random) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let port = target.program.port;
    let recording = tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        let server = TcpStream::connect(("127.0.0.1", port)).await.expect("it accepts");
        let (mut from, mut back) = client.into_split();
        let (mut answers, mut to) = server.into_split();
        let answering = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut answers, &mut back).await;
        });
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            bytes.extend(&buffer[..count]);
            to.write_all(&buffer[..count]).await.expect("it takes what is valid");
        }
        answering.abort();
        bytes
    });
    let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("connected");
    for _ in 0..4 {
        let mut call = corpus::valid(random);
        while call.method.ends_with("/Read") {
            call = corpus::valid(random);
        }
        make(channel.clone(), call, true).await;
    }
    drop(channel);
    recording.await.expect("recorded")
}

/// One round of connections: noise, what was recorded and then spoilt, and half of it.
async fn connections(target: &mut Target, random: &mut Random) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let valid = recorded(target, random).await;
    for _ in 0..8 {
        let bytes = match random.below(5) {
            0 => {
                let count = random.below(4000);
                random.bytes(count)
            }
            1 => {
                let count = random.below(4000);
                [PREFACE, &random.bytes(count)].concat()
            }
            2 => valid[..random.below(valid.len())].to_vec(),
            // The preface is left alone, so that frames are what is spoilt.
            _ => {
                let (preface, frames) = valid.split_at(PREFACE.len().min(valid.len()));
                [preface, &mutate::bytes(random, frames)].concat()
            }
        };
        let stays = random.below(3) == 0;
        let port = target.program.port;
        let task = tokio::spawn(async move {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            // The server may have hung up on it already.
            let _ = stream.write_all(&bytes).await;
            if stays {
                let mut answer = [0; 1024];
                while let Ok(1..) = stream.read(&mut answer).await {}
            }
        });
        if stays {
            target.linger(task);
        } else {
            task.await.expect("sent");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is the edge where its length is set")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_disturb_nobody() {
    let seed = number("FUZZ_SEED").unwrap_or(20_130_917);
    let mut target = Target::new(seed).await;
    target.assert_well(0).await;
    for round in 1..=number("FUZZ_ROUNDS").unwrap_or(ROUNDS) {
        let mut random = Random(seed.wrapping_mul(1 << 32).wrapping_add(round));
        calls(&mut target, &mut random).await;
        connections(&mut target, &mut random).await;
        target.assert_well(round).await;
        if round % 50 == 0 {
            target.restart().await;
        }
    }
    target.restart().await;
    // Hostile as they were, many of them got through: not all was refused at the door.
    let client = Client::new(target.program.url().parse().expect("a URL")).expect("a client");
    let mut all = client.read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut through = 0;
    while let Some(event) = all.next().await.expect("an event") {
        through += usize::from(event.get_original_event().stream_id().starts_with("fuzz-"));
    }
    assert!(through > 50, "only {through} events were written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_requests_do_not_fill_the_memory() {
    let seed = number("FUZZ_SEED").unwrap_or(20_130_917);
    let mut target = Target::new(seed).await;
    for at in 0.. {
        let Some(call) = corpus::absurd(at, &mut Random(seed)) else { break };
        let method = call.method;
        let channel = target.channel().await;
        let made = timeout(PATIENCE, make(channel, call, true)).await;
        assert!(made.is_ok(), "request {at}, {method}: no answer in time");
        // The largest size it ever had counts, not the one that is left.
        let largest = memory(target.program.child.id().expect("it runs"), "VmHWM:");
        assert!(largest < LARGEST, "request {at}, {method}: {} MiB", largest >> 20);
        target.assert_well(at as u64).await;
    }
}
