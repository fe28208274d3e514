//! `login`: the open log-ins of people, one for each device.

use events::{Category, DomainEvent, Envelope, LoginEvent, LoginId, Moment, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Login;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A person logged in.
    Insert {
        /// The log-in.
        login: LoginId,
        /// Whose.
        user: UserId,
        /// What the device calls itself.
        device: Option<String>,
        /// When.
        at: Moment,
        /// Until when the refresh token is good.
        expires: Moment,
        /// By which event.
        position: Position,
    },
    /// The refresh token was replaced.
    Refresh {
        /// The log-in.
        login: LoginId,
        /// When.
        at: Moment,
        /// Until when the new one is good.
        expires: Moment,
        /// By which event.
        position: Position,
    },
    /// It ended.
    Remove {
        /// The log-in.
        login: LoginId,
    },
}

impl Projection for Login {
    const NAME: &'static str = "login";
    const FOLLOWS: &'static [Category] = &[Category::Login];
    const ERASE: &'static [&'static str] =
        &["update login set device = null where user_id = $1 and device is not null"];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let (at, position) = (event.recorded_at, event.position);
        match &event.event {
            DomainEvent::Login(LoginEvent::Opened { login, user, expires, device, .. }) => {
                vec![Op::Insert {
                    login: *login,
                    user: *user,
                    device: device.as_ref().and_then(text),
                    at,
                    expires: *expires,
                    position,
                }]
            }
            DomainEvent::Login(LoginEvent::Refreshed { login, expires, .. }) => {
                vec![Op::Refresh { login: *login, at, expires: *expires, position }]
            }
            DomainEvent::Login(LoginEvent::Closed { login, .. }) => {
                vec![Op::Remove { login: *login }]
            }
            // An API token is no device.
            DomainEvent::Login(LoginEvent::TokenMade { .. } | LoginEvent::TokenUsed { .. }) => {
                vec![]
            }
            _ => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        let newest = ops.iter().filter_map(Op::at).max();
        for op in ops {
            match op {
                Op::Insert { login, user, device, at, expires, position } => {
                    sqlx::query(
                        "insert into login
                           (login_id, user_id, device, created_at, refreshed_at, expires_at, position)
                         values ($1, $2, $3, $4, $4, $5, $6)",
                    )
                    .bind(login.uuid())
                    .bind(user.uuid())
                    .bind(device)
                    .bind(at)
                    .bind(expires)
                    .bind(position.to_bytes())
                    .execute(&mut *db)
                    .await?;
                }
                Op::Refresh { login, at, expires, position } => {
                    sqlx::query(
                        "update login set refreshed_at = $2, expires_at = $3, position = $4
                         where login_id = $1",
                    )
                    .bind(login.uuid())
                    .bind(at)
                    .bind(expires)
                    .bind(position.to_bytes())
                    .execute(&mut *db)
                    .await?;
                }
                Op::Remove { login } => {
                    sqlx::query("delete from login where login_id = $1")
                        .bind(login.uuid())
                        .execute(&mut *db)
                        .await?;
                }
            }
        }
        match newest {
            Some(now) => expire(db, now).await,
            None => Ok(()),
        }
    }
}

/// A log-in whose refresh token has expired is over, and nothing in the log says so. Its last access
/// token is good for a little longer.
///
/// What time it is, the log tells: in a replay the row of a log-in of last year still has to be there
/// for the event that renewed it.
async fn expire(db: &mut PgConnection, now: Moment) -> Result<(), ApplyError> {
    let expired = "delete from login where expires_at < $1 - interval '1 day'";
    sqlx::query(expired).bind(now).execute(db).await?;
    Ok(())
}

impl Op {
    /// When it happened, if that was noted.
    fn at(&self) -> Option<Moment> {
        match self {
            Self::Insert { at, .. } | Self::Refresh { at, .. } => Some(*at),
            Self::Remove { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::login::CloseReason;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_log_in_is_there_until_it_is_closed_and_its_tokens_are_not() {
        let (ada, login) = (user(1), LoginId::new(Uuid::from_u128(8)));
        let personal = |text: &str| Personal::new(ada, text.to_owned());
        let position = Position::at(7);
        let opened = |device| LoginEvent::Opened {
            login,
            user: ada,
            refresh_digest: personal("digest"),
            expires: moment(),
            device,
        };
        let inserted = |device: Option<&str>| {
            let device = device.map(str::to_owned);
            vec![Op::Insert { login, user: ada, device, at: moment(), expires: moment(), position }]
        };
        for (device, told) in [
            (Some(personal("Ada's phone")), Some("Ada's phone")),
            (Some(Personal::Erased { subject: ada }), None),
            (None, None),
        ] {
            assert_eq!(Login::project(&recorded(opened(device))), inserted(told));
        }
        let closed = LoginEvent::Closed { login, user: ada, reason: CloseReason::Revoked };
        assert_eq!(Login::project(&recorded(closed)), vec![Op::Remove { login }]);
    }
}
