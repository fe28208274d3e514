//! Who is there: as everybody was told last, of those who let the reader know.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use axum::extract::State;
use chrono::DateTime;
use events::{Moment, UserId};
use redis::Script;
use serde::{Deserialize, Deserializer, Serialize, de};
use service::openapi::{After, Refusal};
use service::{Json, Redis};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::failure::Answer;
use crate::reads::Reads;

/// What says who lets whom know.
const PROJECTIONS: &[&str] = &["block", "friend_list", "member"];

/// As the gateways have it: in larger conversations presence is not shared.
const PEOPLE_IN_GROUP: i32 = 50;

/// Of how many people one may ask at once.
const AT_ONCE: usize = 100;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Of whom.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Of {
    /// Ids, separated by commas: at most 100.
    #[param(value_type = String)]
    users: Users,
}

/// Ids, separated by commas.
struct Users(BTreeSet<UserId>);

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;
        impl de::Visitor<'_> for Ids {
            type Value = Users;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "1 to {AT_ONCE} ids, separated by commas")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Users, E> {
                let wrong = || E::invalid_value(de::Unexpected::Other("something else"), &self);
                let ids = text.split(',').map(str::parse).collect::<Result<BTreeSet<_>, _>>();
                let ids = ids.map_err(|_| wrong())?;
                if ids.len() > AT_ONCE { Err(wrong()) } else { Ok(Users(ids)) }
            }
        }
        deserializer.deserialize_str(Ids)
    }
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Presence {
    /// On some device.
    Online,
    /// There, but on no device that is in use.
    Away,
    /// On no device.
    Offline,
    /// It cannot be told at the moment.
    Unknown,
}

/// Whether a person is there.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Present {
    #[schema(value_type = String, format = Uuid)]
    user_id: UserId,
    /// Whether they are there, if it is known.
    online: Option<bool>,
    state: Presence,
    /// Since when they are not there, if they were in the last 90 days.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Moment>,
    /// Of this and of `presence` frames about them, the larger is newer. Zero if it is not known.
    version: u64,
}

/// The answer.
#[derive(Serialize, ToSchema)]
struct Presences {
    items: Vec<Present>,
}

/// Who of these people is there. Those are left out who do not let the reader know: it is for
/// friends, and for people of conversations of at most 50, unless one blocks the other.
#[utoipa::path(
    get,
    path = "/v1/presence",
    tag = "users",
    params(Of, After),
    responses((status = 200, body = Presences), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<Of>) -> Answer<Presences> {
    let Asked { reader, after, query: Of { users: Users(users) } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let people: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    let visible: Vec<Uuid> =
        sqlx::query_scalar("select presence_visible($1, $2) as id order by id")
            .bind(people)
            .bind(PEOPLE_IN_GROUP)
            .fetch_all(&mut *eyes)
            .await?;
    eyes.commit().await?;
    let visible: Vec<UserId> = visible.into_iter().map(UserId::new).collect();
    let mut known = told(reads.cache.redis(), &visible).await;
    let items = visible.into_iter().map(|user| {
        let unknown = Told { state: Presence::Unknown, version: 0, seen: None };
        let Told { state, version, seen } = known.remove(&user).unwrap_or(unknown);
        let online = match state {
            Presence::Online | Presence::Away => Some(true),
            Presence::Offline => Some(false),
            Presence::Unknown => None,
        };
        let last_seen = seen.filter(|_| state == Presence::Offline);
        Present { user_id: user, online, state, last_seen, version }
    });
    Ok(Json(Presences { items: items.collect() }))
}

struct Told {
    state: Presence,
    version: u64,
    seen: Option<Moment>,
}

/// What Redis knows. Nothing while it is away.
async fn told(redis: &Redis, users: &[UserId]) -> HashMap<UserId, Told> {
    if users.is_empty() {
        return HashMap::new();
    }
    let script = Script::new(include_str!("presence.lua"));
    let mut call = script.key(redis.key("presence:"));
    for user in users {
        call.arg(user.to_string());
    }
    let ask = redis.ask(|mut redis| async move { call.invoke_async(&mut redis).await });
    let rows: Vec<(String, u64, String)> = ask.await.unwrap_or_default();
    let told = users.iter().zip(rows).map(|(user, (state, version, seen))| {
        let state = match &*state {
            "online" => Presence::Online,
            "away" => Presence::Away,
            "offline" => Presence::Offline,
            _ => Presence::Unknown,
        };
        let seen = seen.parse().ok().and_then(DateTime::from_timestamp_millis);
        (*user, Told { state, version, seen })
    });
    told.collect()
}
