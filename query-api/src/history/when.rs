//! A place in the past: a position in the log, or a moment.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use events::{Moment, Position};
use serde::{Deserialize, Deserializer, de};
use sqlx::PgConnection;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::place::Place;

/// A place in the past: a position in the log, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Up to and including the event at this position.
    At(Position),
    /// Up to and including the last event recorded at this moment or before.
    Moment(Moment),
}

/// The text is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidWhen;

impl fmt::Display for InvalidWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a position in the log, such as 52137, or a moment (RFC 3339), such as \
             2026-03-01T12:00:00Z, is wanted",
        )
    }
}

impl std::error::Error for InvalidWhen {}

impl FromStr for When {
    type Err = InvalidWhen;

    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        if let Ok(position) = text.parse() {
            return Ok(Self::At(position));
        }
        // A plus sign of an offset that was not encoded in a query arrives as a space.
        let moment = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
        moment.map(|moment| Self::Moment(moment.with_timezone(&Utc))).map_err(|_| InvalidWhen)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => write!(f, "{position}"),
            Self::Moment(moment) => {
                f.write_str(&moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
            }
        }
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl PartialSchema for When {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A position in the log, or a moment (RFC 3339)."))
            .examples(["52137", "2026-03-01T12:00:00Z"])
            .into()
    }
}

impl ToSchema for When {}

impl When {
    /// The last event that had happened by then; none if nothing had.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn last_event(self, db: &mut PgConnection) -> Result<Option<Position>, sqlx::Error> {
        let moment = match self {
            Self::At(position) => return Ok(Some(position).filter(|it| *it != Position::START)),
            Self::Moment(moment) => moment,
        };
        let found: Option<Place> =
            sqlx::query_scalar("select position_at($1)").bind(moment).fetch_one(db).await?;
        Ok(found.map(|Place(position)| position))
    }

    /// The last event before this place; `START` if there is none.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn last_before(self, db: &mut PgConnection) -> Result<Position, sqlx::Error> {
        let found: Option<Place> = match self {
            Self::At(position) => {
                sqlx::query_scalar(
                    "select position from event_index where position < $1
                     order by position desc limit 1",
                )
                .bind(Place(position))
                .fetch_optional(db)
                .await?
            }
            Self::Moment(moment) => {
                // The store and Postgres count in microseconds.
                sqlx::query_scalar("select position_at($1)")
                    .bind(moment - TimeDelta::microseconds(1))
                    .fetch_one(db)
                    .await?
            }
        };
        Ok(found.map_or(Position::START, |Place(position)| position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_past_is_a_position_or_a_moment() {
        assert_eq!("52137".parse(), Ok(When::At(Position::at(52_137))));
        let noon = "2026-03-01T12:00:00Z".parse::<When>();
        assert_eq!("2026-03-01T13:00:00+01:00".parse::<When>(), noon);
        assert_eq!("2026-03-01T13:00:00 01:00".parse::<When>(), noon, "a plus in a query");
        assert_eq!(noon.map(|noon| noon.to_string()), Ok("2026-03-01T12:00:00Z".to_owned()));
        for wrong in ["", "yesterday", "2026-03-01", "-5", "12:00"] {
            assert_eq!(wrong.parse::<When>(), Err(InvalidWhen), "{wrong}");
        }
    }
}
