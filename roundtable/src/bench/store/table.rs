//! A log in PostgreSQL: one table, in which a stream has each revision once.

use anyhow::{Context, Result};
use bytes::Bytes;
use sqlx::{PgPool, Row as _, postgres::PgPoolOptions};
use uuid::Uuid;

/// The least that an event store needs: no second index, no notification, no foreign key.
const TABLE: &str = "
create table if not exists event (
    position bigserial,
    stream text not null,
    revision bigint not null,
    id uuid not null,
    type text not null,
    content_type text not null,
    metadata bytea not null,
    data bytea not null,
    recorded_at timestamptz not null default now(),
    primary key (stream, revision)
)";

const INSERT: &str = "
insert into event (stream, revision, id, type, content_type, metadata, data)
values ($1, $2, $3, $4, $5, $6, $7)
returning position";

const INSERT_MANY: &str = "
insert into event (stream, revision, id, type, content_type, metadata, data)
select * from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[],
                     $6::bytea[], $7::bytea[])
returning position";

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) stream: String,
    pub(super) revision: i64,
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) content_type: String,
    pub(super) metadata: Bytes,
    pub(super) data: Bytes,
}

/// The table, by a pool of connections.
#[derive(Clone, Debug)]
pub(super) struct Table(PgPool);

impl Table {
    /// Connects, and makes the table if it is not there.
    pub(super) async fn open(url: &str, connections: u32) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            // A question before each statement would halve the rate.
            .test_before_acquire(false)
            .connect(url)
            .await
            .context("PostgreSQL is not there")?;
        sqlx::query(TABLE).execute(&pool).await.context("the table cannot be made")?;
        Ok(Self(pool))
    }

    /// Inserts the events of one write, and returns the position of the last one.
    pub(super) async fn insert(&self, mut rows: Vec<Row>) -> Result<u64, sqlx::Error> {
        if rows.len() != 1 {
            return Ok(self.insert_many(rows).await?.last().copied().unwrap_or(0));
        }
        let row = rows.pop().expect("there is one");
        let inserted = sqlx::query(INSERT)
            .bind(row.stream)
            .bind(row.revision)
            .bind(row.id)
            .bind(row.kind)
            .bind(row.content_type)
            .bind(&row.metadata[..])
            .bind(&row.data[..])
            .fetch_one(&self.0)
            .await?;
        Ok(inserted.get::<i64, _>(0).cast_unsigned())
    }

    /// Inserts all rows with one statement, or none, and returns their positions.
    pub(super) async fn insert_many(&self, rows: Vec<Row>) -> Result<Vec<u64>, sqlx::Error> {
        fn column<T>(rows: &[Row], field: impl Fn(&Row) -> T) -> Vec<T> {
            rows.iter().map(field).collect()
        }
        let inserted = sqlx::query(INSERT_MANY)
            .bind(column(&rows, |row| row.stream.clone()))
            .bind(column(&rows, |row| row.revision))
            .bind(column(&rows, |row| row.id))
            .bind(column(&rows, |row| row.kind.clone()))
            .bind(column(&rows, |row| row.content_type.clone()))
            .bind(column(&rows, |row| row.metadata.to_vec()))
            .bind(column(&rows, |row| row.data.to_vec()))
            .fetch_all(&self.0)
            .await?;
        Ok(inserted.iter().map(|row| row.get::<i64, _>(0).cast_unsigned()).collect())
    }
}
