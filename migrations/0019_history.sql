-- Looking back: where each event is, by what it is looked for, and who was friends with whom when.

-- One narrow row for each event of ours; what it says is in the log only. A million of them are some
-- 600 MB, of which two thirds are indexes.
create table event_index (
  position log_position primary key,
  event_id uuid not null,
  stream text not null,
  revision bigint not null,
  type text not null,
  category text not null,
  -- Who did it, and the one person it happened to, if that is somebody else.
  actor uuid not null,
  person_id uuid,
  conversation_id uuid,
  correlation uuid not null,
  causation uuid not null,
  recorded_at timestamptz not null
);
create index event_index_id on event_index (event_id);
create index event_index_correlation on event_index (correlation, position);
create index event_index_actor on event_index (actor, position);
create index event_index_person on event_index (person_id, position) where person_id is not null;
create index event_index_conversation on event_index (conversation_id, position)
  where conversation_id is not null;
create index event_index_category on event_index (category, position);
create index event_index_recorded_at on event_index (recorded_at, position);
-- What an event led to under another correlation: timers and deliveries. Few requests have more
-- than one step, so most rows say here what they say in `correlation`.
create index event_index_causation on event_index (causation) where causation <> correlation;
alter table event_index enable row level security;
create policy reader on event_index for select to roundtable_reader
  using ((select reader_is_admin()));
grant select on event_index to roundtable_reader;

-- The last event recorded at a moment or before; null before the first one. Everybody may know it: it
-- says when, and not what.
create function position_at(moment timestamptz) returns bytea
language sql stable security definer set search_path = public, pg_temp as $$
  select position from event_index where recorded_at <= moment
  order by recorded_at desc, position desc limit 1
$$;

-- When the last event up to a place was recorded; null before the first one.
create function moment_at(place bytea) returns timestamptz
language sql stable security definer set search_path = public, pg_temp as $$
  select recorded_at from event_index where position <= place order by position desc limit 1
$$;

-- Whether messages of a moment may have been dropped by retention.
create function is_before_message_horizon(moment timestamptz) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
  select coalesce((select moment < horizon from message_horizon), false)
$$;

-- From where to where each person was to another what they were: a `friend`, or somebody with a
-- request that was `incoming` or `outgoing`. At positions p with
-- `from_position <= p and (until_position is null or p < until_position)`.
create table friendship_interval (
  user_id uuid not null,
  other_id uuid not null,
  kind text not null check (kind in ('friend', 'incoming', 'outgoing')),
  since timestamptz not null,
  from_position log_position not null,
  until_position log_position,
  primary key (user_id, other_id, from_position)
);
alter table friendship_interval enable row level security;
create policy reader on friendship_interval for select to roundtable_reader
  using (user_id = (select reader()));
grant select on friendship_interval to roundtable_reader;
