//! `user_profile`: what everybody signed in may know of a person.

use events::{Category, DomainEvent, Envelope, Moment, Position, UserEvent, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct UserProfile;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A person is new. Erased fields are none.
    Insert {
        /// Who.
        user: UserId,
        /// Their handle.
        handle: Option<String>,
        /// Their name.
        name: Option<String>,
        /// Since when.
        created_at: Moment,
        /// By which event.
        position: Position,
    },
    /// A person changed. The outer level says whether the field changes at all.
    Update {
        /// Who.
        user: UserId,
        /// The new name.
        name: Option<Option<String>>,
        /// The new text about themselves.
        bio: Option<Option<String>>,
        /// By which event.
        position: Position,
    },
}

impl Projection for UserProfile {
    const NAME: &'static str = "user_profile";
    const FOLLOWS: &'static [Category] = &[Category::User];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let position = event.position;
        match &event.event {
            DomainEvent::User(about) => match about {
                UserEvent::SignedUp { user, handle, name, .. } => vec![Op::Insert {
                    user: *user,
                    handle: text(handle),
                    name: text(name),
                    created_at: event.recorded_at,
                    position,
                }],
                UserEvent::ProfileChanged { user, name, bio, .. } => {
                    let (name, bio) = (name.as_ref().map(text), bio.as_ref().map(text));
                    vec![Op::Update { user: *user, name, bio, position }]
                }
                UserEvent::Onboarded { .. }
                | UserEvent::PasswordRehashed { .. }
                | UserEvent::RoleChanged { .. }
                | UserEvent::Suspended { .. }
                | UserEvent::Reinstated { .. }
                | UserEvent::PushSubscribed { .. }
                | UserEvent::PushUnsubscribed { .. }
                | UserEvent::NotificationsRead { .. } => vec![],
            },
            DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // Nobody changes before they signed up, so all sign-ups may come first.
        insert(db, &ops).await?;
        for op in ops {
            match op {
                Op::Insert { .. } => {}
                Op::Update { user, name, bio, position } => {
                    update(db, user, name, bio, position).await?;
                }
            }
        }
        Ok(())
    }
}

async fn insert(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    let rows = ops.iter().filter_map(|op| match op {
        Op::Insert { user, handle, name, created_at, position } => Some((
            user.uuid(),
            handle.as_deref(),
            name.as_deref(),
            *created_at,
            position.to_bytes(),
        )),
        Op::Update { .. } => None,
    });
    let (users, handles, names, times, positions): (Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>) =
        rows.collect();
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into user_profile (user_id, handle, name, created_at, position)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[])",
    )
    .bind(users)
    .bind(handles)
    .bind(names)
    .bind(times)
    .bind(positions)
    .execute(db)
    .await?;
    Ok(())
}

async fn update(
    db: &mut PgConnection,
    user: UserId,
    name: Option<Option<String>>,
    bio: Option<Option<String>>,
    position: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update user_profile set
           name = case when $2 then $3 else name end,
           bio = case when $4 then $5 else bio end,
           position = $6
         where user_id = $1",
    )
    .bind(user.uuid())
    .bind(name.is_some())
    .bind(name.flatten())
    .bind(bio.is_some())
    .bind(bio.flatten())
    .bind(position.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_sign_up_is_a_profile_without_the_address() {
        let ada = user(1);
        let personal = |text: &str| Personal::new(ada, text.to_owned());
        let event = UserEvent::SignedUp {
            user: ada,
            email: personal("ada@example.org"),
            handle: personal("ada"),
            name: personal("Ada\0"),
            password_hash: personal("$argon2id$"),
        };
        assert_eq!(
            UserProfile::project(&recorded(event)),
            vec![Op::Insert {
                user: ada,
                handle: Some("ada".to_owned()),
                name: Some("Ada\u{FFFD}".to_owned()),
                created_at: moment(),
                position: Position::at(7),
            }]
        );
    }

    #[test]
    fn what_is_absent_stays_and_what_is_erased_goes() {
        let ada = user(1);
        let erased = Some(Personal::Erased { subject: ada });
        let event = UserEvent::ProfileChanged {
            user: ada,
            name: erased,
            bio: None,
            native_language: None,
            learning_language: None,
            location: None,
            avatar: None,
        };
        assert_eq!(
            UserProfile::project(&recorded(event)),
            vec![Op::Update { user: ada, name: Some(None), bio: None, position: Position::at(7) }]
        );
    }
}
