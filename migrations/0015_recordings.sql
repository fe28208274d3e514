-- Recordings of calls, and the files that they became.

create table recording (
  call_id uuid not null,
  recording_id uuid not null,
  conversation_id uuid not null,
  started_by uuid not null,
  started_at timestamptz not null,
  -- Null while it runs.
  stopped_at timestamptz,
  cause text check (cause in ('stopped', 'withdrawn', 'newcomer', 'ended', 'node_lost')),
  -- Why it, or a part of it, could not be kept.
  failure text,
  position log_position not null,
  primary key (call_id, recording_id)
) with (fillfactor = 70);

-- The files of a recording that are there. Whose media is in a file owns it, and it goes when its
-- owner or a moderator removes it. Belongs to `recording`.
create table recording_file (
  file_id uuid primary key,
  call_id uuid not null,
  recording_id uuid not null,
  conversation_id uuid not null,
  -- Whose media is in it, and of which device; null if it is everybody's.
  user_id uuid,
  device_id uuid,
  -- What is heard and seen: `camera` (with the microphone), `screen`, or what the device called it.
  source text,
  milliseconds bigint not null,
  -- How long after the recording's begin it begins.
  offset_milliseconds bigint,
  stored_at timestamptz not null,
  position log_position not null
);
create index recording_file_call on recording_file (call_id, recording_id, position);
create index recording_file_user on recording_file (user_id);

-- A recording is for those who were in the call, as long as they are in its conversation: to them
-- everybody consented.
alter table recording enable row level security;
create policy reader on recording for select to roundtable_reader
  using (
    conversation_id in (select reader_conversations())
    and exists (
      select from call_person p
      where p.call_id = recording.call_id and p.user_id = (select reader())
        and p.outcome in ('called', 'accepted', 'joined')
    )
  );
grant select on recording to roundtable_reader;

-- And everybody may have what is recorded of themselves, whatever they left.
alter table recording_file enable row level security;
create policy reader on recording_file for select to roundtable_reader
  using (
    user_id = (select reader())
    or conversation_id in (select reader_conversations())
    and exists (
      select from call_person p
      where p.call_id = recording_file.call_id and p.user_id = (select reader())
        and p.outcome in ('called', 'accepted', 'joined')
    )
  );
grant select on recording_file to roundtable_reader;

-- Whoever sees that a file is of a recording may read it.
create policy recording on file for select to roundtable_reader
  using (exists (select from recording_file r where r.file_id = file.file_id));
