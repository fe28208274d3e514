-- Bots: API tokens, webhooks, and what became of their deliveries.

-- The API tokens that were not revoked. Their secrets are stored nowhere.
create table api_token (
  token_id uuid primary key,
  user_id uuid not null,
  -- What the person calls it; null once erased.
  name text,
  scopes text[] not null,
  created_at timestamptz not null,
  -- Null: for ever.
  expires_at timestamptz,
  -- Null: it was not used yet.
  last_used_on date,
  position log_position not null
);
create index api_token_of_user on api_token (user_id, token_id);
alter table api_token enable row level security;
create policy reader on api_token for select to roundtable_reader
  using (user_id = (select reader()));
grant select on api_token to roundtable_reader;

-- The webhooks that were not removed.
create table webhook (
  webhook_id uuid primary key,
  owner_id uuid not null,
  -- Null: it is told of everything.
  conversation_id uuid,
  -- Null once erased.
  url text,
  -- Empty: all.
  types text[] not null,
  -- Why it is told of nothing: `asked`, `failing`, `gone` or `rights_lost`; null while it is.
  disabled text,
  disabled_at timestamptz,
  created_at timestamptz not null,
  -- How often it was to be told again.
  replays integer not null default 0,
  -- Of its making.
  position log_position not null
);
create index webhook_owner on webhook (owner_id, webhook_id);
create index webhook_conversation on webhook (conversation_id) where conversation_id is not null;
alter table webhook enable row level security;
create policy reader on webhook for select to roundtable_reader
  using (
    owner_id = (select reader())
    or conversation_id in (select reader_leads())
    or (select reader_is_admin())
  );
grant select on webhook to roundtable_reader;

-- What follows is not derived from the log and is never rebuilt, so that nobody is told twice.

-- How far each webhook was told, and who is telling it.
create table webhook_lane (
  webhook_id uuid primary key,
  -- Everything up to here was taken, or is nothing for it.
  position log_position not null,
  -- How many of the webhook's replays were begun.
  replays integer not null default 0,
  -- How often the next event was tried.
  attempts integer not null default 0,
  -- Since when nothing was taken.
  failing_since timestamptz,
  -- The next event is not tried before.
  due_at timestamptz not null default now(),
  -- So long one process works on it, and no other.
  claimed_by uuid,
  claimed_until timestamptz
) with (fillfactor = 50);
alter table webhook_lane enable row level security;
create policy reader on webhook_lane for select to roundtable_reader
  using (webhook_id in (select w.webhook_id from webhook w));
grant select on webhook_lane to roundtable_reader;

-- What was tried, of the last days.
create table webhook_attempt (
  number bigint generated always as identity primary key,
  webhook_id uuid not null,
  event_id uuid not null,
  event_type text not null,
  position log_position not null,
  attempt integer not null,
  attempted_at timestamptz not null,
  duration_ms integer not null,
  -- What was answered; null where nothing was.
  status integer,
  delivered boolean not null,
  -- Why it was not taken.
  reason text
);
create index webhook_attempt_of on webhook_attempt (webhook_id, number);
create index webhook_attempt_age on webhook_attempt (attempted_at);
alter table webhook_attempt enable row level security;
create policy reader on webhook_attempt for select to roundtable_reader
  using (webhook_id in (select w.webhook_id from webhook w));
grant select on webhook_attempt to roundtable_reader;
