//! Rate limits as clients meet them: through every door, at every node, and with every trick.

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused};
use e2e::talk::{PASSWORD, Person, sign_up};
use e2e::up::Up;
use futures::future::join_all;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use roundtable::client::{Client, SignUp, key, new_id};
use serde_json::{Value, json};

/// The usual limits, which the other tests do without.
const STRICT: (&str, &str) = ("ROUNDTABLE_LIMITS", "");

#[tokio::test]
async fn three_people_a_minute_sign_up_from_one_address_and_the_answers_say_so() -> Result<()> {
    let up = Up::with(&[STRICT]).await?;
    let client = Client::new(&up.url)?;
    for left in [2, 1, 0] {
        let answer = post_user(&client, &sign_up("Ada")).send().await?;
        ensure!(answer.status() == 201, "{answer:?}");
        let (policy, state) = fields(answer.headers())?;
        ensure!(policy == "\"sign-up\";q=3;w=60", "{policy}");
        ensure!(state.starts_with(&format!("\"sign-up\";r={left};t=")), "{state}");
    }
    // What a client says of its own address is not believed, and a bad body costs as much.
    for forged in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"] {
        let request = post_user(&client, &sign_up("Ada")).header(forged, "for=192.0.2.1");
        is_limited(request.send().await?, "sign-up").await?;
    }
    let malformed = client.request(Method::POST, "/v1/users").body("{");
    is_limited(malformed.send().await?, "sign-up").await?;

    // Other things are limited by themselves.
    for _ in 0..5 {
        let answer = log_in(&client, "nobody@example.org", "a wrong one").send().await?;
        ensure!(answer.status() == 401, "{answer:?}");
        ensure!(fields(answer.headers())?.0.starts_with("\"log-in\";q=5;w=60"), "{answer:?}");
    }
    is_limited(log_in(&client, "nobody@example.org", PASSWORD).send().await?, "log-in").await?;
    let health = client.request(Method::GET, "/readyz").send().await?;
    ensure!(health.status() == 200 && health.headers().get("ratelimit").is_none(), "{health:?}");
    let unknown = client.request(Method::GET, "/v1/users/me").send().await?;
    ensure!(unknown.status() == 401, "{unknown:?}");
    ensure!(fields(unknown.headers())?.0.starts_with("\"stranger\";"), "{unknown:?}");
    up.end().await
}

#[tokio::test]
async fn a_proxy_of_ours_tells_clients_apart_and_accounts_are_guarded_from_everywhere() -> Result<()>
{
    let up = Up::with(&[STRICT, ("ROUNDTABLE_TRUSTED_PROXIES", "127.0.0.1")]).await?;
    let client = Client::new(&up.url)?;
    let from = |request: RequestBuilder, address: &str| request.header("X-Forwarded-For", address);
    let who = sign_up("Ada");
    accepted(from(post_user(&client, &who), "203.0.113.1"), 201).await?;
    // One customer has a network of IPv6, however many of its addresses they use; and what they
    // write before the proxy does is not believed.
    for (n, status) in [(1, 201), (2, 201), (3, 201), (4, 429)] {
        let address = format!("192.0.2.{n}, 2001:db8:0:7::{n}");
        let answer = from(post_user(&client, &sign_up("Bob")), &address).send().await?;
        ensure!(answer.status() == status, "{address}: {answer:?}");
    }
    accepted(from(post_user(&client, &sign_up("Eve")), "2001:db8:0:8::1"), 201).await?;

    // One account is tried from many addresses. Its person has logged in from one before.
    let home = || from(log_in(&client, &who.email, PASSWORD), "198.51.100.200");
    accepted(home(), 201).await?;
    let guess = |n: u8| from(log_in(&client, &who.email, "a guess"), &format!("198.51.100.{n}"));
    for n in 0..9 {
        refused(guess(n), 401, "wrong-credentials").await?;
    }
    let answer = guess(10).send().await?;
    ensure!(answer.headers().get_all("ratelimit").iter().count() == 2, "{answer:?}");
    is_limited(answer, "log-in-account").await?;
    let typed = who.email.to_uppercase();
    let answer = from(log_in(&client, &typed, PASSWORD), "198.51.100.11").send().await?;
    is_limited(answer, "log-in-account").await?;
    // They are not kept out where they are known, however many guess elsewhere.
    accepted(home(), 201).await?;
    up.end().await
}

#[tokio::test]
async fn a_flood_through_two_gateways_and_both_doors_passes_exactly_what_there_is() -> Result<()> {
    // In an hour nothing worth counting comes back while the test runs.
    let limits = "sign-up=off,log-in=off,friend-request=10/h,read=40/h,message=50/h";
    let mut cluster = Cluster::with(&[("ROUNDTABLE_LIMITS", limits)]).await?;
    let ada = Person::new(&cluster.url, "Ada").await?;
    let gateways: Vec<_> = cluster.command_apis.iter().map(|node| node.url.clone()).collect();

    // Sockets of both gateways and REST of both, all at once.
    let mut sockets = vec![];
    for url in &gateways {
        sockets.push(Raw::open(url, ada.token()).await?);
    }
    let over_sockets = join_all(sockets.iter_mut().map(|socket| flood(socket, 40)));
    let over_rest = join_all((0..80).map(|n| {
        let request = ada.request(&gateways[n % 2], Method::POST, "/v1/friend-requests");
        async move {
            let body = json!({ "to": new_id() });
            let request = request?.header("Idempotency-Key", key().to_string()).json(&body);
            Ok::<_, anyhow::Error>(request.send().await?.status().as_u16())
        }
    }));
    let (over_sockets, over_rest) = tokio::join!(over_sockets, over_rest);
    let mut passed = 0;
    for through in over_sockets {
        passed += through?;
    }
    for status in over_rest {
        // 404: there is no such person; the request itself was let through.
        passed += usize::from(status? == 404);
    }
    ensure!(passed == 10, "{passed} of 10 passed");

    // Reads have their own, shared by both readers.
    let readers: Vec<_> = cluster.query_apis.iter().map(|node| node.url.clone()).collect();
    let reads = join_all((0..120).map(|n| {
        let request = ada.request(&readers[n % 2], Method::GET, "/v1/friends");
        async move { Ok::<_, anyhow::Error>(request?.send().await?.status().as_u16()) }
    }));
    let mut passed = 0;
    for status in reads.await {
        passed += usize::from(status? == 200);
    }
    ensure!((20..=40).contains(&passed), "{passed} of 40 reads passed");

    // With Redis away each process has a bucket of its own: open that far, and no further.
    cluster.servers.kill(servers::Kind::Redis).await;
    let eve = Person::new(&cluster.url, "Eve").await?;
    let mut passed = 0;
    for n in 0..60 {
        let request = eve.request(&gateways[n % 2], Method::POST, "/v1/friend-requests")?;
        let request = request.json(&json!({ "to": new_id() }));
        let answer = request.header("Idempotency-Key", key().to_string()).send().await?;
        passed += usize::from(answer.status() == 404);
    }
    ensure!(passed == 20, "{passed} passed without Redis");
    cluster.stop().await;
    Ok(())
}

/// Asks many people to be friends over a socket; returns how many were not limited.
async fn flood(socket: &mut Raw, count: usize) -> Result<usize> {
    for _ in 0..count {
        let command = json!({
            "op": "command", "id": key(), "type": "friendship.request", "to": new_id(),
        });
        socket.send(&command).await?;
    }
    let mut passed = 0;
    for _ in 0..count {
        let error = socket.until("error").await?;
        if error["status"] == 429 {
            ensure!(
                error["type"].as_str().is_some_and(|t| t.ends_with("/rate-limited")),
                "{error}"
            );
            let seconds = error["retry_after"].as_u64().context("a time to wait")?;
            ensure!((1..=360).contains(&seconds), "{error}");
        } else {
            passed += 1;
        }
    }
    Ok(passed)
}

fn fields(headers: &HeaderMap) -> Result<(String, String)> {
    let field = |name: &str| -> Result<String> {
        Ok(headers.get(name).with_context(|| format!("no {name}"))?.to_str()?.to_owned())
    };
    Ok((field("ratelimit-policy")?, field("ratelimit")?))
}

/// 429 with everything that belongs to it.
async fn is_limited(answer: Response, name: &str) -> Result<()> {
    ensure!(answer.status() == 429, "{answer:?}");
    let headers = answer.headers().clone();
    let wait = headers.get("retry-after").context("Retry-After")?.to_str()?.to_owned();
    let states = headers.get_all("ratelimit").iter().filter_map(|value| value.to_str().ok());
    let state = format!("\"{name}\";r=0;t={wait}");
    ensure!(states.into_iter().any(|found| found == state), "{state}: {headers:?}");
    let problem: Value = answer.json().await?;
    ensure!(problem["retry_after"].as_u64() == wait.parse().ok(), "{problem}");
    ensure!(problem["type"].as_str().is_some_and(|kind| kind.ends_with("/rate-limited")));
    Ok(())
}

fn post_user(client: &Client, who: &SignUp) -> RequestBuilder {
    let body = json!({
        "email": who.email, "handle": who.handle, "name": who.name, "password": who.password,
    });
    let request = client.request(Method::POST, "/v1/users").json(&body);
    request.header("Idempotency-Key", key().to_string())
}

fn log_in(client: &Client, email: &str, password: &str) -> RequestBuilder {
    let body = json!({ "email": email, "password": password });
    client.request(Method::POST, "/v1/sessions").json(&body)
}
