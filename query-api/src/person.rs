//! What a list on a screen needs of the people in it, read for a whole page at once.
//!
//! It is read from `user_profile` each time and never cached with a list, so that a name that was
//! changed is right everywhere at once.

use std::collections::HashMap;

use events::user::Avatar;
use events::{Position, UserId};
use serde::Serialize;
use sqlx::FromRow;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::failure::Failure;
use crate::reads::Reads;

/// A person in a list. What was erased, or is not known here yet, is `null`.
#[derive(Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub(crate) struct Summary {
    #[sqlx(rename = "user_id", try_from = "Uuid")]
    id: UserId,
    handle: Option<String>,
    name: Option<String>,
    #[schema(value_type = Option<Avatar>)]
    avatar: Option<Json<Avatar>>,
}

/// The people of a page.
pub(crate) struct People(HashMap<UserId, Summary>);

impl People {
    /// One of them; each is on a page once.
    pub(crate) fn take(&mut self, id: UserId) -> Summary {
        let nobody = || Summary { id, handle: None, name: None, avatar: None };
        self.0.remove(&id).unwrap_or_else(nobody)
    }
}

impl Reads {
    /// What lists show of these people; nothing of those who block the reader.
    pub(crate) async fn summaries(
        &self,
        reader: UserId,
        after: Position,
        people: impl Iterator<Item = UserId>,
    ) -> Result<People, Failure> {
        let ids: Vec<Uuid> = people.map(UserId::uuid).collect();
        if ids.is_empty() {
            return Ok(People(HashMap::new()));
        }
        self.checkpoints.reach(&["user_profile", "block"], after).await?;
        let mut eyes = self.eyes_of(reader).await?;
        let rows: Vec<Summary> = sqlx::query_as(
            "select user_id, handle, name, avatar from user_profile
             where user_id = any($1) and user_id not in (select reader_blocked_by())",
        )
        .bind(ids)
        .fetch_all(&mut *eyes)
        .await?;
        eyes.commit().await?;
        Ok(People(rows.into_iter().map(|row| (row.id, row)).collect()))
    }
}
