-- Messages with all that belongs to them, and their search.
--
-- What is here is made anew from the log: rows of before this version have no system rows between
-- them. Projections without a checkpoint begin at the start of the log.
truncate message, message_counter, read_cursor, read_cursor_counter;
delete from projection_checkpoint where projection in ('message', 'read_cursor');
delete from parked_event where projection in ('message', 'read_cursor');

-- Of which message a frame of the change feed tells what it said: it does so only until the message
-- says something else, or is deleted.
alter table change_feed_entry add column message_id uuid;
update change_feed_entry set message_id = (frame::json -> 'data' ->> 'message')::uuid
where frame::json ->> 'type' = 'message.sent';
create index change_feed_entry_message on change_feed_entry (message_id)
  where message_id is not null;

-- A row is a message of a person, or (kind `system`) something that happened in the conversation:
-- then its id is that of the event, its sender whoever did it, `system` says what, and `text` is
-- the title, where it is about one.
alter table message
  -- How many messages of people there are up to this row: what unread counts go by. Ordinals
  -- number all rows.
  add column number bigint not null,
  add column kind text not null default 'text'
    check (kind in ('text', 'image', 'file', 'emoji', 'system')),
  add column system jsonb check ((system is not null) = (kind = 'system')),
  add column edited_at timestamptz,
  -- Once deleted, it has no text, no mentions and no attachments.
  add column deleted_at timestamptz,
  add column deleted_by uuid,
  add column reply_to uuid,
  add column thread uuid,
  add column mentions uuid[] not null default '{}',
  add column attachments uuid[] not null default '{}';
create index message_thread on message (thread, ordinal) where thread is not null;

-- The newest message of a person in each conversation. Belongs to `message`.
alter table message_counter
  add column said_count bigint not null,
  add column last_ordinal bigint,
  add column last_at timestamptz;

-- In which months (UTC) a conversation has rows, and which: so that a page touches only the
-- partitions it needs. Belongs to `message`.
create table message_month (
  conversation_id uuid not null,
  month timestamptz not null,
  first_ordinal bigint not null,
  last_ordinal bigint not null,
  last_number bigint not null,
  primary key (conversation_id, month)
) with (fillfactor = 70);
alter table message_month enable row level security;
create policy reader on message_month for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on message_month to roundtable_reader;

-- What was sent before this is not kept (ROUNDTABLE_MESSAGE_RETENTION_DAYS): the beginning of a month.
-- It only ever rises, and every read model that keeps something of messages goes by it, so that
-- whatever is made anew from the log leaves out the same.
create table message_horizon (
  one boolean primary key default true check (one),
  horizon timestamptz not null
);
insert into message_horizon (horizon) values ('-infinity');

-- Up to where the rows of a conversation are before the horizon. Belongs to `message`.
create table message_floor (
  conversation_id uuid primary key,
  last_ordinal bigint not null,
  last_number bigint not null
);

-- The floors that all cursors of a conversation have risen to. Belongs to `read_cursor`.
create table read_cursor_floor (like message_floor including indexes);

-- Messages that were deleted: they are numbered, but nobody has them unread. Belongs to
-- `read_cursor`, so that unread counts are of one checkpoint.
create table uncounted_message (
  conversation_id uuid not null,
  number bigint not null,
  sender_id uuid not null,
  primary key (conversation_id, number)
);
alter table uncounted_message enable row level security;
create policy reader on uncounted_message for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on uncounted_message to roundtable_reader;

-- The messages of others that a member has not read: exact, from the numbers of messages. Only
-- deleted ones are counted one by one.
create or replace view unread_count with (security_invoker = true) as
  select r.conversation_id, r.user_id,
    greatest(
      coalesce(c.message_count, 0) - r.unread_from - r.own_after - (
        select count(*) from uncounted_message u
        where u.conversation_id = r.conversation_id and u.number > r.unread_from
          and u.sender_id <> r.user_id
      ), 0) as unread
  from read_cursor r left join read_cursor_counter c using (conversation_id);

-- The newest message of a person in each conversation.
create view newest_message with (security_invoker = true) as
  select m.* from message_counter c
  join message m on m.conversation_id = c.conversation_id and m.ordinal = c.last_ordinal
    and m.sent_at = c.last_at;
grant select on newest_message to roundtable_reader;

-- The conversations in which the reader may see what was edited and who edited it.
create function reader_moderates() returns setof uuid
language sql stable security definer set search_path = public, pg_temp as $$
  select conversation_id from member where user_id = reader() and role in ('owner', 'admin')
$$;

-- What messages said before they were edited, from version 1 on. Belongs to `message`.
create table message_edit (
  message_id uuid not null,
  version bigint not null,
  conversation_id uuid not null,
  sender_id uuid not null,
  -- Null once erased.
  text text,
  -- Since when it said so.
  said_at timestamptz not null,
  primary key (message_id, version)
);
alter table message_edit enable row level security;
create policy reader on message_edit for select to roundtable_reader
  using (
    conversation_id in (select reader_conversations())
    and (sender_id = (select reader()) or conversation_id in (select reader_moderates()))
  );
grant select on message_edit to roundtable_reader;

create table reaction (
  message_id uuid not null,
  emoji text not null,
  user_id uuid not null,
  conversation_id uuid not null,
  reacted_at timestamptz not null,
  position log_position not null,
  -- Of the message.
  sent_at timestamptz not null,
  primary key (message_id, emoji, user_id)
);
create index reaction_sent on reaction using brin (sent_at);
alter table reaction enable row level security;
create policy reader on reaction for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on reaction to roundtable_reader;

create table pin (
  conversation_id uuid not null,
  message_id uuid not null,
  pinned_by uuid not null,
  pinned_at timestamptz not null,
  position log_position not null,
  -- Of the message.
  sent_at timestamptz not null,
  primary key (conversation_id, message_id)
);
create index pin_message on pin (message_id);
alter table pin enable row level security;
create policy reader on pin for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on pin to roundtable_reader;

-- Who is mentioned where, since the event at the position: the sending or an edit.
create table mention (
  user_id uuid not null,
  position log_position not null,
  message_id uuid not null,
  conversation_id uuid not null,
  -- Of the message.
  sent_at timestamptz not null,
  primary key (user_id, position)
);
create unique index mention_message on mention (message_id, user_id);
create index mention_sent on mention using brin (sent_at);
alter table mention enable row level security;
create policy reader on mention for select to roundtable_reader
  using (user_id = (select reader()) and conversation_id in (select reader_conversations()));
grant select on mention to roundtable_reader;

-- The words of messages. Each word begins with its conversation (`search_scope`), so that looking
-- a word up costs what there is of it in the reader's conversations, however common it is
-- elsewhere. In one piece, because a lookup goes through every piece once for each conversation.
create table message_search (
  message_id uuid primary key,
  conversation_id uuid not null,
  sender_id uuid not null,
  sent_at timestamptz not null,
  position log_position not null,
  words tsvector not null
);
-- A long list of what is not yet in the index would be read by every search.
create index message_search_words on message_search
  using gin (words) with (gin_pending_list_limit = 256);
create index message_search_position on message_search (position);
create index message_search_conversation on message_search (conversation_id, position);
create index message_search_sender on message_search (sender_id, position);
create index message_search_sent on message_search using brin (sent_at);
alter table message_search enable row level security;
create policy reader on message_search for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on message_search to roundtable_reader;

-- What the words of a conversation begin with: eight digits of its id. Two conversations may share
-- one, so whoever looks up compares the conversation too.
create function search_scope(conversation uuid) returns text
language sql immutable strict parallel safe as $$ select right(conversation::text, 8) $$;

create type search_hit as (
  message_id uuid, conversation_id uuid, sent_at timestamptz, position bytea);

-- The newest of the hits before a position, by the index of words, for a query for each
-- conversation. Conditions that another index knows too are written so that the planner, which
-- cannot know how many hits there are, does not choose it.
create function search_by_words(
  conversations uuid[], queries tsquery[], only_by uuid, before bytea, most bigint)
returns setof search_hit
language plpgsql stable set search_path = public, pg_temp set enable_seqscan = off set jit = off
as $$
begin
  return query
    select hit.* from unnest(conversations, queries) as mine (conversation_id, query)
    cross join lateral (
      select s.message_id, s.conversation_id, s.sent_at, s.position::bytea
      from message_search s
      where s.words @@ mine.query
        and (s.conversation_id = mine.conversation_id) is true
        and (s.position < before) is true
        and (only_by is null or s.sender_id = only_by)
      order by s.position desc limit most
    ) hit
    order by hit.position desc limit most;
end
$$;
revoke execute on function search_by_words from public;

-- The newest messages before a position, of the newest `scan`, that match.
create function search_newest(
  conversations uuid[], queries tsquery[], only_in uuid, only_by uuid, before bytea,
  scan bigint, most bigint, out seen bigint, out hits search_hit[])
language plpgsql stable set search_path = public, pg_temp set jit = off
  set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_custom_plan
as $$
begin
  with recent as materialized (
    select s.* from message_search s
    where s.position < before
      and (only_in is null or s.conversation_id = only_in)
      and (only_by is null or s.sender_id = only_by)
    order by s.position desc limit scan
  ),
  found as (
    select r.message_id, r.conversation_id, r.sent_at, r.position::bytea as position
    from recent r
    join unnest(conversations, queries) as mine (conversation_id, query)
      on mine.conversation_id = r.conversation_id
    where r.words @@ mine.query
    order by r.position desc limit most
  )
  select
    (select count(*) from recent),
    array(select row(f.*)::search_hit from found f order by f.position desc)
  into seen, hits;
end
$$;
revoke execute on function search_newest from public;

-- The newest messages before a position that match, in the conversations that the reader is in.
-- With the owner's rights, because `@@` is not known to be leakproof, so that row-level security
-- would keep it from using the index; who reads is asked here.
--
-- `template` is a tsquery whose words begin with `~`, where the conversation goes. A common word is
-- found among the newest messages, a few first and then more; a rare one by the index, where there
-- are then few hits to be sorted.
create function search_messages(
  template text, only_in uuid, only_by uuid, before bytea, most bigint)
returns setof search_hit
language plpgsql stable security definer rows 50 set search_path = public, pg_temp
as $$
declare
  conversations uuid[];
  queries tsquery[];
  scan bigint;
  newest record;
begin
  select array_agg(m.conversation_id),
    array_agg(replace(template, '~', search_scope(m.conversation_id))::tsquery)
  into conversations, queries
  from member m
  where m.user_id = reader() and (only_in is null or m.conversation_id = only_in);
  if conversations is null then
    return;
  end if;
  foreach scan in array array[most * 8, most * 150] loop
    newest := search_newest(
      conversations, queries, only_in, only_by, before, scan, most);
    if cardinality(newest.hits) >= most or newest.seen < scan then
      return query select h.* from unnest(newest.hits) as h;
      return;
    end if;
  end loop;
  return query select * from search_by_words(conversations, queries, only_by, before, most);
end
$$;

-- Whether there are rows of months that ended before a moment's month began.
create function has_messages_before(moment timestamptz) returns boolean
language sql stable as $$
  select exists (
      select from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'message'::regclass and c.relname <> 'message_default'
        and c.relname < 'message_' || to_char(date_trunc('month', moment, 'UTC') at time zone 'UTC',
          'YYYY_MM')
    )
    or exists (select from message_default where sent_at < date_trunc('month', moment, 'UTC'))
$$;

-- Drops the partitions of the months before that of a moment, and what `message` keeps beside them.
-- What other read models keep of these messages goes in their own upkeep. The lock that keeps readers
-- out is taken last: nothing is worked on under it.
create function drop_messages_before(moment timestamptz) returns void
language plpgsql as $$
declare
  horizon timestamptz := date_trunc('month', moment, 'UTC');
  partition text;
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
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'message'::regclass and c.relname <> 'message_default'
      and c.relname < 'message_' || to_char(horizon at time zone 'UTC', 'YYYY_MM')
  loop
    execute format('drop table %I', partition);
  end loop;
end
$$;
revoke execute on function drop_messages_before from public;
