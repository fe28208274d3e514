//! The names of NATS subjects, of the stream `EVENTS` and of Redis keys.

use events::{Audience, Category, StreamName};

/// The names in one namespace. The empty namespace has the plain names; in namespace `x` the
/// stream is `x_EVENTS`, subjects begin with `x.` and Redis keys with `x:`.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    namespace: String,
}

impl Subjects {
    /// The names in this namespace: letters and digits, or nothing.
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    /// Whether these are the plain names, of the one deployment on these servers.
    pub fn are_plain(&self) -> bool {
        self.namespace.is_empty()
    }

    fn subject(&self, name: &str) -> String {
        match &*self.namespace {
            "" => name.to_owned(),
            namespace => format!("{namespace}.{name}"),
        }
    }

    /// The JetStream stream of all events.
    pub fn stream(&self) -> String {
        match &*self.namespace {
            "" => "EVENTS".to_owned(),
            namespace => format!("{namespace}_EVENTS"),
        }
    }

    /// All subjects of the stream.
    pub fn events(&self) -> String {
        self.subject("events.>")
    }

    /// The subject of an event: `events.{category}.{suffix of the stream}`. What is not of our
    /// making is `events.foreign.{hex of the stream's name}`: it may hold anything.
    pub fn event(&self, stream: &StreamName) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let suffix = stream.suffix();
        match stream.category().map(Category::as_str) {
            Some(category) if !suffix.is_empty() && suffix.bytes().all(plain) => {
                self.subject(&format!("events.{category}.{suffix}"))
            }
            _ => self.subject(&format!("events.foreign.{}", hex::encode(stream.as_str()))),
        }
    }

    /// The live frames of an audience.
    pub fn audience(&self, audience: Audience) -> String {
        self.subject(&audience.subject())
    }

    /// The chain of ticks.
    pub fn tick(&self) -> String {
        self.subject("live.tick")
    }

    /// Where the leading relay answers that it leads.
    pub fn leader(&self) -> String {
        self.subject("relay.leader")
    }

    /// A Redis key.
    pub fn key(&self, key: &str) -> String {
        match &*self.namespace {
            "" => key.to_owned(),
            namespace => format!("{namespace}:{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_cannot_break_a_subject() {
        let names = Subjects::new("");
        let subject = |name| names.event(&StreamName::recorded(name));
        assert_eq!(subject("message-01"), "events.message.01");
        assert_eq!(subject("orders-1"), "events.foreign.6f72646572732d31");
        assert_eq!(subject("user-a b"), "events.foreign.757365722d612062");
        assert_eq!(subject("user-*"), "events.foreign.757365722d2a");
        assert_eq!(subject("user-"), "events.foreign.757365722d");
    }

    #[test]
    fn a_namespace_keeps_test_runs_apart() {
        let names = Subjects::new("x");
        assert_eq!(names.stream(), "x_EVENTS");
        assert_eq!(names.events(), "x.events.>");
        assert_eq!(names.tick(), "x.live.tick");
        assert_eq!(names.key("friends:1"), "x:friends:1");
    }
}
