//! What an erased person had with others ends, by commands that they could have given themselves.

use anyhow::Result;
use domain::conversation::{self, Conversation};
use domain::file::{self, File};
use domain::friendship::{self, Friendship};
use domain::login::{self, Login};
use domain::reservation::{self, Reservation};
use event_log::{EventLog, TransactError};
use events::conversation::{ConversationKind, Role};
use events::login::CloseReason;
use events::{ConversationId, FileId, LoginId, StreamName, UserId};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::Erased;

/// How much ended.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) logins: usize,
    pub(super) names: usize,
    pub(super) friendships: usize,
    pub(super) conversations: usize,
    pub(super) files: usize,
}

/// Ends everything. What ended before, in a try that was interrupted, is counted where it is still
/// known.
pub(super) async fn all(log: &EventLog, postgres: &PgPool, erased: &Erased) -> Result<Ended> {
    let logins = ids(
        postgres,
        erased.user,
        "select login_id from login where user_id = $1
         union select token_id from api_token where user_id = $1",
    )
    .await?;
    for id in &logins {
        let command = login::Command::Close { user: erased.user, reason: CloseReason::Revoked };
        let stream = StreamName::login(LoginId::new(*id));
        let context = erased.context(&format!("login {id}"));
        done(log.transact::<Login>(&stream, &command, &context).await)?;
    }
    for name in &erased.names {
        let command = reservation::Command::Release { user: erased.user };
        let context = erased.context(&format!("name {name}"));
        done(log.transact::<Reservation>(&StreamName::recorded(name), &command, &context).await)?;
    }
    let friends = ids(
        postgres,
        erased.user,
        "select friend_id from friend_list where user_id = $1
         union select case when from_id = $1 then to_id else from_id end
         from friend_request where from_id = $1 or to_id = $1",
    )
    .await?;
    for friend in &friends {
        part(log, erased, UserId::new(*friend)).await?;
    }
    for conversation in &erased.conversations {
        leave(log, erased, *conversation).await?;
    }
    let files = ids(
        postgres,
        erased.user,
        "select file_id from file where owner_id = $1
         union select file_id from recording_file where user_id = $1
         union select file_id from file_removal where owner_id = $1",
    )
    .await?;
    for id in &files {
        let command = file::Command::Remove { by: erased.user, moderator: true };
        let context = erased.context(&format!("file {id}"));
        let stream = StreamName::file(FileId::new(*id));
        done(log.transact::<File>(&stream, &command, &context).await)?;
    }
    Ok(Ended {
        logins: logins.len(),
        names: erased.names.len(),
        friendships: friends.len(),
        conversations: erased.conversations.len(),
        files: files.len(),
    })
}

async fn ids(postgres: &PgPool, user: UserId, query: &'static str) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(query).bind(user.uuid()).fetch_all(postgres).await
}

/// A rule that says no is no failure: there is nothing to end then.
fn done<R: std::error::Error + Send + Sync + 'static>(
    outcome: Result<event_log::Outcome, TransactError<R>>,
) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(TransactError::Rejected(rejection)) => {
            tracing::debug!(%rejection, "an erasure has nothing to end here");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn part(log: &EventLog, erased: &Erased, of: UserId) -> Result<()> {
    let (by, stream) = (erased.user, StreamName::friendship(erased.user, of));
    for (step, command) in [
        ("cancel", friendship::Command::Cancel { by, to: of }),
        ("decline", friendship::Command::Decline { by, of }),
        ("remove", friendship::Command::Remove { by, of }),
    ] {
        let context = erased.context(&format!("{step} {of}"));
        done(log.transact::<Friendship>(&stream, &command, &context).await)?;
    }
    Ok(())
}

/// Leaves a group; its owner gives it to an admin, or else to whoever is there.
async fn leave(log: &EventLog, erased: &Erased, id: ConversationId) -> Result<()> {
    let (by, stream) = (erased.user, StreamName::conversation(id));
    let state = log.load::<Conversation>(&stream).await?.state;
    if state.kind() != Some(ConversationKind::Group) {
        return Ok(());
    }
    if state.role(by) == Some(Role::Owner) {
        let mut others: Vec<_> = state.members().filter(|member| *member != by).collect();
        others.sort_by_key(|member| state.role(*member) != Some(Role::Admin));
        if let Some(to) = others.first() {
            let command = conversation::Command::TransferOwnership { by, to: *to };
            let context = erased.context(&format!("transfer {id}"));
            done(log.transact::<Conversation>(&stream, &command, &context).await)?;
        }
    }
    let command = conversation::Command::Remove { by, user: by };
    let context = erased.context(&format!("leave {id}"));
    done(log.transact::<Conversation>(&stream, &command, &context).await)
}
