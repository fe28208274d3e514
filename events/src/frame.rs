//! What a client sees of an event: encoded once, however many people see it.

use serde_json::{Value, json};

use crate::{DomainEvent, Envelope, LoginEvent, UserEvent, WebhookEvent};

/// The live frame of an event:
/// `{"op":"event","position","type","id","stream","revision","at","by","data"}`.
///
/// Personal data is plain in it; what is erased is `null`; what is still sealed is `null` too, and
/// the frame then says `"sealed": true`. Hashes and digests of secrets never leave the server.
pub fn frame(envelope: &Envelope<DomainEvent>) -> Value {
    let mut data = envelope.event.to_data();
    if let Some(fields) = data.as_object_mut() {
        for secret in secrets(&envelope.event) {
            fields.remove(*secret);
        }
    }
    let mut sealed = false;
    unwrap_personal(&mut data, &mut sealed);
    let mut frame = json!({
        "op": "event",
        "position": envelope.position,
        "type": envelope.event.event_type(),
        "id": envelope.id,
        "stream": envelope.stream.as_str(),
        "revision": envelope.revision,
        "at": envelope.recorded_at,
        "by": envelope.metadata.actor,
        "data": data,
    });
    if sealed {
        frame["sealed"] = Value::Bool(true);
    }
    frame
}

/// The fields that no client may see, not even the person's own.
fn secrets(event: &DomainEvent) -> &'static [&'static str] {
    match event {
        DomainEvent::User(UserEvent::SignedUp { .. } | UserEvent::PasswordRehashed { .. }) => {
            &["password_hash"]
        }
        DomainEvent::User(UserEvent::PushSubscribed { .. }) => &["endpoint", "p256dh", "auth"],
        DomainEvent::Login(LoginEvent::Opened { .. } | LoginEvent::Refreshed { .. }) => {
            &["refresh_digest"]
        }
        DomainEvent::Login(LoginEvent::TokenMade { .. }) => &["digest"],
        // Addresses of webhooks often hold a secret of their receiver.
        DomainEvent::Webhook(WebhookEvent::Created { .. }) => &["url", "salt"],
        DomainEvent::Webhook(WebhookEvent::Changed { .. }) => &["url"],
        DomainEvent::Webhook(WebhookEvent::SecretRotated { .. }) => &["salt"],
        DomainEvent::User(
            UserEvent::ProfileChanged { .. }
            | UserEvent::Onboarded { .. }
            | UserEvent::RoleChanged { .. }
            | UserEvent::Suspended { .. }
            | UserEvent::Reinstated { .. }
            | UserEvent::PushUnsubscribed { .. }
            | UserEvent::NotificationsRead { .. },
        )
        | DomainEvent::Login(LoginEvent::Closed { .. } | LoginEvent::TokenUsed { .. })
        | DomainEvent::Webhook(
            WebhookEvent::Disabled { .. }
            | WebhookEvent::Enabled { .. }
            | WebhookEvent::Replayed { .. }
            | WebhookEvent::Tested { .. }
            | WebhookEvent::Removed { .. },
        )
        | DomainEvent::Reservation(_)
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
        | DomainEvent::Line(_) => &[],
    }
}

fn unwrap_personal(value: &mut Value, sealed: &mut bool) {
    match value {
        Value::Object(fields) => {
            if let Some(open) = fields.get_mut("$personal") {
                *value = open["value"].take();
            } else if fields.contains_key("$sealed") {
                *sealed = true;
                *value = Value::Null;
            } else if fields.contains_key("$erased") {
                *value = Value::Null;
            } else {
                fields.values_mut().for_each(|field| unwrap_personal(field, sealed));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| unwrap_personal(item, sealed)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, Metadata, Moment, Personal, Position, StreamName, UserId};
    use uuid::Uuid;

    const ADA: UserId = UserId::new(Uuid::from_u128(1));

    fn frame_of(event: UserEvent) -> Value {
        let id = Uuid::from_u128(2);
        let metadata = Metadata {
            schema_version: 1,
            actor: ADA,
            correlation_id: id,
            causation_id: id,
            key: id,
            body_hash: String::new(),
            decided_on: None,
        };
        frame(&Envelope {
            id: EventId::new(id),
            stream: StreamName::user(ADA),
            revision: 0,
            position: Position::at(7),
            recorded_at: Moment::UNIX_EPOCH,
            metadata,
            event: event.into(),
        })
    }

    fn renamed(name: Option<Personal<String>>) -> UserEvent {
        UserEvent::ProfileChanged {
            user: ADA,
            name,
            bio: None,
            native_language: None,
            learning_language: None,
            location: None,
            avatar: None,
        }
    }

    #[test]
    fn personal_data_is_plain_and_secrets_are_left_out() {
        let personal = |text: &str| Personal::new(ADA, text.to_owned());
        let frame = frame_of(UserEvent::SignedUp {
            user: ADA,
            email: personal("ada@example.org"),
            handle: personal("ada"),
            name: personal("Ada"),
            password_hash: personal("$argon2id$secret"),
        });
        assert_eq!(frame["data"]["name"], "Ada");
        assert_eq!(frame["position"], "7");
        assert_eq!(frame.get("sealed"), None);
        assert!(!frame.to_string().contains("argon2id"), "{frame}");
    }

    #[test]
    fn what_is_erased_or_sealed_is_null_and_only_the_latter_is_said() {
        let erased = Some(Personal::Erased { subject: ADA });
        let frame = frame_of(renamed(erased));
        assert_eq!((&frame["data"]["name"], frame.get("sealed")), (&Value::Null, None));
        let sealed = Some(Personal::Sealed { subject: ADA, data: "AA".to_owned() });
        let frame = frame_of(renamed(sealed));
        assert_eq!(frame["data"]["name"], Value::Null);
        assert_eq!(frame["sealed"], true);
    }
}
