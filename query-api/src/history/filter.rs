//! Which events are looked for.

use events::{Category, ConversationId, Position, StreamName, UserId};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::entry::Entry;
use super::when::When;
use crate::place::Place;

/// Which events are looked for: those that fit everything that is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The category of the stream.
    pub category: Option<Category>,
    /// The stream.
    pub stream: Option<StreamName>,
    /// The type of the event.
    pub event_type: Option<String>,
    /// Who did it, or to whom it happened.
    pub person: Option<UserId>,
    /// The conversation it is about.
    pub conversation: Option<ConversationId>,
    /// What one request caused.
    pub correlation: Option<Uuid>,
    /// Not before this place.
    pub from: Option<When>,
    /// Not after this place.
    pub to: Option<When>,
}

/// A filter whose bounds are positions.
#[derive(Clone, Debug)]
pub struct Bounded {
    pub(crate) filter: Filter,
    /// Only later events.
    pub after: Position,
    /// No later events than this.
    pub upto: Option<Position>,
}

impl Filter {
    /// Finds out which positions the bounds are.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn bounded(self, db: &mut PgConnection) -> Result<Bounded, sqlx::Error> {
        let after = match self.from {
            Some(from) => from.last_before(db).await?,
            None => Position::START,
        };
        let upto = match self.to {
            // Before the first event there is none.
            Some(to) => Some(to.last_event(db).await?.unwrap_or(Position::START)),
            None => None,
        };
        Ok(Bounded { filter: self, after, upto })
    }
}

impl std::fmt::Display for Filter {
    /// As it is recorded when personal data is opened: ids, types and places.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("category", self.category.map(|it| it.as_str().to_owned())),
            ("stream", self.stream.as_ref().map(ToString::to_string)),
            ("type", self.event_type.clone()),
            ("person", self.person.map(|it| it.to_string())),
            ("conversation", self.conversation.map(|it| it.to_string())),
            ("correlation", self.correlation.map(|it| it.to_string())),
            ("from", self.from.map(|it| it.to_string())),
            ("to", self.to.map(|it| it.to_string())),
        ];
        let given =
            parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        f.write_str(&given.collect::<Vec<_>>().join(" "))
    }
}

impl Bounded {
    /// A filter with bounds that are known.
    pub const fn of(filter: Filter, after: Position, upto: Option<Position>) -> Self {
        Self { filter, after, upto }
    }

    /// Whether an event fits.
    pub fn fits(&self, entry: &Entry) -> bool {
        let Filter { category, stream, event_type, person, conversation, correlation, .. } =
            &self.filter;
        entry.position > self.after
            && self.upto.is_none_or(|upto| entry.position <= upto)
            && category.is_none_or(|it| entry.category.as_deref() == Some(it.as_str()))
            && stream.as_ref().is_none_or(|it| it.as_str() == entry.stream)
            && event_type.as_ref().is_none_or(|it| *it == entry.event_type)
            && person.is_none_or(|it| entry.actor == Some(it) || entry.person == Some(it))
            && conversation.is_none_or(|it| entry.conversation == Some(it))
            && correlation.is_none_or(|it| entry.correlation == Some(it))
    }

    /// The positions of those that fit, from the index.
    pub(crate) fn select(&self, newest_first: bool, limit: i64) -> QueryBuilder<'_, Postgres> {
        let order = if newest_first { "desc" } else { "asc" };
        let mut query = QueryBuilder::new("");
        match self.filter.person {
            None => {
                query.push("select position from event_index where true");
                self.conditions(&mut query);
            }
            // Two indexes are read in their order, rather than everything sorted.
            Some(person) => {
                query.push("select position from (");
                for (column, join) in [("actor", ") union ("), ("person_id", ")")] {
                    let open = if column == "actor" { "(" } else { "" };
                    query.push(open).push("select position from event_index where ");
                    query.push(column).push(" = ").push_bind(person.uuid());
                    self.conditions(&mut query);
                    query.push(" order by position ").push(order);
                    query.push(" limit ").push_bind(limit).push(join);
                }
                query.push(") found");
            }
        }
        query.push(" order by position ").push(order).push(" limit ").push_bind(limit);
        query
    }

    fn conditions<'a>(&'a self, query: &mut QueryBuilder<'a, Postgres>) {
        let Filter { category, event_type, conversation, correlation, .. } = &self.filter;
        query.push(" and position > ").push_bind(Place(self.after));
        if let Some(upto) = self.upto {
            query.push(" and position <= ").push_bind(Place(upto));
        }
        if let Some(category) = category {
            query.push(" and category = ").push_bind(category.as_str());
        }
        if let Some(event_type) = event_type {
            query.push(" and type = ").push_bind(event_type.replace('\0', "\u{FFFD}"));
        }
        if let Some(conversation) = conversation {
            query.push(" and conversation_id = ").push_bind(conversation.uuid());
        }
        if let Some(correlation) = correlation {
            query.push(" and correlation = ").push_bind(*correlation);
        }
    }
}

/// A category by its name.
///
/// # Errors
/// Names those that there are.
pub fn category(text: &str) -> Result<Category, String> {
    Category::ALL.into_iter().find(|category| category.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = Category::ALL.into_iter().map(Category::as_str).collect();
        format!("no category is called so; there are {}", all.join(", "))
    })
}
