//! How an event looks on the terminal: a line for people, or one JSON object for each line.

use std::io::{Stdout, Write};

use anyhow::Result;
use query_api::history::entry::Entry;
use serde::Serialize;
use serde_json::Value;

use crate::demo::colour;

/// Prints events on standard output; each is on its way when the next one comes.
pub(crate) struct Printer {
    json: bool,
    pub(crate) paint: Paint,
    out: Stdout,
}

/// Colours, where they are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colours where standard output is a terminal and nobody objects.
    pub(crate) fn of_terminal() -> Self {
        Self(colour())
    }

    /// The text in a colour, by its code (ECMA-48).
    pub(crate) fn text(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.text("2", text)
    }
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, paint: Paint::of_terminal(), out: std::io::stdout() }
    }

    pub(crate) fn all(&mut self, entries: &[Entry]) -> Result<()> {
        entries.iter().try_for_each(|entry| self.one(entry))
    }

    pub(crate) fn one(&mut self, entry: &Entry) -> Result<()> {
        match self.json {
            true => self.json(entry),
            false => self.line(&line(entry, self.paint)),
        }
    }

    /// One JSON object.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// Says to people when there was nothing.
    pub(crate) fn end(&mut self, found: &[Entry]) -> Result<()> {
        match found.is_empty() && !self.json {
            true => self.line(&self.paint.dim("no event fits")),
            false => Ok(()),
        }
    }
}

/// `position  time  type  stream@revision  by actor  what it says`.
pub(crate) fn line(entry: &Entry, paint: Paint) -> String {
    let position = format!("{:>9}", entry.position.to_string());
    let time = entry.recorded_at.format("%F %T%.3f").to_string();
    let kind = format!("{:<26}", entry.event_type);
    let by = by(entry);
    let says = match &entry.unreadable {
        Some(reason) => paint.text("31", &format!("cannot be read: {reason}")),
        None => told(entry, paint),
    };
    let place = format!("{}@{}", entry.stream, entry.revision);
    format!(
        "{} {} {} {place} by {by} {says}",
        paint.text("33", &position),
        paint.dim(&time),
        paint.text(hue(entry.category.as_deref()), &kind),
    )
}

/// Who did it, and with which API token.
pub(crate) fn by(entry: &Entry) -> String {
    match (entry.actor, entry.token) {
        (Some(actor), _) if actor.uuid().is_nil() => "the system".to_owned(),
        (Some(actor), Some(token)) => format!("{actor} with the token {token}"),
        (Some(actor), None) => actor.to_string(),
        (None, _) => "somebody else".to_owned(),
    }
}

/// Categories that belong together have one colour.
pub(crate) fn hue(category: Option<&str>) -> &'static str {
    match category {
        Some("message" | "receipt") => "36",
        Some("conversation" | "friendship") => "32",
        Some("call" | "line" | "session" | "whiteboard") => "35",
        Some("user" | "login" | "email" | "handle") => "34",
        Some("denial" | "report" | "access") => "31",
        _ => "0",
    }
}

/// What an event says, but for ids that its stream or its actor have told already.
pub(crate) fn told(entry: &Entry, paint: Paint) -> String {
    let mut data = entry.data.clone();
    if let Some(fields) = data.as_object_mut() {
        let actor = entry.actor.map(|actor| actor.to_string()).unwrap_or_default();
        fields.retain(|_, value| match value {
            Value::String(id) if id.len() == 36 => *id != actor && !entry.stream.contains(&**id),
            _ => true,
        });
    }
    said(&data, paint)
}

/// What an event says: its fields, and marks for what is sealed or gone.
fn said(data: &Value, paint: Paint) -> String {
    match data {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("$personal") => {
            paint.text("1", &plain(&fields["$personal"]["value"].to_string()))
        }
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("$sealed") => {
            paint.dim("‹sealed›")
        }
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("$erased") => {
            paint.dim("‹erased›")
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let marked =
                    |it: &serde_json::Map<String, Value>| it.keys().any(|k| k.starts_with('$'));
                let nested = value.as_object().is_some_and(|it| !marked(it));
                let value = said(value, paint);
                let value = if nested { format!("({value})") } else { value };
                format!("{}{value}", paint.dim(&format!("{name}=")))
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| said(item, paint)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// No text of somebody else steers the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sealed_or_gone_is_marked_and_no_text_steers_the_terminal() {
        let data = json!({
            "a": {"$sealed": {"subject": "x"}},
            "b": {"$personal": {"subject": "x", "value": "hi\u{1b}[2J"}},
            "c": {"$erased": {"subject": "x"}},
            "d": ["e\u{7}", 1],
            "e": {"kind": "x"},
        });
        assert_eq!(
            said(&data, Paint(false)),
            "a=‹sealed› b=\"hi\\u001b[2J\" c=‹erased› d=[e\u{FFFD}, 1] e=(kind=x)"
        );
    }
}
