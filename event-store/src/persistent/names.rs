//! What a group follows, what it is called, and the streams that keep its state.

/// What a group follows.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum EventSource {
    Stream(String),
    All,
}

/// The name that stands for the whole log.
const ALL: &str = "$all";
/// What the streams of all groups begin with.
const PREFIX: &str = "$persistentsubscription-";
/// The longest name of a stream, in bytes.
const LONGEST: usize = u16::MAX as usize;

impl EventSource {
    pub(crate) fn named(name: &str) -> Self {
        if name == ALL { Self::All } else { Self::Stream(name.to_owned()) }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Stream(name) => name,
            Self::All => ALL,
        }
    }

    /// A place as clients read it: a revision, or a position of the log.
    pub(crate) fn show(&self, place: u64) -> String {
        match self {
            Self::Stream(_) => place.to_string(),
            Self::All => format!("C:{place}/P:{place}"),
        }
    }

    /// The place that was shown so.
    pub(crate) fn parse(&self, text: &str) -> Option<u64> {
        match self {
            Self::Stream(_) => text.parse().ok(),
            Self::All => text.strip_prefix("C:")?.split_once("/P:")?.0.parse().ok(),
        }
    }
}

/// A group: what it follows, and its name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct GroupId {
    pub(crate) source: EventSource,
    pub(crate) group: String,
}

impl GroupId {
    /// The name of the subscription. Different groups can come to the same one, which then must not
    /// both exist, because the streams are named after it.
    pub(crate) fn subscription_id(&self) -> String {
        format!("{}::{}", self.source.name(), self.group)
    }

    pub(crate) fn checkpoint_stream(&self) -> String {
        format!("{PREFIX}{}-checkpoint", self.subscription_id())
    }

    pub(crate) fn parked_stream(&self) -> String {
        format!("{PREFIX}{}-parked", self.subscription_id())
    }

    /// Whether its streams, and the streams of their metadata, can be named.
    pub(crate) fn fits(&self) -> bool {
        !self.group.is_empty() && self.checkpoint_stream().len() + "$$".len() <= LONGEST
    }
}

/// Whether groups keep their state in this stream. Those that follow the whole log pass over such
/// streams: a group that is told of its own checkpoints would never come to rest.
pub(crate) fn is_bookkeeping(stream: &[u8]) -> bool {
    let name = stream.strip_prefix(b"$$").unwrap_or(stream);
    name.starts_with(PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_shown() {
        for source in [EventSource::named("orders"), EventSource::All] {
            assert_eq!(source.parse(&source.show(12)), Some(12));
        }
        assert_eq!(EventSource::All.parse("12"), None);
        assert_eq!(EventSource::named("orders").parse("C:1/P:1"), None);
    }

    #[test]
    fn the_streams_of_a_group_are_told_from_others() {
        let id = GroupId { source: EventSource::All, group: "g".to_owned() };
        assert_eq!(id.checkpoint_stream(), "$persistentsubscription-$all::g-checkpoint");
        assert!(is_bookkeeping(id.parked_stream().as_bytes()));
        assert!(is_bookkeeping(format!("$${}", id.checkpoint_stream()).as_bytes()));
        assert!(!is_bookkeeping(b"$persistentSubscriptionConfig"));
        let long = GroupId { source: EventSource::All, group: "g".repeat(LONGEST) };
        assert!(id.fits() && !long.fits());
    }
}
