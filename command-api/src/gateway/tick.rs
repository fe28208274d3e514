//! What the relay says on `live.tick`: which frames it has published, as a chain without gaps.

use events::{Audience, Position};
use serde::Deserialize;

/// One link of the chain: every frame of the events after `previous` up to `to` was published
/// before it, on the same connection.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Tick {
    /// Where the tick before ended.
    pub(crate) previous: Position,
    /// Where this one ends.
    pub(crate) to: Position,
    /// The frames, in log order: an event with several audiences is listed once for each.
    #[serde(default)]
    pub(crate) frames: Vec<(Audience, Position)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relays_json_is_read() {
        let tick: Tick = serde_json::from_str(
            r#"{"previous":"1","to":"7","frames":[["user:00000000-0000-0000-0000-000000000009","5"]]}"#,
        )
        .unwrap();
        assert_eq!((tick.previous, tick.to), (Position::at(1), Position::at(7)));
        assert_eq!(tick.frames[0].1, Position::at(5));
    }
}
