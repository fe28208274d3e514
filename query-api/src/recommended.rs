//! People whom the reader may like to meet, by the languages both speak and learn.
//!
//! The ways in which somebody suits are gone through one after the other, until enough are found:
//! each is a range of an index in the order of ids, so a way is either left when the list is full,
//! or was small. Within a way people come in the order of their ids, beginning after the reader's:
//! everybody sees the same people first each time, and nobody is first for everybody.

use std::collections::HashMap;

use axum::extract::State;
use events::{Position, UserId};
use serde::{Deserialize, Serialize};
use service::Json;
use service::openapi::{After, Refusal};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::cache::List;
use crate::failure::{Answer, Failure};
use crate::page::{Limit, Page};
use crate::reads::{Eyes, Reads, position_of_all};
use crate::user_profile::{COLUMNS, PROJECTIONS, Profile};

/// What the list is made of. It is as new as the oldest of them.
const MADE_OF: &[&str] = &["user_profile", "block", "friend_list", "friend_request"];

/// How many are recommended at most.
const PEOPLE: usize = 50;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// How somebody suits the reader, the best way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Suits {
    /// They speak what I learn, and learn what I speak.
    Mutual,
    /// They speak what I learn.
    Speaks,
    /// They learn what I speak.
    Learns,
    /// They learn what I learn.
    LearnsTheSame,
    /// They are where I am.
    SamePlace,
}

impl Suits {
    const ALL: [Self; 5] =
        [Self::Mutual, Self::Speaks, Self::Learns, Self::LearnsTheSame, Self::SamePlace];

    /// What is true of `p` then, where `me` is the reader.
    const fn condition(self) -> &'static str {
        match self {
            Self::Mutual => {
                "(p.native_base = me.learning_base and p.learning_base = me.native_base)"
            }
            Self::Speaks => "(p.native_base = me.learning_base)",
            Self::Learns => "(p.learning_base = me.native_base)",
            Self::LearnsTheSame => "(p.learning_base = me.learning_base)",
            Self::SamePlace => "(p.place = me.place)",
        }
    }

    /// The query for those who suit in this way and in no better one: `$1` is the reader, `$2` the
    /// most that are wanted.
    pub(crate) fn query(self) -> String {
        let better = Self::ALL.into_iter().filter(|way| *way < self);
        let worse: String =
            better.map(|way| format!(" and {} is not true", way.condition())).collect();
        let way = self.condition();
        let ids = |side: &str| {
            format!(
                "(select p.user_id from user_profile p
                  where p.onboarded and {way}{worse} and p.user_id {side} me.user_id
                    and (p.suspended_until is null or p.suspended_until <= now())
                    and not exists (select from friend_list f
                      where f.user_id = me.user_id and f.friend_id = p.user_id)
                    and not exists (select from friend_request r
                      where r.from_id = me.user_id and r.to_id = p.user_id)
                    and not exists (select from friend_request r
                      where r.from_id = p.user_id and r.to_id = me.user_id)
                    and not exists (select from block b
                      where b.blocker_id = me.user_id and b.blocked_id = p.user_id)
                    and p.user_id not in (select reader_blocked_by())
                  order by p.user_id limit $2)"
            )
        };
        format!(
            "select found.user_id from user_profile me
             cross join lateral ({} union all {}) found
             where me.user_id = $1
             order by found.user_id < me.user_id, found.user_id limit $2",
            ids(">"),
            ids("<"),
        )
    }
}

/// Somebody who suits, as the cache keeps it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Candidate {
    user_id: UserId,
    suits: Suits,
}

/// Somebody whom the reader may like to meet.
#[derive(Serialize, ToSchema)]
struct Recommended {
    suits: Suits,
    person: Profile,
}

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    limit: Limit,
}

/// At most 50 people whom the reader may like to meet, those who suit best first. Never friends, nor
/// whoever has a request between them and the reader, nor blocked pairs, nor people who are suspended
/// or have told too little of themselves. The list may be five minutes old, but for what the reader
/// did.
#[utoipa::path(
    get,
    path = "/v1/users/recommended",
    tag = "users",
    params(Wanted, After),
    responses((status = 200, body = Page<Recommended, UserId>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    asked: Asked<Wanted>,
) -> Answer<Page<Recommended, UserId>> {
    let Asked { reader, after, query: Wanted { limit } } = asked;
    let candidates = match reads.cache.read(List::Recommended, reader, after).await {
        Some(candidates) => candidates,
        None => {
            reads.checkpoints.reach(MADE_OF, after).await?;
            find_and_keep(&reads, reader).await?
        }
    };
    let mut items = profiles(&reads, reader, after, &candidates).await?;
    items.truncate(usize::try_from(limit.rows()).expect("at most 100"));
    Ok(Json(Page { items, next: None }))
}

async fn find_and_keep(reads: &Reads, reader: UserId) -> Result<Vec<Candidate>, Failure> {
    let mut eyes = reads.eyes_of(reader).await?;
    let position = position_of_all(&mut eyes, MADE_OF).await?;
    let found = find(&mut eyes, reader).await?;
    eyes.commit().await?;
    reads.cache.fill(List::Recommended, reader, position, &found).await;
    Ok(found)
}

async fn find(eyes: &mut Eyes, reader: UserId) -> Result<Vec<Candidate>, sqlx::Error> {
    let mut found = Vec::with_capacity(PEOPLE);
    for suits in Suits::ALL {
        let wanted = i64::try_from(PEOPLE - found.len()).expect("at most 50");
        if wanted == 0 {
            break;
        }
        let ids: Vec<Uuid> = sqlx::query_scalar(&suits.query())
            .bind(reader.uuid())
            .bind(wanted)
            .fetch_all(&mut **eyes)
            .await?;
        found.extend(ids.into_iter().map(|id| Candidate { user_id: id.into(), suits }));
    }
    Ok(found)
}

/// What is shown of them. Who was suspended, or began to block the reader, since the list was made is
/// left out.
async fn profiles(
    reads: &Reads,
    reader: UserId,
    after: Position,
    candidates: &[Candidate],
) -> Result<Vec<Recommended>, Failure> {
    if candidates.is_empty() {
        return Ok(vec![]);
    }
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let ids: Vec<Uuid> = candidates.iter().map(|candidate| candidate.user_id.uuid()).collect();
    let rows: Vec<Profile> = sqlx::query_as(&format!(
        "select {COLUMNS} from user_profile p
         where p.user_id = any($1) and p.name is not null
           and (p.suspended_until is null or p.suspended_until <= now())
           and p.user_id not in (select reader_blocked_by())"
    ))
    .bind(ids)
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    let mut people: HashMap<UserId, Profile> = rows.into_iter().map(|row| (row.id, row)).collect();
    let shown = candidates.iter().filter_map(|Candidate { user_id, suits }| {
        people.remove(user_id).map(|person| Recommended { suits: *suits, person })
    });
    Ok(shown.collect())
}
