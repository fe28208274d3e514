//! Commands about what is between two people.

use domain::friendship;
use event_log::Outcome;
use events::{StreamName, UserId};
use serde::{Deserialize, Serialize};
use service::{Identity, Problem};
use uuid::Uuid;

use super::{Accepted, Call, users};
use crate::{App, problems};

/// `friendship.request`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestFriend {
    /// Who is asked.
    pub(crate) to: UserId,
}

/// `friendship.accept` and `friendship.decline`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerRequest {
    /// Who asked.
    pub(crate) from: UserId,
}

/// `friendship.cancel`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// Who was asked.
    pub(crate) to: UserId,
}

/// `friendship.remove`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveFriend {
    /// The friend.
    pub(crate) user: UserId,
}

/// How a friend request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Yes.
    Accept,
    /// No.
    Decline,
}

/// Asks somebody to be friends; accepts, if they have asked already.
pub(crate) async fn request_friend(
    app: &App,
    identity: Identity,
    key: Uuid,
    body: RequestFriend,
) -> Result<Accepted, Problem> {
    let call = Call::new(app, identity.user, key, "friendship.request", &body);
    users::must_exist(app, body.to).await?;
    let command = friendship::Command::Request { by: call.actor, to: body.to };
    between(app, &call, body.to, command).await
}

/// Says yes or no to a friend request.
pub(crate) async fn answer_request(
    app: &App,
    identity: Identity,
    key: Uuid,
    answer: Answer,
    body: AnswerRequest,
) -> Result<Accepted, Problem> {
    let (by, of) = (identity.user, body.from);
    let (name, command) = match answer {
        Answer::Accept => ("friendship.accept", friendship::Command::Accept { by, of }),
        Answer::Decline => ("friendship.decline", friendship::Command::Decline { by, of }),
    };
    between(app, &Call::new(app, by, key, name, &body), of, command).await
}

/// Takes a friend request back.
pub(crate) async fn cancel_request(
    app: &App,
    identity: Identity,
    key: Uuid,
    body: CancelRequest,
) -> Result<Accepted, Problem> {
    let call = Call::new(app, identity.user, key, "friendship.cancel", &body);
    let command = friendship::Command::Cancel { by: call.actor, to: body.to };
    between(app, &call, body.to, command).await
}

/// Ends a friendship.
pub(crate) async fn remove_friend(
    app: &App,
    identity: Identity,
    key: Uuid,
    body: RemoveFriend,
) -> Result<Accepted, Problem> {
    let call = Call::new(app, identity.user, key, "friendship.remove", &body);
    let command = friendship::Command::Remove { by: call.actor, of: body.user };
    between(app, &call, body.user, command).await
}

async fn between(
    app: &App,
    call: &Call,
    other: UserId,
    command: friendship::Command,
) -> Result<Accepted, Problem> {
    let stream = StreamName::friendship(call.actor, other);
    let Outcome { position, .. } = app
        .log()
        .transact::<friendship::Friendship>(&stream, &command, &call.context())
        .await
        .map_err(|error| problems::of_transaction(error, problems::of_friendship))?;
    Ok(Accepted::at(position))
}
