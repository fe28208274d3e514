//! Following the log: a subscription that goes on by itself after whatever went wrong.

use std::time::Duration;

use events::Position;
use eventstore::{Error, RecordedEvent, ResolvedEvent, SubscribeToAllOptions, Subscription};
use futures::Stream;

use crate::connect::Store;
use crate::read::{from, is_system};
use crate::recorded::position;
use crate::{LogError, Recorded};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A subscription to the whole log, from after a position on.
pub(crate) struct Following {
    store: Store,
    subscription: Option<Subscription>,
    last: Position,
    pause: Duration,
}

impl Following {
    pub(crate) const fn new(store: Store, after: Position) -> Self {
        Self { store, subscription: None, last: after, pause: FIRST_PAUSE }
    }

    /// The next event, of the store itself too. While the store is away, waits for it.
    ///
    /// # Errors
    /// What would not go away by waiting, such as a refused access.
    pub(crate) async fn next(&mut self) -> Result<ResolvedEvent, Error> {
        loop {
            let client = self.store.client();
            let subscription = match &mut self.subscription {
                Some(subscription) => subscription,
                none => {
                    let options = SubscribeToAllOptions::default().position(from(self.last));
                    none.insert(client.subscribe_to_all(&options).await)
                }
            };
            match subscription.next().await {
                Ok(resolved) => {
                    let place = position(resolved.get_original_event().position);
                    self.pause = FIRST_PAUSE;
                    if place > self.last {
                        self.last = place;
                        return Ok(resolved);
                    }
                }
                Err(error) => {
                    self.subscription = None;
                    if matches!(error, Error::AccessDenied) {
                        return Err(error);
                    }
                    tracing::debug!(%error, "the subscription to the log broke off");
                    self.store.renew_after(&error, &client);
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// The events after a position, without those of the store itself. Ends only after an error.
pub(crate) fn subscribe_all(
    store: Store,
    after: Position,
) -> impl Stream<Item = Result<Recorded, LogError>> + Send + 'static {
    let following = Some(Following::new(store, after));
    futures::stream::unfold(following, async |following| {
        let mut following = following?;
        loop {
            match following.next().await {
                Ok(resolved) => {
                    let event: &RecordedEvent = resolved.get_original_event();
                    if !is_system(event) {
                        return Some((Ok(event.into()), Some(following)));
                    }
                }
                Err(error) => return Some((Err(error.into()), None)),
            }
        }
    })
}
