//! People.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Stage, id};

#[tokio::test]
async fn everybody_signed_in_sees_profiles() {
    let stage = Stage::new().await;
    let (ada, bob, gone) = (id(), id(), id());
    stage
        .sql(&format!(
            "insert into user_profile (user_id, handle, name, bio, created_at, position) values
             ('{ada}', 'ada', 'Ada', null, '2026-01-02T03:04:05Z', '\\x00000000000000050000000000000005'),
             ('{gone}', null, null, null, now(), '\\x00000000000000060000000000000007');
             update user_profile set native_language = 'en', avatar = '{{\"preset\": 3}}',
               onboarded = true where user_id = '{ada}';
             insert into user_account (user_id, email, role) values
             ('{ada}', 'ada@example.org', 'admin'), ('{gone}', null, 'user')"
        ))
        .await;

    let (status, me) = stage.ask(ada, "/v1/users/me").await;
    assert_eq!(status, 200);
    assert_eq!((me["id"].as_str(), me["name"].as_str()), (Some(&*ada.to_string()), Some("Ada")));
    assert_eq!((&me["bio"], me["position"].as_str()), (&Value::Null, Some("5")));
    assert_eq!(me["created_at"], "2026-01-02T03:04:05Z");
    assert_eq!((&me["native_language"], &me["avatar"]), (&json!("en"), &json!({"preset": 3})));
    assert_eq!((&me["email"], &me["role"]), (&json!("ada@example.org"), &json!("admin")));
    assert_eq!(me["onboarded"], true);
    let mut public = me;
    for private in ["email", "role", "onboarded"] {
        public.as_object_mut().unwrap().remove(private);
    }
    assert_eq!(stage.ask(bob, &format!("/v1/users/{ada}")).await.1, public);

    let (status, erased) = stage.ask(bob, &format!("/v1/users/{gone}")).await;
    assert_eq!((status, &erased["name"], &erased["handle"]), (200, &Value::Null, &Value::Null));
    assert_eq!(erased["position"], "6/7");

    for handle in ["ada", "Ada", "%20ADA"] {
        let found = stage.items(bob, &format!("/v1/users?handle={handle}")).await;
        assert_eq!(found, std::slice::from_ref(&public), "{handle}");
    }
    assert_eq!(stage.items(bob, "/v1/users?handle=ad").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_bad_question_about_people_is_a_precise_problem() {
    let stage = Stage::new().await;
    let ada = id();
    for (path, status, slug) in [
        (format!("/v1/users/{}", id()), 404, "no-such-user"),
        ("/v1/users/me".to_owned(), 404, "no-such-user"),
        ("/v1/users/ada".to_owned(), 400, "invalid-path"),
        ("/v1/users".to_owned(), 400, "invalid-query"),
        ("/v1/users?handle=".to_owned(), 400, "invalid-query"),
        ("/v1/users?handle=ada&q=a".to_owned(), 400, "invalid-query"),
        ("/v1/users?q=".to_owned(), 400, "invalid-query"),
        ("/v1/users?q=%20%CC%81".to_owned(), 400, "invalid-query"),
        ("/v1/users?q=%00".to_owned(), 400, "invalid-query"),
        ("/v1/users?handle=%00".to_owned(), 400, "invalid-query"),
        ("/v1/users?handle=ada%00".to_owned(), 400, "invalid-query"),
        ("/v1/users?q=a&limit=51".to_owned(), 400, "invalid-query"),
        (format!("/v1/users?q=a&after_id={}", id()), 400, "invalid-query"),
        ("/v1/users/recommended?limit=101".to_owned(), 400, "invalid-query"),
        ("/v1/users/recommended?after_id=1".to_owned(), 400, "invalid-query"),
        ("/v1/blocks?after_id=ada".to_owned(), 400, "invalid-query"),
        ("/v1/users?handle=ada&name=x".to_owned(), 400, "invalid-query"),
        ("/v1/users/me?limit=1".to_owned(), 400, "invalid-query"),
        ("/v1/users/me?after=x".to_owned(), 400, "invalid-query"),
    ] {
        assert_eq!(stage.problem(ada, &path).await, (status, slug.to_owned()), "{path}");
    }
}

/// Somebody with a handle and a name, as the projector keeps them.
async fn sign_up(stage: &Stage, handle: &str, name: &str) -> Uuid {
    let user = id();
    let name_of = name.replace('\'', "''");
    stage
        .sql(&format!(
            "insert into user_profile (user_id, handle, name, created_at, position)
             values ('{user}', '{handle}', '{name_of}', now(), '\\x00000000000000050000000000000005')"
        ))
        .await;
    let name = service::fold(name);
    let words = name.match_indices(' ').map(|(place, _)| &name[place + 1..]);
    let terms: std::collections::BTreeSet<&str> = words.chain([handle, &*name]).collect();
    for term in terms {
        sqlx::query("insert into user_search_term (term, user_id) values ($1, $2)")
            .bind(term)
            .bind(user)
            .execute(&stage.owner)
            .await
            .unwrap();
    }
    user
}

async fn block(stage: &Stage, by: Uuid, of: Uuid) {
    stage
        .sql(&format!(
            "insert into block values ('{by}', '{of}', now(), '\\x00000000000000050000000000000005')"
        ))
        .await;
}

fn handles(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["handle"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn people_are_found_by_how_their_names_begin_each_once() {
    let stage = Stage::new().await;
    let reader = id();
    sign_up(&stage, "ada_l", "Ada Lovelace").await;
    sign_up(&stage, "zoe", "Zoë Ångström").await;
    sign_up(&stage, "adam", "Adam Adams-Adé").await;
    sign_up(&stage, "lily", "李小龍").await;
    sign_up(&stage, "percent", "100% _real_").await;
    for (q, found) in [
        ("ada", &["ada_l", "adam"][..]),
        ("ADA%20", &["ada_l", "adam"]),
        ("ada%20lo", &["ada_l"]),
        ("%40ada_", &["ada_l"]),
        ("lovel", &["ada_l"]),
        ("angs", &["zoe"]),
        ("%C3%85NGS", &["zoe"]),
        ("zoe%20%20%C3%A5n", &["zoe"]),
        ("%E6%9D%8E", &["lily"]),
        ("%E6%9D%8E%E5%B0%8F", &["lily"]),
        // Nothing in a pattern is special.
        ("%25", &[]),
        ("_", &["percent"]),
        ("100%25", &["percent"]),
        ("da", &[]),
    ] {
        let items = stage.items(reader, &format!("/v1/users?q={q}")).await;
        assert_eq!(handles(&items), found, "{q}");
    }
}

#[tokio::test]
async fn found_people_come_in_pages_and_nobody_twice_or_never() {
    let stage = Stage::new().await;
    let reader = id();
    // Each is found by the handle, by both words of the name, and all have one word in common.
    for number in 0..23 {
        sign_up(&stage, &format!("kim_{}", number % 7), &format!("Kim{} Kim", number % 5)).await;
    }
    let mut path = "/v1/users?q=kim&limit=4".to_owned();
    let mut seen = vec![];
    loop {
        let (status, page) = stage.ask(reader, &path).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/users?q=kim&limit=4&after_id={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 23);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 23, "nobody twice");
}

#[tokio::test]
async fn blocked_pairs_and_suspended_people_are_not_found() {
    let stage = Stage::new().await;
    let (ada, bob) =
        (sign_up(&stage, "pair_ada", "Ada").await, sign_up(&stage, "pair_bob", "Bob").await);
    let eve = sign_up(&stage, "pair_eve", "Eve").await;
    block(&stage, ada, bob).await;
    let found = async |reader, path: &str| stage.items(reader, path).await.len();
    assert_eq!(found(eve, "/v1/users?q=pair").await, 3);
    assert_eq!(found(ada, "/v1/users?q=pair").await, 2);
    assert_eq!(found(bob, "/v1/users?q=pair").await, 2);

    let see = async |reader, of| stage.ask(reader, &format!("/v1/users/{of}")).await;
    let missing = |answer: (u16, Value)| {
        assert_eq!(answer.0, 404);
        answer.1
    };
    let blocked = missing(see(bob, ada).await);
    assert_eq!(blocked, missing(see(bob, id()).await), "as somebody who never was");
    assert_eq!(see(ada, bob).await.0, 200, "who blocks may look, to unblock");
    assert_eq!(found(bob, "/v1/users?handle=pair_ada").await, 0);
    assert_eq!(found(ada, "/v1/users?handle=pair_bob").await, 0);
    assert_eq!(found(eve, "/v1/users?handle=pair_bob").await, 1);

    let blocks = stage.items(ada, "/v1/blocks").await;
    assert_eq!(blocks[0]["user_id"], json!(bob));
    assert_eq!((blocks.len(), &blocks[0]["person"]["name"]), (1, &json!("Bob")));
    assert_eq!(found(bob, "/v1/blocks").await, 0, "who is blocked is not told");
    // Bob blocks back somebody who does not exist for him: there is no name to show.
    block(&stage, bob, ada).await;
    let blocks = stage.items(bob, "/v1/blocks").await;
    assert_eq!((&blocks[0]["user_id"], &blocks[0]["person"]["name"]), (&json!(ada), &Value::Null));

    for (until, seen) in
        [("'infinity'", 2), ("now() + interval '1 h'", 2), ("now() - interval '1 h'", 3)]
    {
        let suspend = "update user_profile set suspended_until";
        stage.sql(&format!("{suspend} = {until} where user_id = '{ada}'")).await;
        assert_eq!(found(eve, "/v1/users?q=pair").await, seen, "{until}");
        let by_handle = found(eve, "/v1/users?handle=pair_ada").await;
        assert_eq!(by_handle, seen - 2, "{until}: by the whole handle as by its beginning");
    }
}
