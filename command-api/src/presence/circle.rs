//! Whom somebody's presence concerns.

use std::time::Duration;

use event_log::EventLog;
use events::UserId;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::read_models::have_reached;

/// Presence is shared with the people of conversations up to this size. In larger ones it would be
/// noise, and cost the square of the number of people.
const PEOPLE_IN_GROUP: i32 = 50;

/// At most so many are told of one person.
const MOST: i64 = 1000;

/// The read models that the circle is made of.
const PROJECTIONS: [&str; 3] = ["block", "friend_list", "member"];

/// How often to look whether they are there.
const LOOK: Duration = Duration::from_millis(20);

/// Where the circles are read.
pub(super) struct Circle {
    pub(super) postgres: PgPool,
    pub(super) log: EventLog,
}

impl Circle {
    /// Pairs of one of these people and somebody who may know that they came or went: friends, and
    /// the people of small conversations, without anybody who blocks or is blocked. One query for
    /// all of them, however many they are.
    ///
    /// It knows everything that the log holds now: who was blocked before does not hear it.
    pub(super) async fn of(&self, users: &[UserId]) -> anyhow::Result<Vec<(UserId, UserId)>> {
        let head = self.log.head().await?;
        while !have_reached(&self.postgres, &PROJECTIONS, head).await? {
            tokio::time::sleep(LOOK).await;
        }
        let people: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
        let rows = sqlx::query(
            "select circle.user_id, circle.other_id from unnest($1::uuid[]) as person (id)
             cross join lateral (
               select * from presence_circle(array[person.id], $2) limit $3
             ) circle",
        )
        .bind(people)
        .bind(PEOPLE_IN_GROUP)
        .bind(MOST)
        .fetch_all(&self.postgres)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get::<Uuid, _>(0)?.into(), row.try_get::<Uuid, _>(1)?.into())))
            .collect()
    }
}
