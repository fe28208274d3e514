-- Several words are looked up by the rarest of them.
--
-- A word that may go on is read from the index with all its postings, however few of them another
-- word leaves: beside a common word, a rare one is looked up alone, and the rows that it is in are
-- read for the others.

-- The word that is so rare among the newest messages before a position, of the newest `scan`, that
-- it is worth being looked up alone; all of them, if none is.
create function search_lead(
  conversations uuid[], template text, only_in uuid, before bytea, scan bigint)
returns text
language plpgsql stable set search_path = public, pg_temp set jit = off
  set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_custom_plan
as $$
declare
  words text[] := string_to_array(template, ' & ');
  lead text;
begin
  if cardinality(words) = 1 then
    return template;
  end if;
  with recent as materialized (
    select s.conversation_id, s.words from message_search s
    where s.position < before and (only_in is null or s.conversation_id = only_in)
    order by s.position desc limit scan
  ),
  counted as (
    select word, count(*) filter (
      where r.words @@ replace(word, '~', search_scope(r.conversation_id))::tsquery) as hits
    from unnest(words) as word, recent r
    where r.conversation_id = any(conversations)
    group by word
  )
  select word into lead from counted where hits * 100 < scan order by hits limit 1;
  return coalesce(lead, template);
end
$$;
revoke execute on function search_lead from public;

-- The newest of the hits before a position, by the index of words: for each conversation, what to
-- look up and what has to be there. Conditions that another index knows too, and those that this one
-- need not know, are written so that the planner does not choose them.
create function search_by_lead(
  conversations uuid[], leads tsquery[], queries tsquery[], only_by uuid, before bytea, most bigint)
returns setof search_hit
language plpgsql stable set search_path = public, pg_temp set enable_seqscan = off set jit = off
as $$
begin
  return query
    select hit.* from unnest(conversations, leads, queries) as mine (conversation_id, lead, query)
    cross join lateral (
      select s.message_id, s.conversation_id, s.sent_at, s.position::bytea
      from message_search s
      where s.words @@ mine.lead
        and (s.words @@ mine.query) is true
        and (s.conversation_id = mine.conversation_id) is true
        and (s.position < before) is true
        and (only_by is null or s.sender_id = only_by)
      order by s.position desc limit most
    ) hit
    order by hit.position desc limit most;
end
$$;
revoke execute on function search_by_lead from public;

-- As before, but for how rare words are looked up.
create or replace function search_messages(
  template text, only_in uuid, only_by uuid, before bytea, most bigint)
returns setof search_hit
language plpgsql stable security definer rows 50 set search_path = public, pg_temp
as $$
declare
  conversations uuid[];
  queries tsquery[];
  leads tsquery[];
  scan bigint;
  newest record;
begin
  select array_agg(m.conversation_id),
    array_agg(replace(template, '~', search_scope(m.conversation_id))::tsquery)
  into conversations, queries
  from member m
  where m.user_id = reader() and (only_in is null or m.conversation_id = only_in);
  if conversations is null then
    return;
  end if;
  foreach scan in array array[most * 8, most * 150] loop
    newest := search_newest(
      conversations, queries, only_in, only_by, before, scan, most);
    if cardinality(newest.hits) >= most or newest.seen < scan then
      return query select h.* from unnest(newest.hits) as h;
      return;
    end if;
  end loop;
  select array_agg(replace(lead, '~', search_scope(mine.id))::tsquery order by mine.number)
  into leads
  from search_lead(conversations, template, only_in, before, most * 40) as lead,
    unnest(conversations) with ordinality as mine (id, number);
  return query
    select * from search_by_lead(conversations, leads, queries, only_by, before, most);
end
$$;

drop function search_by_words;
