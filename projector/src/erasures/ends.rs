//! What an erased person had with others ends, by commands that they could have given themselves.

use anyhow::Result;
use domain::Decider;
use domain::conversation::{self, Conversation};
use domain::file::{self, File};
use domain::friendship::{self, Friendship};
use domain::login::{self, Login};
use domain::reservation::{self, Reservation};
use domain::session::{self, Session};
use domain::webhook::{self, Webhook};
use event_log::{EventLog, TransactError};
use events::conversation::{ConversationKind, Role};
use events::login::CloseReason;
use events::{ConversationId, FileId, LoginId, StreamName, StudySessionId, UserId, WebhookId};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::Erased;

/// How much ended.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ended {
    pub(super) logins: usize,
    pub(super) webhooks: usize,
    pub(super) names: usize,
    pub(super) friendships: usize,
    pub(super) sessions: usize,
    pub(super) conversations: usize,
    pub(super) files: usize,
}

/// Ends everything. What ended before, in a try that was interrupted, is counted where it is still
/// known.
pub(super) async fn all(log: &EventLog, postgres: &PgPool, erased: &Erased) -> Result<Ended> {
    let ending = Ending { log, postgres, erased };
    Ok(Ended {
        logins: ending.logins().await?,
        webhooks: ending.webhooks().await?,
        names: ending.names().await?,
        friendships: ending.friendships().await?,
        sessions: ending.sessions().await?,
        conversations: ending.conversations().await?,
        files: ending.files().await?,
    })
}

struct Ending<'a> {
    log: &'a EventLog,
    postgres: &'a PgPool,
    erased: &'a Erased,
}

impl Ending<'_> {
    async fn logins(&self) -> Result<usize> {
        let ids = self
            .ids(
                "select login_id from login where user_id = $1
                 union select token_id from api_token where user_id = $1",
            )
            .await?;
        let command =
            login::Command::Close { user: self.erased.user, reason: CloseReason::Revoked };
        for id in &ids {
            let stream = StreamName::login(LoginId::new(*id));
            self.end::<Login>(&stream, &command, &format!("login {id}")).await?;
        }
        Ok(ids.len())
    }

    async fn webhooks(&self) -> Result<usize> {
        let ids = self.ids("select webhook_id from webhook where owner_id = $1").await?;
        let by = webhook::Person { user: self.erased.user, runs: false };
        for id in &ids {
            let stream = StreamName::webhook(WebhookId::new(*id));
            let command = webhook::Command::Remove { by };
            self.end::<Webhook>(&stream, &command, &format!("webhook {id}")).await?;
        }
        Ok(ids.len())
    }

    async fn names(&self) -> Result<usize> {
        let command = reservation::Command::Release { user: self.erased.user };
        for name in &self.erased.names {
            let stream = StreamName::recorded(name);
            self.end::<Reservation>(&stream, &command, &format!("name {name}")).await?;
        }
        Ok(self.erased.names.len())
    }

    async fn friendships(&self) -> Result<usize> {
        let ids = self
            .ids(
                "select friend_id from friend_list where user_id = $1
                 union select case when from_id = $1 then to_id else from_id end
                 from friend_request where from_id = $1 or to_id = $1",
            )
            .await?;
        for id in &ids {
            self.part(UserId::new(*id)).await?;
        }
        Ok(ids.len())
    }

    async fn part(&self, of: UserId) -> Result<()> {
        let (by, stream) = (self.erased.user, StreamName::friendship(self.erased.user, of));
        for (step, command) in [
            ("cancel", friendship::Command::Cancel { by, to: of }),
            ("decline", friendship::Command::Decline { by, of }),
            ("remove", friendship::Command::Remove { by, of }),
        ] {
            self.end::<Friendship>(&stream, &command, &format!("{step} {of}")).await?;
        }
        Ok(())
    }

    /// Nobody leads the study sessions that they planned.
    async fn sessions(&self) -> Result<usize> {
        let ids = self
            .ids(
                "select session_id from study_session
                 where tutor_id = $1 and status in ('scheduled', 'active')",
            )
            .await?;
        let command = session::Command::Cancel { by: self.erased.user };
        for id in &ids {
            let stream = StreamName::session(StudySessionId::new(*id));
            self.end::<Session>(&stream, &command, &format!("session {id}")).await?;
        }
        Ok(ids.len())
    }

    async fn conversations(&self) -> Result<usize> {
        for id in &self.erased.conversations {
            self.leave(*id).await?;
        }
        Ok(self.erased.conversations.len())
    }

    /// Leaves a group; its owner gives it to an admin, or else to whoever is there.
    async fn leave(&self, id: ConversationId) -> Result<()> {
        let (by, stream) = (self.erased.user, StreamName::conversation(id));
        let state = self.log.load::<Conversation>(&stream).await?.state;
        if state.kind() != Some(ConversationKind::Group) {
            return Ok(());
        }
        if state.role(by) == Some(Role::Owner) {
            let mut others: Vec<_> = state.members().filter(|member| *member != by).collect();
            others.sort_by_key(|member| state.role(*member) != Some(Role::Admin));
            if let Some(to) = others.first() {
                let command = conversation::Command::TransferOwnership { by, to: *to };
                self.end::<Conversation>(&stream, &command, &format!("transfer {id}")).await?;
            }
        }
        let command = conversation::Command::Remove { by, user: by };
        self.end::<Conversation>(&stream, &command, &format!("leave {id}")).await
    }

    async fn files(&self) -> Result<usize> {
        let ids = self
            .ids(
                "select file_id from file where owner_id = $1
                 union select file_id from recording_file where user_id = $1
                 union select file_id from file_removal where owner_id = $1",
            )
            .await?;
        let command = file::Command::Remove { by: self.erased.user, moderator: true };
        for id in &ids {
            let stream = StreamName::file(FileId::new(*id));
            self.end::<File>(&stream, &command, &format!("file {id}")).await?;
        }
        Ok(ids.len())
    }

    async fn ids(&self, query: &'static str) -> sqlx::Result<Vec<Uuid>> {
        let person = self.erased.user.uuid();
        sqlx::query_scalar(query).bind(person).fetch_all(self.postgres).await
    }

    /// Gives a command in their name. A rule that says no is no failure: there is nothing to end then.
    async fn end<D: Decider>(
        &self,
        stream: &StreamName,
        command: &D::Command,
        step: &str,
    ) -> Result<()> {
        let context = self.erased.context(step);
        match self.log.transact::<D>(stream, command, &context).await {
            Ok(_) => Ok(()),
            Err(TransactError::Rejected(rejection)) => {
                tracing::debug!(%rejection, "an erasure has nothing to end here");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
