//! The measurements of one round, in an order that keeps what is compared close together in time.

use std::time::Duration;

use anyhow::Result;
use eventstore::{Client, StreamState};
use tonic::transport::Channel;

use super::{
    disk,
    events::{event, no_stream, stream},
    load::{Numbers, Outcome, Window, closed_loop},
    proto::echo::{Nothing, echo_client::EchoClient},
    site::Site,
};

/// One figure of a round.
pub(super) struct Step {
    /// Its key in the report, which `_per_s` is added to.
    pub(super) name: &'static str,
    work: Work,
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Store,
    Echo,
    Postgres,
}

enum Work {
    /// Write and sync a file, without any server.
    Sync,
    /// Empty calls, over one connection of tonic's own client.
    Say { callers: usize },
    /// Appends of one event to a new stream, through the official client.
    Append { on: On, callers: usize, connections: usize },
    /// Writes of so many events to a new stream, 256 of them under way in one batch session.
    Batch { on: On, events: usize },
}

/// Writes under way in a batch session.
pub(super) const IN_FLIGHT: usize = 256;

const fn append(name: &'static str, on: On, callers: usize) -> Step {
    Step { name, work: Work::Append { on, callers, connections: 1 } }
}

const fn batch(name: &'static str, on: On, events: usize) -> Step {
    Step { name, work: Work::Batch { on, events } }
}

pub(super) const STEPS: &[Step] = &[
    Step { name: "fdatasync", work: Work::Sync },
    append("append_1", On::Store, 1),
    append("postgres_append_1", On::Postgres, 1),
    append("grpc_echo_append_1", On::Echo, 1),
    append("append_16", On::Store, 16),
    append("postgres_append_16", On::Postgres, 16),
    append("grpc_echo_append_16", On::Echo, 16),
    append("append_256", On::Store, 256),
    append("postgres_append_256", On::Postgres, 256),
    append("grpc_echo_append_256", On::Echo, 256),
    Step { name: "grpc_echo_256", work: Work::Say { callers: 256 } },
    Step {
        name: "append_256_by_4_connections",
        work: Work::Append { on: On::Store, callers: 256, connections: 4 },
    },
    batch("batch_append_256", On::Store, 1),
    batch("postgres_batch_append_256", On::Postgres, 1),
    batch("grpc_echo_batch_append_256", On::Echo, 1),
    batch("batch_append_256_by_10", On::Store, 10),
    batch("postgres_batch_append_256_by_10", On::Postgres, 10),
    batch("grpc_echo_batch_append_256_by_10", On::Echo, 10),
];

/// Two figures of a round whose ratio says more than each of them on a machine that is not ours
/// alone.
pub(super) const RATIOS: &[(&str, &str, &str)] = &[
    ("append_1_over_fdatasync", "append_1", "fdatasync"),
    ("append_256_over_echo", "append_256", "grpc_echo_256"),
    ("append_256_over_echo_append", "append_256", "grpc_echo_append_256"),
    ("batch_append_256_over_echo", "batch_append_256", "grpc_echo_batch_append_256"),
    ("append_1_over_postgres", "append_1", "postgres_append_1"),
    ("append_16_over_postgres", "append_16", "postgres_append_16"),
    ("append_256_over_postgres", "append_256", "postgres_append_256"),
    ("batch_append_256_over_postgres", "batch_append_256", "postgres_batch_append_256"),
];

impl Step {
    /// The server it is about, if it is about one.
    fn on(&self) -> Option<On> {
        match self.work {
            Work::Append { on, .. } | Work::Batch { on, .. } => Some(on),
            Work::Sync | Work::Say { .. } => None,
        }
    }

    fn events_per_call(&self) -> usize {
        match self.work {
            Work::Batch { events, .. } => events,
            Work::Sync | Work::Say { .. } | Work::Append { .. } => 1,
        }
    }

    /// Runs it, first for a fifth of the time unmeasured. The outcome's calls are events.
    pub(super) async fn run(&self, site: &mut Site, window: Window) -> Result<Outcome> {
        let mut outcome = None;
        let warm_up = Window { span: window.span / 5, calls: window.calls / 5 };
        site.settle().await?;
        for window in [warm_up, window] {
            let mut measured = self.once(site, window).await?;
            measured.calls *= self.events_per_call() as u64;
            if self.on() == Some(On::Store) {
                site.written += measured.calls;
            }
            outcome = Some(measured);
        }
        Ok(outcome.expect("there are two windows"))
    }

    async fn once(&self, site: &Site, window: Window) -> Result<Outcome> {
        let numbers = &site.numbers;
        match self.work {
            Work::Sync => {
                let folder = site.store_folder();
                Ok(tokio::task::spawn_blocking(move || disk::sync_loop(&folder, window)).await??)
            }
            Work::Say { callers } => {
                let url = format!("http://{}", site.server(On::Echo).address);
                let client = EchoClient::new(Channel::from_shared(url)?.connect().await?);
                let say = move |_| {
                    let mut client = client.clone();
                    async move {
                        client.say(Nothing {}).await?;
                        Ok(())
                    }
                };
                closed_loop(callers, window, numbers, say).await
            }
            Work::Append { on, callers, connections } => {
                appends(&site.clients(on)[..connections], callers, window, numbers).await
            }
            Work::Batch { on, events } => {
                batches(&site.clients(on)[0], events, window, numbers).await
            }
        }
    }
}

/// Appends one event to a new stream, again and again.
pub(super) async fn appends(
    clients: &[Client],
    callers: usize,
    window: Window,
    numbers: &Numbers,
) -> Result<Outcome> {
    let clients = clients.to_vec();
    let append = move |number: u64| {
        let client = clients[number as usize % clients.len()].clone();
        async move {
            client.append_to_stream(stream(number), &no_stream(), event()).await?;
            Ok(())
        }
    };
    closed_loop(callers, window, numbers, append).await
}

/// Writes to new streams, many of them under way in one session.
pub(super) async fn batches(
    client: &Client,
    events: usize,
    window: Window,
    numbers: &Numbers,
) -> Result<Outcome> {
    let session = std::sync::Arc::new(client.batch_append(&Default::default()).await?);
    let write = move |number: u64| {
        let session = std::sync::Arc::clone(&session);
        async move {
            let events = std::iter::repeat_with(event).take(events).collect();
            session.append_to_stream(stream(number), StreamState::NoStream, events).await?;
            Ok(())
        }
    };
    closed_loop(IN_FLIGHT, window, numbers, write).await
}

/// A window that only ends when so many calls are made.
pub(super) fn exactly(calls: u64) -> Window {
    Window { span: Duration::MAX, calls }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_figures_that_are_measured() {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        for (name, above, below) in RATIOS {
            assert!(names.contains(above) && names.contains(below), "{name}");
        }
    }
}
