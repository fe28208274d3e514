//! Recommended people: who, in which order, and at what cost.

use std::collections::{BTreeMap, BTreeSet};

use redis::AsyncCommands;
use serde_json::Value;
use uuid::Uuid;

use super::{Stage, at, id};
use crate::recommended::Suits;

const MADE_OF: &[&str] = &["user_profile", "block", "friend_list", "friend_request"];

/// A number from 0 on that is the same each time, as chance would have it.
fn chance(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % below
}

#[derive(Clone, Debug, Default)]
struct Person {
    id: Uuid,
    native: Option<&'static str>,
    learning: Option<&'static str>,
    place: Option<&'static str>,
    hidden: bool,
}

/// What the rules say, in the plainest way.
fn expected(me: &Person, people: &[Person], out: &BTreeSet<Uuid>) -> Vec<(Uuid, &'static str)> {
    let base = |tag: Option<&str>| Some(tag?.split('-').next()?.to_lowercase());
    let place = |text: Option<&str>| Some(text?.trim().to_lowercase()).filter(|it| !it.is_empty());
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let (native, learning) = (base(me.native), base(me.learning));
    let suits = |person: &Person| {
        let speaks = same(&base(person.native), &learning);
        let learns = same(&base(person.learning), &native);
        Some(match () {
            () if speaks && learns => (0, "mutual"),
            () if speaks => (1, "speaks"),
            () if learns => (2, "learns"),
            () if same(&base(person.learning), &learning) => (3, "learns_the_same"),
            () if same(&place(person.place), &place(me.place)) => (4, "same_place"),
            () => return None,
        })
    };
    let may = |person: &&Person| person.id != me.id && !person.hidden && !out.contains(&person.id);
    let mut found: Vec<_> = people
        .iter()
        .filter(may)
        .filter_map(|person| Some((suits(person)?, person.id < me.id, person.id)))
        .collect();
    found.sort();
    found.truncate(50);
    found.into_iter().map(|((_, suits), _, id)| (id, suits)).collect()
}

async fn recommended(stage: &Stage, reader: Uuid) -> Vec<(Uuid, String)> {
    let items = stage.items(reader, "/v1/users/recommended").await;
    let of = |item: &Value| {
        let id = item["person"]["id"].as_str().unwrap().parse().unwrap();
        (id, item["suits"].as_str().unwrap().to_owned())
    };
    items.iter().map(of).collect()
}

#[tokio::test]
async fn the_list_is_what_the_rules_say_for_everybody() {
    let stage = Stage::new().await;
    let mut seed = 7;
    let languages = [None, Some("en"), Some("EN-gb"), Some("es"), Some("fr"), Some("pt-BR")];
    let places = [None, Some("Lima"), Some(" lima "), Some("Oslo"), Some("")];
    let mut people = vec![];
    for _ in 0..160 {
        let person = Person {
            id: id(),
            native: languages[chance(&mut seed, languages.len())],
            learning: languages[chance(&mut seed, languages.len())],
            place: places[chance(&mut seed, places.len())],
            hidden: chance(&mut seed, 8) == 0,
        };
        let onboarded = !person.hidden || chance(&mut seed, 2) == 0;
        let suspended =
            if person.hidden && onboarded { "'infinity'" } else { "now() - interval '1 s'" };
        sqlx::query(&format!(
            "insert into user_profile (user_id, handle, name, native_language, learning_language,
               location, onboarded, suspended_until, created_at, position)
             values ($1, 'h', 'N', $2, $3, $4, $5, {suspended}, now(), $6)"
        ))
        .bind(person.id)
        .bind(person.native)
        .bind(person.learning)
        .bind(person.place)
        .bind(onboarded)
        .bind(at(5))
        .execute(&stage.owner)
        .await
        .unwrap();
        people.push(person);
    }
    let mut out: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for _ in 0..1500 {
        let (one, other) = (people[chance(&mut seed, 160)].id, people[chance(&mut seed, 160)].id);
        if one == other {
            continue;
        }
        let insert = match chance(&mut seed, 3) {
            0 => "friend_list values ('{a}', '{b}', now(), {p}), ('{b}', '{a}', now(), {p})",
            1 => "friend_request values ('{a}', '{b}', now(), {p})",
            _ => "block values ('{a}', '{b}', now(), {p})",
        };
        let insert = insert.replace("{a}", &one.to_string()).replace("{b}", &other.to_string());
        let insert = insert.replace("{p}", "'\\x00000000000000050000000000000005'");
        stage.sql(&format!("insert into {insert} on conflict do nothing")).await;
        out.entry(one).or_default().insert(other);
        out.entry(other).or_default().insert(one);
    }
    stage.reached(MADE_OF, 5).await;
    let mut ways = BTreeSet::new();
    for me in people.iter().take(60) {
        let expected = expected(me, &people, out.get(&me.id).unwrap_or(&BTreeSet::new()));
        ways.extend(expected.iter().map(|(_, way)| *way));
        let expected: Vec<_> = expected.into_iter().map(|(id, way)| (id, way.to_owned())).collect();
        for round in ["from Postgres", "from the cache"] {
            assert_eq!(recommended(&stage, me.id).await, expected, "{round}: {me:?}");
        }
    }
    assert_eq!(ways.len(), 5, "every way was tried: {ways:?}");
}

/// One reader and one who suits.
async fn two(stage: &Stage) -> (Uuid, Uuid) {
    let (ada, bob) = (id(), id());
    stage
        .sql(&format!(
            "insert into user_profile (user_id, handle, name, native_language, learning_language,
               onboarded, created_at, position) values
             ('{ada}', 'ada', 'Ada', 'en', 'es', true, now(), '\\x00000000000000050000000000000005'),
             ('{bob}', 'bob', 'Bob', 'es', 'en', true, now(), '\\x00000000000000050000000000000005')"
        ))
        .await;
    (ada, bob)
}

#[tokio::test]
async fn the_list_is_cached_for_five_minutes_and_only_as_new_as_its_oldest_part() {
    let mut stage = Stage::new().await;
    let (ada, bob) = two(&stage).await;
    let key = format!("recommended:{ada}");
    stage.reached(&MADE_OF[..3], 9).await;
    stage.reached(&MADE_OF[3..], 5).await;
    assert_eq!(recommended(&stage, ada).await, [(bob, "mutual".to_owned())]);
    let kept: String = stage.redis.get(&key).await.unwrap();
    assert!(kept.starts_with(&format!(r#"{{"position":"{}""#, hex::encode(at(5)))), "{kept}");
    assert!(!kept.contains("Bob"), "{kept}");
    let seconds: i64 = stage.redis.ttl(&key).await.unwrap();
    assert!((240..=300).contains(&seconds), "{seconds}");

    // An acceptance at 9: the request is gone from one table, the friend not yet in the other.
    stage.invalidate(&key, 9).await;
    assert_eq!(recommended(&stage, ada).await.len(), 1);
    assert!(!stage.redis.exists::<_, bool>(&key).await.unwrap(), "refused by the mark");
    stage.reached(&MADE_OF[3..], 9).await;
    assert_eq!(recommended(&stage, ada).await.len(), 1);
    assert!(stage.redis.exists::<_, bool>(&key).await.unwrap());
}

#[tokio::test]
async fn a_cached_list_never_shows_who_was_suspended_erased_or_blocks_since() {
    let stage = Stage::new().await;
    let (ada, bob) = two(&stage).await;
    stage.reached(MADE_OF, 5).await;
    for (hide, show) in [
        ("update user_profile set suspended_until = 'infinity'", "set suspended_until = null"),
        ("update user_profile set name = null", "set name = 'Bob'"),
    ] {
        assert_eq!(recommended(&stage, ada).await.len(), 1);
        stage.sql(&format!("{hide} where user_id = '{bob}'")).await;
        assert_eq!(recommended(&stage, ada).await, [], "{hide}");
        stage.sql(&format!("update user_profile {show} where user_id = '{bob}'")).await;
    }
    let block = "insert into block values";
    stage
        .sql(&format!("{block} ('{bob}', '{ada}', now(), '\\x00000000000000050000000000000005')"))
        .await;
    assert_eq!(recommended(&stage, ada).await, []);
}

#[tokio::test]
async fn among_many_people_a_list_is_found_by_indexes_alone() {
    let stage = Stage::new().await;
    stage
        .sql(
            "insert into user_profile (user_id, handle, name, native_language, learning_language,
               location, onboarded, created_at, position)
             select gen_random_uuid(), 'h' || n, 'N' || n,
               (array['en','es','fr','de','ja','pt-BR','ko','zh'])[1 + n % 8],
               (array['es','en','en','en','fr','de','zh','ja','en'])[1 + n % 9],
               'City ' || n % 500, n % 20 > 0, now(), '\\x00000000000000050000000000000005'
             from generate_series(1, 100000) n;
             analyze user_profile",
        )
        .await;
    let reader: Uuid = sqlx::query_scalar(
        "select user_id from user_profile where native_base = 'en' and learning_base = 'es' limit 1",
    )
    .fetch_one(&stage.owner)
    .await
    .unwrap();
    let mut eyes = stage.reads.eyes_of(reader.into()).await.unwrap();
    for suits in
        [Suits::Mutual, Suits::Speaks, Suits::Learns, Suits::LearnsTheSame, Suits::SamePlace]
    {
        let explain = format!("explain (analyze, buffers) {}", suits.query());
        let plan: Vec<String> = sqlx::query_scalar(&explain)
            .bind(reader)
            .bind(50_i64)
            .fetch_all(&mut *eyes)
            .await
            .unwrap();
        let plan = plan.join("\n");
        println!("{suits:?}\n{plan}");
        assert!(!plan.contains("Seq Scan on user_profile"), "{plan}");
        assert!(plan.contains("Index"), "{plan}");
    }
}
