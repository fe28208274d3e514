//! TLS: who gets in, what a failed handshake does to others, and renewed certificates.

use std::path::Path;

use event_store::{CheckError, Config, Error, EventStore, TlsFiles, check};
use eventstore::{Client, EventData, ReadStreamOptions};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use crate::{
    certificates::{Issuer, url},
    serving::{self, PROGRAM, Program, Served},
    tool::within_a_minute,
};

fn config(data: &Path, tls: TlsFiles) -> Config {
    Config { tls: Some(tls), ..Config::new(data) }
}

fn client(url: &str) -> Client {
    Client::new(url.parse().expect("a URL")).expect("a client")
}

async fn append(client: &Client) -> Result<u64, eventstore::Error> {
    let event = EventData::binary("kind", vec![7; 100].into());
    let written = client.append_to_stream("a", &Default::default(), event).await?;
    Ok(written.next_expected_version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trusts_the_issuer_writes_and_reads_over_tls() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let served = Served::with(config(data.path(), issuer.server("a"))).await.expect("it opens");
    let trusting = url("", served.port, &issuer.ca());
    let careless = "tlsVerifyCert=false&defaultDeadline=120000";
    for url in [trusting, format!("esdb://127.0.0.1:{}?{careless}", served.port)] {
        let client = client(&url);
        let last = append(&client).await.expect("written");
        let mut read = client.read_stream("a", &ReadStreamOptions::default()).await.expect("read");
        for revision in 0..=last {
            let event = read.next().await.expect("read").expect("one more");
            assert_eq!(event.get_original_event().revision, revision);
        }
        let large = EventData::binary("kind", vec![1; 5_000_000].into());
        client.append_to_stream("large", &Default::default(), large).await.expect("written");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_shake_hands_is_refused_and_disturbs_nobody() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let served = Served::with(config(data.path(), issuer.server("a"))).await.expect("it opens");
    let good = client(&url("", served.port, &issuer.ca()));
    assert_eq!(append(&good).await.expect("written"), 0);
    // One that says nothing, and keeps its connection.
    let _silent = TcpStream::connect(("127.0.0.1", served.port)).await.expect("connected");
    let stranger = Issuer::new();
    let in_clear = serving::url(served.port);
    for url in [in_clear, url("", served.port, &stranger.ca())] {
        let refused = append(&client(&url)).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 5000], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut raw = TcpStream::connect(("127.0.0.1", served.port)).await.expect("connected");
        raw.write_all(garbage).await.expect("sent");
        raw.shutdown().await.expect("no more");
        // The server closes: with an alert or a reset, but with no answer in clear text.
        let mut answer = Vec::new();
        let _ = raw.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP") && answer.len() < 20, "{answer:?}");
    }
    assert_eq!(append(&good).await.expect("written"), 1);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_tls_is_refused_by_a_store_in_clear_text() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let served = Served::start(data.path()).await;
    let refused = append(&client(&url("", served.port, &issuer.ca()))).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(append(&client(&served.url())).await.expect("written"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_served_after_a_hangup() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let files = issuer.server("a");
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.arg("--tls-certificate").arg(&files.certificate).arg("--tls-key").arg(&files.key);
    let program = Program::spawn(&mut command).await;
    let address = format!("127.0.0.1:{}", program.port);
    within_a_minute(async || check(&address, Some(&files.certificate)).await).await;
    let in_clear = check(&address, None).await;
    assert!(matches!(in_clear, Err(CheckError::Unreachable(_) | CheckError::Silent(_))));
    let client = client(&url("", program.port, &issuer.ca()));
    assert_eq!(append(&client).await.expect("written"), 0);

    let renewed = issuer.server("a");
    let other = check(&address, Some(&renewed.certificate)).await;
    assert!(matches!(other, Err(CheckError::Unreachable(_))), "{other:?}");
    let id = program.child.id().expect("it runs");
    kill(Pid::from_raw(id.try_into().expect("an id")), Signal::SIGHUP).expect("it is told");
    while check(&address, Some(&renewed.certificate)).await.is_err() {}
    assert_eq!(append(&client).await.expect("the old connection goes on"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_checks_a_store_over_tls() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let files = issuer.server("a");
    let served = Served::with(config(data.path(), files.clone())).await.expect("it opens");
    let address = format!("localhost:{}", served.port);
    within_a_minute(async || {
        let mut check = Command::new(PROGRAM);
        check.args(["--check", &address, "--tls-certificate"]).arg(&files.certificate);
        let output = check.output().await.expect("it runs");
        if output.status.success() { Ok(()) } else { Err(output) }
    })
    .await;
    let other = issuer.server("b").certificate;
    let mut check = Command::new(PROGRAM);
    check.args(["--check", &address, "--tls-certificate"]).arg(other);
    assert!(!check.output().await.expect("it runs").status.success());
}

#[test]
fn certificates_that_cannot_be_served_are_refused_at_the_start() {
    let (data, issuer) = (tempfile::tempdir().expect("a folder"), Issuer::new());
    let (good, other) = (issuer.server("a"), issuer.server("b"));
    let nothing = data.path().join("nothing");
    let cases = [
        TlsFiles { key: other.key, ..good.clone() },
        TlsFiles { key: good.certificate.clone(), ..good.clone() },
        TlsFiles { certificate: good.key.clone(), ..good.clone() },
        TlsFiles { certificate: nothing.clone(), ..good.clone() },
        TlsFiles { key: nothing, ..good.clone() },
    ];
    for tls in cases {
        let refused = EventStore::open(config(&data.path().join("log"), tls.clone())).err();
        assert!(matches!(refused, Some(Error::Configuration(_))), "{tls:?}: {refused:?}");
    }
    EventStore::open(config(&data.path().join("log"), good)).expect("it opens");
}
