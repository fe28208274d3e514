//! The program is killed and comes back on its port while clients write and follow: their own
//! retries carry them over, and nothing is lost or doubled. Written once for both Rust clients.

use std::{fs, net::TcpListener, path::Path};

use tokio::process::Command;

use crate::serving::{PROGRAM, Program};

/// How often the program is killed.
pub(crate) const LIVES: usize = 4;
/// Events a subscription sees between two kills, at least.
pub(crate) const PER_LIFE: usize = 30;

/// Starts the program on this port.
pub(crate) async fn start(data: &Path, port: u16) -> Program {
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(PROGRAM);
    Program::spawn(command.arg("--listen").arg(address).arg("--data").arg(data)).await
}

/// A free port that the system gives to nobody who connects: with one that it does give, a client
/// that tries and tries while nobody listens would in the end be connected to itself.
pub(crate) fn free_port() -> u16 {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("a range");
    let least = given.split_whitespace().next().and_then(|least| least.parse().ok());
    let least: u16 = least.expect("the range begins with a number");
    // Tests run side by side, each as a process of its own, and begin to look at different ports.
    let begin = least / 2 + (std::process::id() % u32::from(least / 2)) as u16;
    let mut ports = (begin..least).chain(least / 2..begin);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Makes the scenario for a client: its crate, its name of an exact revision, the option's name,
/// and how the name of an event's stream is reached.
macro_rules! restart_suite {
    ($client:ident, $state:ident :: $exact:ident, $with:ident, $($stream_id:tt)+) => {
        mod restart_suite {
            use std::{
                sync::{
                    Arc,
                    atomic::{AtomicBool, Ordering},
                },
                time::Duration,
            };

            use $client::{
                AppendToStreamOptions, Client, Error, EventData, ReadAllOptions, ReadStreamOptions,
                RecordedEvent, ResolvedEvent, RetryOptions, StreamPosition, SubscribeToAllOptions,
                SubscribeToStreamOptions, Subscription, SubscriptionFilter, $state as State,
            };
            use tokio::{sync::watch, task::JoinHandle};
            use uuid::Uuid;

            use crate::{
                restart::{LIVES, PER_LIFE, free_port, start},
                serving::new_id,
            };

            /// The client gives up for good after so many attempts to connect; here it must not. Nor
            /// may it give up a call because a busy machine stands still for its default of ten
            /// seconds.
            fn client(port: u16) -> Client {
                let url = format!(
                    "esdb://127.0.0.1:{port}?tls=false&discoveryInterval=10\
                     &maxDiscoverAttempts=1000000&defaultDeadline=120000"
                );
                Client::new(url.parse().expect("a URL")).expect("a client")
            }

            fn retry() -> RetryOptions {
                RetryOptions::default().retry_forever().retry_delay(Duration::from_millis(10))
            }

            /// Tries until the event is acknowledged.
            async fn append(client: &Client, stream: &str, state: State, id: Uuid, kind: &str) {
                let options = AppendToStreamOptions::default().$with(state);
                loop {
                    let event = EventData::binary(kind, vec![7; 100].into()).id(id);
                    match client.append_to_stream(stream, &options, event).await {
                        Ok(_) => return,
                        Err(error @ Error::WrongExpectedVersion { .. }) => {
                            panic!("a repeat was not recognised: {error:?}")
                        }
                        Err(_) => {}
                    }
                }
            }

            struct Writer {
                stream: &'static str,
                enough: Arc<AtomicBool>,
                task: JoinHandle<Vec<Uuid>>,
            }

            impl Writer {
                fn start(port: u16, stream: &'static str, exact: bool) -> Self {
                    let enough = Arc::new(AtomicBool::new(false));
                    let stop = Arc::clone(&enough);
                    let task = tokio::spawn(async move {
                        let (client, mut written) = (client(port), Vec::new());
                        while !stop.load(Ordering::Relaxed) {
                            let state = match written.len() as u64 {
                                _ if !exact => State::Any,
                                0 => State::NoStream,
                                count => State::$exact(count - 1),
                            };
                            let id = new_id();
                            append(&client, stream, state, id, "written").await;
                            written.push(id);
                        }
                        written
                    });
                    Self { stream, enough, task }
                }
            }

            struct Follower {
                seen: watch::Receiver<usize>,
                task: JoinHandle<Vec<RecordedEvent>>,
            }

            impl Follower {
                /// Follows until an event says that it is the last.
                fn start(mut subscription: Subscription) -> Self {
                    let (sender, seen) = watch::channel(0);
                    let task = tokio::spawn(async move {
                        let mut events = Vec::new();
                        loop {
                            let event = subscription.next().await.expect("it goes on");
                            events.push(event.event.expect("an event"));
                            sender.send_replace(events.len());
                            if events.last().is_some_and(|event| event.event_type == "last") {
                                return events;
                            }
                        }
                    });
                    Self { seen, task }
                }

                async fn sees(&mut self, more: usize) {
                    let enough = *self.seen.borrow() + more;
                    self.seen.wait_for(|seen| *seen >= enough).await.expect("it goes on");
                }
            }

            async fn followers(client: &Client) -> [Follower; 2] {
                let filter = SubscriptionFilter::on_event_type().regex("^[^$]");
                let all = SubscribeToAllOptions::default()
                    .position(StreamPosition::Start)
                    .filter(filter)
                    .retry_options(retry());
                let one = SubscribeToStreamOptions::default()
                    .start_from(StreamPosition::Start)
                    .retry_options(retry());
                [
                    Follower::start(client.subscribe_to_all(&all).await),
                    Follower::start(client.subscribe_to_stream("exact", &one).await),
                ]
            }

            fn ids<'a>(events: impl IntoIterator<Item = &'a RecordedEvent>) -> Vec<Uuid> {
                events.into_iter().map(|event| event.id).collect()
            }

            fn recorded(event: ResolvedEvent) -> RecordedEvent {
                event.event.expect("an event")
            }

            async fn read(client: &Client, stream: &str) -> Vec<RecordedEvent> {
                let options = ReadStreamOptions::default();
                let mut read = client.read_stream(stream, &options).await.expect("a read");
                let mut events = Vec::new();
                while let Some(event) = read.next().await.expect("an event") {
                    events.push(recorded(event));
                }
                events
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn subscriptions_and_appends_outlive_kills_of_the_server() {
                let data = tempfile::tempdir().expect("a folder");
                let port = free_port();
                let mut program = start(data.path(), port).await;
                let client = client(port);
                let mut followers = followers(&client).await;
                let writers =
                    [Writer::start(port, "exact", true), Writer::start(port, "any", false)];
                for _ in 0..LIVES {
                    for follower in &mut followers {
                        follower.sees(PER_LIFE).await;
                    }
                    program.child.kill().await.expect("it is killed");
                    program = start(data.path(), port).await;
                }
                let mut written = Vec::new();
                for writer in writers {
                    writer.enough.store(true, Ordering::Relaxed);
                    written.push((writer.stream, writer.task.await.expect("it writes")));
                }
                let last = new_id();
                append(&client, "exact", State::Any, last, "last").await;
                written[0].1.push(last);

                let [all, one] = followers;
                let all = all.task.await.expect("it follows");
                let one = one.task.await.expect("it follows");
                for (stream, written) in &written {
                    assert_eq!(&ids(&read(&client, stream).await), written);
                    let seen = all.iter().filter(|event| event.$($stream_id)+ == *stream);
                    assert_eq!(&ids(seen), written);
                }
                assert_eq!(ids(&one), written[0].1);
                let mut log = client.read_all(&ReadAllOptions::default()).await.expect("a read");
                let mut seen = all.iter();
                while let Some(event) = log.next().await.expect("an event") {
                    let event = recorded(event);
                    assert_eq!(Some(event.id), seen.next().map(|event| event.id));
                }
                assert!(seen.next().is_none());
            }
        }
    };
}

pub(crate) use restart_suite;
