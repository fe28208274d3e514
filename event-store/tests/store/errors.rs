//! Errors that no other test makes an official client meet, and where it meets the others.
//!
//! The errors that the protocol knows, and where the Rust clients meet them, each of the two:
//!
//! - stream-deleted, wrong-expected-version, also of a deletion: `suite`
//! - an append or an event that is too large, a call that is not answered in time: here
//! - access-denied, and credentials that are wrong: `access`, and `original` for the other client
//! - those of persistent subscriptions, a consumer that is too slow and a store that stops among
//!   them: `persistent/managing`
//! - a store that stops or is away: `restart`
//!
//! Three cannot be had from this store by these clients:
//!
//! - not-leader: a store is one node, which always leads; nothing makes it say otherwise.
//! - missing-required-metadata-property: the clients always send the type and the content type.
//! - one write of a batch that is too late: the clients send the date where the time that is left
//!   is meant, which is no deadline at all. `deadlines` sends what they should.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use event_store::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    State, at_revision,
    client::{BatchAppendOptions, Client, Error, EventData, Result},
    serving::{Served, url},
};

/// How long the store is given for an answer that it cannot give.
const SOON: Duration = Duration::from_millis(500);
/// What the clients say of a session that had ended before the write.
const CLOSED: &str = "stream has been closed";
/// More than the head of a call, and less than the events of the calls here.
const HEAD: usize = 64 << 10;

fn client(url: &str) -> Client {
    Client::new(url.parse().expect("a URL")).expect("a client")
}

fn event(bytes: usize) -> EventData {
    EventData::binary("kind", vec![7; bytes].into())
}

/// A connection on which the client is held up, once it has sent what is left for it to send. The
/// clients leave it to the store to tell that their time is up, so it has to know of the call.
struct Narrow {
    port: u16,
    left: Arc<AtomicUsize>,
}

impl Narrow {
    async fn before(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let left = Arc::new(AtomicUsize::new(usize::MAX / 2));
        let shared = Arc::clone(&left);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let store = TcpStream::connect(("127.0.0.1", store)).await.expect("the store");
                tokio::spawn(pass(client, store, Arc::clone(&shared)));
            }
        });
        Self { port, left }
    }

    fn hold_up(&self) {
        self.left.store(HEAD, Ordering::Release);
    }
}

async fn pass(client: TcpStream, store: TcpStream, left: Arc<AtomicUsize>) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_store, mut to_store) = store.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_store, &mut to_client).await });
    let mut bytes = vec![0; HEAD / 4];
    loop {
        let read = from_client.read(&mut bytes).await?;
        let may = left.load(Ordering::Acquire).min(read);
        left.fetch_sub(may, Ordering::AcqRel);
        to_store.write_all(&bytes[..may]).await?;
        if read == 0 || may < read {
            return std::future::pending().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_not_answered_in_time_fails_as_such() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let direct = client(&served.url());
    // How long the session has in all. When it is over before the write, which a machine that
    // stands still makes happen, the client tells less of it: then there is a longer one.
    let sessions = [1, 2, 4, 8, 16, 32, 64].map(|times| Some(SOON * times));
    for time in std::iter::once(None).chain(sessions) {
        let narrow = Narrow::before(served.port).await;
        let client = client(&url(narrow.port));
        let stream = format!("a-{time:?}");
        client.append_to_stream(&*stream, &at_revision(None), event(10)).await.expect("written");
        let late = if let Some(time) = time {
            let options = BatchAppendOptions::default().deadline(time);
            let session = client.batch_append(&options).await.expect("a session");
            narrow.hold_up();
            session.append_to_stream(&*stream, State::Any, vec![event(1 << 20)]).await.map(drop)
        } else {
            narrow.hold_up();
            let append = at_revision(Some(0)).deadline(SOON);
            client.append_to_stream(&*stream, &append, event(1 << 20)).await.map(drop)
        };
        let over_before = matches!(&late, Err(Error::ServerError(said)) if said.contains(CLOSED));
        if over_before && time < Some(SOON * 64) {
            continue;
        }
        assert!(matches!(late, Err(Error::DeadlineExceeded)), "{late:?}");
        // It was not written, and others are not concerned.
        let next = direct.append_to_stream(&*stream, &at_revision(Some(0)), event(10)).await;
        assert_eq!(next.expect("written").next_expected_version, 1);
        if time.is_some() {
            break;
        }
    }
}

/// The code of an error that the client has no name for, and its words.
#[track_caller]
fn unnamed<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
    match result {
        Err(Error::Grpc { code, message }) => (format!("{code:?}"), message),
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_and_the_next_is_taken() {
    let data = tempfile::tempdir().expect("a folder");
    let limits =
        Config { max_event_bytes: 1000, max_append_bytes: 3000, ..Config::new(data.path()) };
    let served = Served::with(limits).await.expect("it opens");
    let client = client(&served.url());
    let many: Vec<_> = (0..4).map(|_| event(900)).collect();
    for (events, told) in [
        (vec![event(1000)], "has 1008 bytes; the most is 1000."),
        (many, "Maximum append size of 3000 bytes exceeded."),
    ] {
        let refused = client.append_to_stream("a", &at_revision(None), events.clone()).await;
        let (code, message) = unnamed(refused);
        assert_eq!(code, "InvalidArgument");
        assert!(message.ends_with(told), "{message}");
        let session = client.batch_append(&Default::default()).await.expect("a session");
        let refused = unnamed(session.append_to_stream("a", State::Any, events).await);
        assert_eq!((&*refused.0, &*refused.1), ("InvalidArgument", "MaximumAppendSizeExceeded"));
    }
    client.append_to_stream("a", &at_revision(None), event(900)).await.expect("written");
}
