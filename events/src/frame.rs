//! What a client sees of an event: encoded once, however many people see it.

use serde_json::{Value, json};

use crate::{DomainEvent, Envelope, LoginEvent, UserEvent};

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
        DomainEvent::User(UserEvent::SignedUp { .. }) => &["password_hash"],
        DomainEvent::Login(LoginEvent::Opened { .. } | LoginEvent::Refreshed { .. }) => {
            &["refresh_digest"]
        }
        DomainEvent::User(UserEvent::ProfileChanged { .. })
        | DomainEvent::Login(LoginEvent::Closed { .. })
        | DomainEvent::Reservation(_)
        | DomainEvent::Friendship(_)
        | DomainEvent::Conversation(_)
        | DomainEvent::Message(_)
        | DomainEvent::Receipt(_) => &[],
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
