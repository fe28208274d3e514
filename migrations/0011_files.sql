-- Read models of files, and what there is to do about their bytes.

-- The files that are there. What is removed has no row.
create table file (
  file_id uuid primary key,
  owner_id uuid not null,
  -- For whom it was uploaded; null for a picture that is to be an avatar.
  conversation_id uuid,
  -- Null once erased.
  name text,
  media_type text not null,
  bytes bigint not null,
  -- SHA-256 of what is stored, in hex: with the id, the key of the object.
  digest text not null,
  -- Of a picture, upright.
  width integer,
  height integer,
  uploaded_at timestamptz not null,
  position log_position not null
);
create index file_owner on file (owner_id, file_id) include (bytes);

-- The messages that a file came with, while they are shown.
create table file_link (
  file_id uuid not null,
  message_id uuid not null,
  conversation_id uuid not null,
  sent_at timestamptz not null,
  primary key (file_id, message_id)
);
create index file_link_sent on file_link using brin (sent_at);
create index file_link_message on file_link (message_id);

-- Whose picture a file is now.
create table file_avatar (
  user_id uuid primary key,
  file_id uuid not null
);
create index file_avatar_file on file_avatar (file_id);

alter table file_link enable row level security;
create policy reader on file_link for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on file_link to roundtable_reader;

-- Everybody signed in sees the pictures of others, and may know whose they are.
alter table file_avatar enable row level security;
create policy reader on file_avatar for select to roundtable_reader
  using ((select reader()) is not null);
grant select on file_avatar to roundtable_reader;

-- A file is read by its owner, by whoever may read a message that it came with, and, while it is
-- somebody's picture, by everybody signed in whom its owner does not block.
alter table file enable row level security;
create policy reader on file for select to roundtable_reader
  using (
    owner_id = (select reader())
    or exists (
      select from file_link l
      where l.file_id = file.file_id and l.conversation_id in (select reader_conversations())
    )
    or ((select reader()) is not null
      and owner_id not in (select reader_blocked_by())
      and exists (select from file_avatar a where a.file_id = file.file_id))
  );
grant select on file to roundtable_reader;

-- Bytes that have to go, because their file was removed. It is no read model: what is done stays
-- done, and a rebuild of the read models does not touch it.
create table file_removal (
  file_id uuid primary key,
  requested_at timestamptz not null,
  attempts integer not null default 0,
  next_at timestamptz not null,
  done_at timestamptz
);
create index file_removal_due on file_removal (next_at) where done_at is null;
