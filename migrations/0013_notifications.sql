-- Notifications: what people were told, and how it was tried to reach them.

create table notification_log (
  notification_id uuid primary key,
  user_id uuid not null,
  -- `{"kind": "friend_request", "from": "{uuid}"}` and so on: ids, no personal data.
  about jsonb not null,
  -- The event that caused it.
  cause uuid not null,
  raised_at timestamptz not null,
  read_at timestamptz,
  -- What became of each way that was tried:
  -- `{"email": {"attempts": 2, "status": "delivered", "reason": null, "at": "..."}}`.
  channels jsonb not null default '{}',
  position log_position not null,
  unique (user_id, cause)
) with (fillfactor = 70);
create index notification_log_user on notification_log (user_id, position);
create index notification_log_unread on notification_log (user_id, position) where read_at is null;
alter table notification_log enable row level security;
create policy reader on notification_log for select to roundtable_reader
  using (user_id = (select reader()));
grant select on notification_log to roundtable_reader;

-- What follows is not derived from the log and is never rebuilt, so that nobody is told twice.

-- Up to where it was seen whom to tell. The first start sets it to the head of the log: nobody is
-- told of what was before.
create table notification_follower (
  one boolean primary key default true check (one),
  position log_position not null
) with (fillfactor = 50);

-- One row for each notification and way: what is to be tried, and what became of it.
create table notification_delivery (
  notification_id uuid not null,
  channel text not null check (channel in ('live', 'push', 'email')),
  user_id uuid not null,
  state text not null default 'waiting' check (state in ('waiting', 'done', 'dead')),
  -- Of the event that raised it.
  position log_position not null,
  attempts integer not null default 0,
  due_at timestamptz not null,
  -- So long one projector works on it, and no other.
  claimed_until timestamptz,
  -- Why the last attempt failed; never personal data.
  reason text,
  -- The browsers that have it, when others are tried again.
  reached uuid[] not null default '{}',
  done_at timestamptz,
  primary key (notification_id, channel)
) with (fillfactor = 70);
create index notification_delivery_due on notification_delivery (due_at) where state = 'waiting';
create index notification_delivery_done on notification_delivery (done_at) where state = 'done';

-- The dead letters: what was tried as often as it is tried, or will never work.
create view notification_dead as
  select notification_id, channel, user_id, attempts, reason, done_at as died_at
  from notification_delivery where state = 'dead';
