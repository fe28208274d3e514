-- Erasure: whose words stand where, so that they can be taken out, and what follows of an erasure.

-- Whose personal data is in the frame, if it is somebody's.
alter table change_feed_entry add column about uuid;

-- Whose the file was: an erasure waits until its bytes are gone.
alter table file_removal add column owner_id uuid;

-- Who gave the title.
alter table conversation add column titled_by uuid;

-- The erasures of the log and what was done about them.
create table erasure (
  user_id uuid primary key,
  -- Of the event that says so.
  position log_position not null,
  requested_by uuid not null,
  requested_at timestamptz not null,
  -- One projector works on it so long, and no other.
  claimed_until timestamptz,
  -- Why the last try failed; never personal data.
  failure text,
  certified_at timestamptz,
  -- The signed text, and its Ed25519 signature in base64.
  certificate text,
  signature text
);

-- What is kept for legal matters.
create table legal_hold (
  held_kind text not null check (held_kind in ('user', 'conversation')),
  held_id uuid not null,
  matter text not null,
  placed_by uuid not null,
  placed_at timestamptz not null,
  position log_position not null,
  primary key (held_id, matter)
);

alter table erasure enable row level security;
alter table legal_hold enable row level security;
grant select on erasure, legal_hold to roundtable_reader;

-- Only admins of the platform see either.
create policy admins on erasure for select to roundtable_reader using ((select reader_is_admin()));
create policy admins on legal_hold for select to roundtable_reader using ((select reader_is_admin()));
