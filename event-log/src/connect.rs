//! The connection to the event store: made until it holds, and made anew when it is lost for good.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use eventstore::{Client, ClientSettings, Error};
use tokio::time::Instant;
use tonic::Code;

use crate::{LogError, Unavailable};

/// How long a start waits for the store.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How long a call is tried again while the store is away.
const CALL_WITHIN: Duration = Duration::from_secs(4);

/// The event store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    settings: ClientSettings,
    client: Arc<RwLock<Arc<Client>>>,
}

impl Store {
    pub(crate) async fn connect(url: &str) -> Result<Self, Unavailable> {
        let settings: ClientSettings = with_discovery_interval(url)
            .parse()
            .map_err(|error: eventstore::ClientSettingsParseError| Unavailable::store(error))?;
        let deadline = Instant::now() + CONNECT_WITHIN;
        loop {
            let client = Client::new(settings.clone()).map_err(Unavailable::store)?;
            match client.server_info().await {
                Ok(_) => {
                    return Ok(Self { settings, client: Arc::new(RwLock::new(Arc::new(client))) });
                }
                Err(error) if Instant::now() >= deadline => return Err(Unavailable::store(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.read().expect("nothing panics under this lock").clone()
    }

    /// Calls the store, again and again for a while if it is away, and twice at least: a machine
    /// that stood still during the first try has not shown that the store is away. What is called
    /// must be repeatable: reads are, and appends with ids and an expected revision.
    pub(crate) async fn call<T, F, Fut>(&self, call: F) -> Result<T, Error>
    where
        F: Fn(Arc<Client>) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + CALL_WITHIN;
        let mut pause = Duration::from_millis(10);
        let mut tries = 0_u32;
        loop {
            let client = self.client();
            let tried = call(client.clone());
            let result = match tries {
                0 => tried.await,
                // The first one may have taken all the time there was.
                _ => tokio::time::timeout(CALL_WITHIN, tried)
                    .await
                    .unwrap_or(Err(Error::DeadlineExceeded)),
            };
            tries += 1;
            let in_time = tries < 2 || Instant::now() + pause < deadline;
            match result {
                Err(error) if is_away(&error) && in_time => {
                    self.renew_after(&error, &client);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                result => return result,
            }
        }
    }

    /// A client whose connection task has ended never connects again, even when the store comes
    /// back: it is replaced, once, by whoever notices first.
    pub(crate) fn renew_after(&self, error: &Error, failed: &Arc<Client>) {
        if !matches!(error, Error::ConnectionClosed | Error::GrpcConnectionError(_)) {
            return;
        }
        let mut current = self.client.write().expect("nothing panics under this lock");
        if Arc::ptr_eq(&current, failed) {
            match Client::new(self.settings.clone()) {
                Ok(client) => *current = Arc::new(client),
                Err(error) => tracing::error!(%error, "no new client of the event store"),
            }
        }
    }
}

/// Whether the store may answer the same call later. Whether it carried it out is not known.
pub(crate) const fn is_away(error: &Error) -> bool {
    match error {
        Error::ServerError(_)
        | Error::NotLeaderException(_)
        | Error::ConnectionClosed
        | Error::GrpcConnectionError(_)
        | Error::DeadlineExceeded => true,
        Error::Grpc { code, .. } => {
            matches!(code, Code::Aborted | Code::Cancelled | Code::ResourceExhausted)
        }
        Error::InternalParsingError(_)
        | Error::AccessDenied
        | Error::ResourceAlreadyExists
        | Error::ResourceNotFound
        | Error::ResourceDeleted
        | Error::UnsupportedFeature
        | Error::InternalClientError
        | Error::InitializationError(_)
        | Error::IllegalStateError(_)
        | Error::WrongExpectedVersion { .. } => false,
    }
}

impl From<Error> for LogError {
    fn from(error: Error) -> Self {
        if is_away(&error) { Unavailable::store(error).into() } else { Self::Refused(error) }
    }
}

/// The client sleeps for the discovery interval, 500 ms by default, before its first attempt,
/// even with a single host.
fn with_discovery_interval(url: &str) -> String {
    if url.to_ascii_lowercase().contains("discoveryinterval=") {
        return url.to_owned();
    }
    let join = if url.contains('?') { '&' } else { '?' };
    format!("{url}{join}discoveryInterval=1")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A store that nobody connects to.
    fn nowhere() -> Store {
        let settings: ClientSettings = "esdb://127.0.0.1:1?tls=false".parse().unwrap();
        let client = Client::new(settings.clone()).unwrap();
        Store { settings, client: Arc::new(RwLock::new(Arc::new(client))) }
    }

    /// What comes of a call whose first tries overrun all of the time, and how many tries were
    /// made.
    async fn called(overrunning: u32) -> (Result<u32, Error>, u32) {
        let tries = AtomicU32::new(0);
        let call = async |_| match tries.fetch_add(1, Ordering::Relaxed) {
            number if number < overrunning => {
                tokio::time::sleep(CALL_WITHIN * 2).await;
                Err(Error::DeadlineExceeded)
            }
            number => Ok(number),
        };
        let result = nowhere().call(call).await;
        (result, tries.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_overran_its_time_is_tried_once_more_and_not_for_ever() {
        assert!(matches!(called(1).await, (Ok(1), 2)));
        assert!(matches!(called(9).await, (Err(Error::DeadlineExceeded), 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_says_at_once_that_it_is_away_is_asked_until_the_time_is_over() {
        let (begun, tries) = (Instant::now(), AtomicU32::new(0));
        let call = async |_| {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::DeadlineExceeded)
        };
        assert!(nowhere().call(call).await.is_err());
        assert!(begun.elapsed() <= CALL_WITHIN, "{:?}", begun.elapsed());
        assert!(tries.into_inner() > 5);
    }

    #[test]
    fn the_discovery_interval_is_added_where_none_is_given() {
        for (given, expected) in [
            ("esdb://a:1?tls=false", "esdb://a:1?tls=false&discoveryInterval=1"),
            ("esdb://a:1", "esdb://a:1?discoveryInterval=1"),
            ("esdb://a:1?DiscoveryInterval=9", "esdb://a:1?DiscoveryInterval=9"),
        ] {
            assert_eq!(with_discovery_interval(given), expected);
            assert!(with_discovery_interval(given).parse::<ClientSettings>().is_ok());
        }
    }
}
