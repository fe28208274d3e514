//! `notification_log`: what each person was told, whether they have seen it, and how it was tried
//! to reach them.

use events::notification::{About, Channel, Outcome};
use events::{
    Category, DomainEvent, Envelope, EventId, Moment, NotificationEvent, NotificationId, Position,
    UserEvent, UserId,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct NotificationLog;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody is told something.
    Raise {
        /// The notification.
        notification: NotificationId,
        /// Whom.
        user: UserId,
        /// What.
        about: About,
        /// The event that caused it.
        cause: EventId,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// It was tried to reach them.
    Attempt {
        /// The notification.
        notification: NotificationId,
        /// On which way.
        channel: Channel,
        /// What came of it, as the table keeps it.
        result: Value,
    },
    /// They have seen one.
    Read {
        /// The notification.
        notification: NotificationId,
        /// When.
        at: Moment,
    },
    /// They have seen all up to a position.
    ReadAll {
        /// Who.
        user: UserId,
        /// Up to where.
        upto: Position,
        /// When.
        at: Moment,
    },
}

impl Projection for NotificationLog {
    const NAME: &'static str = "notification_log";
    const FOLLOWS: &'static [Category] = &[Category::Notification, Category::User];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let at = event.recorded_at;
        match &event.event {
            DomainEvent::Notification(about) => vec![of_notification(about, at, event.position)],
            DomainEvent::User(UserEvent::NotificationsRead { user, upto }) => {
                vec![Op::ReadAll { user: *user, upto: *upto, at }]
            }
            DomainEvent::User(
                UserEvent::SignedUp { .. }
                | UserEvent::ProfileChanged { .. }
                | UserEvent::Onboarded { .. }
                | UserEvent::PasswordRehashed { .. }
                | UserEvent::RoleChanged { .. }
                | UserEvent::Suspended { .. }
                | UserEvent::Reinstated { .. }
                | UserEvent::PushSubscribed { .. }
                | UserEvent::PushUnsubscribed { .. },
            )
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // A run of what was raised is one statement; the rest is rare.
        let mut raised = vec![];
        for op in ops {
            if matches!(op, Op::Raise { .. }) {
                raised.push(op);
                continue;
            }
            insert(db, std::mem::take(&mut raised)).await?;
            update(db, op).await?;
        }
        insert(db, raised).await?;
        Ok(())
    }
}

fn of_notification(event: &NotificationEvent, at: Moment, position: Position) -> Op {
    match event {
        NotificationEvent::Raised { notification, user, about, cause } => Op::Raise {
            notification: *notification,
            user: *user,
            about: *about,
            cause: *cause,
            at,
            position,
        },
        NotificationEvent::Attempted {
            notification, channel, attempt, outcome, reason, ..
        } => Op::Attempt {
            notification: *notification,
            channel: *channel,
            result: json!({
                "attempts": attempt,
                "status": status(*outcome),
                "reason": reason,
                "at": at,
            }),
        },
        NotificationEvent::Read { notification, .. } => {
            Op::Read { notification: *notification, at }
        }
    }
}

/// As clients see it.
pub(crate) const fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed => "failed",
        Outcome::Dead => "dead",
        Outcome::Skipped => "skipped",
    }
}

/// As the log writes it.
pub(crate) const fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Live => "live",
        Channel::Push => "push",
        Channel::Email => "email",
    }
}

async fn insert(db: &mut PgConnection, raised: Vec<Op>) -> Result<(), sqlx::Error> {
    let (mut ids, mut users, mut abouts, mut causes) = (vec![], vec![], vec![], vec![]);
    let (mut moments, mut positions) = (vec![], vec![]);
    for op in raised {
        let Op::Raise { notification, user, about, cause, at, position } = op else { continue };
        ids.push(notification.uuid());
        users.push(user.uuid());
        abouts.push(json!(about));
        causes.push(cause.uuid());
        moments.push(at);
        positions.push(position.to_bytes());
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into notification_log (notification_id, user_id, about, cause, raised_at, position)
         select * from unnest(
           $1::uuid[], $2::uuid[], $3::jsonb[], $4::uuid[], $5::timestamptz[], $6::bytea[]
         )
         on conflict (notification_id) do nothing",
    )
    .bind(ids)
    .bind(users)
    .bind(abouts)
    .bind(causes)
    .bind(moments)
    .bind(positions)
    .execute(db)
    .await?;
    Ok(())
}

async fn update(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Raise { .. } => return Ok(()),
        Op::Attempt { notification, channel, result } => sqlx::query(
            "update notification_log set channels = channels || jsonb_build_object($2::text, $3)
             where notification_id = $1",
        )
        .bind(notification.uuid())
        .bind(channel_name(channel))
        .bind(result),
        Op::Read { notification, at } => sqlx::query(
            "update notification_log set read_at = coalesce(read_at, $2)
             where notification_id = $1",
        )
        .bind(notification.uuid())
        .bind(at),
        Op::ReadAll { user, upto, at } => sqlx::query(
            "update notification_log set read_at = $3
             where user_id = $1 and position <= $2 and read_at is null",
        )
        .bind(user.uuid())
        .bind(upto.to_bytes())
        .bind(at),
    };
    query.execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn what_was_raised_tried_and_read_is_kept() {
        let notification = NotificationId::new(Uuid::from_u128(5));
        let (user, cause, at) = (user(1), EventId::new(Uuid::from_u128(6)), moment());
        let about = About::FriendRequest { from: user };
        let project = |event: NotificationEvent| NotificationLog::project(&recorded(event));
        let position = Position::at(7);
        assert_eq!(
            project(NotificationEvent::Raised { notification, user, about, cause }),
            vec![Op::Raise { notification, user, about, cause, at, position }]
        );
        let (channel, reason) = (Channel::Email, Some("busy".to_owned()));
        let result = json!({"attempts": 2, "status": "failed", "reason": "busy", "at": at});
        assert_eq!(
            project(NotificationEvent::Attempted {
                notification,
                user,
                channel,
                attempt: 2,
                outcome: Outcome::Failed,
                reason,
            }),
            vec![Op::Attempt { notification, channel, result }]
        );
        assert_eq!(
            project(NotificationEvent::Read { notification, user }),
            vec![Op::Read { notification, at }]
        );
        let upto = Position::at(3);
        assert_eq!(
            NotificationLog::project(&recorded(UserEvent::NotificationsRead { user, upto })),
            vec![Op::ReadAll { user, upto, at }]
        );
    }
}
