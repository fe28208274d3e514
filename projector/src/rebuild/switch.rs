//! The switch: tables change their schemas, in one transaction, with everything that depends on which
//! table it is and not on what it is called: policies, grants and views.

use std::time::Duration;

use anyhow::{Result, ensure};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::compare::filled;
use super::tables::{execute, make_books};
use super::{Model, Slot};
use crate::runner::AWAITED;

mod dependents;

use dependents::Dependents;

/// How long readers may hold a table before they get it for themselves again: the first tries are
/// short, the later ones long enough that Postgres ends an autovacuum for them.
const LOCK: [&str; 2] = ["300ms", "1500ms"];
/// How many tries are short.
const SHORT: u32 = 8;
/// Longer than any read of ours takes.
const READERS: Duration = Duration::from_secs(6);

/// Makes the tables of a slot the live ones. The gate of the projections is closed, and both versions
/// are at the same position.
pub(super) async fn switch(
    db: &mut PgConnection,
    slot: Slot,
    models: &[Model],
    attempt: u32,
) -> Result<()> {
    let away = match slot {
        Slot::Next => Slot::Old,
        Slot::Old => Slot::Next,
    };
    let lock = LOCK[usize::from(attempt > SHORT)];
    execute(db, &format!("set local lock_timeout = '{lock}'; set local search_path = public"))
        .await?;
    let mut tables: Vec<&str> =
        models.iter().flat_map(|model| model.tables).map(|table| table.name).collect();
    tables.sort_unstable();
    execute(db, &format!("lock table {} in access exclusive mode", tables.join(", "))).await?;
    let dependents = Dependents::of(db, &tables).await?;
    dependents.drop(db).await?;
    drop_views(db, slot).await?;
    drop_views(db, away).await?;
    for model in models {
        exchange(db, model, slot, away).await?;
    }
    if away == Slot::Next {
        let together: Vec<&str> = models.iter().map(|model| model.name).collect();
        sqlx::query(
            "insert into projection_rebuild (projection, together) select unnest($1::text[]), $1",
        )
        .bind(together)
        .execute(&mut *db)
        .await?;
    }
    dependents.make(db).await?;
    for model in models {
        sqlx::query("select pg_notify($1, 'changed ' || $2)")
            .bind(AWAITED)
            .bind(model.name)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

async fn exchange(db: &mut PgConnection, model: &Model, slot: Slot, away: Slot) -> Result<()> {
    let name = model.name;
    let (from, to) = (slot.schema(name), away.schema(name));
    let level: Option<bool> = sqlx::query_scalar(&format!(
        "select n.position = l.position from {from}.projection_checkpoint n
         join projection_checkpoint l using (projection) where projection = $1"
    ))
    .bind(name)
    .fetch_optional(&mut *db)
    .await?;
    ensure!(level == Some(true), "{name} is not at the position of its other version");
    for table in model.tables {
        for carried in table.carried {
            execute(db, &filled(carried, "public", &from)).await?;
        }
    }
    drop_schema(db, &to).await?;
    execute(db, &format!("create schema {to}")).await?;
    make_books(db, &to).await?;
    for (here, there) in [("public", &*to), (&*from, "public")] {
        for table in model.tables {
            for relation in relations(db, here, table.name).await? {
                let go = format!("alter table {here}.{relation} set schema {there}");
                execute(db, &go).await?;
            }
        }
    }
    // The live row stays and with it the gate; only by whom the tables were built is another.
    execute(
        db,
        &format!(
            "insert into {to}.projection_checkpoint
             select * from projection_checkpoint where projection = '{name}';
             with gone as (delete from parked_event where projection = '{name}' returning *)
             insert into {to}.parked_event select * from gone;
             insert into parked_event select * from {from}.parked_event;
             update projection_checkpoint l set version = n.version, generation = l.generation + 1
             from {from}.projection_checkpoint n
             where l.projection = '{name}' and n.projection = '{name}';
             delete from projection_rebuild where projection = '{name}'"
        ),
    )
    .await?;
    drop_schema(db, &from).await
}

/// A table and its partitions, as a schema has them.
async fn relations(
    db: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select c.relname::text from pg_class c
         where c.oid = $1::regclass
           or c.oid in (select relid from pg_partition_tree($1::regclass))
         order by 1",
    )
    .bind(format!("{schema}.{table}"))
    .fetch_all(db)
    .await
}

/// Drops the versions of these projections that are not live. A job that works on them fails.
///
/// # Errors
/// When Postgres does not answer.
pub async fn discard(db: &mut PgConnection, names: &[&str], slot: Slot) -> Result<()> {
    drop_views(db, slot).await?;
    for name in names {
        drop_schema(db, &slot.schema(name)).await?;
        if slot == Slot::Next {
            sqlx::query("delete from public.projection_rebuild where projection = $1")
                .bind(name)
                .execute(&mut *db)
                .await?;
        }
    }
    Ok(())
}

/// Drops a schema of ours with its tables; nothing else may depend on them.
async fn drop_schema(db: &mut PgConnection, schema: &str) -> Result<()> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition",
    )
    .bind(schema)
    .fetch_all(&mut *db)
    .await?;
    if !tables.is_empty() {
        execute(db, &format!("drop table {}", tables.join(", "))).await?;
    }
    Ok(execute(db, &format!("drop schema if exists {schema}")).await?)
}

/// Drops the views of a slot: the next job makes those that it needs.
pub(super) async fn drop_views(db: &mut PgConnection, slot: Slot) -> Result<(), sqlx::Error> {
    let views: Vec<String> = sqlx::query_scalar(
        "select format('%I.projection_reached', n.nspname) from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         where c.relname = 'projection_reached' and c.relkind = 'v'
           and starts_with(n.nspname, $1)",
    )
    .bind(slot.schema(""))
    .fetch_all(&mut *db)
    .await?;
    if views.is_empty() {
        return Ok(());
    }
    execute(db, &format!("drop view {}", views.join(", "))).await
}

/// Waits for the transactions that began before now: a snapshot of before the last batches would find
/// less in the new tables than it found in the live ones. None of ours takes long; what does is no
/// reader of ours, and does not go by checkpoints.
pub(super) async fn readers_of_before_end(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut before: Vec<String> = sqlx::query_scalar(
        "select l.virtualtransaction from pg_stat_activity a
         join pg_locks l on l.pid = a.pid and l.locktype = 'virtualxid' and l.granted
         where a.datname = current_database() and a.backend_xmin is not null
           and a.pid <> pg_backend_pid()
           and a.application_name not like 'projector %'
           and a.application_name not like 'rebuild%'",
    )
    .fetch_all(&mut *db)
    .await?;
    let deadline = Instant::now() + READERS;
    while !before.is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
        before = sqlx::query_scalar(
            "select virtualtransaction from pg_locks
             where locktype = 'virtualxid' and granted and virtualtransaction = any($1)",
        )
        .bind(&before)
        .fetch_all(&mut *db)
        .await?;
    }
    Ok(())
}

/// Whether a lock was not available in time, or a deadlock was resolved at our cost.
pub(super) fn is_busy(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<sqlx::Error>();
    let code = error.and_then(|error| error.as_database_error()?.code());
    code.is_some_and(|code| code == "55P03" || code == "40P01")
}
