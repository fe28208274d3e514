-- The open log-ins of people: one for each device.
create table login (
  login_id uuid primary key,
  user_id uuid not null,
  -- What the device calls itself; null where it did not say, or was erased.
  device text,
  created_at timestamptz not null,
  refreshed_at timestamptz not null,
  -- From then on the refresh token is good no more.
  expires_at timestamptz not null,
  position log_position not null
);
create index login_of_user on login (user_id, login_id);
create index login_expiry on login (expires_at);
alter table login enable row level security;
create policy reader on login for select to roundtable_reader
  using (user_id = (select reader()));
grant select on login to roundtable_reader;
