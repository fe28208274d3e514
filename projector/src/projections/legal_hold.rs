//! `legal_hold`: what is kept, and for which matters.

use events::hold::Held;
use events::{Category, DomainEvent, Envelope, HoldEvent, Moment, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct LegalHold;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// It is kept.
    Place {
        /// What.
        held: Held,
        /// For which matter.
        matter: String,
        /// Who decided it.
        by: UserId,
        /// Since when.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// This matter needs it no more.
    Release {
        /// What.
        held: Held,
        /// Which matter.
        matter: String,
    },
}

impl Projection for LegalHold {
    const NAME: &'static str = "legal_hold";
    const FOLLOWS: &'static [Category] = &[Category::Hold];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Hold(HoldEvent::Placed { held, matter, by }) => vec![Op::Place {
                held: *held,
                matter: matter.clone(),
                by: *by,
                at: event.recorded_at,
                position: event.position,
            }],
            DomainEvent::Hold(HoldEvent::Released { held, matter, .. }) => {
                vec![Op::Release { held: *held, matter: matter.clone() }]
            }
            _ => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            match op {
                Op::Place { held, matter, by, at, position } => {
                    let kind = match held {
                        Held::User(_) => "user",
                        Held::Conversation(_) => "conversation",
                    };
                    sqlx::query(
                        "insert into legal_hold
                           (held_kind, held_id, matter, placed_by, placed_at, position)
                         values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                    )
                    .bind(kind)
                    .bind(held.uuid())
                    .bind(matter)
                    .bind(by.uuid())
                    .bind(at)
                    .bind(position.to_bytes())
                    .execute(&mut *db)
                    .await?;
                }
                Op::Release { held, matter } => {
                    sqlx::query("delete from legal_hold where held_id = $1 and matter = $2")
                        .bind(held.uuid())
                        .bind(matter)
                        .execute(&mut *db)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn it_is_kept_from_the_order_to_the_release() {
        let (held, matter, by) = (Held::User(user(2)), "2026-17".to_owned(), user(1));
        let placed = HoldEvent::Placed { held, matter: matter.clone(), by };
        let position = Position::at(7);
        let place = Op::Place { held, matter: matter.clone(), by, at: moment(), position };
        assert_eq!(LegalHold::project(&recorded(placed)), vec![place]);
        let released = HoldEvent::Released { held, matter: matter.clone(), by };
        let release = Op::Release { held, matter };
        assert_eq!(LegalHold::project(&recorded(released)), vec![release]);
    }
}
