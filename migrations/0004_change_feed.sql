-- What clients missed: the live frames of the last days, and who was allowed to see them.

-- One row for each event and audience (`user:{uuid}` or `conversation:{uuid}`). The frame of an
-- event with many audiences is kept once, in `change_feed_frame`; read the view `change_feed`.
create table change_feed_entry (
  position log_position not null,
  audience text not null,
  frame text,
  recorded_at timestamptz not null,
  primary key (position, audience)
);
create index change_feed_entry_audience on change_feed_entry (audience, position);

create table change_feed_frame (
  position log_position primary key,
  frame text not null
);

-- When each person was in each conversation: they see its frames at positions p with
-- `from_position <= p and (until_position is null or p <= until_position)`.
create table change_feed_member (
  conversation_id uuid not null,
  user_id uuid not null,
  from_position log_position not null,
  until_position log_position,
  primary key (user_id, conversation_id, from_position)
);
create index change_feed_member_conversation on change_feed_member (conversation_id, user_id);

-- Frames up to and including this position were deleted by retention: who resumes from before it
-- has to reload.
create table change_feed_horizon (
  one boolean primary key default true check (one),
  position log_position not null
);
insert into change_feed_horizon (position) values ('\x00000000000000000000000000000000');
grant select on change_feed_horizon to roundtable_reader;

alter table change_feed_member enable row level security;
create policy reader on change_feed_member for select to roundtable_reader
  using (user_id = (select reader()));
grant select on change_feed_member to roundtable_reader;

alter table change_feed_entry enable row level security;
create policy reader on change_feed_entry for select to roundtable_reader
  using (
    case when starts_with(audience, 'user:') then audience = 'user:' || (select reader())
    else exists (
      select from change_feed_member m
      where m.user_id = (select reader())
        and m.conversation_id = substr(audience, 14)::uuid
        and m.from_position <= change_feed_entry.position
        and (m.until_position is null or change_feed_entry.position <= m.until_position)
    ) end
  );
grant select on change_feed_entry to roundtable_reader;

-- A frame belongs to whoever may see an entry of its event.
alter table change_feed_frame enable row level security;
create policy reader on change_feed_frame for select to roundtable_reader
  using (exists (
    select from change_feed_entry e where e.position = change_feed_frame.position
  ));
grant select on change_feed_frame to roundtable_reader;

create view change_feed with (security_invoker = true) as
  select e.position, e.audience, e.recorded_at,
    coalesce(
      e.frame,
      (select f.frame from change_feed_frame f where f.position = e.position)
    ) as frame
  from change_feed_entry e;
grant select on change_feed to roundtable_reader;
