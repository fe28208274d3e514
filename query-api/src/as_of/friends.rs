//! The friends, and the requests, that the reader had.

use events::{Moment, UserId};
use uuid::Uuid;

use super::Past;
use crate::page::Limit;
use crate::place::Place;
use crate::reads::Eyes;

impl Past {
    /// Who was to the reader a `friend`, or had a request that was `incoming` or `outgoing`, since
    /// when; in the order of their ids, one more than the limit.
    pub(crate) async fn ties(
        &self,
        eyes: &mut Eyes,
        reader: UserId,
        kind: &'static str,
        after_id: Option<UserId>,
        limit: Limit,
    ) -> Result<Vec<(UserId, Moment)>, sqlx::Error> {
        let rows: Vec<(Uuid, Moment)> = sqlx::query_as(
            "select other_id, since from friendship_interval
             where user_id = $1 and kind = $2 and from_position <= $3
               and (until_position is null or until_position > $3)
               and ($4::uuid is null or other_id > $4)
             order by other_id limit $5",
        )
        .bind(reader.uuid())
        .bind(kind)
        .bind(Place(self.at))
        .bind(after_id.map(UserId::uuid))
        .bind(limit.and_one())
        .fetch_all(&mut **eyes)
        .await?;
        Ok(rows.into_iter().map(|(user, since)| (UserId::new(user), since)).collect())
    }
}
