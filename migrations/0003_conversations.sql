-- Read models of conversations, the messages in them, and how far their members have read.

create table conversation (
  conversation_id uuid primary key,
  kind text not null check (kind in ('direct', 'group')),
  -- The title of a group; null for a direct conversation, or once erased.
  title text,
  opened_at timestamptz not null,
  position log_position not null,
  message_count bigint not null default 0,
  -- Of the newest message; null while there is none.
  last_message_position log_position,
  last_message_at timestamptz
) with (fillfactor = 70);

-- Who is in a conversation now.
create table member (
  conversation_id uuid not null,
  user_id uuid not null,
  role text not null check (role in ('owner', 'member')),
  joined_at timestamptz not null,
  position log_position not null,
  primary key (conversation_id, user_id)
);
create index member_user on member (user_id, conversation_id);

-- The conversations that the reader is in: with the owner's rights, because a policy of `member`
-- cannot ask `member` itself. Policies ask with `in`, so that it runs once for a query and not once
-- for a row.
create function reader_conversations() returns setof uuid
language sql stable security definer set search_path = public, pg_temp as $$
  select conversation_id from member where user_id = reader()
$$;

alter table member enable row level security;
create policy reader on member for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on member to roundtable_reader;

alter table conversation enable row level security;
create policy reader on conversation for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on conversation to roundtable_reader;

-- The messages, numbered from 1 in each conversation in the order of the log. One partition for
-- each month of `sent_at`, which is when the event was recorded.
create table message (
  conversation_id uuid not null,
  ordinal bigint not null,
  message_id uuid not null,
  sender_id uuid not null,
  -- Null once erased.
  text text,
  sent_at timestamptz not null,
  position log_position not null,
  primary key (conversation_id, ordinal, sent_at)
) partition by range (sent_at);
create index message_id on message (message_id);
-- Guards against a month that nobody made: nothing is refused, and the month takes its rows over
-- when it is made.
create table message_default partition of message default;

alter table message enable row level security;
create policy reader on message for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on message to roundtable_reader;

-- Makes the partition of the month that a moment is in (UTC), unless it is there.
create function make_message_partition(moment timestamptz) returns void
language plpgsql as $$
declare
  first timestamptz := date_trunc('month', moment, 'UTC');
  next timestamptz := date_trunc('month', first + interval '32 days', 'UTC');
  name text := 'message_' || to_char(first at time zone 'UTC', 'YYYY_MM');
begin
  if to_regclass(name) is not null then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtext('make_message_partition'));
  if to_regclass(name) is not null then
    return;
  end if;
  execute format(
    'create table %I (like message including defaults including constraints)', name);
  execute format(
    'with moved as (delete from message_default where sent_at >= %L and sent_at < %L returning *)
     insert into %I select * from moved', first, next, name);
  execute format(
    'alter table message attach partition %I for values from (%L) to (%L)', name, first, next);
end
$$;

-- How many messages each conversation has: the next ordinal less one. Belongs to `message`.
create table message_counter (
  conversation_id uuid primary key,
  message_count bigint not null
) with (fillfactor = 70);
alter table message_counter enable row level security;
create policy reader on message_counter for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on message_counter to roundtable_reader;

-- How far each person received and read a conversation, and what unread counts follow from.
-- A row is there for everybody who ever was in the conversation.
create table read_cursor (
  conversation_id uuid not null,
  user_id uuid not null,
  -- Everything up to these was delivered, or read. All zeros (START) while nothing was.
  delivered_position log_position not null default '\x00000000000000000000000000000000',
  read_position log_position not null default '\x00000000000000000000000000000000',
  delivered_ordinal bigint not null default 0,
  read_ordinal bigint not null default 0,
  -- Nothing up to this ordinal counts as unread: the larger of `read_ordinal` and the number of
  -- messages there were when the person came.
  unread_from bigint not null default 0,
  -- The person's own newest message, and how many of their own come after `unread_from`.
  own_last_ordinal bigint not null default 0,
  own_after bigint not null default 0,
  primary key (conversation_id, user_id)
) with (fillfactor = 70);
alter table read_cursor enable row level security;
create policy reader on read_cursor for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on read_cursor to roundtable_reader;

-- How many messages `read_cursor` has counted in each conversation. Belongs to `read_cursor`, so
-- that unread counts are of one checkpoint.
create table read_cursor_counter (
  conversation_id uuid primary key,
  message_count bigint not null
) with (fillfactor = 70);
alter table read_cursor_counter enable row level security;
create policy reader on read_cursor_counter for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on read_cursor_counter to roundtable_reader;

-- The messages of others that a member has not read: exact, from ordinals, no message is counted.
create view unread_count with (security_invoker = true) as
  select r.conversation_id, r.user_id,
    greatest(coalesce(c.message_count, 0) - r.unread_from - r.own_after, 0) as unread
  from read_cursor r left join read_cursor_counter c using (conversation_id);
grant select on unread_count to roundtable_reader;
