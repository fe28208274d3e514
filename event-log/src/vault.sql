-- The key vault: the one thing in Postgres that cannot be derived from the log.
-- Every event log runs this at its start; the lock keeps two of them from making the same table.
select pg_advisory_xact_lock(7241880120640193);

create schema if not exists vault;
revoke all on schema vault from public;

create table if not exists vault.person_key (
    subject      uuid primary key,
    -- The person's data key, sealed with the master key; null once it is destroyed.
    wrapped      bytea,
    created_at   timestamptz not null default now(),
    destroyed_at timestamptz,
    check ((wrapped is null) = (destroyed_at is not null))
);

-- Up to where the erasures of the log are applied here: a vault that comes from a backup is behind.
create table if not exists vault.erasures_applied (
    one      boolean primary key default true check (one),
    position bytea not null
);
