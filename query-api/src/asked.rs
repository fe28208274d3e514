//! What every read is asked with: by whom, after which position, and its own query.

use axum::extract::FromRequestParts;
use events::{Position, UserId};
use http::Uri;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::{Problem, Query};

/// Who reads, put into the request by the one layer that authenticates.
#[derive(Clone, Copy)]
pub(crate) struct Reader(pub(crate) UserId);

/// A query without parts of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A read: every handler's one argument beside the path.
pub(crate) struct Asked<T> {
    /// Who reads.
    pub(crate) reader: UserId,
    /// The read model must have reached this: `?after=` or the header `Roundtable-After`, the later
    /// of the two.
    pub(crate) after: Position,
    /// The rest of the query.
    pub(crate) query: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Reader(reader) =
            *parts.extensions.get::<Reader>().ok_or_else(Problem::unauthenticated)?;
        let in_header = match parts.headers.get("roundtable-after") {
            Some(value) => position(value.to_str().unwrap_or_default())
                .ok_or_else(|| Problem::malformed(format!("Roundtable-After: {EXPECTED}")))?,
            None => Position::START,
        };
        let (in_query, rest) = take_after(parts.uri.query().unwrap_or_default())?;
        let mut own = http::Request::new(()).into_parts().0;
        own.uri = rest;
        let Query(query) = Query::from_request_parts(&mut own, state).await?;
        Ok(Self { reader, after: in_header.max(in_query), query })
    }
}

const EXPECTED: &str = "a position is what a write answered with";

/// Parts the query into `after`, which every read understands, and what this one does: its type
/// refuses what it does not know.
fn take_after(query: &str) -> Result<(Position, Uri), Problem> {
    let (after, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|part| *part == "after" || part.starts_with("after="));
    let position = match after[..] {
        [] => Position::START,
        [part] => part
            .split_once('=')
            .and_then(|(_, text)| position(&text.replace("%2F", "/").replace("%2f", "/")))
            .ok_or_else(|| Problem::invalid_query(format!("after: {EXPECTED}")))?,
        _ => return Err(Problem::invalid_query("after: comes twice")),
    };
    let rest = format!("/?{}", rest.join("&")).parse();
    Ok((position, rest.expect("a part of a good query is a good query")))
}

fn position(text: &str) -> Option<Position> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_is_taken_out_of_any_query() {
        let at = |commit, prepare| Position { commit, prepare };
        for (query, after, rest) in [
            ("", Position::START, "/?"),
            ("after=7", at(7, 7), "/?"),
            ("limit=3&after=7%2F6&before=2", at(7, 6), "/?limit=3&before=2"),
            ("after_id=3", Position::START, "/?after_id=3"),
        ] {
            let (position, uri) = take_after(query).unwrap();
            assert_eq!((position, uri), (after, rest.parse().unwrap()), "{query}");
        }
        for wrong in ["after", "after=", "after=x", "after=1&after=2", "after=-1"] {
            assert_eq!(take_after(wrong).unwrap_err().slug(), "invalid-query", "{wrong}");
        }
    }
}
