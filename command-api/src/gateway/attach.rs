//! How a socket comes to have live frames, and before them all that it missed: each frame once, in
//! order.
//!
//! 1. It registers for its person: the dispatcher says how far it is (L1), and remembers from then
//!    on how the person's conversations change.
//! 2. It reads in which conversations the person was at L1.
//! 3. It joins them: the dispatcher applies what has changed since, and says how far it is (L2).
//!    From now on frames beyond L2 are queued.
//! 4. It sends what the person may see after the client's position up to L2, from the change feed.
//!    After that, what was queued.

use axum::extract::ws::Utf8Bytes;
use domain::login::Login;
use domain::user::User;
use events::{Position, StreamName, UserId};
use service::Identity;

use super::Gateway;
use super::fanout::Registration;
use super::frames::Bye;
use super::history::{History, Missed, Unknown};
use super::socket::Registered;
use super::wire::{Gone, Wire};
use crate::App;

/// How many missed frames are sent at once.
const PAGE: i64 = 200;

/// When to try again if something does not answer.
const RETRY_MS: u64 = 2000;

/// Why a socket is not attached.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It has to end.
    Bye(Bye),
    /// It is gone.
    Gone,
}

impl From<Gone> for Failed {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Unknown> for Failed {
    fn from(_: Unknown) -> Self {
        unavailable()
    }
}

/// Attaches a socket, and sends it what it missed after a position, if it names one. Returns up to
/// where it has everything.
pub(crate) async fn attach(
    app: &App,
    wire: &mut Wire,
    socket: &Registered,
    identity: Identity,
    after: Option<Position>,
) -> Result<Position, Failed> {
    let Gateway { dispatcher, history, .. } = app.gateway();
    let registration =
        Registration { user: identity.user, login: identity.login, outbox: socket.outbox.clone() };
    let begin = dispatcher.register(socket.id, registration).await.ok_or_else(unavailable)?;
    check_login(app, identity).await?;
    if let Some(after) = after {
        check_position(history, after, begin).await?;
    }

    let reached = history.reach(begin).await;
    let mut ground = history.ground(identity.user, reached).await;
    while ground.at() < begin {
        history.walk(&mut ground, begin, None).await?;
    }
    let joined = dispatcher.join(socket.id, ground.into_conversations(), after).await;
    let joined = joined.ok_or_else(unavailable)?;
    if let Some(after) = after {
        send_missed(history, wire, socket, identity.user, after, joined).await?;
    }
    Ok(joined)
}

/// The end of a log-in, or a suspension, reaches a registered socket through the dispatcher. That
/// there was none before is read from the store itself, after registering, so that there is no
/// moment between.
async fn check_login(app: &App, identity: Identity) -> Result<(), Failed> {
    let (login, person) = (StreamName::login(identity.login), StreamName::user(identity.user));
    let known =
        tokio::try_join!(app.log().glance::<Login>(&login), app.log().glance::<User>(&person));
    match known {
        Ok((login, _)) if !login.state.is_open_for(identity.user) => {
            Err(Failed::Bye(Bye::login_ended()))
        }
        Ok((_, person)) => match person.state.account() {
            Some(account) if account.is_suspended(service::clock::now()) => {
                Err(Failed::Bye(Bye::suspended()))
            }
            Some(_) | None => Ok(()),
        },
        Err(error) => {
            tracing::warn!(%error, "a socket cannot be attached");
            Err(unavailable())
        }
    }
}

/// A client may be ahead of this node, if it was at another one; not of the log.
async fn check_position(history: &History, after: Position, begin: Position) -> Result<(), Failed> {
    if after > begin {
        let head = history.log.head().await.map_err(|_| unavailable())?;
        if after > head {
            return Err(Failed::Bye(Bye::reload()));
        }
    }
    Ok(())
}

/// From the change feed as far as that goes, the rest from the log.
async fn send_missed(
    history: &History,
    wire: &mut Wire,
    socket: &Registered,
    user: UserId,
    after: Position,
    to: Position,
) -> Result<(), Failed> {
    let mut sent = after;
    let mut reached = history.reach(to).await;
    while sent < reached {
        match history.missed(user, sent, reached, PAGE).await {
            Ok(Missed::Page { frames, end }) => {
                send(wire, socket, frames).await?;
                sent = end;
            }
            Ok(Missed::Gone) => return Err(Failed::Bye(Bye::reload())),
            // The log knows the same, from its beginning on.
            Err(Unknown) => reached = Position::START,
        }
    }
    let mut ground = history.ground(user, reached).await;
    while ground.at() < to {
        let frames = history.walk(&mut ground, to, Some(sent)).await?;
        send(wire, socket, frames).await?;
    }
    Ok(())
}

async fn send(wire: &mut Wire, socket: &Registered, frames: Vec<Utf8Bytes>) -> Result<(), Failed> {
    wire.send_all(frames).await?;
    // While it was busy with the past, the present may have become too much for it.
    match socket.outbox.ended() {
        Some(bye) => Err(Failed::Bye(bye)),
        None => Ok(()),
    }
}

fn unavailable() -> Failed {
    Failed::Bye(Bye::unavailable(RETRY_MS))
}
