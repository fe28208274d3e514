//! `webhook`: where events are sent to, and whether they are.

use events::{Category, DomainEvent, Envelope, Moment, Position, UserId, WebhookEvent, WebhookId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Webhook;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody made one.
    Insert {
        /// The webhook.
        webhook: WebhookId,
        /// Whose.
        owner: UserId,
        /// Of which conversation.
        conversation: Option<events::ConversationId>,
        /// Where to.
        url: Option<String>,
        /// Which types.
        types: Vec<String>,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// It goes elsewhere; the address is absent once it was erased.
    Move {
        /// The webhook.
        webhook: WebhookId,
        /// Where to.
        url: Option<String>,
    },
    /// It is told of something else.
    Choose {
        /// The webhook.
        webhook: WebhookId,
        /// Which types.
        types: Vec<String>,
    },
    /// It was disabled, or enabled.
    Switch {
        /// The webhook.
        webhook: WebhookId,
        /// Why and when it was disabled.
        disabled: Option<(&'static str, Moment)>,
    },
    /// It is to be told again.
    Replay {
        /// The webhook.
        webhook: WebhookId,
    },
    /// It is gone.
    Remove {
        /// The webhook.
        webhook: WebhookId,
    },
}

impl Projection for Webhook {
    const NAME: &'static str = "webhook";
    const FOLLOWS: &'static [Category] = &[Category::Webhook];
    const ERASE: &'static [&'static str] = &["update webhook set url = null where owner_id = $1"];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let DomainEvent::Webhook(about) = &event.event else { return vec![] };
        let webhook = about.whose().0;
        match about {
            WebhookEvent::Created { owner, conversation, url, types, .. } => vec![Op::Insert {
                webhook,
                owner: *owner,
                conversation: *conversation,
                url: text(url),
                types: types.clone(),
                at: event.recorded_at,
                position: event.position,
            }],
            WebhookEvent::Changed { url, types, .. } => {
                let moved = url.as_ref().map(|url| Op::Move { webhook, url: text(url) });
                let chosen = types.clone().map(|types| Op::Choose { webhook, types });
                moved.into_iter().chain(chosen).collect()
            }
            WebhookEvent::Disabled { reason, .. } => {
                let disabled = Some((reason.as_str(), event.recorded_at));
                vec![Op::Switch { webhook, disabled }]
            }
            WebhookEvent::Enabled { .. } => vec![Op::Switch { webhook, disabled: None }],
            WebhookEvent::Replayed { .. } => vec![Op::Replay { webhook }],
            WebhookEvent::Removed { .. } => vec![Op::Remove { webhook }],
            WebhookEvent::SecretRotated { .. } | WebhookEvent::Tested { .. } => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            apply(db, op).await?;
        }
        Ok(())
    }
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Insert { webhook, owner, conversation, url, types, at, position } => sqlx::query(
            "insert into webhook
               (webhook_id, owner_id, conversation_id, url, types, created_at, position)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        )
        .bind(webhook.uuid())
        .bind(owner.uuid())
        .bind(conversation.map(|conversation| conversation.uuid()))
        .bind(url)
        .bind(types)
        .bind(at)
        .bind(position.to_bytes()),
        Op::Move { webhook, url } => {
            sqlx::query("update webhook set url = $2 where webhook_id = $1")
                .bind(webhook.uuid())
                .bind(url)
        }
        Op::Choose { webhook, types } => {
            sqlx::query("update webhook set types = $2 where webhook_id = $1")
                .bind(webhook.uuid())
                .bind(types)
        }
        Op::Switch { webhook, disabled } => {
            sqlx::query("update webhook set disabled = $2, disabled_at = $3 where webhook_id = $1")
                .bind(webhook.uuid())
                .bind(disabled.map(|(reason, _)| reason))
                .bind(disabled.map(|(_, at)| at))
        }
        Op::Replay { webhook } => {
            sqlx::query("update webhook set replays = replays + 1 where webhook_id = $1")
                .bind(webhook.uuid())
        }
        Op::Remove { webhook } => {
            sqlx::query("delete from webhook where webhook_id = $1").bind(webhook.uuid())
        }
    };
    query.execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::webhook::DisableReason;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_webhook_is_there_until_it_is_removed_and_says_why_it_is_silent() {
        let (webhook, owner) = (WebhookId::new(Uuid::from_u128(8)), user(1));
        let created = WebhookEvent::Created {
            webhook,
            owner,
            conversation: None,
            url: Personal::Erased { subject: owner },
            types: vec![],
            salt: Uuid::nil(),
        };
        let inserted = Op::Insert {
            webhook,
            owner,
            conversation: None,
            url: None,
            types: vec![],
            at: moment(),
            position: Position::at(7),
        };
        assert_eq!(Webhook::project(&recorded(created)), [inserted]);
        let disabled = WebhookEvent::Disabled { webhook, owner, reason: DisableReason::Gone };
        let off = Op::Switch { webhook, disabled: Some(("gone", moment())) };
        assert_eq!(Webhook::project(&recorded(disabled)), [off]);
        let types = Some(vec!["message.*".to_owned()]);
        let changed = WebhookEvent::Changed { webhook, owner, by: owner, url: None, types };
        let chosen = Op::Choose { webhook, types: vec!["message.*".to_owned()] };
        assert_eq!(Webhook::project(&recorded(changed)), [chosen]);
        let removed = WebhookEvent::Removed { webhook, owner, by: owner };
        assert_eq!(Webhook::project(&recorded(removed)), [Op::Remove { webhook }]);
    }
}
