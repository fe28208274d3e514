//! Upcasters: data of every version ever written becomes data of today's shape.

use serde_json::Value;

use crate::DecodeError;

/// Turns the data of one version into the data of the next.
type Upcaster = fn(Value) -> Value;

/// The steps of the event types that have changed their shape: the first step of a type turns
/// version 1 into version 2, and so on. A type that is not listed still has its first shape.
const CHAINS: &[(&str, &[Upcaster])] = &[];

/// The version that is written today.
pub fn current_version(event_type: &str) -> u16 {
    let steps = steps(event_type).len();
    u16::try_from(steps).expect("nobody wrote 65,535 upcasters of one type") + 1
}

/// Brings data of any known version to today's.
pub fn to_current(event_type: &str, version: u16, data: Value) -> Result<Value, DecodeError> {
    climb(steps(event_type), version, data)
}

fn steps(event_type: &str) -> &'static [Upcaster] {
    CHAINS.iter().find(|(name, _)| *name == event_type).map_or(&[], |(_, steps)| steps)
}

fn climb(steps: &[Upcaster], version: u16, data: Value) -> Result<Value, DecodeError> {
    let from = usize::from(version);
    if from == 0 || from > steps.len() + 1 {
        return Err(DecodeError::UnknownVersion { version });
    }
    Ok(steps[from - 1..].iter().fold(data, |data, step| step(data)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Version 2 counts in a list; version 3 names the list.
    const STEPS: &[Upcaster] = &[|data| json!([data]), |data| json!({ "names": data })];

    #[test]
    fn data_climbs_from_its_own_version() {
        for (version, data) in
            [(1, json!("Ada")), (2, json!(["Ada"])), (3, json!({ "names": ["Ada"] }))]
        {
            assert_eq!(climb(STEPS, version, data), Ok(json!({ "names": ["Ada"] })));
        }
    }

    #[test]
    fn a_version_that_this_build_does_not_know_is_refused() {
        for version in [0, 4] {
            let refused = Err(DecodeError::UnknownVersion { version });
            assert_eq!(climb(STEPS, version, json!({})), refused);
        }
        assert!(
            to_current("message.sent", current_version("message.sent") + 1, json!({})).is_err()
        );
    }
}
