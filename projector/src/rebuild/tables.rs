//! The schemas beside the live one: tables of the same shape, made from what Postgres knows of the
//! live ones, so that no definition is written twice.

use anyhow::{Context as _, Result};
use sqlx::{Connection, Executor, PgConnection};

use super::{Model, Slot};
use crate::projections::Table;

/// Makes the schema of a projection, with empty tables.
pub(super) async fn make(db: &mut PgConnection, model: &Model, together: &[&str]) -> Result<()> {
    let schema = Slot::Next.schema(model.name);
    let mut transaction = db.begin().await?;
    execute(&mut transaction, &format!("create schema {schema}")).await?;
    for table in model.tables {
        make_table(&mut transaction, &schema, table)
            .await
            .with_context(|| format!("{schema}.{} cannot be made", table.name))?;
    }
    make_books(&mut transaction, &schema).await?;
    sqlx::query(&format!(
        "insert into {schema}.projection_checkpoint (projection, position, version)
         values ($1, decode(repeat('00', 16), 'hex'), $2)"
    ))
    .bind(model.name)
    .bind(model.version)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("insert into public.projection_rebuild (projection, together) values ($1, $2)")
        .bind(model.name)
        .bind(together)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// A checkpoint and parked events of its own.
pub(super) async fn make_books(db: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    for table in ["projection_checkpoint", "parked_event"] {
        let make = format!("create table {schema}.{table} (like public.{table} including all)");
        execute(&mut *db, &make).await?;
    }
    Ok(())
}

/// How far each projection is, as one sees it that is built: with those that are built together
/// beside it.
pub(super) async fn make_views(
    db: &mut PgConnection,
    slot: Slot,
    together: &[&str],
) -> Result<(), sqlx::Error> {
    let beside: Vec<String> = together
        .iter()
        .map(|name| {
            let schema = slot.schema(name);
            format!("select projection, position from {schema}.projection_checkpoint union all ")
        })
        .collect();
    let names: Vec<String> = together.iter().map(|name| format!("'{name}'")).collect();
    let (beside, names) = (beside.concat(), names.join(", "));
    for name in together {
        let schema = slot.schema(name);
        let view = format!(
            "create or replace view {schema}.projection_reached as {beside}
             select projection, position from public.projection_checkpoint
             where projection not in ({names})"
        );
        execute(&mut *db, &view).await?;
    }
    Ok(())
}

async fn make_table(db: &mut PgConnection, schema: &str, table: &Table) -> Result<(), sqlx::Error> {
    let (live, next) = (format!("public.{}", table.name), format!("{schema}.{}", table.name));
    let (partitioned, options): (Option<String>, Option<String>) = sqlx::query_as(
        "select pg_get_partkeydef(oid), array_to_string(reloptions, ', ') from pg_class
         where oid = $1::regclass",
    )
    .bind(&live)
    .fetch_one(&mut *db)
    .await?;
    let partition = partitioned.map(|key| format!(" partition by {key}")).unwrap_or_default();
    let options = options.map(|options| format!(" with ({options})")).unwrap_or_default();
    let make = format!(
        "create table {next} (like {live} including defaults including constraints
           including generated including storage){partition}{options}"
    );
    execute(&mut *db, &make).await?;
    for (name, definition) in constraints(&mut *db, &live).await? {
        let add = format!("alter table {next} add constraint {name} {definition}");
        execute(&mut *db, &add).await?;
    }
    make_indexes(&mut *db, schema, table, &|name| !table.late.contains(&name)).await?;
    for partition in default_partitions(&mut *db, &live).await? {
        let make = format!("create table {schema}.{partition} partition of {next} default");
        execute(&mut *db, &make).await?;
    }
    if table.seeded {
        execute(&mut *db, &format!("insert into {next} select * from {live}")).await?;
    }
    Ok(())
}

/// Makes the indexes of the live table that the next one does not have yet.
pub(super) async fn make_indexes(
    db: &mut PgConnection,
    schema: &str,
    table: &Table,
    wanted: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(), sqlx::Error> {
    // A definition names the table without its schema where the search path leads to it.
    let mut transaction = db.begin().await?;
    execute(&mut transaction, "set local search_path = public").await?;
    let missing: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, pg_get_indexdef(c.oid, 0, true)
         from pg_index i join pg_class c on c.oid = i.indexrelid
         where i.indrelid = ('public.' || $1)::regclass
           and not exists (select from pg_constraint k where k.conindid = c.oid)
           and not exists (
             select from pg_class there join pg_namespace n on n.oid = there.relnamespace
             where n.nspname = $2 and there.relname = c.relname
           )
         order by 1",
    )
    .bind(table.name)
    .bind(schema)
    .fetch_all(&mut *transaction)
    .await?;
    execute(&mut transaction, &format!("set local search_path = {schema}, public")).await?;
    execute(&mut transaction, "set local maintenance_work_mem = '256MB'").await?;
    for (name, definition) in missing {
        if wanted(&name) {
            execute(&mut transaction, &definition.replace(" ON ONLY ", " ON ")).await?;
        }
    }
    transaction.commit().await
}

async fn constraints(
    db: &mut PgConnection,
    live: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "select quote_ident(conname), pg_get_constraintdef(oid) from pg_constraint
         where conrelid = $1::regclass and contype in ('p', 'u', 'x') order by 1",
    )
    .bind(live)
    .fetch_all(db)
    .await
}

async fn default_partitions(db: &mut PgConnection, live: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select c.relname::text from pg_partitioned_table p join pg_class c on c.oid = p.partdefid
         where p.partrelid = $1::regclass",
    )
    .bind(live)
    .fetch_all(db)
    .await
}

/// Runs a statement that was put together here, of names of ours alone.
pub(super) async fn execute(db: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    db.execute(statement).await.map(|_| ())
}
