//! The rows of `user_profile`, `user_account` and `user_search_term`.

use std::collections::BTreeSet;

use events::user::PlatformRole;
use events::{Position, UserId};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Changes, Op, Until};

/// A name is found from each of so many of its words on.
const WORDS: usize = 8;
/// Nobody types more to find somebody, and an index has a limit (2,704 bytes).
const CHARACTERS: usize = 64;

pub(super) async fn insert(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    let mut terms: Vec<(Uuid, String)> = vec![];
    let (mut users, mut emails, mut handles, mut names) = (vec![], vec![], vec![], vec![]);
    let (mut times, mut positions) = (vec![], vec![]);
    for op in ops {
        let Op::Insert { user, email, handle, name, created_at, position } = op else { continue };
        users.push(user.uuid());
        emails.push(email.as_deref());
        handles.push(handle.as_deref());
        names.push(name.as_deref());
        times.push(*created_at);
        positions.push(position.to_bytes());
        let of_person = terms_of(handle.as_deref(), name.as_deref());
        terms.extend(of_person.into_iter().map(|term| (user.uuid(), term)));
    }
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into user_profile (user_id, handle, name, created_at, position)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[])",
    )
    .bind(&users)
    .bind(handles)
    .bind(names)
    .bind(times)
    .bind(positions)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into user_account (user_id, email) select * from unnest($1::uuid[], $2::text[])",
    )
    .bind(users)
    .bind(emails)
    .execute(&mut *db)
    .await?;
    insert_terms(db, terms).await
}

pub(super) async fn update(
    db: &mut PgConnection,
    user: UserId,
    changes: Changes,
    position: Position,
) -> Result<(), sqlx::Error> {
    let Changes { name, bio, native_language, learning_language, location, avatar } = changes;
    let is_renamed = name.is_some();
    let person: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "update user_profile set
           name = case when $2 then $3 else name end,
           bio = case when $4 then $5 else bio end,
           native_language = case when $6 then $7 else native_language end,
           learning_language = case when $8 then $9 else learning_language end,
           location = case when $10 then $11 else location end,
           avatar = coalesce($12, avatar),
           position = $13
         where user_id = $1
         returning handle, name",
    )
    .bind(user.uuid())
    .bind(is_renamed)
    .bind(name.flatten())
    .bind(bio.is_some())
    .bind(bio.flatten())
    .bind(native_language.is_some())
    .bind(native_language.flatten())
    .bind(learning_language.is_some())
    .bind(learning_language.flatten())
    .bind(location.is_some())
    .bind(location.flatten())
    .bind(avatar.map(Json))
    .bind(position.to_bytes())
    .fetch_optional(&mut *db)
    .await?;
    if let Some((handle, name)) = person.filter(|_| is_renamed) {
        sqlx::query("delete from user_search_term where user_id = $1")
            .bind(user.uuid())
            .execute(&mut *db)
            .await?;
        let terms = terms_of(handle.as_deref(), name.as_deref()).into_iter();
        insert_terms(db, terms.map(|term| (user.uuid(), term)).collect()).await?;
    }
    Ok(())
}

pub(super) async fn onboard(
    db: &mut PgConnection,
    user: UserId,
    position: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query("update user_profile set onboarded = true, position = $2 where user_id = $1")
        .bind(user.uuid())
        .bind(position.to_bytes())
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn appoint(
    db: &mut PgConnection,
    user: UserId,
    role: PlatformRole,
) -> Result<(), sqlx::Error> {
    let role = match role {
        PlatformRole::User => "user",
        PlatformRole::Moderator => "moderator",
        PlatformRole::Admin => "admin",
    };
    sqlx::query("update user_account set role = $2 where user_id = $1")
        .bind(user.uuid())
        .bind(role)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn suspend(
    db: &mut PgConnection,
    user: UserId,
    until: Until,
) -> Result<(), sqlx::Error> {
    let (moment, ever) = match until {
        Until::Now => (None, false),
        Until::Moment(moment) => (Some(moment), false),
        Until::Ever => (None, true),
    };
    sqlx::query(
        "update user_profile set suspended_until = case when $3 then 'infinity' else $2 end
         where user_id = $1",
    )
    .bind(user.uuid())
    .bind(moment)
    .bind(ever)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_terms(
    db: &mut PgConnection,
    terms: Vec<(Uuid, String)>,
) -> Result<(), sqlx::Error> {
    if terms.is_empty() {
        return Ok(());
    }
    let (users, terms): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
    sqlx::query(
        "insert into user_search_term (user_id, term)
         select * from unnest($1::uuid[], $2::text[])",
    )
    .bind(users)
    .bind(terms)
    .execute(db)
    .await?;
    Ok(())
}

/// What a person is found by: the handle, the name, and the name from each of its words on.
fn terms_of(handle: Option<&str>, name: Option<&str>) -> BTreeSet<String> {
    let name = name.map(service::fold).unwrap_or_default();
    let mut terms: BTreeSet<String> = handle.map(service::fold).into_iter().collect();
    let mut rest = name.as_str();
    for _ in 0..WORDS {
        terms.insert(rest.chars().take(CHARACTERS).collect());
        match rest.split_once(' ') {
            Some((_, after)) => rest = after,
            None => break,
        }
    }
    terms.remove("");
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_by_their_handle_and_by_each_word_of_their_name() {
        let terms = |handle: Option<&str>, name: Option<&str>| {
            terms_of(handle, name).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(
            terms(Some("ada_1815"), Some("Ada  King, Gräfin Lovelace")),
            [
                "ada king, grafin lovelace",
                "ada_1815",
                "grafin lovelace",
                "king, grafin lovelace",
                "lovelace"
            ]
        );
        assert_eq!(terms(Some("ada"), Some("Ada")), ["ada"]);
        assert_eq!(terms(None, None), [] as [&str; 0]);
        assert_eq!(terms(None, Some("a b c d e f g h i j k")).len(), WORDS);
        let long = "\u{fdfa}".repeat(100);
        let long = terms(None, Some(&long));
        assert!(long.iter().all(|term| term.len() <= CHARACTERS * 4), "{long:?}");
    }
}
