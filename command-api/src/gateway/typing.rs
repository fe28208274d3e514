//! Who types: told to those in the conversation, stored nowhere, over by itself.

use std::time::Duration;

use domain::conversation::Conversation;
use events::{Audience, ConversationId, StreamName, UserId};
use serde::Deserialize;
use serde_json::json;
use service::Problem;
use tokio::time::Instant;

use super::SocketId;
use super::bucket::Bucket;
use crate::App;
use crate::blocks::is_blocked;

/// How long it holds after the last `start`.
const EXPIRES: Duration = Duration::from_secs(5);

/// How many `start`s of one socket may come at once.
const AT_ONCE: f64 = 5.0;

/// How many a second in the long run.
const PER_SECOND: f64 = 1.0;

/// In how many conversations one socket types at the same time.
const PLACES: usize = 8;

/// Whether somebody begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Typing {
    /// They type, for the next seconds.
    Start,
    /// They do not any more.
    Stop,
}

/// Where one socket types. What was begun ends with it.
pub(crate) struct Typist {
    app: App,
    user: UserId,
    socket: SocketId,
    starts: Bucket,
    active: Vec<(ConversationId, Instant)>,
}

impl Typist {
    pub(crate) fn new(app: App, user: UserId, socket: SocketId) -> Self {
        let starts = Bucket::new(AT_ONCE, PER_SECOND, Instant::now());
        Self { app, user, socket, starts, active: Vec::new() }
    }

    /// What to do for a frame: nothing, if there are too many of them, or nothing was begun.
    pub(crate) fn hear(
        &mut self,
        conversation: ConversationId,
        typing: Typing,
    ) -> Option<impl Future<Output = Result<(), Problem>> + Send + use<>> {
        let now = Instant::now();
        self.active.retain(|(_, until)| *until > now);
        let place = self.active.iter().position(|(of, _)| *of == conversation);
        match (typing, place) {
            (Typing::Start, place) => {
                if !self.starts.take(now) {
                    metrics::counter!("roundtable_gateway_typing_dropped_total").increment(1);
                    return None;
                }
                match place {
                    Some(index) => self.active[index].1 = now + EXPIRES,
                    None if self.active.len() < PLACES => {
                        self.active.push((conversation, now + EXPIRES));
                    }
                    None => return None,
                }
            }
            (Typing::Stop, Some(index)) => drop(self.active.swap_remove(index)),
            (Typing::Stop, None) => return None,
        }
        let (app, user, socket) = (self.app.clone(), self.user, self.socket);
        Some(async move { tell(&app, user, socket, conversation, typing).await })
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let now = Instant::now();
        for (conversation, until) in self.active.drain(..) {
            if until > now {
                let (app, user, socket) = (self.app.clone(), self.user, self.socket);
                // Should it be refused now, it ends by itself.
                tokio::spawn(async move {
                    let _ = tell(&app, user, socket, conversation, Typing::Stop).await;
                });
            }
        }
    }
}

/// Tells it to the conversation, if they are in it.
async fn tell(
    app: &App,
    user: UserId,
    socket: SocketId,
    conversation: ConversationId,
    typing: Typing,
) -> Result<(), Problem> {
    let place = app.log().state::<Conversation>(&StreamName::conversation(conversation)).await?;
    if !place.state.has_member(user) {
        return Err(Problem::no_such_conversation());
    }
    // Neither of the two is told that it does not pass.
    if is_blocked(app, &place.state, user).await? {
        return Ok(());
    }
    let frame = match typing {
        Typing::Start => json!({
            "op": "typing", "conversation": conversation, "user": user, "state": "start",
            "expires_ms": u64::try_from(EXPIRES.as_millis()).unwrap_or(u64::MAX),
        }),
        Typing::Stop => json!({
            "op": "typing", "conversation": conversation, "user": user, "state": "stop",
        }),
    };
    let audience = Audience::Conversation(conversation);
    if let Err(error) = app.gateway().whispers.say(audience, frame.to_string(), Some(socket)).await
    {
        tracing::debug!(%error, "nobody hears who types");
    }
    Ok(())
}
