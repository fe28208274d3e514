//! `/v1/friend-requests` and `/v1/friends`.

use axum::extract::State;
use events::UserId;
use service::{IdempotencyKey, Identity, Json, Path, Problem};

use super::Recorded;
use crate::App;
use crate::commands::friendships::{
    self, Answer, AnswerRequest, CancelRequest, RemoveFriend, RequestFriend,
};

pub(super) async fn request(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<RequestFriend>,
) -> Result<Recorded, Problem> {
    friendships::request_friend(&app, identity, key, body).await.map(Recorded::from)
}

pub(super) async fn accept(
    state: State<App>,
    identity: Identity,
    key: IdempotencyKey,
    from: Path<UserId>,
) -> Result<Recorded, Problem> {
    answer(state, identity, key, from, Answer::Accept).await
}

pub(super) async fn decline(
    state: State<App>,
    identity: Identity,
    key: IdempotencyKey,
    from: Path<UserId>,
) -> Result<Recorded, Problem> {
    answer(state, identity, key, from, Answer::Decline).await
}

async fn answer(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(from): Path<UserId>,
    answer: Answer,
) -> Result<Recorded, Problem> {
    let body = AnswerRequest { from };
    friendships::answer_request(&app, identity, key, answer, body).await.map(Recorded::from)
}

pub(super) async fn cancel(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(to): Path<UserId>,
) -> Result<Recorded, Problem> {
    let body = CancelRequest { to };
    friendships::cancel_request(&app, identity, key, body).await.map(Recorded::from)
}

pub(super) async fn remove(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
) -> Result<Recorded, Problem> {
    let body = RemoveFriend { user };
    friendships::remove_friend(&app, identity, key, body).await.map(Recorded::from)
}
