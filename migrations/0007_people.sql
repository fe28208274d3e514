-- People: what they say of themselves, who finds them, and who blocks whom.

alter table user_profile
  -- Tags of BCP 47, as the person wrote them. Null while unsaid, or once erased.
  add column native_language text,
  add column learning_language text,
  add column location text,
  -- `{"preset": 1}` to 8, or `{"file": "{uuid}"}`.
  add column avatar jsonb,
  -- Whether they told everything that others need to find them.
  add column onboarded boolean not null default false,
  -- Until when they may do nothing, `infinity` for good: so long nobody finds them.
  add column suspended_until timestamptz,
  -- What languages and places are compared by: `pt-BR` and `PT` are one language.
  add column native_base text
    generated always as (lower(split_part(native_language, '-', 1))) stored,
  add column learning_base text
    generated always as (lower(split_part(learning_language, '-', 1))) stored,
  add column place text
    generated always as (nullif(lower(btrim(location)), '')) stored;

-- One for each way in which people are recommended (query-api, `recommended.rs`), each in the order
-- of ids, so that the nearest few are found without looking at the others.
create index user_profile_match on user_profile (native_base, learning_base, user_id)
  where onboarded;
create index user_profile_native on user_profile (native_base, user_id) where onboarded;
create index user_profile_learning on user_profile (learning_base, user_id) where onboarded;
create index user_profile_place on user_profile (place, user_id) where onboarded;

-- What only the person may know of themselves. Belongs to `user_profile`.
create table user_account (
  user_id uuid primary key,
  -- Null once erased.
  email text,
  role text not null default 'user' check (role in ('user', 'moderator', 'admin'))
);
alter table user_account enable row level security;
create policy reader on user_account for select to roundtable_reader
  using (user_id = (select reader()));
grant select on user_account to roundtable_reader;

-- What people are found by: the handle, and the name from each of its words on, all folded
-- (`service::fold`). Compared byte by byte, so that a prefix is a range. Belongs to `user_profile`.
create table user_search_term (
  term text collate "C" not null,
  user_id uuid not null,
  primary key (term, user_id)
);
create index user_search_term_user on user_search_term (user_id, term);
alter table user_search_term enable row level security;
create policy reader on user_search_term for select to roundtable_reader
  using ((select reader()) is not null);
grant select on user_search_term to roundtable_reader;

-- Who blocks whom. Only the blocker sees it.
create table block (
  blocker_id uuid not null,
  blocked_id uuid not null,
  blocked_at timestamptz not null,
  position log_position not null,
  primary key (blocker_id, blocked_id)
);
create index block_blocked on block (blocked_id, blocker_id);
alter table block enable row level security;
create policy reader on block for select to roundtable_reader
  using (blocker_id = (select reader()));
grant select on block to roundtable_reader;

-- The people who do not exist for the reader, because they block them. With the owner's rights: a
-- query has to leave out whom it may not know. Queries ask with `in`, so that it runs once.
create function reader_blocked_by() returns setof uuid
language sql stable security definer set search_path = public, pg_temp as $$
  select blocker_id from block where blocked_id = reader()
$$;
