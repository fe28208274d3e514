-- Study sessions and who is in them, what is on their whiteboards, and the timers.

create table study_session (
  session_id uuid primary key,
  conversation_id uuid not null,
  tutor_id uuid not null,
  -- Null once erased.
  title text,
  subject text not null,
  description text,
  -- Seats, the tutor's included, who always has one.
  capacity integer not null,
  starts timestamptz not null,
  status text not null check (status in ('scheduled', 'active', 'completed', 'cancelled')),
  -- How many are in it now, and how many of them are not the tutor: counted here, because not
  -- everybody may see who they are.
  participants integer not null default 0,
  guests integer not null default 0,
  scheduled_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  position log_position not null,
  -- What subjects are compared by. A column, because under row-level security no index of an
  -- expression is used whose function is not known to be leakproof.
  subject_folded text generated always as (lower(subject)) stored
) with (fillfactor = 70);
create index study_session_starts on study_session (starts, session_id);
create index study_session_open on study_session (starts, session_id)
  where status in ('scheduled', 'active');
create index study_session_subject on study_session (subject_folded, starts, session_id);
create index study_session_tutor on study_session (tutor_id, starts, session_id);
create index study_session_conversation on study_session (conversation_id);

-- Sessions are announced to everybody who is signed in.
alter table study_session enable row level security;
create policy reader on study_session for select to roundtable_reader
  using ((select reader()) is not null);
grant select on study_session to roundtable_reader;

-- The latest stay of each person in each session. Belongs to `study_session`.
create table study_participant (
  session_id uuid not null,
  user_id uuid not null,
  conversation_id uuid not null,
  joined_at timestamptz not null,
  -- Null while they are in it.
  left_at timestamptz,
  cause text check (cause in ('left', 'lost', 'removed', 'ended')),
  position log_position not null,
  primary key (session_id, user_id)
) with (fillfactor = 70);
create index study_participant_user on study_participant (user_id, session_id);
create index study_participant_inside on study_participant (session_id, user_id)
  where left_at is null;

-- Who is in a session is known in its room, and to each person of themselves.
alter table study_participant enable row level security;
create policy reader on study_participant for select to roundtable_reader
  using (
    user_id = (select reader()) or conversation_id in (select reader_conversations())
  );
grant select on study_participant to roundtable_reader;

-- What is on a whiteboard now: one row for each element.
create table whiteboard (
  session_id uuid not null,
  element_id uuid not null,
  conversation_id uuid not null,
  -- JSON that only clients understand; null once erased.
  shape text,
  drawn_by uuid not null,
  -- By which event it was drawn first: the order from back to front.
  position log_position not null,
  -- By which event it came to look as it does.
  changed_position log_position not null,
  primary key (session_id, element_id)
) with (fillfactor = 70);
create index whiteboard_order on whiteboard (session_id, position, element_id);

alter table whiteboard enable row level security;
create policy reader on whiteboard for select to roundtable_reader
  using (conversation_id in (select reader_conversations()));
grant select on whiteboard to roundtable_reader;

-- What is to be done at a moment. The projection `timer` keeps the rows whose `source` is `log`,
-- and they can be rebuilt; the others are made by the watch over connections, because that somebody
-- is away for a moment is no fact of the log, and the watch makes them anew when they are lost.
create table timer (
  -- What the timer is for: one at a time.
  key text primary key,
  kind text not null,
  -- The session.
  subject uuid not null,
  -- Whom it is about, if it is about a person.
  person uuid,
  detail jsonb not null default '{}',
  due_at timestamptz not null,
  source text not null check (source in ('log', 'presence')),
  -- What set it: the idempotency key of its command follows from this, so that it acts once
  -- however often it goes off.
  set_by text not null,
  -- Until when a projector works on it, or rests after it failed.
  claimed_until timestamptz,
  attempts integer not null default 0
) with (fillfactor = 70);
create index timer_due on timer (due_at);
create index timer_subject on timer (subject, kind, person);

-- Who is away from a session, for those who may know who is in it.
alter table timer enable row level security;
create policy reader on timer for select to roundtable_reader
  using (
    kind = 'grace' and exists (
      select from study_participant p where p.session_id = timer.subject and p.user_id = timer.person
    )
  );
grant select (kind, subject, person, due_at) on timer to roundtable_reader;

-- The rooms of sessions. Belongs to `timer`.
create table timer_room (
  conversation_id uuid primary key,
  session_id uuid not null
);
