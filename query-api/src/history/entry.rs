//! An event as it is shown: its place, what surrounds it, and what it says, sealed or open.

use event_log::{EventLog, OpenError, Opened, Recorded, Seals};
use events::frame::secrets;
use events::{
    Audience, ConversationId, DomainEvent, Envelope, EventId, LoginId, Moment, Position,
    StreamName, UserId, about,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Entry {
    /// Where it stands in the log.
    pub position: Position,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Moment,
    /// Its stream.
    pub stream: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The part of the stream's name before the first hyphen; `null` where it is not one of ours.
    pub category: Option<String>,
    /// Its id.
    pub id: EventId,
    /// Who did it; the nil UUID is the system, or its operator.
    pub actor: Option<UserId>,
    /// The API token that they used, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<LoginId>,
    /// The one person it happened to, where that is somebody else.
    pub person: Option<UserId>,
    /// The conversation it is about.
    pub conversation: Option<ConversationId>,
    /// Everything that one request caused has the same.
    pub correlation: Option<Uuid>,
    /// The event, or the request, that led to it.
    pub causation: Option<Uuid>,
    /// Who was told live: `user:{id}` is every device of a person, `conversation:{id}` everybody's
    /// who was in it.
    #[schema(value_type = Vec<String>)]
    pub audiences: Vec<Audience>,
    /// What it says. `{"$sealed": ..}` is personal and sealed, `{"$personal": ..}` is open, and
    /// `{"$erased": ..}` is gone for ever. Hashes and digests of secrets are left out.
    pub data: Value,
    /// Why it cannot be read, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

impl Entry {
    /// An event from the log.
    ///
    /// # Errors
    /// When it is to be opened and the keys cannot be fetched.
    pub async fn of(log: &EventLog, recorded: &Recorded, seals: Seals) -> Result<Self, OpenError> {
        let opened = match seals {
            Seals::Kept => log.open_sealed(recorded),
            Seals::Opened => log.open(recorded).await,
        };
        match opened {
            Ok(Opened::Ours(envelope)) => Ok(Self::ours(&envelope)),
            Ok(Opened::Foreign) => {
                let data = serde_json::from_str(recorded.data.get()).unwrap_or(Value::Null);
                Ok(Self { data, ..Self::bare(recorded) })
            }
            Err(OpenError::Poison(reason)) => {
                Ok(Self { unreadable: Some(reason), ..Self::bare(recorded) })
            }
            Err(away @ OpenError::VaultUnavailable(_)) => Err(away),
        }
    }

    fn ours(envelope: &Envelope<DomainEvent>) -> Self {
        let Envelope { metadata, event, .. } = envelope;
        let mut data = event.to_data();
        if let Some(fields) = data.as_object_mut() {
            for secret in secrets(event) {
                fields.remove(*secret);
            }
        }
        strip(&mut data);
        Self {
            position: envelope.position,
            recorded_at: envelope.recorded_at,
            stream: envelope.stream.as_str().to_owned(),
            revision: envelope.revision,
            event_type: event.event_type().to_owned(),
            category: category(&envelope.stream),
            id: envelope.id,
            actor: Some(metadata.actor),
            token: metadata.token,
            person: about::person(event, metadata.actor),
            conversation: about::conversation(event),
            correlation: Some(metadata.correlation_id),
            causation: Some(metadata.causation_id),
            audiences: Audience::of(event),
            data,
            unreadable: None,
        }
    }

    /// What is known of an event without reading it.
    fn bare(recorded: &Recorded) -> Self {
        Self {
            position: recorded.position,
            recorded_at: recorded.created,
            stream: recorded.stream.as_str().to_owned(),
            revision: recorded.revision,
            event_type: recorded.event_type.clone(),
            category: category(&recorded.stream),
            id: recorded.id,
            actor: None,
            token: None,
            person: None,
            conversation: None,
            correlation: None,
            causation: None,
            audiences: vec![],
            data: Value::Null,
            unreadable: None,
        }
    }
}

fn category(stream: &StreamName) -> Option<String> {
    stream.category().map(|category| category.as_str().to_owned())
}

/// Leaves of what is sealed only whose it is: the ciphertext says nothing to a reader.
pub fn strip(value: &mut Value) {
    each(value, &mut |mark, inner| {
        (mark == "$sealed").then(|| json!({ "$sealed": { "subject": inner["subject"] } }))
    });
}

/// Whose personal data is open in it, each person once.
pub fn subjects(value: &Value, found: &mut Vec<UserId>) {
    each(&mut value.clone(), &mut |mark, inner| {
        let subject = inner["subject"].as_str().and_then(|text| text.parse().ok());
        if mark == "$personal"
            && let Some(subject) = subject
            && !found.contains(&subject)
        {
            found.push(subject);
        }
        None
    });
}

/// Looks at every object whose only key is a mark, and replaces it by what comes back.
fn each(value: &mut Value, look: &mut impl FnMut(&str, &Value) -> Option<Value>) {
    match value {
        Value::Object(fields) => {
            let marked = match fields.iter().next() {
                Some((mark, inner)) if fields.len() == 1 && mark.starts_with('$') => {
                    look(mark, inner)
                }
                _ => None,
            };
            match marked {
                Some(instead) => *value = instead,
                None => fields.values_mut().for_each(|field| each(field, look)),
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_sealed_only_the_person_stays_and_of_what_is_open_the_person_is_known() {
        let ada = UserId::new(Uuid::from_u128(1));
        let mut data = json!({
            "text": {"$sealed": {"subject": ada, "data": "c2VjcmV0"}},
            "list": [{"$personal": {"subject": ada, "value": "hello"}}],
        });
        let mut found = vec![];
        subjects(&data, &mut found);
        assert_eq!(found, vec![ada]);
        strip(&mut data);
        assert_eq!(data["text"], json!({"$sealed": {"subject": ada}}));
        assert_eq!(data["list"][0]["$personal"]["value"], "hello");
    }
}
