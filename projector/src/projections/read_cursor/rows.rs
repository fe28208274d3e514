//! The rows of `read_cursor`: loaded, and saved, for a whole batch at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use events::{ConversationId, MessageId, Position, UserId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Cursor, Key, Op, Placed};
use crate::projections::ApplyError;
use crate::projections::horizon::message_reaches;

/// Where the messages stand that cursors move to, as `message` has placed them. It has to be as far
/// as the last of these moves, and of the deletions.
pub(super) async fn ordinals(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<HashMap<(ConversationId, MessageId), Placed>, ApplyError> {
    let moves = ops.iter().filter_map(|op| match op {
        Op::Move { message, position, .. } | Op::Uncount { message, position } => {
            Some((message.uuid(), *position))
        }
        Op::Join { .. } | Op::Sent { .. } => None,
    });
    let (messages, positions): (Vec<_>, Vec<_>) = moves.unzip();
    let Some(last) = positions.into_iter().max() else { return Ok(HashMap::new()) };
    message_reaches(db, last).await?;
    let rows = sqlx::query_as::<_, (Uuid, Uuid, i64, i64)>(
        "select conversation_id, message_id, ordinal, number from message
         where message_id = any($1)",
    );
    let rows = rows.bind(messages).fetch_all(db).await?;
    let placed = |(conversation, message, ordinal, number): (Uuid, Uuid, i64, i64)| {
        let key = (ConversationId::new(conversation), MessageId::new(message));
        (key, Placed { ordinal, number })
    };
    Ok(rows.into_iter().map(placed).collect())
}

pub(super) async fn load_counts(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<BTreeMap<ConversationId, i64>, sqlx::Error> {
    let ids: BTreeSet<Uuid> = ops.iter().filter_map(|op| Some(op.key()?.0.uuid())).collect();
    let rows = sqlx::query_as::<_, (Uuid, i64)>(
        "select conversation_id, message_count from read_cursor_counter
         where conversation_id = any($1)",
    );
    let rows = rows.bind(ids.into_iter().collect::<Vec<_>>()).fetch_all(db).await?;
    Ok(rows.into_iter().map(|(id, count)| (ConversationId::new(id), count)).collect())
}

/// Where the rows of conversations that are not kept any more end.
pub(super) async fn load_floors(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<BTreeMap<ConversationId, Placed>, sqlx::Error> {
    let ids: BTreeSet<Uuid> = ops.iter().filter_map(|op| Some(op.key()?.0.uuid())).collect();
    let rows = sqlx::query_as::<_, (Uuid, i64, i64)>(
        "select conversation_id, last_ordinal, last_number from message_floor
         where conversation_id = any($1)",
    );
    let rows = rows.bind(ids.into_iter().collect::<Vec<_>>()).fetch_all(db).await?;
    let placed = |(id, ordinal, number)| (ConversationId::new(id), Placed { ordinal, number });
    Ok(rows.into_iter().map(placed).collect())
}

/// As [`Cursor::rise`], all that are below a floor that is new, unless `message` is behind: own
/// messages after the floor are counted there, once for each conversation. Whoever comes later begins
/// at the floor.
const RISE: &str = "
    with floor as (
      select f.* from message_floor f
      where not exists (
          select from read_cursor_floor done
          where done.conversation_id = f.conversation_id
            and done.last_ordinal = f.last_ordinal and done.last_number = f.last_number
        )
        and (select m.position >= c.position
             from projection_reached m, projection_reached c
             where m.projection = 'message' and c.projection = 'read_cursor')
    ),
    done as (
      insert into read_cursor_floor select * from floor
      on conflict (conversation_id) do update set
        last_ordinal = excluded.last_ordinal, last_number = excluded.last_number
    ),
    forgotten as (
      delete from uncounted_message u using floor f
      where f.conversation_id = u.conversation_id and u.number <= f.last_number
    ),
    due as (
      select r.conversation_id, r.user_id, r.own_last_ordinal, r.own_after,
        r.unread_from < f.last_number as rises, f.last_number, f.last_ordinal
      from floor f join read_cursor r using (conversation_id)
      where r.unread_from < f.last_number
        or least(r.read_ordinal, r.delivered_ordinal) < f.last_ordinal
    ),
    own as (
      select m.conversation_id, m.sender_id as user_id, count(*) as own
      from due d join message m
        on m.conversation_id = d.conversation_id and m.sender_id = d.user_id
      where d.rises and d.own_after > 0 and m.kind <> 'system'
        and m.number > d.last_number and m.number <= d.own_last_ordinal
      group by 1, 2
    )
    update read_cursor r set
      read_ordinal = greatest(r.read_ordinal, d.last_ordinal),
      delivered_ordinal = greatest(r.delivered_ordinal, d.last_ordinal),
      unread_from = greatest(r.unread_from, d.last_number),
      own_after = case when d.rises then coalesce(o.own, 0) else r.own_after end
    from due d left join own o using (conversation_id, user_id)
    where r.conversation_id = d.conversation_id and r.user_id = d.user_id";

pub(super) async fn rise(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(RISE).execute(db).await.map(|_| ())
}

pub(super) async fn load_cursors(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<BTreeMap<Key, Cursor>, sqlx::Error> {
    let keys: BTreeSet<Key> = ops.iter().filter_map(Op::key).collect();
    let (conversations, users): (Vec<_>, Vec<_>) =
        keys.iter().map(|(conversation, user)| (conversation.uuid(), user.uuid())).unzip();
    let rows = sqlx::query(
        "select r.* from unnest($1::uuid[], $2::uuid[]) as k (conversation_id, user_id)
         join read_cursor r using (conversation_id, user_id)",
    );
    let rows = rows.bind(conversations).bind(users).fetch_all(db).await?;
    let position = |row: &sqlx::postgres::PgRow, name| {
        let bytes: Vec<u8> = row.try_get(name)?;
        Position::from_bytes(&bytes)
            .ok_or_else(|| sqlx::Error::Decode("a position has 16 bytes".into()))
    };
    rows.iter()
        .map(|row| {
            let key = (
                ConversationId::new(row.try_get("conversation_id")?),
                UserId::new(row.try_get("user_id")?),
            );
            let cursor = Cursor {
                delivered: position(row, "delivered_position")?,
                read: position(row, "read_position")?,
                delivered_ordinal: row.try_get("delivered_ordinal")?,
                read_ordinal: row.try_get("read_ordinal")?,
                unread_from: row.try_get("unread_from")?,
                own_last: row.try_get("own_last_ordinal")?,
                own_after: row.try_get("own_after")?,
            };
            Ok((key, cursor))
        })
        .collect()
}

/// How many of the messages that count as unread are the person's own.
pub(super) async fn own_between(
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
    cursor: &Cursor,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) from message
         where conversation_id = $1 and sender_id = $2 and kind <> 'system'
           and ordinal > $3 and number > $3 and number <= $4",
    )
    .bind(conversation.uuid())
    .bind(user.uuid())
    .bind(cursor.unread_from)
    .bind(cursor.own_last)
    .fetch_one(db)
    .await
}

/// Remembers that messages were deleted.
pub(super) async fn uncount(db: &mut PgConnection, messages: Vec<Uuid>) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into uncounted_message (conversation_id, number, sender_id)
         select conversation_id, number, sender_id from message
         where message_id = any($1) and kind <> 'system'
         on conflict do nothing",
    )
    .bind(messages)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn save_counts(
    db: &mut PgConnection,
    counts: BTreeMap<ConversationId, i64>,
) -> Result<(), sqlx::Error> {
    let (ids, counts): (Vec<_>, Vec<_>) =
        counts.into_iter().map(|(id, count)| (id.uuid(), count)).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into read_cursor_counter (conversation_id, message_count)
         select * from unnest($1::uuid[], $2::bigint[])
         on conflict (conversation_id) do update set message_count = excluded.message_count
         where read_cursor_counter.message_count <> excluded.message_count",
    )
    .bind(ids)
    .bind(counts)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn save_cursors(
    db: &mut PgConnection,
    cursors: BTreeMap<Key, Cursor>,
) -> Result<(), sqlx::Error> {
    let rows = cursors.into_iter().map(|((conversation, user), it)| {
        let positions = (it.delivered.to_bytes(), it.read.to_bytes());
        let ordinals = (it.delivered_ordinal, it.read_ordinal, it.unread_from);
        ((conversation.uuid(), user.uuid()), positions, ordinals, (it.own_last, it.own_after))
    });
    type Columns = (
        (Vec<Uuid>, Vec<Uuid>),
        (Vec<[u8; 16]>, Vec<[u8; 16]>),
        (Vec<i64>, Vec<i64>, Vec<i64>),
        (Vec<i64>, Vec<i64>),
    );
    let (keys, positions, ordinals, own): Columns = rows.collect();
    sqlx::query(
        "insert into read_cursor (conversation_id, user_id, delivered_position, read_position,
           delivered_ordinal, read_ordinal, unread_from, own_last_ordinal, own_after)
         select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[],
           $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
         on conflict (conversation_id, user_id) do update set
           delivered_position = excluded.delivered_position,
           read_position = excluded.read_position,
           delivered_ordinal = excluded.delivered_ordinal,
           read_ordinal = excluded.read_ordinal,
           unread_from = excluded.unread_from,
           own_last_ordinal = excluded.own_last_ordinal,
           own_after = excluded.own_after",
    )
    .bind(keys.0)
    .bind(keys.1)
    .bind(positions.0)
    .bind(positions.1)
    .bind(ordinals.0)
    .bind(ordinals.1)
    .bind(ordinals.2)
    .bind(own.0)
    .bind(own.1)
    .execute(db)
    .await?;
    Ok(())
}
