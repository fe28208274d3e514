//! Lists in pages by key: a page is as stable as its keys, whatever is added meanwhile.

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Components, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T, C> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// What to ask for to get the next page; `null` on the last.
    pub(crate) next: Option<C>,
}

/// Says in the description that there is no next page after the last: what generic types lose.
pub(crate) fn describe_last(components: &mut Components) {
    let pages = components.schemas.iter_mut().filter(|(name, _)| name.starts_with("Page_"));
    for (_, page) in pages {
        if let RefOr::T(Schema::Object(page)) = page
            && let Some(next) = page.properties.get_mut("next")
        {
            let none = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
            let either = OneOfBuilder::new().item(next.clone()).item(none);
            let what = "What to ask for to get the next page; `null` on the last.";
            *next = either.description(Some(what)).into();
        }
    }
}

impl<T, C> Page<T, C> {
    /// The page of rows that were asked for with [`Limit::and_one`]: one row too many says that
    /// there is a next page.
    pub(crate) fn of(mut rows: Vec<T>, limit: Limit, key: impl FnOnce(&T) -> C) -> Self {
        let is_last = rows.len() <= usize::from(limit.0);
        rows.truncate(usize::from(limit.0));
        let next = if is_last { None } else { rows.last().map(key) };
        Self { items: rows, next }
    }

    /// The same page with more, or less, of each item.
    pub(crate) fn map<U>(self, items: impl FnMut(T) -> U) -> Page<U, C> {
        Page { items: self.items.into_iter().map(items).collect(), next: self.next }
    }
}

/// How many rows a page may have: 1 to 100, 50 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(default = 50, minimum = 1, maximum = 100)]
pub(crate) struct Limit(u16);

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl Limit {
    /// As a parameter of a query.
    pub(crate) fn rows(self) -> i64 {
        i64::from(self.0)
    }

    /// As a parameter of a query that looks whether there is more.
    pub(crate) fn and_one(self) -> i64 {
        self.rows() + 1
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u16::deserialize(deserializer)
            .map_err(|_| de::Error::custom("a limit is a number from 1 to 100"))?;
        match limit {
            1..=100 => Ok(Self(limit)),
            _ => Err(de::Error::custom("a limit is a number from 1 to 100")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_next_page_only_if_there_is_one_row_more() {
        let page = |rows: Vec<u8>| {
            let page = Page::of(rows, Limit(2), |row| *row);
            (page.items, page.next)
        };
        assert_eq!(page(vec![]), (vec![], None));
        assert_eq!(page(vec![1, 2]), (vec![1, 2], None));
        assert_eq!(page(vec![1, 2, 3]), (vec![1, 2], Some(2)));
    }
}
