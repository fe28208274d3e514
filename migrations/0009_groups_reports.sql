-- Groups: slow mode, invitations and bans. Moderation: what people may do on the whole platform,
-- and the reports that moderators work on.

alter table conversation add column slow_mode_seconds integer not null default 0;

-- The conversations that the reader is the owner or an admin of; see `reader_conversations`.
create function reader_leads() returns setof uuid
language sql stable security definer set search_path = public, pg_temp as $$
  select conversation_id from member where user_id = reader() and role in ('owner', 'admin')
$$;

-- Invitations. Their codes are derived, and stored nowhere.
create table invite (
  invite_id uuid primary key,
  conversation_id uuid not null,
  made_by uuid not null,
  made_at timestamptz not null,
  -- Null: for ever.
  expires_at timestamptz,
  -- Null: by any number of people.
  uses bigint,
  used bigint not null default 0,
  revoked_at timestamptz,
  position log_position not null
);
create index invite_conversation on invite (conversation_id, position);
alter table invite enable row level security;
create policy reader on invite for select to roundtable_reader
  using (conversation_id in (select reader_leads()));
grant select on invite to roundtable_reader;

-- Who may not come back into a conversation.
create table conversation_ban (
  conversation_id uuid not null,
  user_id uuid not null,
  banned_by uuid not null,
  banned_at timestamptz not null,
  position log_position not null,
  primary key (conversation_id, user_id)
);
alter table conversation_ban enable row level security;
create policy reader on conversation_ban for select to roundtable_reader
  using (conversation_id in (select reader_leads()));
grant select on conversation_ban to roundtable_reader;

-- What somebody who has the code of an invitation may know of what it leads to, before they are in:
-- with the owner's rights, because row-level security shows a conversation to its members only. The
-- code is checked by who asks; to know an invitation's id is to have a part of it.
create function invite_preview(invitation uuid) returns table (
  conversation_id uuid, kind text, title text, members bigint, expires_at timestamptz,
  uses bigint, used bigint, revoked boolean, is_member boolean, is_banned boolean
)
language sql stable security definer set search_path = public, pg_temp as $$
  select i.conversation_id, c.kind, c.title,
    (select count(*) from member m where m.conversation_id = i.conversation_id),
    i.expires_at, i.uses, i.used, i.revoked_at is not null,
    exists (
      select from member m where m.conversation_id = i.conversation_id and m.user_id = reader()
    ),
    exists (
      select from conversation_ban b
      where b.conversation_id = i.conversation_id and b.user_id = reader()
    )
  from invite i join conversation c on c.conversation_id = i.conversation_id
  where i.invite_id = invitation and reader() is not null
$$;

-- What people may do on the whole platform, of everybody for whom that was ever changed.
create table standing (
  user_id uuid primary key,
  role text not null default 'user' check (role in ('user', 'moderator', 'admin')),
  suspended_at timestamptz,
  -- Null, while `suspended_at` is not: for good.
  suspended_until timestamptz,
  suspended_by uuid,
  -- Null once erased.
  reason text,
  position log_position not null
);
create index standing_suspended on standing (user_id) where suspended_at is not null;

-- Whether the reader is a moderator or an admin of the platform; with the owner's rights, because
-- the policy of `standing` asks it.
create function reader_is_moderator() returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
  select exists (
    select from standing where user_id = reader() and role in ('moderator', 'admin')
  )
$$;

alter table standing enable row level security;
create policy reader on standing for select to roundtable_reader
  using (user_id = (select reader()) or (select reader_is_moderator()));
grant select on standing to roundtable_reader;

-- The reports: a queue while nobody has resolved them, and then what was decided.
create table report (
  report_id uuid primary key,
  reported_by uuid not null,
  kind text not null check (kind in ('user', 'message', 'conversation')),
  -- The person who is reported, or who sent the message.
  user_id uuid,
  conversation_id uuid,
  message_id uuid,
  reason text not null,
  -- Null once erased.
  text text,
  -- What the message said when it was reported; null for other reports, or once erased.
  quoted text,
  filed_at timestamptz not null,
  position log_position not null,
  verdict text check (verdict in ('dismissed', 'warned', 'removed', 'suspended')),
  -- Null once erased.
  note text,
  resolved_by uuid,
  resolved_at timestamptz
);
create index report_open on report (position) where resolved_at is null;
create index report_resolved on report (position) where resolved_at is not null;
alter table report enable row level security;
create policy reader on report for select to roundtable_reader
  using ((select reader_is_moderator()));
grant select on report to roundtable_reader;
