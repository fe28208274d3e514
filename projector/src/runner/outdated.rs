//! Tables that were built by another version of their definition than this program has.

use crate::projections::Projection;

/// Says so in the log and in metrics, or that it is not so.
pub(super) fn report<P: Projection>(built_by: i32) {
    let outdated = built_by != P::VERSION;
    metrics::gauge!("roundtable_projection_outdated", "projection" => P::NAME).set(if outdated {
        1.0
    } else {
        0.0
    });
    if outdated {
        tracing::warn!(projection = P::NAME, "{}", words(P::NAME, P::VERSION, built_by));
    }
}

/// What is wrong, and what to do.
pub(crate) fn words(name: &str, version: i32, built_by: i32) -> String {
    if built_by > version {
        return format!(
            "{name} was built by version {built_by}, and this program has version {version}: run \
             the newer program"
        );
    }
    format!(
        "{name} was built by version {built_by}, and this program has version {version}: run \
         `roundtable rebuild {name}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_to_do() {
        assert!(words("member", 2, 1).ends_with("run `roundtable rebuild member`"));
        assert!(words("member", 1, 2).ends_with("run the newer program"));
    }
}
