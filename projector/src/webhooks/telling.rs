//! What a webhook is told of, and what of it may be told now.

use chrono::TimeDelta;
use domain::conversation::Conversation;
use domain::user::User;
use domain::webhook::Hook;
use event_log::{EventLog, LogError, OpenError, Opened, Recorded};
use events::conversation::Role;
use events::frame::frame;
use events::user::PlatformRole;
use events::{
    Audience, DomainEvent, Envelope, EventId, MessageEvent, Moment, Position, StreamName,
    WebhookEvent,
};

use sqlx::PgPool;

use crate::projections::change_feed::redaction::redacted;

/// Why nothing can be told at the moment.
#[derive(Debug)]
pub(super) struct Away;

impl From<LogError> for Away {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) => {}
            fault @ (LogError::Undecodable { .. } | LogError::Refused(_)) => {
                tracing::error!(error = &fault as &dyn std::error::Error, "a webhook waits");
            }
        }
        Self
    }
}

/// What is told of an event.
pub(super) struct Told {
    pub(super) event: EventId,
    pub(super) event_type: &'static str,
    pub(super) position: Position,
    /// The frame that sockets get, as it may be told now.
    pub(super) body: String,
}

/// Whether a webhook is told of an event.
pub(super) fn concerns(hook: &Hook, event: &DomainEvent) -> bool {
    if let DomainEvent::Webhook(WebhookEvent::Tested { webhook, .. }) = event {
        return *webhook == hook.webhook;
    }
    if !hook.wants(event.event_type()) {
        return false;
    }
    let audiences = Audience::of(event);
    match hook.conversation {
        Some(conversation) => audiences.contains(&Audience::Conversation(conversation)),
        None => !audiences.is_empty(),
    }
}

/// Whether its owner may still see what a webhook tells of. The store is asked who is in the
/// conversation, so that nothing is told that happened after somebody lost their rights.
pub(super) async fn may_see(log: &EventLog, hook: &Hook) -> Result<bool, Away> {
    let known = log.state::<User>(&StreamName::user(hook.owner)).await?;
    let Some(account) = known.state.account() else { return Ok(false) };
    if account.is_suspended(service::clock::now()) {
        return Ok(false);
    }
    if account.role == PlatformRole::Admin {
        return Ok(true);
    }
    let Some(conversation) = hook.conversation else { return Ok(false) };
    let known = log.load::<Conversation>(&StreamName::conversation(conversation)).await?;
    Ok(matches!(known.state.role(hook.owner), Some(Role::Owner | Role::Admin)))
}

/// The event after a position, as it may be told now; nothing, if there is nothing to tell of it.
pub(super) async fn tell(
    log: &EventLog,
    postgres: &PgPool,
    previous: Position,
    position: Position,
) -> Result<Option<Told>, Away> {
    let events = log.read_all(previous, 1).await?;
    let recorded = events.first().filter(|event| event.position == position).ok_or(Away)?;
    let envelope = match log.open(recorded).await {
        Ok(Opened::Ours(envelope)) => envelope,
        Ok(Opened::Foreign) | Err(OpenError::Poison(_)) => return Ok(None),
        Err(OpenError::VaultUnavailable(_)) => return Err(Away),
    };
    let frame = frame(&envelope).to_string();
    let body = match since(log, postgres, recorded, &envelope).await? {
        Since::Same => frame,
        Since::Changed { deleted } => redacted(&frame, deleted).unwrap_or(frame),
        Since::Dropped => return Ok(None),
    };
    Ok(Some(Told { event: envelope.id, event_type: envelope.event.event_type(), position, body }))
}

/// What became of a message since an event that tells what it says.
enum Since {
    /// It says the same.
    Same,
    /// It says something else, or nothing at all.
    Changed { deleted: bool },
    /// It is too old to be kept anywhere but in the log.
    Dropped,
}

async fn since(
    log: &EventLog,
    postgres: &PgPool,
    recorded: &Recorded,
    envelope: &Envelope<DomainEvent>,
) -> Result<Since, Away> {
    let DomainEvent::Message(MessageEvent::Sent { .. } | MessageEvent::Edited { .. }) =
        &envelope.event
    else {
        return Ok(Since::Same);
    };
    let history = log.read_stream(&recorded.stream, 0).await?;
    let mut since = Since::Same;
    for event in &history {
        let Ok(Opened::Ours(event)) = log.open_sealed(event) else { continue };
        if event.revision == 0 && is_dropped(postgres, event.recorded_at).await? {
            return Ok(Since::Dropped);
        }
        if event.revision <= recorded.revision {
            continue;
        }
        match (event.event, &since) {
            (DomainEvent::Message(MessageEvent::Deleted { .. }), _) => {
                since = Since::Changed { deleted: true };
            }
            (DomainEvent::Message(MessageEvent::Edited { .. }), Since::Same) => {
                since = Since::Changed { deleted: false };
            }
            _ => {}
        }
    }
    Ok(since)
}

/// Whether what was sent then is dropped by now, by the retention of messages.
async fn is_dropped(postgres: &PgPool, sent_at: Moment) -> Result<bool, Away> {
    // They go by whole months: what is younger than a day is there.
    if service::clock::now() - sent_at < TimeDelta::days(1) {
        return Ok(false);
    }
    sqlx::query_scalar("select $1 < horizon from message_horizon")
        .bind(sent_at)
        .fetch_one(postgres)
        .await
        .map_err(|_| Away)
}

#[cfg(test)]
mod tests {
    use events::{ConversationId, Personal, UserId, WebhookId};
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{sent, user};

    fn hook(conversation: Option<u128>, types: &[&str]) -> Hook {
        Hook {
            webhook: WebhookId::new(Uuid::from_u128(1)),
            owner: user(1),
            conversation: conversation.map(|id| ConversationId::new(Uuid::from_u128(id))),
            url: Personal::new(user(1), String::new()),
            types: types.iter().map(|name| (*name).to_owned()).collect(),
            salt: Uuid::nil(),
            before: None,
            disabled: None,
            replays: 0,
            replay_from: Position::START,
        }
    }

    #[test]
    fn a_webhook_is_told_of_its_conversation_its_types_and_its_own_tests() {
        let message = |conversation| -> DomainEvent {
            let conversation = ConversationId::new(Uuid::from_u128(conversation));
            sent(Uuid::from_u128(3).into(), conversation, "Hello").into()
        };
        assert!(concerns(&hook(Some(9), &[]), &message(9)));
        assert!(!concerns(&hook(Some(9), &[]), &message(8)));
        assert!(concerns(&hook(None, &["message.sent"]), &message(8)));
        assert!(!concerns(&hook(None, &["message.edited"]), &message(8)));
        let tested = |webhook| -> DomainEvent {
            let webhook = WebhookId::new(Uuid::from_u128(webhook));
            let owner: UserId = user(1);
            WebhookEvent::Tested { webhook, owner, by: owner }.into()
        };
        assert!(concerns(&hook(Some(9), &["call.*"]), &tested(1)));
        assert!(!concerns(&hook(None, &[]), &tested(2)));
    }
}
