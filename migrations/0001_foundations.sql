-- What every read model stands on: positions, checkpoints, parked events, the reader's role.
--
-- Two roles work here. The owner of the tables (projector, gateway, migrations) is not held by
-- row-level security. `roundtable_reader` (query-api) is: it sees what the person may see whose id
-- is in the setting `roundtable.reader` of its transaction. Roles belong to the whole server, so
-- another database may make this one at the same moment.
do $$
begin
  if not exists (select from pg_roles where rolname = 'roundtable_reader') then
    create role roundtable_reader nologin nobypassrls;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;

-- A position is 16 bytes: commit and prepare position, big endian (`Position::to_bytes`), so the
-- order of the bytes is the order of the log.
create domain log_position as bytea check (octet_length(value) = 16);

-- The text of a position: "{commit}", or "{commit}/{prepare}" where the two differ.
create function position_text(place bytea) returns text
language sql immutable strict parallel safe as $$
  select case when commit = prepare then commit::text else commit || '/' || prepare end
  from (
    select
      case when c < 0 then c::numeric + 18446744073709551616 else c::numeric end as commit,
      case when p < 0 then p::numeric + 18446744073709551616 else p::numeric end as prepare
    from (
      select
        ('x' || encode(substr(place, 1, 8), 'hex'))::bit(64)::bigint as c,
        ('x' || encode(substr(place, 9, 8), 'hex'))::bit(64)::bigint as p
    ) halves
  ) unsigned
$$;

-- Whose eyes the transaction reads with; null for nobody.
create function reader() returns uuid
language sql stable parallel safe as $$
  select nullif(current_setting('roundtable.reader', true), '')::uuid
$$;

-- How far each projection got: everything up to and including this position is in its tables.
-- `NOTIFY roundtable_checkpoint, '{projection} {position text}'` goes with every change.
create table projection_checkpoint (
  projection text primary key,
  position log_position not null,
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
grant select on projection_checkpoint to roundtable_reader;

-- Events that a projection could not work on, and the later events of their streams. The
-- checkpoint has passed them; the events themselves are in the log.
create table parked_event (
  projection text not null,
  position log_position not null,
  stream text not null,
  revision bigint not null,
  event_id uuid not null,
  error text not null,
  parked_at timestamptz not null default now(),
  primary key (projection, position)
);
create index parked_event_stream on parked_event (projection, stream);
