-- Calls: what they were, who was in them, and what is on in those that go on.

create table call_history (
  call_id uuid primary key,
  conversation_id uuid not null,
  started_by uuid not null,
  media text not null check (media in ('audio', 'video')),
  direct boolean not null,
  carrier text not null check (carrier in ('peers', 'sfu')),
  -- The SFU node that carries it, if one does.
  node text,
  status text not null check (status in ('ringing', 'connected', 'ended')),
  -- How it ended.
  cause text check (
    cause in ('completed', 'declined', 'cancelled', 'missed', 'busy', 'failed', 'lost', 'idle')
  ),
  ended_by uuid,
  -- Whether it was asked whether it may be recorded, and which recording runs.
  consent_asked boolean not null default false,
  recording_id uuid,
  started_at timestamptz not null,
  connected_at timestamptz,
  ended_at timestamptz,
  position log_position not null
) with (fillfactor = 70);
create index call_history_active on call_history (conversation_id) where status <> 'ended';

-- What a call was to each person that it concerned: one row for each, which is their history.
-- Belongs to `call_history`.
create table call_person (
  call_id uuid not null,
  user_id uuid not null,
  conversation_id uuid not null,
  outcome text not null check (
    outcome in ('called', 'ringing', 'accepted', 'joined', 'declined', 'missed', 'busy')
  ),
  -- What they answered when they were asked to be recorded.
  agrees boolean,
  -- That of the call's begin: the order of the history.
  position log_position not null,
  primary key (call_id, user_id)
) with (fillfactor = 70);
create index call_person_history on call_person (user_id, position desc);

-- The devices that are or were in a call, and what of them is on. Belongs to `call_history`.
create table call_participant (
  call_id uuid not null,
  user_id uuid not null,
  -- The device: its log-in.
  device_id uuid not null,
  conversation_id uuid not null,
  microphone boolean not null,
  camera boolean not null,
  screen boolean not null,
  -- Whether it is connected to the SFU.
  in_media boolean not null default false,
  joined_at timestamptz not null,
  -- Null while it is in the call.
  left_at timestamptz,
  cause text check (cause in ('left', 'lost', 'failed', 'removed', 'ended')),
  -- By which event it came: the order in which it offers.
  position log_position not null,
  primary key (call_id, user_id, device_id)
) with (fillfactor = 70);
create index call_participant_inside on call_participant (call_id, position) where left_at is null;

-- A call is known in its conversation, and to each person that it concerned.
alter table call_person enable row level security;
create policy reader on call_person for select to roundtable_reader
  using (
    user_id = (select reader()) or conversation_id in (select reader_conversations())
  );
grant select on call_person to roundtable_reader;

alter table call_history enable row level security;
create policy reader on call_history for select to roundtable_reader
  using (
    conversation_id in (select reader_conversations())
    or exists (
      select from call_person p
      where p.call_id = call_history.call_id and p.user_id = (select reader())
    )
  );
grant select on call_history to roundtable_reader;

alter table call_participant enable row level security;
create policy reader on call_participant for select to roundtable_reader
  using (
    user_id = (select reader()) or conversation_id in (select reader_conversations())
  );
grant select on call_participant to roundtable_reader;

-- The calls that go on, and how long somebody may be alone in each. Belongs to `timer`.
create table timer_call (
  call_id uuid primary key,
  conversation_id uuid not null,
  idle_seconds integer not null
);
create index timer_call_conversation on timer_call (conversation_id);
