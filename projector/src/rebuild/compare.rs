//! Two versions of the tables of a projection, row by row.

use anyhow::Result;
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use super::tables::execute;
use super::{Model, Slot};
use crate::projections::Table;

/// A row that is not the same in both.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// `only_live`, `only_next` or `different`.
    pub difference: String,
    /// What the row is known by.
    pub key: Value,
    /// The columns that differ.
    pub columns: Vec<String>,
    /// The row as it is live; null if it is not there. Personal data, where the table has some.
    pub live: Option<Value>,
    /// The row as it is in the other version.
    pub next: Option<Value>,
}

/// How many rows of a table were compared, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The table.
    pub table: String,
    /// The rows of the live one.
    pub live_rows: i64,
    /// The rows of the other one.
    pub next_rows: i64,
    /// Rows that only the live one has.
    pub only_live: u64,
    /// Rows that only the other one has.
    pub only_next: u64,
    /// Rows that both have, and that differ.
    pub different: u64,
}

impl Compared {
    /// Whether both are the same.
    pub fn is_same(&self) -> bool {
        self.only_live + self.only_next + self.different == 0
    }
}

/// Compares the tables of a projection as one moment shows them, and tells of every difference.
pub(super) async fn compare(
    db: &mut PgConnection,
    model: &Model,
    slot: Slot,
    tell: &mut (dyn FnMut(Difference) + Send),
) -> Result<Vec<Compared>> {
    execute(&mut *db, "set local work_mem = '64MB'").await?;
    let mut compared = Vec::new();
    for table in model.tables {
        compared.push(compare_table(db, table, &slot.schema(model.name), tell).await?);
    }
    Ok(compared)
}

async fn compare_table(
    db: &mut PgConnection,
    table: &Table,
    schema: &str,
    tell: &mut (dyn FnMut(Difference) + Send),
) -> Result<Compared> {
    let filter = if table.compared.is_empty() { "true" } else { table.compared };
    let filter = filled(filter, "public", schema);
    let (live, next) = (rows(table, "public", &filter), rows(table, schema, &filter));
    let count = format!("select (select count(*) from {live} l), (select count(*) from {next} n)");
    let (live_rows, next_rows) = sqlx::query_as(&count).fetch_one(&mut *db).await?;
    let mut found =
        Compared { table: table.name.to_owned(), live_rows, next_rows, ..Compared::default() };
    let statement =
        statement(table, &keys(db, table).await?, &columns(db, table).await?, [&live, &next]);
    let mut differences = sqlx::query_as::<_, Difference>(&statement).fetch(db);
    while let Some(difference) = differences.try_next().await? {
        match difference.difference.as_str() {
            "only_live" => found.only_live += 1,
            "only_next" => found.only_next += 1,
            _ => found.different += 1,
        }
        tell(difference);
    }
    Ok(found)
}

/// A condition or statement of a [`Table`], of these two schemas.
pub(super) fn filled(template: &str, live: &str, next: &str) -> String {
    template.replace("{live}", live).replace("{next}", next)
}

fn rows(table: &Table, schema: &str, filter: &str) -> String {
    format!("(select * from {schema}.{} where {filter})", table.name)
}

fn statement(
    table: &Table,
    keys: &[String],
    columns: &[String],
    [live, next]: [&str; 2],
) -> String {
    let list = |of: &dyn Fn(&String) -> String, names: &[String], between: &str| {
        names.iter().map(of).collect::<Vec<_>>().join(between)
    };
    let key = list(&|name| format!("'{name}', coalesce(l.{name}, n.{name})"), keys, ", ");
    let joined = list(&|name| format!("l.{name} = n.{name}"), keys, " and ");
    let differs = list(
        &|name| format!("case when l.{name} is distinct from n.{name} then '{name}' end"),
        columns,
        ", ",
    );
    let one = list(&|name| format!("l.{name}"), columns, ", ");
    let other = list(&|name| format!("n.{name}"), columns, ", ");
    let (first, name) = (&keys[0], table.name);
    format!(
        "select '{name}' as \"table\",
           case when l.{first} is null then 'only_next' when n.{first} is null then 'only_live'
             else 'different' end as difference,
           jsonb_build_object({key}) as key,
           case when l.{first} is null or n.{first} is null then '{{}}'
             else array_remove(array[{differs}]::text[], null) end as columns,
           case when l.{first} is not null then to_jsonb(l) end as live,
           case when n.{first} is not null then to_jsonb(n) end as next
         from {live} l full join {next} n on {joined}
         where l.{first} is null or n.{first} is null or row({one}) is distinct from row({other})"
    )
}

/// The columns of the primary key.
async fn keys(db: &mut PgConnection, table: &Table) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select a.attname::text from pg_index i
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
         where i.indrelid = ('public.' || $1)::regclass and i.indisprimary order by a.attnum",
    )
    .bind(table.name)
    .fetch_all(db)
    .await
}

/// The columns that are compared.
async fn columns(db: &mut PgConnection, table: &Table) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select attname::text from pg_attribute
         where attrelid = ('public.' || $1)::regclass and attnum > 0 and not attisdropped
           and attname <> all($2)
         order by attnum",
    )
    .bind(table.name)
    .bind(table.ignored)
    .fetch_all(db)
    .await
}
