//! `erasure`: who was erased, and what was done about it.
//!
//! The worker in `erasures` takes what there is to do from here, and notes its claims here.

use events::{Category, DomainEvent, Envelope, Moment, Position, UserEvent, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, Table};

/// The read model.
#[derive(Debug, Default)]
pub struct Erasure;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody is erased.
    Insert {
        /// Who.
        user: UserId,
        /// By which event.
        position: Position,
        /// Who wanted it.
        by: UserId,
        /// Since when.
        at: Moment,
    },
    /// Everything that follows is done.
    Certify {
        /// Of whom.
        user: UserId,
        /// When.
        at: Moment,
        /// What was destroyed.
        certificate: String,
        /// The signature of that.
        signature: String,
    },
}

impl Projection for Erasure {
    const NAME: &'static str = "erasure";
    const FOLLOWS: &'static [Category] = &[Category::User];
    // Nobody keeps their data because something else of theirs cannot be read.
    const IN_ORDER: bool = false;
    const TABLES: &'static [Table] = &[Table {
        ignored: &["claimed_until", "failure"],
        carried: &[
            "update {next}.erasure n set claimed_until = l.claimed_until, failure = l.failure
             from {live}.erasure l where l.user_id = n.user_id",
        ],
        ..Table::named("erasure")
    }];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::User(UserEvent::Erased { user, by, .. }) => vec![Op::Insert {
                user: *user,
                position: event.position,
                by: *by,
                at: event.recorded_at,
            }],
            DomainEvent::User(UserEvent::ErasureCertified { user, certificate, signature }) => {
                vec![Op::Certify {
                    user: *user,
                    at: event.recorded_at,
                    certificate: certificate.clone(),
                    signature: signature.clone(),
                }]
            }
            _ => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            match op {
                Op::Insert { user, position, by, at } => {
                    sqlx::query(
                        "insert into erasure (user_id, position, requested_by, requested_at)
                         values ($1, $2, $3, $4) on conflict (user_id) do nothing",
                    )
                    .bind(user.uuid())
                    .bind(position.to_bytes())
                    .bind(by.uuid())
                    .bind(at)
                    .execute(&mut *db)
                    .await?;
                }
                Op::Certify { user, at, certificate, signature } => {
                    sqlx::query(
                        "update erasure set certified_at = $2, certificate = $3, signature = $4,
                           failure = null, claimed_until = null
                         where user_id = $1",
                    )
                    .bind(user.uuid())
                    .bind(at)
                    .bind(certificate)
                    .bind(signature)
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
    fn an_erasure_waits_until_it_is_certified() {
        let (ada, by) = (user(1), user(2));
        let erased = UserEvent::Erased { user: ada, by, conversations: vec![], names: vec![] };
        let insert = Op::Insert { user: ada, position: Position::at(7), by, at: moment() };
        assert_eq!(Erasure::project(&recorded(erased)), vec![insert]);
        let (certificate, signature) = ("{}".to_owned(), "c2ln".to_owned());
        let certified = UserEvent::ErasureCertified {
            user: ada,
            certificate: certificate.clone(),
            signature: signature.clone(),
        };
        let certify = Op::Certify { user: ada, at: moment(), certificate, signature };
        assert_eq!(Erasure::project(&recorded(certified)), vec![certify]);
    }
}
