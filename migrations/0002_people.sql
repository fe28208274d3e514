-- Read models of people and of what is between them.

-- What everybody signed in may know of a person. Erased fields are null. No e-mail addresses.
create table user_profile (
  user_id uuid primary key,
  handle text,
  name text,
  bio text,
  created_at timestamptz not null,
  position log_position not null
);
create index user_profile_handle on user_profile (handle);
alter table user_profile enable row level security;
create policy reader on user_profile for select to roundtable_reader
  using ((select reader()) is not null);
grant select on user_profile to roundtable_reader;

-- Two rows for each friendship.
create table friend_list (
  user_id uuid not null,
  friend_id uuid not null,
  since timestamptz not null,
  position log_position not null,
  primary key (user_id, friend_id)
);
alter table friend_list enable row level security;
create policy reader on friend_list for select to roundtable_reader
  using (user_id = (select reader()));
grant select on friend_list to roundtable_reader;

-- Requests that nobody has answered yet.
create table friend_request (
  from_id uuid not null,
  to_id uuid not null,
  requested_at timestamptz not null,
  position log_position not null,
  primary key (from_id, to_id)
);
create index friend_request_incoming on friend_request (to_id, from_id);
alter table friend_request enable row level security;
create policy reader on friend_request for select to roundtable_reader
  using ((select reader()) in (from_id, to_id));
grant select on friend_request to roundtable_reader;
