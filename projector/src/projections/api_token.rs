//! `api_token`: the API tokens of people, until they are revoked.

use events::{
    Category, Day, DomainEvent, Envelope, LoginEvent, LoginId, Moment, Position, Scope, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct ApiToken;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A person made a token.
    Insert {
        /// The token.
        token: LoginId,
        /// Whose.
        user: UserId,
        /// What they call it.
        name: Option<String>,
        /// What it may be used for.
        scopes: Vec<Scope>,
        /// When.
        at: Moment,
        /// Until when it may be used.
        expires: Option<Moment>,
        /// By which event.
        position: Position,
    },
    /// It was used.
    Use {
        /// The token.
        token: LoginId,
        /// On which day.
        on: Day,
    },
    /// It was revoked; or a log-in ended that is none.
    Remove {
        /// The token.
        token: LoginId,
    },
}

impl Projection for ApiToken {
    const NAME: &'static str = "api_token";
    const FOLLOWS: &'static [Category] = &[Category::Login];
    const ERASE: &'static [&'static str] = &["update api_token set name = null where user_id = $1"];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let DomainEvent::Login(about) = &event.event else { return vec![] };
        match about {
            LoginEvent::TokenMade { login, user, name, scopes, expires, .. } => vec![Op::Insert {
                token: *login,
                user: *user,
                name: text(name),
                scopes: scopes.clone(),
                at: event.recorded_at,
                expires: *expires,
                position: event.position,
            }],
            LoginEvent::TokenUsed { login, on, .. } => vec![Op::Use { token: *login, on: *on }],
            LoginEvent::Closed { login, .. } => vec![Op::Remove { token: *login }],
            LoginEvent::Opened { .. } | LoginEvent::Refreshed { .. } => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            match op {
                Op::Insert { token, user, name, scopes, at, expires, position } => {
                    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
                    sqlx::query(
                        "insert into api_token
                           (token_id, user_id, name, scopes, created_at, expires_at, position)
                         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
                    )
                    .bind(token.uuid())
                    .bind(user.uuid())
                    .bind(name)
                    .bind(scopes)
                    .bind(at)
                    .bind(expires)
                    .bind(position.to_bytes())
                    .execute(&mut *db)
                    .await?;
                }
                Op::Use { token, on } => {
                    sqlx::query("update api_token set last_used_on = $2 where token_id = $1")
                        .bind(token.uuid())
                        .bind(on)
                        .execute(&mut *db)
                        .await?;
                }
                Op::Remove { token } => {
                    sqlx::query("delete from api_token where token_id = $1")
                        .bind(token.uuid())
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
    use events::Personal;
    use events::login::CloseReason;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_token_is_there_until_it_is_revoked_and_its_secret_is_not() {
        let (ada, token) = (user(1), LoginId::new(Uuid::from_u128(8)));
        let made = |name| LoginEvent::TokenMade {
            login: token,
            user: ada,
            name,
            digest: Personal::new(ada, "digest".to_owned()),
            scopes: vec![Scope::Presence],
            expires: None,
        };
        let inserted = |name: Option<&str>| {
            vec![Op::Insert {
                token,
                user: ada,
                name: name.map(str::to_owned),
                scopes: vec![Scope::Presence],
                at: moment(),
                expires: None,
                position: Position::at(7),
            }]
        };
        let named = made(Personal::new(ada, "bot".to_owned()));
        assert_eq!(ApiToken::project(&recorded(named)), inserted(Some("bot")));
        let erased = made(Personal::Erased { subject: ada });
        assert_eq!(ApiToken::project(&recorded(erased)), inserted(None));
        let closed = LoginEvent::Closed { login: token, user: ada, reason: CloseReason::Revoked };
        assert_eq!(ApiToken::project(&recorded(closed)), vec![Op::Remove { token }]);
    }
}
