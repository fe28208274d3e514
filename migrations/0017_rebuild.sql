-- Rebuilding projections beside the live ones, and working on parked events.
--
-- The next version of a projection is built in the schema `next_{projection}`, in tables of the same
-- names; a version that was replaced is kept in `old_{projection}`. The SQL of projections names no
-- schema, so a connection whose search path begins with one of these works there. The switch moves
-- the tables in one transaction.

alter table projection_checkpoint
  -- Of the definition that the tables were built by: when the program has another one, it says so at
  -- its start.
  add column version integer not null default 1,
  -- Rises whenever the tables or the parked events were changed beside the runner: it reads again
  -- what it remembers of them.
  add column generation bigint not null default 0,
  -- The generation up to which what is cached of this read model was dropped.
  add column caches_generation bigint not null default 0;

-- How far each projection is whose tables are seen here: what another projection waits for. A rebuild
-- has a view of its own, in which the projections that are built together are seen.
create view projection_reached as
  select projection, position from projection_checkpoint;

-- The rebuilds that were begun, and not yet switched or dropped. What is built together sees each
-- other's next tables.
create table projection_rebuild (
  projection text primary key,
  together text[] not null,
  begun_at timestamptz not null default now()
);

alter table parked_event
  -- How often it was tried again, and when last.
  add column retries integer not null default 0,
  add column retried_at timestamptz;

-- Parked events are for the admins of the platform. An error may quote what the event says.
create function reader_is_admin() returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
  select exists (select from standing where user_id = reader() and role = 'admin')
$$;
alter table parked_event enable row level security;
create policy reader on parked_event for select to roundtable_reader
  using ((select reader_is_admin()));
grant select on parked_event to roundtable_reader;

-- As before, but the partition is made in the schema of the table `message` that is seen here.
create or replace function make_message_partition(moment timestamptz) returns void
language plpgsql as $$
declare
  first timestamptz := date_trunc('month', moment, 'UTC');
  next timestamptz := date_trunc('month', first + interval '32 days', 'UTC');
  place text := (select relnamespace::regnamespace::text from pg_class
    where oid = 'message'::regclass);
  name text := place || '.message_' || to_char(first at time zone 'UTC', 'YYYY_MM');
begin
  if to_regclass(name) is not null then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtext('make_message_partition'));
  if to_regclass(name) is not null then
    return;
  end if;
  execute format(
    'create table %s (like message including defaults including constraints)', name);
  execute format(
    'with moved as (
       delete from %s.message_default where sent_at >= %L and sent_at < %L returning *
     )
     insert into %s select * from moved', place, first, next, name);
  execute format(
    'alter table message attach partition %s for values from (%L) to (%L)', name, first, next);
end
$$;

-- As before, with the same care.
create or replace function drop_messages_before(moment timestamptz) returns void
language plpgsql as $$
declare
  horizon timestamptz := date_trunc('month', moment, 'UTC');
  partition regclass;
begin
  insert into message_floor as floor (conversation_id, last_ordinal, last_number)
  select conversation_id, max(last_ordinal), max(last_number) from message_month
  where month < horizon group by conversation_id
  on conflict (conversation_id) do update set
    last_ordinal = greatest(floor.last_ordinal, excluded.last_ordinal),
    last_number = greatest(floor.last_number, excluded.last_number);
  delete from message_month where month < horizon;
  delete from message_default where sent_at < horizon;
  for partition in
    select i.inhrelid from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'message'::regclass and c.relname <> 'message_default'
      and c.relname < 'message_' || to_char(horizon at time zone 'UTC', 'YYYY_MM')
  loop
    execute format('drop table %s', partition);
  end loop;
end
$$;
