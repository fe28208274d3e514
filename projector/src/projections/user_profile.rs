//! `user_profile`: what everybody signed in may know of a person, what only the person may
//! (`user_account`), and what others find them by (`user_search_term`).

mod rows;

use events::user::{Avatar, PlatformRole};
use events::{Category, DomainEvent, Envelope, Moment, Position, UserEvent, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};
use crate::caches;

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
        /// Their address.
        email: Option<String>,
        /// Their handle.
        handle: Option<String>,
        /// Their name.
        name: Option<String>,
        /// Since when.
        created_at: Moment,
        /// By which event.
        position: Position,
    },
    /// A person changed.
    Update {
        /// Who.
        user: UserId,
        /// What is other than before.
        changes: Changes,
        /// By which event.
        position: Position,
    },
    /// A person told everything that others need to find them.
    Onboard {
        /// Who.
        user: UserId,
        /// By which event.
        position: Position,
    },
    /// A person has another role on the platform.
    Appoint {
        /// Who.
        user: UserId,
        /// Which.
        role: PlatformRole,
    },
    /// A person may do nothing, or may act again.
    Suspend {
        /// Who.
        user: UserId,
        /// Until when.
        until: Until,
    },
}

/// Until when a person may do nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// They may act.
    Now,
    /// Until then.
    Moment(Moment),
    /// For good.
    Ever,
}

/// What a person changed. The outer level of each says whether it changes at all; what was erased
/// changes to nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The name.
    pub name: Option<Option<String>>,
    /// The text about themselves.
    pub bio: Option<Option<String>>,
    /// The language they speak.
    pub native_language: Option<Option<String>>,
    /// The language they learn.
    pub learning_language: Option<Option<String>>,
    /// Where they are.
    pub location: Option<Option<String>>,
    /// Their picture.
    pub avatar: Option<Avatar>,
}

impl Changes {
    /// Whether other people suit them now.
    const fn concern_recommendations(&self) -> bool {
        self.native_language.is_some()
            || self.learning_language.is_some()
            || self.location.is_some()
    }
}

impl Projection for UserProfile {
    const NAME: &'static str = "user_profile";
    const FOLLOWS: &'static [Category] = &[Category::User];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::User(about) => of_person(about, event),
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
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // Nobody changes before they signed up, so all sign-ups may come first.
        rows::insert(db, &ops).await?;
        for op in ops {
            match op {
                Op::Insert { .. } => {}
                Op::Update { user, changes, position } => {
                    rows::update(db, user, changes, position).await?;
                }
                Op::Onboard { user, position } => rows::onboard(db, user, position).await?,
                Op::Appoint { user, role } => rows::appoint(db, user, role).await?,
                Op::Suspend { user, until } => rows::suspend(db, user, until).await?,
            }
        }
        Ok(())
    }

    fn stale_caches(op: &Op) -> Vec<String> {
        match op {
            Op::Update { user, changes, .. } if changes.concern_recommendations() => {
                vec![caches::recommended(*user)]
            }
            Op::Insert { .. }
            | Op::Update { .. }
            | Op::Onboard { .. }
            | Op::Appoint { .. }
            | Op::Suspend { .. } => vec![],
        }
    }
}

fn of_person(about: &UserEvent, event: &Envelope<DomainEvent>) -> Vec<Op> {
    let position = event.position;
    match about {
        UserEvent::SignedUp { user, email, handle, name, .. } => vec![Op::Insert {
            user: *user,
            email: text(email),
            handle: text(handle),
            name: text(name),
            created_at: event.recorded_at,
            position,
        }],
        UserEvent::ProfileChanged {
            user,
            name,
            bio,
            native_language,
            learning_language,
            location,
            avatar,
        } => {
            let changes = Changes {
                name: name.as_ref().map(text),
                bio: bio.as_ref().map(text),
                native_language: native_language.as_ref().map(text),
                learning_language: learning_language.as_ref().map(text),
                location: location.as_ref().map(text),
                avatar: *avatar,
            };
            vec![Op::Update { user: *user, changes, position }]
        }
        UserEvent::Onboarded { user } => vec![Op::Onboard { user: *user, position }],
        UserEvent::RoleChanged { user, role, .. } => {
            vec![Op::Appoint { user: *user, role: *role }]
        }
        UserEvent::Suspended { user, until, .. } => {
            vec![Op::Suspend { user: *user, until: until.map_or(Until::Ever, Until::Moment) }]
        }
        UserEvent::Reinstated { user, .. } => vec![Op::Suspend { user: *user, until: Until::Now }],
        UserEvent::PasswordRehashed { .. }
        | UserEvent::PushSubscribed { .. }
        | UserEvent::PushUnsubscribed { .. }
        | UserEvent::NotificationsRead { .. } => vec![],
    }
}

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_sign_up_is_a_profile_and_an_account() {
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
                email: Some("ada@example.org".to_owned()),
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
        let changes = Changes { name: Some(None), ..Changes::default() };
        let update = Op::Update { user: ada, changes, position: Position::at(7) };
        assert_eq!(UserProfile::project(&recorded(event)), vec![update]);
    }

    #[test]
    fn only_languages_and_places_make_recommendations_stale() {
        let ada = user(1);
        let stale = |changes| {
            UserProfile::stale_caches(&Op::Update { user: ada, changes, position: Position::at(7) })
        };
        let new = || Some(Some("en".to_owned()));
        let none = Changes::default;
        for changes in [
            Changes { native_language: new(), ..none() },
            Changes { learning_language: new(), ..none() },
            Changes { location: Some(None), ..none() },
        ] {
            assert_eq!(stale(changes), [format!("recommended:{ada}")]);
        }
        let avatar = Some(Avatar::Preset(3));
        assert!(stale(Changes { name: new(), bio: new(), avatar, ..none() }).is_empty());
        let onboard = Op::Onboard { user: ada, position: Position::at(7) };
        assert!(UserProfile::stale_caches(&onboard).is_empty());
    }

    #[test]
    fn a_suspension_ends_then_or_never_or_now() {
        let (ada, eve) = (user(1), user(2));
        let until = |event: UserEvent| UserProfile::project(&recorded(event));
        let suspended = |until| UserEvent::Suspended {
            user: ada,
            until,
            reason: Personal::new(ada, "spam".to_owned()),
            by: eve,
        };
        let op = |until| vec![Op::Suspend { user: ada, until }];
        assert_eq!(until(suspended(None)), op(Until::Ever));
        assert_eq!(until(suspended(Some(moment()))), op(Until::Moment(moment())));
        assert_eq!(until(UserEvent::Reinstated { user: ada, by: eve }), op(Until::Now));
    }
}
