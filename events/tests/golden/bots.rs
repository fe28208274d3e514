//! One value of each event type about API tokens and webhooks.

use chrono::NaiveDate;
use events::webhook::DisableReason;
use events::{DomainEvent, LoginEvent, Personal, Position, Scope, WebhookEvent, WebhookId};
use uuid::Uuid;

use super::{ADA, CONVERSATION, LOGIN, moment};

/// One value of each type: the first item of its newest fixture.
pub(super) fn all() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let webhook = WebhookId::new(Uuid::from_u128(0x3b));
    let (owner, by, salt) = (ADA, ADA, Uuid::from_u128(0x5a));
    vec![
        LoginEvent::TokenMade {
            login: LOGIN,
            user: ADA,
            name: of_ada("The weather bot"),
            digest: of_ada("1f2e3d4c5b6a7988"),
            scopes: vec![Scope::MessagesRead, Scope::MessagesWrite],
            expires: Some(moment()),
        }
        .into(),
        LoginEvent::TokenUsed {
            login: LOGIN,
            user: ADA,
            on: NaiveDate::from_ymd_opt(2026, 1, 2).unwrap(),
        }
        .into(),
        WebhookEvent::Created {
            webhook,
            owner,
            conversation: Some(CONVERSATION),
            url: of_ada("https://example.org/hook"),
            types: vec!["message.*".to_owned()],
            salt,
        }
        .into(),
        WebhookEvent::Changed {
            webhook,
            owner,
            by,
            url: Some(of_ada("https://example.org/other")),
            types: Some(vec!["message.sent".to_owned()]),
        }
        .into(),
        WebhookEvent::SecretRotated { webhook, owner, by, salt, overlap_until: moment() }.into(),
        WebhookEvent::Disabled { webhook, owner, reason: DisableReason::Failing }.into(),
        WebhookEvent::Enabled { webhook, owner, by }.into(),
        WebhookEvent::Replayed { webhook, owner, by, from: Position::at(4096) }.into(),
        WebhookEvent::Tested { webhook, owner, by }.into(),
        WebhookEvent::Removed { webhook, owner, by }.into(),
    ]
}
