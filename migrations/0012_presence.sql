-- Who may see whose presence.

-- Those that people share their presence with: friends, and whoever is in a conversation of at most
-- so many people with them, unless one of the two blocks the other. It holds in both directions.
create function presence_circle(people uuid[], people_in_group int)
returns table (user_id uuid, other_id uuid)
language sql stable as $$
  with near as (
    select f.user_id, f.friend_id as other_id from friend_list f where f.user_id = any(people)
    union
    select m.user_id, other.id
    from member m
    cross join lateral (
      -- No more is read of a large group than shows that it is one.
      select array_agg(some_of_them.user_id) as ids from (
        select o.user_id from member o
        where o.conversation_id = m.conversation_id limit people_in_group + 1
      ) some_of_them
    ) everybody
    cross join lateral unnest(everybody.ids) as other (id)
    where m.user_id = any(people) and cardinality(everybody.ids) <= people_in_group
      and other.id <> m.user_id
  )
  select n.user_id, n.other_id from near n
  where not exists (
      select from block b where b.blocker_id = n.user_id and b.blocked_id = n.other_id
    ) and not exists (
      select from block b where b.blocker_id = n.other_id and b.blocked_id = n.user_id
    )
$$;

-- Which of these people let the reader see their presence: with the owner's rights, because the
-- reader may not know who blocks them.
create function presence_visible(people uuid[], people_in_group int) returns setof uuid
language sql stable security definer set search_path = public, pg_temp as $$
  select c.other_id from presence_circle(array[reader()], people_in_group) c
  where c.other_id = any(people)
  union
  select reader() where reader() = any(people)
$$;
