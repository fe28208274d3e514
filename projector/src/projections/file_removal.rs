//! `file_removal`: the bytes that have to go, because their file was removed.
//!
//! It is no read model: the worker in `removals` does what stands here, once, and writes down that
//! it did. So an event that comes again, in a replay, asks for nothing.

use events::{Category, DomainEvent, Envelope, FileEvent, FileId, Moment, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, Table};

/// What there is to remove.
#[derive(Debug, Default)]
pub struct FileRemoval;

/// The bytes of a file have to go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Op {
    /// Which file.
    pub file: FileId,
    /// Whose it was.
    pub owner: UserId,
    /// Since when.
    pub requested_at: Moment,
}

impl Projection for FileRemoval {
    const NAME: &'static str = "file_removal";
    const FOLLOWS: &'static [Category] = &[Category::File];
    const TABLES: &'static [Table] = &[];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::File(about) => match about {
                FileEvent::Uploaded { .. } => vec![],
                FileEvent::Removed { file, owner, .. } => {
                    vec![Op { file: *file, owner: *owner, requested_at: event.recorded_at }]
                }
            },
            _ => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for Op { file, owner, requested_at } in ops {
            sqlx::query(
                "insert into file_removal (file_id, requested_at, next_at, owner_id)
                 values ($1, $2, $2, $3)
                 on conflict (file_id) do nothing",
            )
            .bind(file.uuid())
            .bind(requested_at)
            .bind(owner.uuid())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn only_a_removed_file_has_bytes_that_go() {
        let file = FileId::new(Uuid::from_u128(0xf1));
        let removed = FileEvent::Removed { file, owner: user(1), by: user(1) };
        let op = Op { file, owner: user(1), requested_at: moment() };
        assert_eq!(FileRemoval::project(&recorded(removed)), vec![op]);
    }
}
