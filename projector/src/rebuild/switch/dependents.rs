//! What depends on tables by their identity: told by the catalogue of Postgres, dropped before the
//! tables are exchanged, and made anew for those that take their names.

use sqlx::{FromRow, PgConnection};

use crate::rebuild::tables::execute;

/// The statements that drop what depends on some tables, and those that make it again.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    drop: Vec<String>,
    make: Vec<String>,
}

#[derive(FromRow)]
struct Policy {
    name: String,
    table: String,
    permissive: bool,
    command: String,
    roles: String,
    using: Option<String>,
    check: Option<String>,
}

#[derive(FromRow)]
struct View {
    name: String,
    definition: String,
    options: String,
}

impl Dependents {
    /// Those of these tables, which are in `public`, as is the search path: so expressions name what
    /// they are about without a schema.
    pub(super) async fn of(db: &mut PgConnection, tables: &[&str]) -> Result<Self, sqlx::Error> {
        let mut found = Self::default();
        let views = found.views(db, tables).await?;
        found.policies(db, tables).await?;
        let names: Vec<&str> = tables.iter().copied().chain(views.iter().map(|it| &**it)).collect();
        found.grants(db, &names).await?;
        Ok(found)
    }

    pub(super) async fn drop(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        for statement in &self.drop {
            execute(db, statement).await?;
        }
        Ok(())
    }

    pub(super) async fn make(&self, db: &mut PgConnection) -> Result<(), sqlx::Error> {
        for statement in &self.make {
            execute(db, statement).await?;
        }
        Ok(())
    }

    /// Views of the tables, and views of these: the last are dropped first.
    async fn views(
        &mut self,
        db: &mut PgConnection,
        tables: &[&str],
    ) -> Result<Vec<String>, sqlx::Error> {
        let views: Vec<View> = sqlx::query_as(
            "with recursive dependent (oid, depth) as (
               select t::regclass::oid, 0 from unnest($1::text[]) as t
               union
               select r.ev_class, depth + 1
               from dependent join pg_depend d
                 on d.refclassid = 'pg_class'::regclass and d.refobjid = dependent.oid
                   and d.classid = 'pg_rewrite'::regclass
               join pg_rewrite r on r.oid = d.objid and r.ev_class <> dependent.oid
             )
             select c.oid::regclass::text as name, pg_get_viewdef(c.oid) as definition,
               coalesce(array_to_string(c.reloptions, ', '), 'security_invoker = false') as options
             from dependent join pg_class c using (oid) where c.relkind = 'v'
             group by c.oid, c.reloptions order by max(depth), 1",
        )
        .bind(tables)
        .fetch_all(db)
        .await?;
        self.drop.extend(views.iter().rev().map(|view| format!("drop view {}", view.name)));
        self.make.extend(views.iter().map(|View { name, definition, options }| {
            format!("create view {name} with ({options}) as {definition}")
        }));
        Ok(views.into_iter().map(|view| view.name).collect())
    }

    /// The policies of the tables, and those of other tables that ask these.
    async fn policies(
        &mut self,
        db: &mut PgConnection,
        tables: &[&str],
    ) -> Result<(), sqlx::Error> {
        let policies: Vec<Policy> = sqlx::query_as(
            "select quote_ident(p.polname) as name, p.polrelid::regclass::text as table,
               p.polpermissive as permissive,
               case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                 when 'd' then 'delete' else 'all' end as command,
               (select string_agg(coalesce(quote_ident(r.rolname), 'public'), ', ')
                from unnest(p.polroles) as role (oid) left join pg_roles r on r.oid = role.oid)
                 as roles,
               pg_get_expr(p.polqual, p.polrelid) as using,
               pg_get_expr(p.polwithcheck, p.polrelid) as check
             from pg_policy p
             where exists (
               select from pg_depend d
               where d.classid = 'pg_policy'::regclass and d.objid = p.oid
                 and d.refclassid = 'pg_class'::regclass
                 and d.refobjid = any(
                   select t::regclass::oid from unnest($1::text[]) as t)
             )
             order by 2, 1",
        )
        .bind(tables)
        .fetch_all(&mut *db)
        .await?;
        for table in tables {
            let secured: bool =
                sqlx::query_scalar("select relrowsecurity from pg_class where oid = $1::regclass")
                    .bind(table)
                    .fetch_one(&mut *db)
                    .await?;
            if secured {
                self.make.push(format!("alter table {table} enable row level security"));
            }
        }
        for Policy { name, table, permissive, command, roles, using, check } in policies {
            self.drop.push(format!("drop policy {name} on {table}"));
            let kind = if permissive { "permissive" } else { "restrictive" };
            let using = using.map(|it| format!(" using ({it})")).unwrap_or_default();
            let check = check.map(|it| format!(" with check ({it})")).unwrap_or_default();
            self.make.push(format!(
                "create policy {name} on {table} as {kind} for {command} to {roles}{using}{check}"
            ));
        }
        Ok(())
    }

    /// What others may do with tables and views, and with their columns.
    async fn grants(&mut self, db: &mut PgConnection, names: &[&str]) -> Result<(), sqlx::Error> {
        let grants: Vec<String> = sqlx::query_scalar(
            "select format('grant %s%s on %s to %s%s', a.privilege_type, a.columns,
               a.oid::regclass, coalesce(quote_ident(r.rolname), 'public'),
               case when a.is_grantable then ' with grant option' else '' end)
             from (
               select c.oid, c.relowner, '' as columns, acl.*
               from pg_class c, aclexplode(c.relacl) acl
               union all
               select c.oid, c.relowner, format(' (%I)', t.attname), acl.*
               from pg_class c join pg_attribute t on t.attrelid = c.oid,
                 aclexplode(t.attacl) acl
               where t.attnum > 0
             ) a left join pg_roles r on r.oid = a.grantee
             where a.oid = any(select t::regclass::oid from unnest($1::text[]) as t)
               and a.grantee <> a.relowner",
        )
        .bind(names)
        .fetch_all(db)
        .await?;
        self.make.extend(grants);
        Ok(())
    }
}
