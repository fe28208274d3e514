//! People.

use serde_json::Value;

use super::{Stage, id};

#[tokio::test]
async fn everybody_signed_in_sees_profiles() {
    let stage = Stage::new().await;
    let (ada, bob, gone) = (id(), id(), id());
    stage
        .sql(&format!(
            "insert into user_profile (user_id, handle, name, bio, created_at, position) values
             ('{ada}', 'ada', 'Ada', null, '2026-01-02T03:04:05Z', '\\x00000000000000050000000000000005'),
             ('{gone}', null, null, null, now(), '\\x00000000000000060000000000000007')"
        ))
        .await;

    let (status, me) = stage.ask(ada, "/v1/users/me").await;
    assert_eq!(status, 200);
    assert_eq!((me["id"].as_str(), me["name"].as_str()), (Some(&*ada.to_string()), Some("Ada")));
    assert_eq!((&me["bio"], me["position"].as_str()), (&Value::Null, Some("5")));
    assert_eq!(me["created_at"], "2026-01-02T03:04:05Z");
    assert_eq!(stage.ask(bob, &format!("/v1/users/{ada}")).await.1, me);

    let (status, erased) = stage.ask(bob, &format!("/v1/users/{gone}")).await;
    assert_eq!((status, &erased["name"], &erased["handle"]), (200, &Value::Null, &Value::Null));
    assert_eq!(erased["position"], "6/7");

    for handle in ["ada", "Ada", "%20ADA"] {
        let found = stage.items(bob, &format!("/v1/users?handle={handle}")).await;
        assert_eq!(found, std::slice::from_ref(&me), "{handle}");
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
        ("/v1/users?handle=ada&name=x".to_owned(), 400, "invalid-query"),
        ("/v1/users/me?limit=1".to_owned(), 400, "invalid-query"),
        ("/v1/users/me?after=x".to_owned(), 400, "invalid-query"),
    ] {
        assert_eq!(stage.problem(ada, &path).await, (status, slug.to_owned()), "{path}");
    }
}
