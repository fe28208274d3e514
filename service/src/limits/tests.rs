//! Limits over several processes, with Redis and without.

use futures::future::join_all;
use uuid::Uuid;

use super::*;

/// Redis that is waited for even when the machine stalls: without it each process limits for itself.
async fn redis(namespace: &str) -> Redis {
    let servers = servers::shared_for_tests().await.unwrap();
    Redis::with_patience(&servers.redis_url, namespace, Duration::from_secs(30)).unwrap()
}

fn person(n: u128) -> Subject {
    Subject::Person(Uuid::from_u128(n).into())
}

async fn passed(limits: &RateLimits, class: Class, subject: Subject, tries: usize) -> usize {
    let tries = (0..tries).map(|_| limits.take(class, subject.clone()));
    let verdicts = join_all(tries).await;
    verdicts.iter().filter(|verdict| verdict.unwrap().taken.granted).count()
}

#[tokio::test]
async fn two_processes_that_are_flooded_let_pass_exactly_what_there_is() {
    let namespace = servers::prefix();
    let policies: Policies = "friend-request=10/h,message=100/h".parse().unwrap();
    let one = RateLimits::new(redis(&namespace).await, policies.clone());
    let other = RateLimits::new(redis(&namespace).await, policies);
    let (first, second) = tokio::join!(
        passed(&one, Class::FriendRequest, person(1), 200),
        passed(&other, Class::FriendRequest, person(1), 200),
    );
    assert_eq!(first + second, 10);
    assert_eq!(passed(&other, Class::FriendRequest, person(2), 20).await, 10, "others have theirs");

    // Tokens that are taken in advance are never more than there were.
    let (first, second) = tokio::join!(
        passed(&one, Class::Message, person(1), 500),
        passed(&other, Class::Message, person(1), 500),
    );
    assert!(first + second <= 100, "{first} {second}");
    assert!(first + second > 50, "{first} {second}");
}

#[tokio::test]
async fn a_bucket_is_filled_again_and_says_when() {
    let policies: Policies = "read=1000/s".parse().unwrap();
    let limits = RateLimits::new(redis(&servers::prefix()).await, policies);
    assert!(passed(&limits, Class::Read, person(1), 1500).await >= 1000);
    loop {
        let verdict = limits.take(Class::Read, person(1)).await.unwrap();
        if verdict.taken.granted {
            break;
        }
        assert!(verdict.taken.next <= Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_redis_each_process_still_limits() {
    let away = || Redis::new("redis://127.0.0.1:1", "").unwrap();
    let (one, other) = (
        RateLimits::new(away(), Policies::default()),
        RateLimits::new(away(), Policies::default()),
    );
    let address = || Subject::Address(std::net::IpAddr::from([192, 0, 2, 1]).into());
    assert_eq!(passed(&one, Class::SignUp, address(), 20).await, 3);
    assert_eq!(passed(&other, Class::SignUp, address(), 20).await, 3);
}

#[tokio::test]
async fn an_answer_says_what_is_left_and_a_refusal_when_to_come_again() {
    let limits = RateLimits::new(redis(&servers::prefix()).await, Policies::default());
    let address = Subject::Address(std::net::IpAddr::from([192, 0, 2, 1]).into());
    let described = |verdict: &Verdict| {
        let mut headers = HeaderMap::new();
        verdict.describe(&mut headers);
        (headers["ratelimit-policy"].clone(), headers["ratelimit"].clone())
    };
    for left in ["2", "1", "0"] {
        let verdict = limits.take(Class::SignUp, address.clone()).await.unwrap();
        let (policy, state) = described(&verdict);
        assert_eq!(policy, r#""sign-up";q=3;w=60"#);
        let state = state.to_str().unwrap();
        assert!(state.starts_with(&format!(r#""sign-up";r={left};t="#)), "{state}");
        assert_eq!(verdict.problem(), None);
    }
    let verdict = limits.take(Class::SignUp, address).await.unwrap();
    let refused = serde_json::to_value(verdict.problem().unwrap()).unwrap();
    let (_, state) = described(&verdict);
    assert_eq!(state, format!(r#""sign-up";r=0;t={}"#, refused["retry_after"]).as_str());
    assert_eq!(refused["status"], 429);
    assert!(refused["retry_after"].as_u64().unwrap() <= 20);
}

#[tokio::test]
async fn what_is_off_is_not_limited_and_what_holds_nothing_is_forgotten() {
    let limits = RateLimits::new(redis(&servers::prefix()).await, Policies::off());
    assert_eq!(limits.take(Class::Read, person(1)).await, None);

    let away = Redis::new("redis://127.0.0.1:1", "").unwrap();
    let limits = RateLimits::new(away, Policies::default());
    let count = SLICES + 10;
    for n in 0..count {
        drop(limits.slice(Class::Read, person(u128::try_from(n).unwrap())));
    }
    assert_eq!(limits.0.slices.lock().unwrap().of.len(), 10);
}
