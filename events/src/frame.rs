//! What a client sees of an event: encoded once, however many people see it.

use serde_json::{Value, json};

use crate::{DomainEvent, Envelope, LoginEvent, UserEvent, UserId, WebhookEvent};

/// The live frame of an event:
/// `{"op":"event","position","type","id","stream","revision","at","by","data"}`.
///
/// Personal data is plain in it; what is erased is `null`; what is still sealed is `null` too, and
/// the frame then says `"sealed": true`. Hashes and digests of secrets never leave the server.
pub fn frame(envelope: &Envelope<DomainEvent>) -> Value {
    frame_about(envelope).0
}

/// The live frame of an event, and whose personal data is in it, if there is any.
pub fn frame_about(envelope: &Envelope<DomainEvent>) -> (Value, Option<UserId>) {
    made(envelope, Found::default())
}

/// The frame of an event as this person may have it: what is personal of others is `null`.
pub fn frame_of(envelope: &Envelope<DomainEvent>, person: UserId) -> Value {
    made(envelope, Found { only: Some(person), ..Found::default() }).0
}

fn made(envelope: &Envelope<DomainEvent>, mut found: Found) -> (Value, Option<UserId>) {
    let mut data = envelope.event.to_data();
    if let Some(fields) = data.as_object_mut() {
        for secret in secrets(&envelope.event) {
            fields.remove(*secret);
        }
    }
    unwrap_personal(&mut data, &mut found);
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
    if found.sealed {
        frame["sealed"] = Value::Bool(true);
    }
    (frame, found.subject)
}

/// Takes out of a frame what was personal in it, as if its person had been erased before.
pub fn erase(frame: &mut Value) {
    let event_type = frame["type"].as_str().unwrap_or_default().to_owned();
    let Some(data) = frame["data"].as_object_mut() else { return };
    for (field, value) in data {
        if PERSONAL.contains(&field.as_str()) && !is_plain(&event_type, field) {
            *value = Value::Null;
        }
    }
}

/// The fields that are personal, in the data of any event.
const PERSONAL: &[&str] = &[
    "bio",
    "description",
    "device",
    "email",
    "handle",
    "learning_language",
    "location",
    "name",
    "native_language",
    "note",
    "quoted",
    "reason",
    "shape",
    "text",
    "title",
];

/// Whether a field of that name is not personal in these events.
fn is_plain(event_type: &str, field: &str) -> bool {
    field == "reason" && event_type != "user.suspended"
}

/// What was found in the data of an event.
#[derive(Default)]
struct Found {
    /// Whose is to be shown; everybody's, if it is not said.
    only: Option<UserId>,
    sealed: bool,
    subject: Option<UserId>,
}

/// The fields that no client may see, not even the person's own.
pub fn secrets(event: &DomainEvent) -> &'static [&'static str] {
    match event {
        DomainEvent::User(UserEvent::SignedUp { .. } | UserEvent::PasswordRehashed { .. }) => {
            &["password_hash"]
        }
        // How many conversations they were in is nobody's business in any of them.
        DomainEvent::User(UserEvent::Erased { .. }) => &["conversations", "names"],
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
            | UserEvent::ErasureCertified { .. }
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
        | DomainEvent::Parked(_)
        | DomainEvent::Report(_)
        | DomainEvent::Denial(_)
        | DomainEvent::Call(_)
        | DomainEvent::Line(_)
        | DomainEvent::Hold(_)
        | DomainEvent::Access(_) => &[],
    }
}

fn unwrap_personal(value: &mut Value, found: &mut Found) {
    match value {
        Value::Object(fields) => {
            if let Some(open) = fields.get_mut("$personal") {
                found.subject = open["subject"].as_str().and_then(|id| id.parse().ok());
                let shown = found.only.is_none() || found.only == found.subject;
                *value = if shown { open["value"].take() } else { Value::Null };
            } else if fields.contains_key("$sealed") {
                found.sealed = true;
                *value = Value::Null;
            } else if fields.contains_key("$erased") {
                *value = Value::Null;
            } else {
                fields.values_mut().for_each(|field| unwrap_personal(field, found));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| unwrap_personal(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, Metadata, Moment, Personal, Position, StreamName, UserId};
    use uuid::Uuid;

    const ADA: UserId = UserId::new(Uuid::from_u128(1));

    fn framed(event: UserEvent) -> Value {
        let id = Uuid::from_u128(2);
        let metadata = Metadata {
            schema_version: 1,
            actor: ADA,
            correlation_id: id,
            causation_id: id,
            key: id,
            body_hash: String::new(),
            decided_on: None,
            token: None,
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
        let frame = framed(UserEvent::SignedUp {
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
        let frame = framed(renamed(erased));
        assert_eq!((&frame["data"]["name"], frame.get("sealed")), (&Value::Null, None));
        let sealed = Some(Personal::Sealed { subject: ADA, data: "AA".to_owned() });
        let frame = framed(renamed(sealed));
        assert_eq!(frame["data"]["name"], Value::Null);
        assert_eq!(frame["sealed"], true);
    }
}
