//! A token opens exactly what it was issued for, while it is good, and nothing when it is forged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::raw::Raw;
use e2e::refusal::{accepted, refused, refused_with};
use e2e::talk::Person;
use e2e::up::Up;
use ed25519_dalek::{Signer, SigningKey};
use reqwest::Method;
use roundtable::client::{Client, key};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_that_is_stale_forged_or_foreign_opens_nothing() -> Result<()> {
    let up = Up::start().await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let bob = Person::new(&up.url, "Bob").await?;
    let client = Client::new(&up.url)?;
    let seed = std::fs::read_to_string(find(&up.data(), "signing.key").context("signing.key")?)?;
    let ours = signing_key(seed.trim())?;
    let other = SigningKey::from_bytes(&[7; 32]);
    let Parts { header, claims } = Parts::of(ada.token())?;
    // The key that was found is the right one: what is signed with it is accepted.
    let me = |token: &str| {
        let request = client.request(Method::GET, "/v1/users/me").bearer_auth(token);
        request.header("Roundtable-After", ada.session.tokens().position.to_string())
    };
    accepted(me(&token(&ours, &header, &claims)), 200).await?;

    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    let expired = with("exp", json!(1_600_000_000));
    let none = format!("{}.{}.", encode(&json!({ "alg": "none", "typ": "JWT" })), encode(&claims));
    let bobs_sub = Parts::of(bob.token())?.claims["sub"].clone();
    let mut confused = header.clone();
    confused["alg"] = json!("HS256");
    let (signed, signature) = ada.token().rsplit_once('.').context("three parts")?;
    let (head, _) = signed.split_once('.').context("three parts")?;
    let as_bob = with("sub", bobs_sub);
    for (what, token, slug) in [
        ("expired", token(&ours, &header, &expired), "token-expired"),
        ("signed by another key", token(&other, &header, &claims), "token-invalid"),
        ("not signed", none, "token-invalid"),
        ("another algorithm", token(&ours, &confused, &claims), "token-invalid"),
        ("another issuer", token(&ours, &header, &with("iss", json!("evil"))), "token-invalid"),
        (
            "another person's claims under one's own signature",
            format!("{head}.{}.{signature}", encode(&as_bob)),
            "token-invalid",
        ),
        ("a log-in of somebody else", token(&ours, &header, &as_bob), "login-ended"),
        ("no token at all", "seven".to_owned(), "token-invalid"),
    ] {
        // Reads and writes are different services.
        refused(me(&token), 401, slug).await.context(what)?;
        let write = client.request(Method::PATCH, "/v1/users/me").bearer_auth(&token);
        let write = write.json(&json!({ "bio": "x" })).header("Idempotency-Key", key().to_string());
        refused(write, 401, slug).await.context(what)?;

        let (mut socket, _) = Raw::connect(&up.url).await?;
        socket.send(&json!({ "op": "auth", "token": token })).await?;
        let frame = socket.frame().await?;
        ensure!(matches!(frame["op"].as_str(), Some("error" | "bye")), "{what}: {frame}");
    }
    let nobody = client.request(Method::GET, "/v1/users/me");
    refused(nobody, 401, "unauthenticated").await?;
    let basic = client.request(Method::GET, "/v1/users/me").basic_auth("ada", Some("x"));
    refused_with(basic, 401).await?;
    up.end().await
}

#[tokio::test]
async fn a_cookie_reads_but_writes_only_with_the_header_no_form_can_send() -> Result<()> {
    let up = Up::start().await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let client = Client::new(&up.url)?;
    let cookie = format!("roundtable_access={}", ada.token());
    let me = client.request(Method::GET, "/v1/users/me").header("Cookie", &cookie);
    let me = me.header("Roundtable-After", ada.session.tokens().position.to_string());
    accepted(me, 200).await?;
    let change = || {
        let request = client.request(Method::PATCH, "/v1/users/me").header("Cookie", &cookie);
        let request = request.header("Idempotency-Key", key().to_string());
        request.json(&json!({ "bio": "from a browser" }))
    };
    refused_with(change(), 403).await?;
    refused_with(change().header("Sec-Fetch-Site", "cross-site"), 403).await?;
    accepted(change().header("Roundtable-CSRF", "1"), 202).await?;
    up.end().await
}

#[tokio::test]
async fn everybody_can_verify_a_token_with_the_published_key() -> Result<()> {
    let up = Up::start().await?;
    let ada = Person::new(&up.url, "Ada").await?;
    let client = Client::new(&up.url)?;
    let keys = accepted(client.request(Method::GET, "/.well-known/jwks.json"), 200).await?;
    let published = keys["keys"][0]["x"].as_str().context("the public key")?;
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(published)?.try_into().expect("32 bytes");
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes)?;
    let (signed, signature) = ada.token().rsplit_once('.').context("three parts")?;
    let signature = ed25519_dalek::Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature)?)?;
    key.verify_strict(signed.as_bytes(), &signature)?;
    let Parts { claims, .. } = Parts::of(ada.token())?;
    ensure!(claims["sub"] == json!(ada.user()), "{claims}");
    ensure!(!claims.to_string().contains(&ada.name), "a token holds no personal data: {claims}");
    up.end().await
}

struct Parts {
    header: Value,
    claims: Value,
}

impl Parts {
    fn of(token: &str) -> Result<Self> {
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
        let mut json = || -> Result<Value> {
            Ok(serde_json::from_slice(&parts.next().context("three parts")??)?)
        };
        Ok(Self { header: json()?, claims: json()? })
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn signing_key(hex: &str) -> Result<SigningKey> {
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    let bytes = bytes.collect::<Result<Vec<_>, _>>()?;
    Ok(SigningKey::from_bytes(bytes.as_slice().try_into()?))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            match entry.file_type().ok()?.is_dir() {
                true if entry.file_name() != "postgres" => folders.push(entry.path()),
                false if entry.file_name() == name => return Some(entry.path()),
                _ => {}
            }
        }
    }
    None
}
